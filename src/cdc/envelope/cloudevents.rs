//! CloudEvents 1.0, JSON event format.
//!
//! `source` and `id` together name an event, `subject` is the document's id. Extension attributes are lower-case letters
//! and digits with text as values; `sequence` is padded, because the sequence extension compares as text. Characters that
//! the attributes' type String does not have are percent-encoded.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::raw;
use crate::error::Result;
use crate::types::names::ObjectName;
use crate::types::time::rfc3339;
use crate::types::{CdcEvent, Operation};

#[derive(Serialize)]
pub(super) struct Event<'e> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: Cow<'e, str>,
    time: String,
    datacontenttype: &'static str,
    sequence: String,
    collection: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<Cow<'e, str>>,
    data: Data<'e>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_fields: Option<&'e [String]>,
}

pub(super) fn event<'e>(event: &'e CdcEvent, object: &ObjectName) -> Result<Event<'e>> {
    Ok(Event {
        specversion: "1.0",
        id: event.id.to_string(),
        source: format!("/v1/{}/collections/{}", object.path(), event.collection),
        kind: match event.operation {
            Operation::Insert => "thermocline.document.inserted",
            Operation::Update => "thermocline.document.updated",
            Operation::Delete => "thermocline.document.deleted",
        },
        subject: attribute(&event.document_id),
        time: rfc3339(event.timestamp),
        datacontenttype: "application/json",
        sequence: format!("{:019}", event.sequence),
        collection: &event.collection,
        origin: event.context.source.as_deref(),
        correlationid: event.context.correlation_id.as_deref().map(attribute),
        data: Data {
            before: event.before.as_deref().map(raw).transpose()?,
            after: event.after.as_deref().map(raw).transpose()?,
            changed_fields: event.changed_fields.as_deref(),
        },
    })
}

/// A text as the value of an attribute (CloudEvents 1.0.2, "Type System").
fn attribute(text: &str) -> Cow<'_, str> {
    if !text.contains(is_no_character) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len().saturating_add(8));
    for character in text.chars() {
        if is_no_character(character) {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(encoded, "%{byte:02X}");
            }
        } else {
            encoded.push(character);
        }
    }
    Cow::Owned(encoded)
}

/// Control characters, and the code points that Unicode keeps from being any. Surrogates are in no text.
fn is_no_character(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_no_control_characters_and_no_code_points_that_are_none() {
        for (text, told) in [
            ("a/ü %\u{A0}\u{FFFD}", "a/ü %\u{A0}\u{FFFD}"),
            ("\0\u{1F}\u{7F}\u{80}\u{9F}", "%00%1F%7F%C2%80%C2%9F"),
            ("\u{FDCF}\u{FDD0}\u{FDEF}\u{FDF0}", "\u{FDCF}%EF%B7%90%EF%B7%AF\u{FDF0}"),
            ("\u{FFFE}\u{FFFF}\u{1FFFE}\u{10FFFF}\u{10FFFD}", "%EF%BF%BE%EF%BF%BF%F0%9F%BF%BE%F4%8F%BF%BF\u{10FFFD}"),
            ("a\nb", "a%0Ab"),
        ] {
            assert_eq!(attribute(text), told);
        }
    }
}
