//! One request from its arrival at the Worker to its answer: its id, the headers that every answer has, and its line of
//! the log.
//!
//! Invariants: every answer passes [`Exchange::finish`] once, whoever made it, and its body is not touched; a header that a
//! route has set for itself stays. The line names the route and the object, and neither document, query, token nor content.

use serde::Serialize;
use uuid::Uuid;

use super::cors::Cors;
use super::message::{Body, RequestHead, Response, header};
use crate::error::StorageError;
use crate::ports::{Ids, uuid_v7};
use crate::types::Timestamp;

/// The header that names a request: in the request, in the answer, and from the Worker to the object.
pub const REQUEST_ID_HEADER: &str = "thermocline-request-id";

/// The headers of every answer, whoever it is for.
const ALWAYS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000"),
];

/// A request on its way.
pub struct Exchange {
    id: String,
    began: Timestamp,
    method: String,
    origin: Option<String>,
    bytes_in: Option<u64>,
    is_preflight: bool,
    /// The pattern of the route, once it is known.
    pub route: Option<&'static str>,
    /// The name of the object, once it is known.
    pub object: Option<String>,
    /// The subject of the token, once it is known.
    pub subject: Option<String>,
    /// What the Worker itself failed at.
    pub failure: Option<Failure>,
}

/// What is looked at of an answer.
pub struct AnswerHead<'a> {
    /// The status.
    pub status: u16,
    /// The value of a header, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

/// What becomes of an answer and of the log.
pub struct Finished {
    /// Headers that the answer gets, each in place of what it may have of the name.
    pub headers: Vec<(&'static str, String)>,
    /// The line of the log; `None` for one that is not wanted.
    pub line: Option<String>,
    /// Whether the line tells of a failure here.
    pub is_failure: bool,
}

/// A failure as the log tells it: with all that caused it, which answers never have.
#[derive(Serialize)]
pub struct Failure {
    tier: &'static str,
    operation: &'static str,
    message: String,
    causes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'l> {
    request_id: &'l str,
    method: &'l str,
    route: Option<&'l str>,
    object: Option<&'l str>,
    subject: Option<&'l str>,
    status: u16,
    outcome: &'static str,
    elapsed_ms: Timestamp,
    rows_read: Option<u64>,
    rows_written: Option<u64>,
    cache: Option<String>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'l Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureLine<'l> {
    request_id: Option<&'l str>,
    method: &'l str,
    failure: Failure,
}

impl Exchange {
    /// A request that has arrived. It keeps the id that it came with, if that is a UUID.
    pub fn begin(head: &RequestHead, ids: &dyn Ids, now: Timestamp) -> Self {
        let sent = |name| header(&head.headers, name);
        let given = sent(REQUEST_ID_HEADER).filter(|id| id.len() == 36).and_then(|id| Uuid::try_parse(id).ok());
        // Without randomness there is an answer all the same.
        let id = given.unwrap_or_else(|| uuid_v7(ids, now).unwrap_or_default());
        Self {
            id: id.to_string(),
            began: now,
            method: head.method.clone(),
            origin: sent("origin").map(str::to_owned),
            bytes_in: sent("content-length").and_then(|length| length.parse().ok()),
            is_preflight: head.method == "OPTIONS" && sent("access-control-request-method").is_some(),
            route: None,
            object: None,
            subject: None,
            failure: None,
        }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the answer gets, and what is logged. `logs_reads` is whether reads that went well have a line, too.
    pub fn finish(&self, answer: &AnswerHead<'_>, cors: &Cors, logs_reads: bool, now: Timestamp) -> Finished {
        let mut headers: Vec<(&'static str, String)> =
            ALWAYS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        headers.push((REQUEST_ID_HEADER, self.id.clone()));
        cors.headers(self.origin.as_deref(), self.is_preflight, &mut |name, value| {
            headers.push((name, value.to_owned()))
        });
        if (answer.header)("cache-control").is_none() {
            let is_document = self.reads() && (answer.header)("etag").is_some();
            headers.push(("cache-control", if is_document { "private, no-cache" } else { "no-store" }.to_owned()));
        }
        let is_failure = answer.status >= 500;
        let is_wanted = logs_reads || !self.reads() || answer.status >= 400;
        Finished { headers, line: is_wanted.then(|| self.line(answer, now)), is_failure }
    }

    fn reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    fn line(&self, answer: &AnswerHead<'_>, now: Timestamp) -> String {
        let number = |name| (answer.header)(name).and_then(|text| text.parse().ok());
        let line = Line {
            request_id: &self.id,
            method: &self.method,
            route: self.route,
            object: self.object.as_deref(),
            subject: self.subject.as_deref(),
            status: answer.status,
            outcome: match answer.status {
                ..400 => "done",
                400..500 => "refused",
                500.. => "failed",
            },
            elapsed_ms: now.saturating_sub(self.began),
            rows_read: number("thermocline-rows-read"),
            rows_written: number("thermocline-rows-written"),
            cache: (answer.header)("thermocline-cache"),
            bytes_in: self.bytes_in,
            bytes_out: number("content-length"),
            failure: self.failure.as_ref(),
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

impl Failure {
    /// A failure with its causes, the nearest first.
    pub fn of(error: &StorageError) -> Self {
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Self { tier: error.tier().name(), operation: error.operation(), message: error.message().to_owned(), causes }
    }
}

/// The line of a failure inside an object.
pub fn failure_line(request_id: Option<&str>, method: &str, error: &StorageError) -> String {
    serde_json::to_string(&FailureLine { request_id, method, failure: Failure::of(error) }).unwrap_or_default()
}

/// Names the request in a problem document.
pub fn with_instance(mut response: Response, request_id: &str) -> Response {
    let is_problem = response.header("content-type") == Some("application/problem+json");
    if let Body::Whole(body) = &mut response.body
        && is_problem
        && body.last() == Some(&b'}')
    {
        body.pop();
        body.extend_from_slice(format!(",\"instance\":\"urn:uuid:{request_id}\"}}").as_bytes());
    }
    response
}
