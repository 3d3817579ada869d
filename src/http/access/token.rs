//! Tokens: JSON Web Tokens (RFC 7519) in the compact form of JWS (RFC 7515), read as strictly as RFC 8725 asks.
//!
//! Invariants: nothing of a token is believed before its signature holds, but which key to check it with; the algorithm is
//! one of three, each with keys of its own, so that no key is used as another kind; keys that a token brings or points to
//! are not looked at; headers that must be understood are refused, since none is.
//!
//! Signatures of issuers are checked by the platform, which answers later: the libraries that there are check at once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::keys::{Algorithm, KeySet};
use super::principal::Principal;
use super::roles::Roles;
use crate::config::SecurityConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::Signatures;
use crate::types::{StorageTier, Timestamp};

/// The longest token looked at.
const TOKEN_MAX_BYTES: usize = 8_192;
/// The longest subject: it is written down with each change.
const SUBJECT_MAX_BYTES: usize = 256;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Whom a token is of.
pub async fn principal(
    token: &str,
    keys: &KeySet,
    signatures: &dyn Signatures,
    rules: &SecurityConfig,
    now_ms: Timestamp,
) -> Result<Principal> {
    let payload = signed_payload(token, keys, signatures).await?;
    let claims = String::from_utf8(payload).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let claims = claims.filter(Value::is_object).ok_or_else(|| refused("claims that are a JSON object", "others"))?;
    let ends_at = check_times(&claims, rules, now_ms)?;
    check_audience(&claims, rules)?;
    let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
    let subject = subject.filter(|subject| subject.len() <= SUBJECT_MAX_BYTES);
    let subject = subject.ok_or_else(|| refused("a claim \"sub\" of 1 to 256 bytes", "none"))?;
    let roles = Roles::of_names(strings(&claims, "roles")?.into_iter());
    let objects = strings(&claims, "objects")?.into_iter().map(str::to_owned).collect();
    Ok(Principal::new(subject.to_owned(), roles, objects).until(ends_at))
}

/// The payload of a JWS whose signature holds.
pub async fn signed_payload(token: &str, keys: &KeySet, signatures: &dyn Signatures) -> Result<Vec<u8>> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(refused("a token of at most 8192 bytes", "a longer one"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(refused("a token of three parts with dots between", "something else"));
    };
    let (Some(header_bytes), Some(payload_bytes), Some(signature_bytes)) =
        (decoded(header), decoded(payload), decoded(signature))
    else {
        return Err(refused("parts in base64url without padding", "other characters"));
    };
    let parsed: Option<Header> = String::from_utf8(header_bytes).ok().and_then(|text| serde_json::from_str(&text).ok());
    let parsed = parsed.ok_or_else(|| refused("a header that is a JSON object with \"alg\"", "another"))?;
    if parsed.crit.is_some() {
        return Err(refused("a header without \"crit\"", "one with it"));
    }
    let algorithm = Algorithm::named(&parsed.alg)
        .ok_or_else(|| refused("a token signed by HS256, ES256 or EdDSA", "one with another \"alg\""))?;
    let message = token.get(..header.len() + 1 + payload.len()).unwrap_or_default().as_bytes();
    if !keys.verify(signatures, algorithm, parsed.kid.as_deref(), message, &signature_bytes).await? {
        return Err(refused("a signature by a key of this deployment", "another"));
    }
    Ok(payload_bytes)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// Refuses a token before and after its time; when it ends, Unix ms.
fn check_times(claims: &Value, rules: &SecurityConfig, now_ms: Timestamp) -> Result<Timestamp> {
    let now_secs = f64::from(u32::try_from(now_ms.max(0) / 1_000).unwrap_or(u32::MAX));
    let skew_secs = f64::from(rules.clock_skew_secs);
    let expires = number(claims, "exp")?.ok_or_else(|| refused("a claim \"exp\"", "none"))?;
    if now_secs >= expires + skew_secs {
        return Err(refused("a token that has not expired", "one whose \"exp\" has passed"));
    }
    match number(claims, "nbf")? {
        Some(begins) if now_secs < begins - skew_secs => {
            Err(refused("a token that is valid already", "one whose \"nbf\" is to come"))
        }
        _ => Ok(milliseconds(expires)),
    }
}

/// Whole milliseconds of a number of seconds, as far as clocks go.
fn milliseconds(secs: f64) -> Timestamp {
    const FAR_MS: f64 = 9e15;
    let text = format!("{:.0}", (secs * 1_000.0).clamp(0.0, FAR_MS));
    text.parse().unwrap_or(0)
}

fn check_audience(claims: &Value, rules: &SecurityConfig) -> Result<()> {
    let Some(wanted) = &rules.token_audience else { return Ok(()) };
    let is_for_us = match claims.get("aud") {
        Some(Value::String(audience)) => audience == wanted,
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience.as_str() == Some(wanted)),
        _ => false,
    };
    if is_for_us { Ok(()) } else { Err(refused("a token whose \"aud\" names this service", "another")) }
}

fn number(claims: &Value, name: &str) -> Result<Option<f64>> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            value.as_f64().map(Some).ok_or_else(|| refused("\"exp\" and \"nbf\" to be numbers of seconds", "others"))
        }
    }
}

/// The strings of a list; none where there is no list.
fn strings<'c>(claims: &'c Value, name: &str) -> Result<Vec<&'c str>> {
    let other = || refused("\"roles\" and \"objects\" to be lists of strings", "others");
    match claims.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or_else(other)).collect(),
        Some(_) => Err(other()),
    }
}

fn refused(expected: &str, got: &str) -> StorageError {
    let message = format!("expected {expected}, got {got}");
    StorageError::new(ErrorKind::Unauthenticated, StorageTier::Api, "authenticate", message)
}
