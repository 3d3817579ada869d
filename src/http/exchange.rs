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

/// The headers of the program's own that answers have; all others of [`OWN_PREFIX`] stay between the Worker and its objects.
const TOLD: [&str; 5] = [
    REQUEST_ID_HEADER,
    "thermocline-cache",
    "thermocline-rows-read",
    "thermocline-rows-written",
    "thermocline-sequence",
];
const OWN_PREFIX: &str = "thermocline-";

/// Whether a header, by its name in lower case, may leave the Worker.
pub fn is_told(header: &str) -> bool {
    !header.starts_with(OWN_PREFIX) || TOLD.contains(&header)
}

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
            // Two who use one browser do not see the same: what one may see is never confirmed to the other.
            if is_document {
                match headers.iter_mut().find(|(name, _)| *name == "vary") {
                    Some((_, vary)) => vary.insert_str(0, "Authorization, "),
                    None => headers.push(("vary", "Authorization".to_owned())),
                }
            }
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

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::ports::native::SeededIds;
    use crate::types::StorageTier;

    fn exchange(method: &str, headers: &[(&str, &str)]) -> Exchange {
        let head = RequestHead {
            method: method.to_owned(),
            origin: "https://worker.example".to_owned(),
            path: "/v1/demo/1".to_owned(),
            query: "after=hush".to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        Exchange::begin(&head, &SeededIds::new(1), 1_000)
    }

    fn finish(method: &str, status: u16, headers: &[(&str, &str)], logs_reads: bool) -> Finished {
        let header =
            |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let answer = AnswerHead { status, header: &header };
        exchange(method, &[]).finish(&answer, &Cors::default(), logs_reads, 1_005)
    }

    fn cache(method: &str, status: u16, headers: &[(&str, &str)]) -> Option<String> {
        let finished = finish(method, status, headers, true);
        finished.headers.into_iter().find(|(name, _)| *name == "cache-control").map(|(_, value)| value)
    }

    #[test]
    fn what_may_be_kept_is_kept_for_those_alone_who_asked() {
        let vary = |tag: &[(&str, &str)]| {
            let finished = finish("GET", 200, tag, true);
            finished.headers.into_iter().find(|(name, _)| *name == "vary").map(|(_, value)| value)
        };
        assert_eq!(vary(&[("etag", "\"5\"")]).as_deref(), Some("Authorization"));
        assert_eq!(vary(&[]), None);
    }

    #[test]
    fn only_what_has_a_tag_and_is_read_may_be_kept_and_what_a_route_says_stays() {
        let tag = ("etag", "\"5\"");
        assert_eq!(cache("GET", 200, &[tag]).as_deref(), Some("private, no-cache"));
        assert_eq!(cache("HEAD", 304, &[tag]).as_deref(), Some("private, no-cache"));
        assert_eq!(cache("PUT", 200, &[tag]).as_deref(), Some("no-store"));
        assert_eq!(cache("GET", 200, &[]).as_deref(), Some("no-store"));
        assert_eq!(cache("GET", 200, &[tag, ("cache-control", "public")]), None);
    }

    #[test]
    fn reads_that_went_well_have_a_line_unless_they_are_not_to() {
        let line = |method: &str, status: u16, logs_reads: bool| finish(method, status, &[], logs_reads).line;
        for (method, status) in [("GET", 200), ("HEAD", 304)] {
            assert!(line(method, status, true).is_some() && line(method, status, false).is_none(), "{method}");
        }
        for (method, status) in [("GET", 404), ("GET", 503), ("PUT", 200), ("DELETE", 204), ("POST", 500)] {
            assert!(line(method, status, false).is_some(), "{method} {status}");
        }
        let told = line("PUT", 201, true).unwrap();
        assert!(told.contains("\"elapsedMs\":5") && !told.contains("hush"), "{told}");
        assert!(finish("GET", 500, &[], true).is_failure && !finish("GET", 499, &[], true).is_failure);
    }

    #[test]
    fn headers_between_the_worker_and_its_objects_stay_there() {
        for told in ["etag", "content-type", "thermocline-sequence", "thermocline-request-id", "thermocline-cache"] {
            assert!(is_told(told), "{told}");
        }
        for kept in
            [crate::http::documents::GENERATION_HEADER, "thermocline-principal", "thermocline-", "thermocline-x"]
        {
            assert!(!is_told(kept), "{kept}");
        }
    }

    #[test]
    fn an_id_is_taken_in_one_form_alone() {
        let given = "0192d3f0-0000-4000-8000-00000000000a";
        let id = |text: &str| exchange("GET", &[(REQUEST_ID_HEADER, text)]).id().to_owned();
        assert_eq!([id(given), id(&given.to_uppercase())], [given, given]);
        for other in
            ["", "x", "0192d3f0000040008000000000000000a", &format!("{{{given}}}"), &format!("urn:uuid:{given}")]
        {
            assert_ne!(id(other), given, "{other}");
        }
    }

    #[test]
    fn a_failure_is_told_with_all_its_causes() {
        let error = |message: &str| StorageError::new(ErrorKind::Internal, StorageTier::Hot, "do it", message);
        let line = failure_line(Some("7"), "GET", &error("outer").caused_by(error("middle").caused_by(error("inner"))));
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let failure = told.get("failure").unwrap();
        assert_eq!(failure.get("message").unwrap(), "outer");
        assert_eq!(
            failure.get("causes").unwrap(),
            &serde_json::json!(["hot tier, do it: middle", "hot tier, do it: inner"])
        );
        assert_eq!(told.get("requestId").unwrap(), "7");
    }

    #[test]
    fn a_problem_names_its_request_and_other_answers_stay() {
        let problem = Response::json(400, "{\"status\":400}");
        let problem = Response { headers: vec![("content-type".into(), "application/problem+json".into())], ..problem };
        assert_eq!(with_instance(problem, "7").body.bytes(), b"{\"status\":400,\"instance\":\"urn:uuid:7\"}");
        assert_eq!(with_instance(Response::json(200, "{}"), "7").body.bytes(), b"{}");
    }
}
