//! Which pages of other origins may ask (the Fetch standard's CORS), as `security.corsOrigins` has it.
//!
//! Invariants: no answer allows credentials, so that what a page gets it gets by a token that it holds itself; a foreign origin is
//! told nothing; what depends on the origin says so in `Vary`.

use super::message::{RequestHead, Response, header};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

const ANY: &str = "*";
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What pages may send, beside what they always may: the API's own headers, and those of clients of S3.
const REQUEST_HEADERS: &str = "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, \
    min-sequence, range, thermocline-request-id, x-amz-content-sha256, x-amz-date, x-amz-security-token, x-correlation-id";
/// What pages may read, beside what they always may.
const RESPONSE_HEADERS: &str = "accept-ranges, content-range, etag, idempotency-replayed, location, retry-after, \
    thermocline-cache, thermocline-request-id, thermocline-rows-read, thermocline-rows-written, thermocline-sequence";
/// How long a browser may remember what a preflight was answered: as long as any of them does.
const MAX_AGE_SECS: &str = "7200";

/// The origins whose pages may ask.
#[derive(Clone, Debug, Default)]
pub struct Cors(Vec<String>);

impl Cors {
    /// Those of a list of exact origins, or of `*`; none of an empty list.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.to_vec())
    }

    fn is_any(&self) -> bool {
        self.0.iter().any(|origin| origin == ANY)
    }

    /// What `Access-Control-Allow-Origin` says to a request of this origin.
    fn allowed<'o>(&self, origin: Option<&'o str>) -> Option<&'o str> {
        if self.is_any() {
            // Also to who has no origin: what a cache keeps of the answer may go to a page.
            return Some(ANY);
        }
        origin.filter(|origin| self.0.iter().any(|known| known == origin))
    }

    /// The answer to a preflight, when other origins are configured at all. That the origin is none of them is said by the
    /// headers that are missing.
    pub fn preflight(&self, head: &RequestHead) -> Option<Response> {
        let asks = |name| header(&head.headers, name).is_some();
        let is_preflight = head.method == "OPTIONS" && asks("origin") && asks("access-control-request-method");
        (is_preflight && !self.0.is_empty()).then(|| Response::empty(204))
    }

    /// The headers of an answer to a request of this origin.
    pub fn headers(&self, origin: Option<&str>, is_preflight: bool, add: &mut dyn FnMut(&'static str, &str)) {
        add("cross-origin-resource-policy", if self.is_any() { "cross-origin" } else { "same-origin" });
        if !self.0.is_empty() && !self.is_any() {
            add("vary", "Origin");
        }
        let Some(allowed) = self.allowed(origin) else { return };
        add("access-control-allow-origin", allowed);
        if is_preflight {
            add("access-control-allow-methods", METHODS);
            add("access-control-allow-headers", REQUEST_HEADERS);
            add("access-control-max-age", MAX_AGE_SECS);
        } else {
            add("access-control-expose-headers", RESPONSE_HEADERS);
        }
    }

    /// Refuses a socket to a page of a foreign origin: browsers ask nobody before they open one. Without a list every origin may,
    /// as every origin may send requests; who sends no origin is no page.
    pub fn check_socket(&self, head: &RequestHead) -> Result<()> {
        let opens = header(&head.headers, "upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
        let origin = header(&head.headers, "origin");
        if !opens || self.0.is_empty() || origin.is_none() || self.allowed(origin).is_some() {
            return Ok(());
        }
        let message = "expected an Origin out of security.corsOrigins to open a WebSocket, got another";
        Err(StorageError::new(ErrorKind::Forbidden, StorageTier::Api, "open socket", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://app.example";

    fn head(method: &str, headers: &[(&str, &str)]) -> RequestHead {
        RequestHead {
            method: method.to_owned(),
            origin: "https://worker.example".to_owned(),
            path: "/v1/demo/1/cdc".to_owned(),
            query: String::new(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn told(origins: &[&str], origin: Option<&str>, is_preflight: bool) -> Vec<(&'static str, String)> {
        let cors = Cors::new(&origins.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>());
        let mut headers = Vec::new();
        cors.headers(origin, is_preflight, &mut |name, value| headers.push((name, value.to_owned())));
        headers
    }

    #[test]
    fn an_origin_of_the_list_is_allowed_and_no_other() {
        let allowed = |origins: &[&str], origin: Option<&str>| {
            let headers = told(origins, origin, false);
            let found = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
            (found("access-control-allow-origin"), found("vary"), found("access-control-expose-headers").is_some())
        };
        let vary = Some("Origin".to_owned());
        assert_eq!(allowed(&[OWN], Some(OWN)), (Some(OWN.to_owned()), vary.clone(), true));
        for foreign in ["https://app.example.evil.example", "http://app.example", "https://app.example:444", "null", ""]
        {
            assert_eq!(allowed(&[OWN], Some(foreign)), (None, vary.clone(), false), "{foreign}");
        }
        assert_eq!(allowed(&[OWN], None), (None, vary, false));
        assert_eq!(allowed(&["*"], Some("null")), (Some("*".to_owned()), None, true));
        assert_eq!(allowed(&["*"], None), (Some("*".to_owned()), None, true));
        assert_eq!(allowed(&[], Some(OWN)), (None, None, false));
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent() {
        let names: Vec<_> = told(&[OWN], Some(OWN), true).into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"access-control-allow-methods") && names.contains(&"access-control-max-age"));
        assert!(!names.contains(&"access-control-allow-credentials"));
        let asks = [("origin", OWN), ("access-control-request-method", "PUT")];
        let listed = Cors::new(&[OWN.to_owned()]);
        assert_eq!(listed.preflight(&head("OPTIONS", &asks)).map(|response| response.status), Some(204));
        for other in [head("OPTIONS", &[("origin", OWN)]), head("GET", &asks), head("OPTIONS", &[])] {
            assert!(listed.preflight(&other).is_none());
        }
        assert!(Cors::default().preflight(&head("OPTIONS", &asks)).is_none());
    }

    #[test]
    fn a_page_of_a_foreign_origin_opens_no_socket() {
        let check = |origins: &[&str], headers: &[(&str, &str)]| {
            let cors = Cors::new(&origins.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>());
            cors.check_socket(&head("GET", headers)).is_ok()
        };
        let (opens, foreign) = (("upgrade", "WebSocket"), ("origin", "https://evil.example"));
        assert!(!check(&[OWN], &[opens, foreign]));
        assert!(check(&[OWN], &[opens, ("origin", OWN)]));
        assert!(check(&[OWN], &[opens]));
        assert!(check(&[OWN], &[foreign]));
        assert!(check(&[], &[opens, foreign]));
        assert!(check(&["*"], &[opens, foreign]));
    }
}
