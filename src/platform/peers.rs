//! Other objects of the namespace, reached by their stubs.

use async_trait::async_trait;
use wasm_bindgen::JsValue;
use worker::{Env, Headers, Method, Request, RequestInit};

use super::env::fetch_object;
use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{PeerAnswer, Peers};
use crate::types::StorageTier;
use crate::types::names::ObjectName;

/// Stubs want a whole URL; only its path matters.
const ORIGIN: &str = "https://object";

/// The namespace that this object is of.
pub struct WorkerPeers(Env);

impl WorkerPeers {
    /// By what is bound.
    pub fn new(env: Env) -> Self {
        Self(env)
    }
}

#[async_trait(?Send)]
impl Peers for WorkerPeers {
    async fn send(&self, to: &ObjectName, method: &str, path: &str, body: Option<&str>) -> Result<PeerAnswer> {
        let request = request(method, path, body).map_err(|error| {
            let message = "expected a request to another object to be made, got a failure";
            StorageError::new(ErrorKind::Internal, StorageTier::Api, "reach object", message)
                .caused_by(Exception::from(error))
        })?;
        let mut response = fetch_object(&self.0, to, request).await?;
        let status = response.status_code();
        let body = response.bytes().await.map_err(|error| {
            let message = "expected another object's whole answer, got a part; try again";
            StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "reach object", message)
                .caused_by(Exception::from(error))
        })?;
        Ok(PeerAnswer { status, body })
    }
}

fn request(method: &str, path: &str, body: Option<&str>) -> worker::Result<Request> {
    let headers = Headers::new();
    headers.set("content-type", "application/json")?;
    let mut init = RequestInit::new();
    init.with_method(Method::from(method.to_owned())).with_headers(headers).with_body(body.map(JsValue::from_str));
    Request::new_with_init(&format!("{ORIGIN}{path}"), &init)
}
