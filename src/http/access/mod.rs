//! Who may do what: tokens, and what their holders may reach.
//!
//! Access fails closed: unless the variable `AUTH_MODE` is `off`, every route but the service's own wants a token that a
//! key of this deployment signed. The Worker finds out who asks and whether the object is theirs, and tells the object; the
//! object looks at the role that the route asks for, as does the Worker for what it answers by itself.

mod keys;
mod principal;
mod roles;
mod token;

use std::rc::Rc;

use crate::catalog::SessionKey;
use crate::config::{AUTH_SECRET_MIN_BYTES, SecurityConfig};
use crate::error::{ErrorKind, Result, StorageError};
use crate::http::message::{Request, RequestHead, header};
use crate::ports::{Clock, Signatures};
use crate::types::StorageTier;
pub use keys::KeySet;
pub use principal::{PRINCIPAL_HEADER, Principal};
pub use roles::{Role, Roles};
pub use token::signed_payload;

/// The variables that say who may do what.
#[derive(Clone, Debug, Default)]
pub struct AccessVariables {
    /// `AUTH_MODE`: `off`, or `jwt`; everything else is taken for `jwt`.
    pub mode: Option<String>,
    /// The secret `AUTH_SECRET`; an empty one is none.
    pub secret: Option<String>,
    /// `AUTH_JWKS`; an empty one is none.
    pub jwks: Option<String>,
}

impl AccessVariables {
    /// Whether everyone may do everything.
    pub fn is_open(&self) -> bool {
        self.mode.as_deref() == Some("off")
    }
}

/// Who gets to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Everyone, and they may do everything.
    Anyone,
    /// Those whom the Worker names.
    Named,
}

impl Callers {
    /// Who a request is from.
    pub fn caller(self, request: &Request) -> Result<Principal> {
        if self == Self::Anyone {
            return Ok(Principal::anyone());
        }
        request
            .header(PRINCIPAL_HEADER)
            .and_then(Principal::of_header)
            .ok_or_else(|| unauthenticated("expected a request that the Worker has authenticated, got another"))
    }
}

/// How a deployment decides who may do what.
pub struct Access {
    open: bool,
    secret: Option<String>,
    keys: KeySet,
    rules: SecurityConfig,
    signatures: Rc<dyn Signatures>,
    clock: Rc<dyn Clock>,
}

impl Access {
    /// By what is configured.
    pub fn new(
        variables: AccessVariables,
        rules: &SecurityConfig,
        signatures: Rc<dyn Signatures>,
        clock: Rc<dyn Clock>,
    ) -> Result<Self> {
        let open = variables.is_open();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (secret, jwks) = (filled(variables.secret), filled(variables.jwks));
        if let Some(secret) = &secret {
            check_secret(secret)?;
        }
        let keys = KeySet::new(secret.as_deref().map(str::as_bytes), jwks.as_deref())?;
        Ok(Self { open, secret, keys, rules: rules.clone(), signatures, clock })
    }

    /// What sessions are signed with. Where everything is open a key that is no secret will do, and all isolates have the same.
    pub fn session_key(&self) -> Option<SessionKey> {
        match &self.secret {
            Some(secret) => Some(SessionKey::of_secret(secret)),
            None => self.open.then(SessionKey::open),
        }
    }

    /// Whether everyone may do everything.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Who a request is from.
    pub async fn authenticate(&self, head: &RequestHead) -> Result<Principal> {
        if self.open {
            return Ok(Principal::anyone());
        }
        if self.keys.is_empty() {
            return Err(unauthenticated(
                "expected a key that tokens are checked with, got none: set AUTH_SECRET or AUTH_JWKS; for local work set AUTH_MODE to off",
            ));
        }
        self.keys.check(self.signatures.as_ref()).await?;
        let token = header(&head.headers, "authorization")
            .and_then(bearer)
            .ok_or_else(|| unauthenticated("expected a token as \"Authorization: Bearer …\", got none"))?;
        token::principal(token, &self.keys, self.signatures.as_ref(), &self.rules, self.clock.now_ms()).await
    }
}

/// Refuses a secret that can be guessed from any token signed with it.
fn check_secret(secret: &str) -> Result<()> {
    if secret.len() >= AUTH_SECRET_MIN_BYTES {
        return Ok(());
    }
    let message = format!(
        "expected the secret AUTH_SECRET to have at least {AUTH_SECRET_MIN_BYTES} bytes, got {}; make one with `openssl rand -base64 48`",
        secret.len()
    );
    Err(StorageError::new(ErrorKind::Internal, StorageTier::Api, "read configuration", message))
}

/// The token of such a header (RFC 6750, 2.1); the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn unauthenticated(message: &str) -> StorageError {
    StorageError::new(ErrorKind::Unauthenticated, StorageTier::Api, "authenticate", message)
}
