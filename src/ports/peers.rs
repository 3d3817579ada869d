//! Other objects of the same namespace.

use async_trait::async_trait;

use crate::error::Result;
use crate::types::names::ObjectName;

/// What another object answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAnswer {
    /// The status.
    pub status: u16,
    /// The JSON of the body.
    pub body: Vec<u8>,
}

/// Requests from this object to others. They do not pass the Worker, and so nobody's token is asked for.
#[async_trait(?Send)]
pub trait Peers {
    /// Sends a request to `path`, as the other's routes have it; a body is JSON. An error has an unknown outcome.
    async fn send(&self, to: &ObjectName, method: &str, path: &str, body: Option<&str>) -> Result<PeerAnswer>;
}
