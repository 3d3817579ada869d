// A Durable Object that does nothing: what a request costs by the way to it alone. A body is read, because workerd closes
// the connection of a request whose body is not.
import { DurableObject } from "cloudflare:workers";

export class EmptyObject extends DurableObject {
  async fetch(request) {
    if (request.body) await request.text();
    return new Response("{}", { headers: { "content-type": "application/json" } });
  }
}

export default {
  fetch(request, env) {
    const [, , type, id] = new URL(request.url).pathname.split("/");
    return env.OBJECTS.get(env.OBJECTS.idFromName(`${type}/${id}`)).fetch(request);
  },
};
