//! `DELETE /cache`: what is cached of an object is not answered any more.

use super::message::{Request, Response};
use super::params::{QueryParams, refuse};
use crate::engine::{CACHE_CLASSES, Engine};
use crate::error::Result;
use crate::types::names::quoted;

/// The longest prefix: a class, a collection and an id.
const PREFIX_MAX_BYTES: usize = 1_024;

/// `DELETE /cache?prefix=`
///
/// The Cache API deletes no keys by their beginnings, so everything of the object is dropped whatever the prefix is: never
/// less than what was asked for.
pub fn drop_cached(engine: &Engine, request: &Request) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["prefix"])?;
    let prefix = params.get("prefix").unwrap_or_default();
    check_prefix(prefix)?;
    let generation = engine.drop_cached()?.after;
    let prefix = serde_json::Value::from(prefix);
    Ok(Response::json(200, format!("{{\"generation\":{generation},\"prefix\":{prefix}}}")))
}

/// A prefix of `{class}/{key}`.
fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.len() > PREFIX_MAX_BYTES {
        let length = prefix.len();
        return Err(refuse(format!("expected a prefix of at most {PREFIX_MAX_BYTES} bytes, got {length}")));
    }
    let fits = |class: &&str| match prefix.split_once('/') {
        Some((first, _)) => first == *class,
        None => class.starts_with(prefix),
    };
    if CACHE_CLASSES.iter().any(fits) && !prefix.chars().any(char::is_control) {
        return Ok(());
    }
    let classes = CACHE_CLASSES.join(", ");
    let message = format!("expected a prefix that begins with a class ({classes}) and a slash, got {}", quoted(prefix));
    Err(refuse(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_begins_with_a_class() {
        for good in ["", "d", "document", "document/", "document/films/a/b", "session/", "temporary/x", "cache/é"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        let longest = format!("document/{}", "x".repeat(PREFIX_MAX_BYTES - 9));
        assert!(check_prefix(&longest).is_ok());
        for bad in ["documents", "x", "/", "/document", "doc/films", "document/\n", &format!("{longest}x")] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }
}
