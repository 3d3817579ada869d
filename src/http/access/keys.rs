//! The keys that tokens are checked with: a secret of our own (HS256), and the public keys of those who issue tokens, as a
//! JSON Web Key Set (RFC 7517) for ES256 and EdDSA.
//!
//! A key is used with the one algorithm that it is for, whatever a token says of itself.

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{PublicKey, Signatures};
use crate::types::StorageTier;

/// Keys of one set: each may have to be tried.
const KEYS_MAX: usize = 32;

/// An algorithm that tokens may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519, by its name of RFC 8037 or of RFC 9864.
    EdDsa,
}

impl Algorithm {
    /// The algorithm of a header's `alg`; `none` is none.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

struct IssuerKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: PublicKey,
}

/// All keys of a deployment.
#[derive(Default)]
pub struct KeySet {
    secret: Option<Hmac<Sha256>>,
    issuers: Vec<IssuerKey>,
    /// Whether each was found to be a point of its curve.
    checked: Cell<bool>,
}

impl KeySet {
    /// The keys of the secret `AUTH_SECRET` and of `AUTH_JWKS`; either may be absent.
    pub fn new(secret: Option<&[u8]>, jwks: Option<&str>) -> Result<Self> {
        let secret = secret.and_then(|secret| Hmac::new_from_slice(secret).ok());
        let issuers = jwks.map(issuer_keys).transpose()?.unwrap_or_default();
        Ok(Self { secret, issuers, checked: Cell::new(false) })
    }

    /// Refuses a set with a key that cannot be one. What was found to be in order is not looked at again.
    pub async fn check(&self, signatures: &dyn Signatures) -> Result<()> {
        if self.checked.get() {
            return Ok(());
        }
        for issuer in &self.issuers {
            if !signatures.check(&issuer.key).await? {
                return Err(refused("points of their curves alone as keys"));
            }
        }
        self.checked.set(true);
        Ok(())
    }

    /// Whether nothing can be checked.
    pub fn is_empty(&self) -> bool {
        self.secret.is_none() && self.issuers.is_empty()
    }

    /// Whether a message was signed by whoever holds a key of this algorithm, and of this id if both have one.
    pub async fn verify(
        &self,
        signatures: &dyn Signatures,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool> {
        if algorithm == Algorithm::Hs256 {
            let Some(secret) = &self.secret else { return Ok(false) };
            return Ok(secret.clone().chain_update(message).verify_slice(signature).is_ok());
        }
        let Ok(signature) = <&[u8; 64]>::try_from(signature) else { return Ok(false) };
        for issuer in self.issuers.iter().filter(|issuer| issuer.algorithm == algorithm) {
            let named = issuer.id.as_deref().zip(id).is_none_or(|(own, wanted)| own == wanted);
            if named && signatures.verify(&issuer.key, message, signature).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn issuer_keys(text: &str) -> Result<Vec<IssuerKey>> {
    let set: Value = serde_json::from_str(text).map_err(|error| refused("JSON").caused_by(error))?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or_else(|| refused("an object with an array \"keys\""))?;
    if keys.len() > KEYS_MAX {
        return Err(refused("at most 32 keys"));
    }
    let mut usable: Vec<IssuerKey> = Vec::new();
    for key in keys {
        if key.get("kty").and_then(Value::as_str) != Some("oct") && key.get("d").is_some() {
            return Err(refused("public keys alone: one has a private part, which must be treated as known now"));
        }
        if let Some(key) = issuer_key(key)? {
            let same = |other: &IssuerKey| other.id.is_some() && other.id == key.id && other.algorithm == key.algorithm;
            if usable.iter().any(same) {
                return Err(refused("another \"kid\" for each key"));
            }
            usable.push(key);
        }
    }
    if usable.is_empty() {
        return Err(refused(
            "at least one key for signatures by ES256 (kty EC, crv P-256) or EdDSA (kty OKP, crv Ed25519)",
        ));
    }
    Ok(usable)
}

/// One key of a set; `None` for those that are for something else, which a set may have (RFC 7517, 5).
fn issuer_key(key: &Value) -> Result<Option<IssuerKey>> {
    let member = |name: &str| key.get(name).and_then(Value::as_str);
    let algorithm = match (member("kty"), member("crv")) {
        (Some("EC"), Some("P-256")) => Algorithm::Es256,
        (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
        _ => return Ok(None),
    };
    let verifies = |operations: &Value| {
        operations.as_array().is_some_and(|names| names.iter().any(|name| name.as_str() == Some("verify")))
    };
    let is_for_signatures = key.get("use").is_none_or(|value| value.as_str() == Some("sig"))
        && key.get("key_ops").is_none_or(verifies)
        && key.get("alg").is_none_or(|value| value.as_str().and_then(Algorithm::named) == Some(algorithm));
    if !is_for_signatures {
        return Ok(None);
    }
    let coordinate = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(member(name).unwrap_or_default()).ok();
        bytes
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or_else(|| refused("the coordinates of each key to be 32 bytes in base64url"))
    };
    let key = match algorithm {
        Algorithm::Es256 => {
            let (x, y) = (coordinate("x")?, coordinate("y")?);
            let mut point = [4; 65];
            point.iter_mut().skip(1).zip(x.into_iter().chain(y)).for_each(|(to, from)| *to = from);
            PublicKey::P256(point)
        }
        _ => PublicKey::Ed25519(coordinate("x")?),
    };
    Ok(Some(IssuerKey { id: member("kid").map(str::to_owned), algorithm, key }))
}

fn refused(expected: &str) -> StorageError {
    let message = format!("expected AUTH_JWKS to be a JSON Web Key Set with {expected}, got something else");
    StorageError::new(ErrorKind::Internal, StorageTier::Api, "read configuration", message)
}
