//! `/collections/{c}/export`: all documents of a collection as NDJSON, made as fast as the client takes them (`GET`), or put into
//! the bucket (`POST`).
//!
//! A part must never look like the whole. What fails before the first line has a status. What fails after it breaks the answer
//! off; and because a server on the way may end it as if it were whole (workerd's own does), the last thing sent is a line
//! that is not JSON: a problem document without its last brace, and without the end of the line.

use std::rc::Rc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::as_of;
use super::body::{json_text, parse, to_json};
use super::message::{Body, BodySource, Request, Response};
use super::object::SEQUENCE_HEADER;
use super::params::{QueryParams, refuse};
use super::problem;
use crate::engine::{Engine, Export};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Masks, Sequence, StorageTier};

const BODY_MAX_BYTES: usize = 1_024;

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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    key: String,
    bytes: u64,
    documents: u64,
    encryption: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<Sequence>,
}

/// `POST …/export`
pub async fn export_file(
    engine: &Rc<Engine>,
    request: &mut Request,
    collection: &str,
    masks: &Masks,
) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["asOf"])?;
    let as_of = params.get("asOf").map(as_of::from_text).transpose().map_err(refuse)?;
    expect_nothing(request).await?;
    let mut export = engine.export(collection, as_of, masks).await?;
    let sequence = export.sequence;
    let file = engine.export_file(collection, &mut export).await?;
    let encryption = if file.customer_key { "SSE-C" } else { "R2" };
    let answer = Answer { key: file.key, bytes: file.bytes, documents: file.documents, encryption, sequence };
    Ok(Response::json(201, to_json(&answer)?))
}

/// A body may be an empty object, or none.
async fn expect_nothing(request: &mut Request) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    if text.trim().is_empty() { Ok(()) } else { parse::<Nothing>(&text, "read export options").map(|_| ()) }
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
