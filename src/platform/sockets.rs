//! [`Sockets`] of the platform: WebSockets that hibernate.
//!
//! A ping that is the text `ping` is answered `pong` by the platform, without waking the object.

use js_sys::Array;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Response, State, WebSocketPair, WebSocketRequestResponsePair};

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{Socket, Sockets};
use crate::types::StorageTier;

/// `readyState` of an open socket.
const OPEN: u16 = 1;

#[wasm_bindgen]
extern "C" {
    type Sleeping;

    #[wasm_bindgen(method, catch, js_name = acceptWebSocket)]
    fn accept(this: &Sleeping, socket: &JsValue) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = getWebSockets)]
    fn sockets(this: &Sleeping) -> std::result::Result<Array, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setWebSocketAutoResponse)]
    fn answer_pings(this: &Sleeping, pair: &JsValue) -> std::result::Result<(), JsValue>;

    type Raw;

    #[wasm_bindgen(method, getter, js_name = readyState)]
    fn ready_state(this: &Raw) -> u16;

    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_text(this: &Raw, text: &str) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = close)]
    fn close_with(this: &Raw, code: u16, reason: &str) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = serializeAttachment)]
    fn serialize_attachment(this: &Raw, value: &str) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = deserializeAttachment)]
    fn deserialize_attachment(this: &Raw) -> std::result::Result<JsValue, JsValue>;
}

/// The sockets of one object.
pub struct WorkerSockets(Sleeping);

impl WorkerSockets {
    /// The sockets of this object.
    pub fn new(state: &State) -> Self {
        let raw: &JsValue = state.as_raw().as_ref();
        Self(raw.clone().unchecked_into())
    }

    /// Opens a socket with this attachment, and answers the request that asks for it.
    pub fn accept(&self, attachment: &str) -> Result<Response> {
        let pair = WebSocketPair::new().map_err(|error| failure("accept socket", error.into()))?;
        let accept = || {
            let server: &JsValue = pair.server.as_ref().as_ref();
            let pings = WebSocketRequestResponsePair::new("ping", "pong")?;
            self.0.answer_pings(pings.as_ref())?;
            self.0.accept(server)?;
            server.unchecked_ref::<Raw>().serialize_attachment(attachment)
        };
        accept().map_err(|thrown: JsValue| failure("accept socket", thrown.into()))?;
        Response::from_websocket(pair.client).map_err(|error| failure("accept socket", error.into()))
    }
}

impl Sockets for WorkerSockets {
    fn open(&self) -> Result<Vec<Box<dyn Socket>>> {
        let all = self.0.sockets().map_err(|thrown| failure("list sockets", thrown.into()))?;
        let open = all.iter().map(WorkerSocket::from).filter(|socket| socket.0.ready_state() == OPEN);
        Ok(open.map(|socket| -> Box<dyn Socket> { Box::new(socket) }).collect())
    }
}

/// One of them.
pub struct WorkerSocket(Raw);

impl From<JsValue> for WorkerSocket {
    fn from(socket: JsValue) -> Self {
        Self(socket.unchecked_into())
    }
}

impl From<&worker::WebSocket> for WorkerSocket {
    fn from(socket: &worker::WebSocket) -> Self {
        let raw: &JsValue = socket.as_ref().as_ref();
        Self::from(raw.clone())
    }
}

impl Socket for WorkerSocket {
    fn send(&self, text: &str) -> Result<()> {
        self.0.send_text(text).map_err(|thrown| failure("send to socket", thrown.into()))
    }

    fn attachment(&self) -> Result<Option<String>> {
        let value = self.0.deserialize_attachment().map_err(|thrown| failure("read attachment", thrown.into()))?;
        Ok(value.as_string())
    }

    fn attach(&self, text: &str) -> Result<()> {
        self.0.serialize_attachment(text).map_err(|thrown| failure("attach to socket", thrown.into()))
    }

    fn close(&self, code: u16, reason: &str) {
        // One that is closed already says so, which changes nothing.
        let _ = self.0.close_with(code, reason);
    }
}

fn failure(operation: &'static str, exception: Exception) -> StorageError {
    let message = "the socket did not do what was asked; connect again";
    StorageError::new(ErrorKind::Internal, StorageTier::Api, operation, message).caused_by(exception)
}
