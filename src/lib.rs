//! Thermocline: a three-tier store for digital objects in one Durable Object.

pub mod cdc;
pub mod cold;
pub mod config;
pub mod error;
pub mod hot;
pub mod http;
pub mod limits;
pub mod ports;
pub mod types;
pub mod vortex;

#[cfg(target_arch = "wasm32")]
mod shell {
    use worker::{Context, DurableObject, Env, Request, Response, Result, State};

    #[worker_macros::event(fetch)]
    async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
        if request.path() == "/healthz" {
            return Response::ok("{\"status\":\"ok\"}");
        }
        env.durable_object("OBJECTS")?.get_by_name("demo/1")?.fetch_with_request(request).await
    }

    /// The Durable Object.
    #[worker_macros::durable_object(alarm)]
    pub struct DigitalObject {}

    impl DurableObject for DigitalObject {
        fn new(_state: State, _env: Env) -> Self {
            Self {}
        }
        async fn fetch(&self, _request: Request) -> Result<Response> {
            Response::ok("object")
        }
        async fn alarm(&self) -> Result<Response> {
            Response::ok("")
        }
    }
}
