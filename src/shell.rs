//! The wasm shell: the Worker's fetch event and the Durable Object. It delegates, and nothing else.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use worker::{
    Context, DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, console_error,
    console_log,
};

use crate::config::StorageConfig;
use crate::engine::Engine;
use crate::error::{ErrorKind, StorageError};
use crate::http::access::{Access, AccessVariables, Callers, PRINCIPAL_HEADER};
use crate::http::edge::{self, Decision, Edge, misconfigured};
use crate::http::object::ObjectService;
use crate::http::{AnswerHead, Cors, Exchange, REQUEST_ID_HEADER, failure_line, is_told, problem_response};
use crate::platform::sockets::{WorkerSocket, WorkerSockets};
use crate::platform::{env, http};
use crate::ports::message::{Body, RequestHead};
use crate::ports::{Socket, SocketMessage};
use crate::types::StorageTier;

#[worker_macros::event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let head = http::head_from_worker(&request);
    let (clock, edge) = (env::clock(), edge(&env));
    let mut exchange = Exchange::begin(&head, env::ids().as_ref(), clock.now_ms());
    let response = match &edge {
        Ok(edge) => match answer(edge, request, &head, &mut exchange, &env).await {
            Ok(response) => response,
            Err(error) => http::response_to_worker(edge::refused(&mut exchange, &error)),
        },
        Err(error) => http::response_to_worker(misconfigured(&head.path, &mut exchange, error)),
    };
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let answer = AnswerHead { status: response.status_code(), header: &header };
    let finished = match &edge {
        Ok(edge) => edge.finish(&exchange, &answer),
        Err(_) => exchange.finish(&answer, &Cors::default(), true, clock.now_ms()),
    };
    match &finished.line {
        Some(line) if finished.is_failure => console_error!("{line}"),
        Some(line) => console_log!("{line}"),
        None => {}
    }
    Ok(http::answer_with_headers(response, is_told, &finished.headers))
}

thread_local! {
    /// The Worker's part, made by the isolate's first request: what is bound does not change in an isolate's life.
    static EDGE: RefCell<Option<Rc<Edge>>> = const { RefCell::new(None) };
}

fn edge(env: &Env) -> crate::error::Result<Rc<Edge>> {
    if let Some(edge) = EDGE.with_borrow(Clone::clone) {
        return Ok(edge);
    }
    let (ports, config) = (env::edge_ports(env)?, config(env)?);
    let access = Access::new(access_variables(env), &config.security, env::signatures(), Rc::clone(&ports.clock))?;
    let edge = Rc::new(Edge::new(ports, &config, access)?);
    EDGE.set(Some(Rc::clone(&edge)));
    Ok(edge)
}

async fn answer(
    edge: &Edge,
    request: Request,
    head: &RequestHead,
    exchange: &mut Exchange,
    env: &Env,
) -> crate::error::Result<Response> {
    match edge.decide(head, exchange).await {
        Decision::Respond(response) => Ok(http::response_to_worker(response)),
        Decision::Read(read) => {
            let bucket = env::worker_bucket(env)?.ok_or_else(|| {
                let message = "expected the bucket that was bound when this isolate started, got none";
                StorageError::new(ErrorKind::Internal, StorageTier::Cold, "read bindings", message)
            })?;
            Ok(http::response_to_worker(read.serve(&bucket).await))
        }
        Decision::Forward { name, plan, principal } => {
            let mut headers = vec![(REQUEST_ID_HEADER, exchange.id())];
            headers.extend(principal.as_deref().map(|principal| (PRINCIPAL_HEADER, principal)));
            let request = http::with_headers(&request, &headers)?;
            let response = env::fetch_object(env, &name, request).await?;
            match plan {
                None => Ok(response),
                Some(plan) => {
                    let response = http::response_from_worker(response).await?;
                    Ok(http::response_to_worker(edge.after(&name, plan, response).await))
                }
            }
        }
    }
}

/// A digital object.
#[worker_macros::durable_object]
pub struct DigitalObject {
    /// `Err` when the object cannot be served as it is configured; every request is told so.
    service: crate::error::Result<ObjectService>,
    sockets: WorkerSockets,
}

impl DurableObject for DigitalObject {
    fn new(state: State, env: Env) -> Self {
        Self { service: service(&state, &env), sockets: WorkerSockets::new(&state) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let service = match &self.service {
            Ok(service) => service,
            Err(error) => return Ok(refused(error)),
        };
        self.follow(false);
        match http::request_from_worker(&request) {
            Ok(request) => {
                let (id, method) = (request.header(REQUEST_ID_HEADER).map(str::to_owned), request.method.clone());
                let tell = |error: &StorageError| {
                    if problem_response(error).status >= 500 {
                        console_error!("{}", failure_line(id.as_deref(), &method, error));
                    }
                };
                let response = service.handle_telling(request, &tell).await;
                match response.body {
                    Body::Socket(attachment) => Ok(self.open_socket(&attachment)),
                    _ => Ok(http::response_to_worker(response)),
                }
            }
            Err(error) => Ok(refused(&error)),
        }
    }

    /// Fails, so that the platform tries again, only when the object could not set its own next alarm.
    async fn alarm(&self) -> Result<Response> {
        let Ok(service) = &self.service else { return Response::empty() };
        self.follow(false);
        match service.engine().alarm().await {
            Ok(Ok(())) => Response::empty(),
            Ok(Err(error)) => {
                console_error!("alarm: {error:?}");
                Response::empty()
            }
            Err(error) => Err(worker::Error::RustError(error.to_string())),
        }
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let Ok(service) = &self.service else { return Ok(()) };
        self.follow(false);
        let message = match &message {
            WebSocketIncomingMessage::String(text) => SocketMessage::Text(text),
            WebSocketIncomingMessage::Binary(bytes) => SocketMessage::Bytes(bytes.len()),
        };
        service.engine().socket_message(&WorkerSocket::from(&socket), message);
        Ok(())
    }

    /// The other end closes: so does this one.
    async fn websocket_close(&self, socket: WebSocket, code: usize, reason: String, _was_clean: bool) -> Result<()> {
        // Some codes say that there was none, and are never sent.
        let code = u16::try_from(code).ok().filter(|code| !matches!(code, 1005 | 1006 | 1015)).unwrap_or(1000);
        WorkerSocket::from(&socket).close(code, &reason);
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, error: worker::Error) -> Result<()> {
        console_error!("a socket failed: {error}");
        WorkerSocket::from(&socket).close(1011, "");
        Ok(())
    }

    /// Objects take no connections but requests.
    async fn connect(&self, _socket: worker::Socket) -> Result<()> {
        Err(worker::Error::RustError("expected a request, got a connection".to_owned()))
    }
}

impl DigitalObject {
    /// Sees to it that sockets are sent what is written.
    fn follow(&self, opened: bool) {
        if let Ok(service) = &self.service
            && service.engine().sockets_wait(opened)
        {
            spawn_local(Engine::follow_sockets(Rc::downgrade(&service.engine())));
        }
    }

    fn open_socket(&self, attachment: &str) -> Response {
        match self.sockets.accept(attachment) {
            Ok(response) => {
                self.follow(true);
                response
            }
            Err(error) => refused(&error),
        }
    }
}

fn service(state: &State, env: &Env) -> crate::error::Result<ObjectService> {
    let callers = if access_variables(env).is_open() { Callers::Anyone } else { Callers::Named };
    ObjectService::new(Engine::new(env::ports(state, env)?, config(env)?), callers)
}

fn access_variables(env: &Env) -> AccessVariables {
    let [mode, secret, jwks] = ["AUTH_MODE", "AUTH_SECRET", "AUTH_JWKS"].map(|name| env::variable(env, name));
    AccessVariables { mode, secret, jwks }
}

fn config(env: &Env) -> crate::error::Result<StorageConfig> {
    let text = env::variable(env, "STORAGE_CONFIG").unwrap_or_default();
    StorageConfig::parse(&text).map_err(|error| {
        StorageError::new(ErrorKind::Internal, StorageTier::Api, "read configuration", error.to_string())
            .caused_by(error)
    })
}

fn refused(error: &StorageError) -> Response {
    console_error!("{error:?}");
    http::response_to_worker(problem_response(error))
}
