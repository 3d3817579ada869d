//! CloudEvents 1.0, JSON event format.
//!
//! `source` and `id` together name an event, `subject` is the document's id. Extension attributes are lower-case letters
//! and digits with text as values; `sequence` is padded, because the sequence extension compares as text.

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
    subject: &'e str,
    time: String,
    datacontenttype: &'static str,
    sequence: String,
    collection: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<&'e str>,
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
        subject: &event.document_id,
        time: rfc3339(event.timestamp),
        datacontenttype: "application/json",
        sequence: format!("{:019}", event.sequence),
        collection: &event.collection,
        origin: event.context.source.as_deref(),
        correlationid: event.context.correlation_id.as_deref(),
        data: Data {
            before: event.before.as_deref().map(raw).transpose()?,
            after: event.after.as_deref().map(raw).transpose()?,
            changed_fields: event.changed_fields.as_deref(),
        },
    })
}
