//! Session tokens: the right to read the files of one table for an hour, or as long as the token that it was got by, signed, so that nothing has to be kept of it.
//!
//! A token is `tc1.{claims}.{mac}`, both base64url: the claims are JSON, the MAC is HMAC-SHA256 over all before its dot. The
//! key is derived from the deployment's secret for this use alone, so that no other thing signed with that secret is a
//! token, and no token anything else. It is compared in constant time, and the claims are read only after it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cold::paths::TablePath;
use crate::types::Timestamp;

/// How long a token lives, in ms.
pub const SESSION_MS: Timestamp = 3_600_000;

/// What a token begins with: its form's version.
const VERSION: &str = "tc1";
/// What the derived key is for.
const PURPOSE: &[u8] = b"thermocline, S3 session tokens, 1\0";
/// The secret of deployments that have none and are open to everyone anyway. It protects nothing.
const OPEN_SECRET: &str = "open";
/// The longest token looked at: far more than the longest names make.
const TOKEN_MAX_BYTES: usize = 2_048;

/// Signs and checks tokens.
#[derive(Clone)]
pub struct SessionKey(Hmac<Sha256>);

/// What S3 clients are given to send with each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Named in the clients' signatures, which nobody checks.
    pub access_key_id: String,
    /// What they sign with.
    pub secret_access_key: String,
    /// What authorises.
    pub session_token: String,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not made with this key, or is of another form.
    Invalid,
    /// Its time has passed.
    Expired,
    /// It is of another table.
    OtherTable,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// The folder of the table.
    table: TablePath,
    /// The end of its life, in Unix ms.
    exp: Timestamp,
}

impl SessionKey {
    /// The key of a deployment's secret.
    pub fn of_secret(secret: &str) -> Self {
        let derived = Sha256::new().chain_update(PURPOSE).chain_update(secret).finalize();
        let mut block = [0; 64];
        block.iter_mut().zip(derived).for_each(|(to, from)| *to = from);
        Self(Hmac::new(&block.into()))
    }

    /// A key that everyone knows, for a deployment where everyone may read everything.
    pub fn open() -> Self {
        Self::of_secret(OPEN_SECRET)
    }

    /// Credentials that open a table's files until an hour from now, or until an earlier end.
    pub fn issue(&self, table: &TablePath, now_ms: Timestamp, ends_at: Option<Timestamp>) -> Credentials {
        let exp = now_ms.saturating_add(SESSION_MS).min(ends_at.unwrap_or(Timestamp::MAX));
        let claims = Claims { table: table.clone(), exp };
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{VERSION}.{}", URL_SAFE_NO_PAD.encode(claims));
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&signed).finalize().into_bytes());
        // Whoever holds the token holds these too; they are there because clients insist on them.
        let access_key_id = format!("TC{}", mac.bytes().take(9).map(|byte| format!("{byte:02X}")).collect::<String>());
        Credentials { access_key_id, session_token: format!("{signed}.{mac}"), secret_access_key: mac }
    }

    /// Whether a token opens the files of a table now.
    pub fn check(&self, token: &str, table: &TablePath, now_ms: Timestamp) -> Result<(), Refusal> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Refusal::Invalid);
        }
        let (signed, mac) = token.rsplit_once('.').ok_or(Refusal::Invalid)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| Refusal::Invalid)?;
        self.mac(signed).verify_slice(&mac).map_err(|_| Refusal::Invalid)?;
        let claims = claims_of(signed).ok_or(Refusal::Invalid)?;
        if claims.exp <= now_ms {
            return Err(Refusal::Expired);
        }
        if claims.table != *table {
            return Err(Refusal::OtherTable);
        }
        Ok(())
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(signed)
    }
}

fn claims_of(signed: &str) -> Option<Claims> {
    let claims = signed.strip_prefix(VERSION)?.strip_prefix('.')?;
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    serde_json::from_str(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::names::ObjectName;

    fn table(id: &str, name: &str) -> TablePath {
        TablePath::named(&ObjectName::new("demo", id).unwrap(), name).unwrap()
    }

    #[test]
    fn a_token_opens_its_table_for_an_hour() {
        let key = SessionKey::of_secret("secret");
        let movies = table("1", "movies");
        let issued = key.issue(&movies, 1_000, None);
        let check = |table: &TablePath, now: Timestamp| key.check(&issued.session_token, table, now);
        assert_eq!(check(&movies, 1_000), Ok(()));
        assert_eq!(check(&movies, 1_000 + SESSION_MS - 1), Ok(()));
        assert_eq!(check(&movies, 1_000 + SESSION_MS), Err(Refusal::Expired));
        for other in [table("2", "movies"), table("1", "movies__changes"), table("1", "movie"), table("1", "movies_")] {
            assert_eq!(check(&other, 1_000), Err(Refusal::OtherTable));
        }
        let short = key.issue(&movies, 1_000, Some(5_000)).session_token;
        assert_eq!(key.check(&short, &movies, 4_999), Ok(()));
        assert_eq!(key.check(&short, &movies, 5_000), Err(Refusal::Expired));
        let long = key.issue(&movies, 1_000, Some(1_001 + SESSION_MS)).session_token;
        assert_eq!(key.check(&long, &movies, 1_000 + SESSION_MS), Err(Refusal::Expired));
        assert!(issued.access_key_id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn a_token_of_another_key_or_with_any_byte_changed_is_invalid() {
        let key = SessionKey::of_secret("secret");
        let movies = table("1", "movies");
        let token = key.issue(&movies, 0, None).session_token;
        for other in [SessionKey::of_secret("secre"), SessionKey::of_secret(""), SessionKey::open()] {
            assert_eq!(other.check(&token, &movies, 0), Err(Refusal::Invalid));
        }
        for position in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.check(&String::from_utf8(bytes).unwrap(), &movies, 0), Err(Refusal::Invalid), "{position}");
            assert_eq!(key.check(token.get(..position).unwrap(), &movies, 0), Err(Refusal::Invalid), "{position}");
        }
        for wrong in ["", ".", "..", "tc1..", &"x".repeat(10_000), &format!("{token}.{token}"), &format!(" {token}")] {
            assert_eq!(key.check(wrong, &movies, 0), Err(Refusal::Invalid));
        }
    }

    #[test]
    fn a_signed_text_that_is_no_claims_is_invalid() {
        let key = SessionKey::of_secret("secret");
        let movies = table("1", "movies");
        for claims in ["", "{}", r#"{"table":"iceberg/demo/1/movies","exp":9,"more":1}"#, r#"{"exp":9}"#] {
            let signed = format!("tc1.{}", URL_SAFE_NO_PAD.encode(claims));
            let mac = URL_SAFE_NO_PAD.encode(key.mac(&signed).finalize().into_bytes());
            assert_eq!(key.check(&format!("{signed}.{mac}"), &movies, 0), Err(Refusal::Invalid), "{claims}");
        }
    }
}
