//! A path-style S3 endpoint for reading the files of tables: `GET` and `HEAD /s3/{bucket}/{key}`.
//!
//! Invariants: what authorises is the session token that loading a table gave out, sent as `X-Amz-Security-Token`; it is
//! checked before the bucket is asked, and opens the files of its table and nothing else. Signatures are not checked: whoever
//! has the token has what they would prove. Errors are S3's XML, because its clients read them. A body goes from the bucket
//! to the client as it is, and is never read here.

mod refusal;
mod serve;

use std::rc::Rc;

use percent_encoding::percent_decode_str;

use super::message::{RequestHead, Response, header};
use super::params::find_param;
use crate::catalog::{Refusal as SessionRefusal, S3Base, SessionKey, TablePath};
use crate::config::ColdConfig;
use crate::ports::Clock;
use refusal::Refusal;
pub use serve::ObjectRead;

/// The header or parameter that carries the session token.
const TOKEN: &str = "x-amz-security-token";

/// The endpoint.
pub struct S3Service {
    base: Option<S3Base>,
    key: Option<SessionKey>,
    clock: Rc<dyn Clock>,
    has_bucket: bool,
}

impl S3Service {
    /// The endpoint of the bucket that is bound, if one is.
    pub fn new(has_bucket: bool, clock: Rc<dyn Clock>, config: &ColdConfig, key: Option<SessionKey>) -> Self {
        Self { base: S3Base::parse(&config.base_uri), key, clock, has_bucket }
    }

    /// What a request wants read; or the answer to one that is refused.
    pub fn plan(&self, head: &RequestHead) -> Result<ObjectRead, Response> {
        self.check(head).map_err(|refusal| refusal.response(&head.method))
    }

    fn check(&self, head: &RequestHead) -> Result<ObjectRead, Refusal> {
        if !matches!(head.method.as_str(), "GET" | "HEAD") {
            return Err(Refusal::METHOD);
        }
        let token = session_token(head)?.ok_or(Refusal::NO_TOKEN)?;
        let key = self.key_of(&head.path)?;
        let table = TablePath::of_key(&key).ok_or(Refusal::NOT_COVERED)?;
        let sessions = self.key.as_ref().ok_or(Refusal::INVALID_TOKEN)?;
        sessions.check(&token, &table, self.clock.now_ms()).map_err(|refusal| match refusal {
            SessionRefusal::Invalid => Refusal::INVALID_TOKEN,
            SessionRefusal::Expired => Refusal::EXPIRED_TOKEN,
            SessionRefusal::OtherTable => Refusal::NOT_COVERED,
        })?;
        if asks_for_more(&head.query)? {
            return Err(Refusal::NOT_IMPLEMENTED);
        }
        if !self.has_bucket {
            return Err(Refusal::NO_BUCKET);
        }
        Ok(ObjectRead::new(key, head))
    }

    /// The key in our bucket that a path names. Decoded once: what is encoded twice names a key that no table has.
    fn key_of(&self, path: &str) -> Result<String, Refusal> {
        let path = path.strip_prefix("/s3/").ok_or(Refusal::NOT_COVERED)?;
        let path = percent_decode_str(path).decode_utf8().map_err(|_| Refusal::NOT_COVERED)?;
        let (bucket, key) = path.split_once('/').ok_or(Refusal::NOT_COVERED)?;
        let key = self.base.as_ref().and_then(|base| base.key(bucket, key));
        key.map(str::to_owned).ok_or(Refusal::NOT_COVERED)
    }
}

fn session_token(head: &RequestHead) -> Result<Option<String>, Refusal> {
    if let Some(token) = header(&head.headers, TOKEN) {
        return Ok(Some(token.trim().to_owned()));
    }
    // Parameters of signed addresses are spelled like this by all that make such addresses.
    find_param(&head.query, "X-Amz-Security-Token").map_err(|_| Refusal::MALFORMED)
}

/// Whether a request is for something else of the object than its bytes: its tags, a version, a part. What clients send
/// about themselves and their signature begins with `x-`.
fn asks_for_more(query: &str) -> Result<bool, Refusal> {
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let name = part.split_once('=').map_or(part, |(name, _)| name);
        let name = percent_decode_str(name).decode_utf8().map_err(|_| Refusal::MALFORMED)?;
        if !name.to_ascii_lowercase().starts_with("x-") {
            return Ok(true);
        }
    }
    Ok(false)
}
