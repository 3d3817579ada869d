//! Who a request is from: what a token says of its holder, and how the Worker tells the object.
//!
//! The Worker sends it in a header, in place of any that the client sent; objects are reached through it alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::roles::{Role, Roles};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::names::ObjectName;
use crate::types::{StorageTier, Timestamp, Viewer};

/// The header from the Worker to an object.
pub const PRINCIPAL_HEADER: &str = "thermocline-principal";

/// The subject where nobody says who they are.
const ANYONE: &str = "anyone";

/// Whoever a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's `sub`.
    pub subject: String,
    roles: Roles,
    /// Patterns: `*`, `{type}/*`, `{type}/{id}`.
    objects: Vec<String>,
    /// When the token ends, Unix ms; `None` where there is none.
    pub ends_at: Option<Timestamp>,
    /// Whether rules of masking are not for them.
    sees_all: bool,
}

#[derive(Serialize, Deserialize)]
struct Told<'p> {
    subject: &'p str,
    roles: Vec<&'p str>,
    objects: Vec<&'p str>,
    ends_at: Option<Timestamp>,
    sees_all: bool,
}

impl Principal {
    /// A subject with roles on the objects of some patterns. A pattern of another form is of no object.
    pub fn new(subject: String, roles: Roles, objects: Vec<String>) -> Self {
        Self { subject, roles, objects, ends_at: None, sees_all: false }
    }

    /// The same until a moment.
    #[must_use]
    pub fn until(self, ends_at: Timestamp) -> Self {
        Self { ends_at: Some(ends_at), ..self }
    }

    /// Anyone at all, where everyone may do everything.
    pub fn anyone() -> Self {
        let all = Self::new(ANYONE.to_owned(), Roles::all(), vec!["*".to_owned()]);
        Self { sees_all: true, ..all }
    }

    /// Whose eyes their answers are for.
    pub fn viewer(&self) -> Viewer {
        if self.sees_all { Viewer::EVERYTHING } else { Viewer::of_roles(self.roles.number()) }
    }

    /// The same for the Worker, which keeps the answer in a cache for everyone and masks it on the way out.
    #[must_use]
    pub fn unmasked(&self) -> Self {
        Self { sees_all: true, ..self.clone() }
    }

    /// Whether one of the patterns is of this object.
    pub fn covers(&self, object: &ObjectName) -> bool {
        let (path, any_of_type) = (object.path(), format!("{}/*", object.doc_type));
        self.objects.iter().any(|pattern| pattern == "*" || *pattern == any_of_type || *pattern == path)
    }

    /// Whether one of the patterns may be of an object of this type.
    pub fn covers_some_of(&self, doc_type: &str) -> bool {
        let of_type = |pattern: &String| pattern.split_once('/').is_some_and(|(pattern, _)| pattern == doc_type);
        self.objects.iter().any(|pattern| pattern == "*" || of_type(pattern))
    }

    /// Refuses those who have nothing to do with any object of a type.
    pub fn check_type(&self, doc_type: &str) -> Result<()> {
        if self.covers_some_of(doc_type) {
            return Ok(());
        }
        Err(forbidden(format!("expected a token whose objects include some of {doc_type}, got another")))
    }

    /// Refuses those who lack a role.
    pub fn check_role(&self, role: Role) -> Result<()> {
        if self.roles.hold(role) {
            return Ok(());
        }
        let held = self.roles.names().collect::<Vec<_>>().join(", ");
        let held = if held.is_empty() { "none" } else { &held };
        Err(forbidden(format!("expected a token with the role {}, got one with {held}", role.name())))
    }

    /// Refuses those who have nothing to do with an object.
    pub fn check_object(&self, object: &ObjectName) -> Result<()> {
        if self.covers(object) {
            return Ok(());
        }
        Err(forbidden(format!("expected a token whose objects include {}, got another", object.path())))
    }

    /// The value of [`PRINCIPAL_HEADER`].
    pub fn to_header(&self) -> String {
        let told = Told {
            subject: &self.subject,
            roles: self.roles.names().collect(),
            objects: self.objects.iter().map(String::as_str).collect(),
            ends_at: self.ends_at,
            sees_all: self.sees_all,
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&told).unwrap_or_default())
    }

    /// The principal of such a value.
    pub fn of_header(value: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
        let told: Owned = serde_json::from_str(&text).ok()?;
        let roles = Roles::of_names(told.roles.iter().map(String::as_str));
        let Owned { subject, objects, ends_at, sees_all, .. } = told;
        Some(Self { subject, roles, objects, ends_at, sees_all })
    }
}

#[derive(Deserialize)]
struct Owned {
    subject: String,
    roles: Vec<String>,
    objects: Vec<String>,
    #[serde(default)]
    ends_at: Option<Timestamp>,
    #[serde(default)]
    sees_all: bool,
}

fn forbidden(message: String) -> StorageError {
    StorageError::new(ErrorKind::Forbidden, StorageTier::Api, "authorise", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(objects: &[&str]) -> Principal {
        let roles = Roles::of_names(["writer"].into_iter());
        Principal::new("ann \"é\"".to_owned(), roles, objects.iter().map(|&pattern| pattern.to_owned()).collect())
    }

    #[test]
    fn patterns_are_of_all_of_a_type_or_of_one() {
        let name = |path: &str| {
            let (doc_type, doc_id) = path.split_once('/').unwrap();
            ObjectName::new(doc_type, doc_id).unwrap()
        };
        let covers = |pattern: &str, path: &str| principal(&[pattern]).covers(&name(path));
        assert!(covers("*", "a/1") && covers("a/*", "a/1") && covers("a/1", "a/1"));
        for pattern in ["", "a", "a/", "a/2", "b/*", "*/1", "*/*", "a*", "a/1*", "a/1/", "A/1", "/a/1", "**", " *"] {
            assert!(!covers(pattern, "a/1"), "{pattern:?}");
        }
        assert!(!covers("a/*", "ab/1") && !covers("a/1", "a/11"));
        assert!(principal(&["x/y", "a/1"]).covers(&name("a/1")));
        assert!(!principal(&[]).covers(&name("a/1")));
        let some = |pattern: &str| principal(&[pattern]).covers_some_of("a");
        assert!(some("*") && some("a/*") && some("a/1"));
        assert!(!some("b/*") && !some("a") && !some("*/1") && !some("ab/1"));
    }

    #[test]
    fn the_header_brings_all_of_it() {
        let sent = principal(&["a/1", "b/*"]).until(1_790_000_000_000);
        assert_eq!(Principal::of_header(&sent.to_header()), Some(sent));
        assert_eq!(Principal::of_header(&Principal::anyone().to_header()), Some(Principal::anyone()));
        for foreign in ["", "e30", "*", "bnVsbA", "eyJzdWJqZWN0IjoieCJ9"] {
            assert_eq!(Principal::of_header(foreign), None, "{foreign}");
        }
    }
}
