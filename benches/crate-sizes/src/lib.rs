//! A worker and Durable Object that do nothing but hand a request's body to the candidate crates that are
//! switched on, and answer with what they make of it: what is measured is really linked and cannot be folded away.

#[cfg(target_arch = "wasm32")]
mod candidates;

#[cfg(target_arch = "wasm32")]
mod shell {
    use worker::{Context, DurableObject, Env, Request, Response, Result, State};

    #[worker_macros::event(fetch)]
    async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
        env.durable_object("OBJECTS")?.get_by_name("a/1")?.fetch_with_request(request).await
    }

    #[worker_macros::durable_object(fetch)]
    pub struct DigitalObject {
        _state: State,
    }

    impl DurableObject for DigitalObject {
        fn new(state: State, _env: Env) -> Self {
            Self { _state: state }
        }
        async fn fetch(&self, mut request: Request) -> Result<Response> {
            let body = request.bytes().await?;
            Response::from_bytes(crate::candidates::all(&body).unwrap_or_default())
        }
    }
}
