//! `GET /collections/{c}/export`: all documents of a collection as NDJSON, made as fast as the client takes them.
//!
//! A part must never look like the whole. What fails before the first line has a status. What fails after it breaks the answer
//! off; and because a server on the way may end it as if it were whole (workerd's own does), the last thing sent is a line
//! that is not JSON: a problem document without its last brace, and without the end of the line.

use std::rc::Rc;

use async_trait::async_trait;

use super::as_of;
use super::message::{Body, BodySource, Request, Response};
use super::object::SEQUENCE_HEADER;
use super::params::{QueryParams, refuse};
use super::problem;
use crate::engine::{Engine, Export};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Masks, StorageTier};

/// `GET …/export`
pub async fn export(engine: &Rc<Engine>, request: &Request, collection: &str, masks: &Masks) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["asOf"])?;
    let as_of = params.get("asOf").map(as_of::from_text).transpose().map_err(refuse)?;
    let export = engine.export(collection, as_of, masks).await?;
    let response = Response::empty(200).with_header("content-type", "application/x-ndjson");
    let response = match export.sequence {
        Some(sequence) => response.with_header(SEQUENCE_HEADER, sequence.to_string()),
        None => response,
    };
    Ok(response.with_body(Body::stream(Lines::Going(export))))
}

enum Lines {
    Going(Export),
    /// The client was told that it breaks off; what follows is the error.
    Breaking(StorageError),
    Broken,
}

#[async_trait(?Send)]
impl BodySource for Lines {
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        match std::mem::replace(self, Self::Broken) {
            Self::Going(mut export) => match export.next_chunk().await {
                Ok(chunk) => {
                    *self = Self::Going(export);
                    Ok(chunk)
                }
                Err(error) => {
                    let problem = problem::response(&error);
                    *self = Self::Breaking(error);
                    Ok(problem.body.bytes().strip_suffix(b"}").map(<[u8]>::to_vec))
                }
            },
            Self::Breaking(error) => Err(error),
            Self::Broken => Err(broken()),
        }
    }
}

fn broken() -> StorageError {
    let message = "expected nobody to read on after an export broke off; begin again";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "export", message)
}
