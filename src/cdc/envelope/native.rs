//! This project's own form of an event (API.md, change data capture).

use serde::Serialize;
use serde_json::value::RawValue;

use super::raw;
use crate::error::Result;
use crate::types::{CdcEvent, Sequence, Timestamp};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'e> {
    id: String,
    operation: &'static str,
    collection: &'e str,
    document_id: &'e str,
    timestamp: Timestamp,
    sequence: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_fields: Option<&'e [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'e str>,
}

pub(super) fn event(event: &CdcEvent) -> Result<Event<'_>> {
    Ok(Event {
        id: event.id.to_string(),
        operation: event.operation.name(),
        collection: &event.collection,
        document_id: &event.document_id,
        timestamp: event.timestamp,
        sequence: event.sequence,
        before: event.before.as_deref().map(raw).transpose()?,
        after: event.after.as_deref().map(raw).transpose()?,
        changed_fields: event.changed_fields.as_deref(),
        source: event.context.source.as_deref(),
        correlation_id: event.context.correlation_id.as_deref(),
    })
}
