//! A document on its way in: its JSON text checked, on one line, with its id in it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::DOCUMENT_MAX_BYTES;
use crate::types::json::write_string;
use crate::types::names::{check_document_id, check_id_member};
use crate::types::{Json, StorageTier};

/// A document that is fit to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDocument {
    /// Its id.
    pub id: Rc<str>,
    /// Its JSON text on one line, `id` included.
    pub text: Rc<str>,
}

impl NewDocument {
    /// Checks a document's text. `id` is the one asked for from outside the document; a document that names none is
    /// given `id`, or what `generate` makes, as its first member.
    pub fn read(text: &str, id: Option<&str>, generate: impl FnOnce() -> Result<String>) -> Result<Self> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        check_size(text.len())?;
        let parsed = Json::parse(text)?;
        let Json::Object(members) = &parsed else {
            return Err(invalid().at("", format!("expected an object, got {}", parsed.kind())));
        };
        let own = match parsed.get("id") {
            None => None,
            Some(Json::String(own)) => Some(own.as_ref()),
            Some(other) => return Err(invalid().at("/id", format!("expected a string, got {}", other.kind()))),
        };
        match (own, id) {
            (Some(own), Some(id)) if own != id => {
                Err(invalid().at("/id", format!("expected the id of the request, {id:?}, got {own:?}")))
            }
            (Some(own), _) => {
                check_id_member(own)?;
                Ok(Self { id: own.into(), text: one_line(text, &parsed).into() })
            }
            (None, id) => {
                let id = id.map_or_else(generate, |id| Ok(id.to_owned()))?;
                check_document_id(&id)?;
                let text = with_id(&id, &one_line(text, &parsed), members.is_empty());
                check_size(text.len())?;
                Ok(Self { id: id.into(), text: text.into() })
            }
        }
    }

    /// A document that is the result of a patch.
    pub fn from_json(id: &str, document: &Json<'_>) -> Result<Self> {
        if !matches!(document, Json::Object(_)) {
            return Err(
                invalid().at("", format!("expected a merge patch that leaves an object, got {}", document.kind()))
            );
        }
        match document.get("id") {
            Some(Json::String(own)) if own == id => {}
            Some(_) => return Err(invalid().at("/id", format!("expected the id to stay {id:?}, got another"))),
            None => return Err(invalid().at("/id", "expected the id to stay, got its removal")),
        }
        let text = document.to_text();
        check_size(text.len())?;
        Ok(Self { id: id.into(), text: text.into() })
    }
}

/// Line breaks and tabs can only be between tokens; a document without them is kept as it was sent.
fn one_line<'t>(text: &'t str, parsed: &Json<'_>) -> Cow<'t, str> {
    if text.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | b'\t')) {
        Cow::Owned(parsed.to_text())
    } else {
        Cow::Borrowed(text)
    }
}

fn with_id(id: &str, text: &str, empty: bool) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(id.len()).saturating_add(10));
    out.push_str("{\"id\":");
    write_string(id, &mut out);
    if !empty {
        out.push(',');
    }
    out.push_str(text.strip_prefix('{').unwrap_or(text));
    out
}

fn check_size(bytes: usize) -> Result<()> {
    if bytes <= DOCUMENT_MAX_BYTES {
        return Ok(());
    }
    Err(StorageError::new(
        ErrorKind::TooLarge,
        StorageTier::Hot,
        "read document",
        format!("expected a document of at most {DOCUMENT_MAX_BYTES} bytes, got {bytes}"),
    ))
}

fn invalid() -> StorageError {
    StorageError::new(
        ErrorKind::Invalid,
        StorageTier::Hot,
        "read document",
        "the document is well-formed but not valid; see errors",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, id: Option<&str>) -> Result<NewDocument> {
        NewDocument::read(text, id, || Ok("made".to_owned()))
    }

    #[test]
    fn the_text_is_kept_and_the_id_added_where_it_is_missing() {
        assert_eq!(&*read(r#" {"id":"a", "n":1.0} "#, None).unwrap().text, r#"{"id":"a", "n":1.0}"#);
        assert_eq!(&*read(r#"{"n":1e2}"#, Some("é\"")).unwrap().text, r#"{"id":"é\"","n":1e2}"#);
        assert_eq!(&*read("{}", None).unwrap().text, r#"{"id":"made"}"#);
        assert_eq!(&*read("{\n\t\"n\": 10.50\r\n}", None).unwrap().text, r#"{"id":"made","n":10.50}"#);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let kind = |text: &str, id: Option<&str>| read(text, id).unwrap_err().kind();
        assert_eq!(kind("[]", None), ErrorKind::Invalid);
        assert_eq!(kind(r#"{"id":1}"#, None), ErrorKind::Invalid);
        assert_eq!(kind(r#"{"id":"a"}"#, Some("b")), ErrorKind::Invalid);
        assert_eq!(kind(r#"{"id":""}"#, None), ErrorKind::Malformed);
        assert_eq!(kind("{", None), ErrorKind::Malformed);
        let large = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(DOCUMENT_MAX_BYTES));
        assert_eq!(kind(&large, None), ErrorKind::TooLarge);
    }

    #[test]
    fn a_patch_must_leave_the_id() {
        let patched = |text: &str| NewDocument::from_json("a", &Json::parse(text).unwrap());
        patched(r#"{"id":"a","x":1}"#).unwrap();
        for bad in [r#"{"id":"b"}"#, r#"{"id":null}"#, "{}", "[]", "7"] {
            assert_eq!(patched(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
    }
}
