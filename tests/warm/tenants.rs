//! Two objects of two tenants, behind the Workers of two data centres.

use std::rc::Rc;

use thermocline::config::StorageConfig;
use thermocline::engine::Engine;
use thermocline::http::access::{Access, AccessVariables, Callers};
use thermocline::http::edge::{CachePlan, Decision, Edge};
use thermocline::http::exchange::Exchange;
use thermocline::http::message::{Request, RequestHead, Response, WholeBody};
use thermocline::http::object::ObjectService;
use thermocline::ports::native::{ManualClock, NativeSignatures, SeededIds, World, run};
use thermocline::ports::{Clock, EdgeCache, EdgePorts, Ports};
use thermocline::types::names::ObjectName;

pub const TENANTS: [&str; 2] = ["demo/1", "demo/2"];

/// The objects live in the first data centre.
pub struct Tenants {
    names: [&'static str; 2],
    pub clock: Rc<ManualClock>,
    caches: [Rc<dyn EdgeCache>; 2],
    worlds: [World; 2],
    services: [ObjectService; 2],
    edges: [Edge; 2],
}

/// An answer of an object that the Worker has not done with.
pub struct Pending {
    centre: usize,
    name: ObjectName,
    plan: CachePlan,
    response: Response,
}

fn service(world: &World, clock: &Rc<ManualClock>, cache: &Rc<dyn EdgeCache>) -> ObjectService {
    let ports = Ports { clock: clock.clone(), cache: Rc::clone(cache), ..world.ports() };
    ObjectService::new(Engine::new(ports, StorageConfig::default()), Callers::Anyone).unwrap()
}

fn edge(clock: &Rc<ManualClock>, cache: &Rc<dyn EdgeCache>) -> Edge {
    let config = StorageConfig::default();
    let open = AccessVariables { mode: Some("off".to_owned()), ..AccessVariables::default() };
    let access = Access::new(open, &config.security, Rc::new(NativeSignatures), clock.clone()).unwrap();
    let ports =
        EdgePorts { cache: Rc::clone(cache), bucket: None, clock: clock.clone(), ids: Rc::new(SeededIds::new(1)) };
    Edge::new(ports, &config, access).unwrap()
}

impl Tenants {
    pub fn new(clock: Rc<ManualClock>, caches: [Rc<dyn EdgeCache>; 2]) -> Self {
        Self::named(TENANTS, clock, caches)
    }

    /// The same of other objects.
    pub fn named(names: [&'static str; 2], clock: Rc<ManualClock>, caches: [Rc<dyn EdgeCache>; 2]) -> Self {
        let worlds = [1, 2].map(|seed| World::new(seed).unwrap());
        let services = [&worlds[0], &worlds[1]].map(|world| service(world, &clock, &caches[0]));
        let edges = [edge(&clock, &caches[0]), edge(&clock, &caches[1])];
        Self { names, clock, caches, worlds, services, edges }
    }

    /// Starts a new instance of an object.
    pub fn restart(&mut self, tenant: usize) {
        self.services[tenant] = service(&self.worlds[tenant], &self.clock, &self.caches[0]);
    }

    /// Asks the object, as far as that is needed; an answer that the Worker has to look at is pending.
    pub fn ask(
        &self,
        centre: usize,
        tenant: usize,
        method: &str,
        target: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response, Box<Pending>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let head = RequestHead {
            method: method.to_owned(),
            origin: "https://worker.example".to_owned(),
            path: format!("/v1/{}{path}", self.names[tenant]),
            query: query.to_owned(),
            headers,
        };
        let mut exchange = Exchange::begin(&head, &SeededIds::new(1), self.clock.now_ms());
        let decision = run(self.edges[centre].decide(&head, &mut exchange)).done().expect("a decision");
        match decision {
            Decision::Respond(response) => Ok(response),
            Decision::Read(_) => panic!("no file was asked for"),
            Decision::Forward { name, plan, .. } => {
                let request = Request {
                    method: head.method,
                    path: head.path,
                    query: head.query,
                    headers: head.headers,
                    body: Box::new(WholeBody::new(body.as_bytes())),
                };
                let response = run(self.services[tenant].handle(request)).done().expect("an answer");
                match plan {
                    Some(plan) => Err(Box::new(Pending { centre, name, plan, response })),
                    None => Ok(response),
                }
            }
        }
    }

    /// Lets the Worker do with an answer what it has to.
    pub fn finish(&self, pending: Pending) -> Response {
        let Pending { centre, name, plan, response } = pending;
        run(self.edges[centre].after(&name, plan, response)).done().expect("the Worker ends")
    }

    /// A whole request.
    pub fn send(
        &self,
        centre: usize,
        tenant: usize,
        method: &str,
        target: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        self.ask(centre, tenant, method, target, body, headers).unwrap_or_else(|pending| self.finish(*pending))
    }
}
