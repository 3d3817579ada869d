//! Debezium's change event, as its JSON converter writes it with `schemas.enable=false`: the envelope's fields are at the top.
//!
//! The object is a table set of its own: `source.name` is its type, `source.db` its id, `source.table` the collection, so
//! that Debezium's `{name}.{db}.{table}` names a topic. `op` is `c`, `u` or `d`, of a restore's events too: `r` stands for
//! a row of a first snapshot, has no image before, and cannot tell a deletion. Both times are that of the commit, so that
//! an event is the same text whenever it is read.

use serde::Serialize;
use serde_json::value::RawValue;

use super::raw;
use crate::error::Result;
use crate::types::names::ObjectName;
use crate::types::{CdcEvent, Operation, Sequence, Timestamp};

#[derive(Serialize)]
pub(super) struct Event<'e> {
    before: Option<&'e RawValue>,
    after: Option<&'e RawValue>,
    source: Source<'e>,
    transaction: Option<()>,
    op: &'static str,
    ts_ms: Timestamp,
}

#[derive(Serialize)]
struct Source<'e> {
    version: &'static str,
    connector: &'static str,
    name: &'e str,
    ts_ms: Timestamp,
    /// Debezium's own has words here, not booleans.
    snapshot: &'static str,
    db: &'e str,
    /// The text of a JSON array of texts.
    sequence: String,
    table: &'e str,
    event_id: String,
    document_id: &'e str,
    pos: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_fields: Option<&'e [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'e str>,
}

pub(super) fn event<'e>(event: &'e CdcEvent, object: &'e ObjectName) -> Result<Event<'e>> {
    let source = Source {
        version: env!("CARGO_PKG_VERSION"),
        connector: "thermocline",
        name: &object.doc_type,
        ts_ms: event.timestamp,
        snapshot: "false",
        db: &object.doc_id,
        sequence: format!("[\"{}\"]", event.sequence),
        table: &event.collection,
        event_id: event.id.to_string(),
        document_id: &event.document_id,
        pos: event.sequence,
        changed_fields: event.changed_fields.as_deref(),
        origin: event.context.source.as_deref(),
        correlation_id: event.context.correlation_id.as_deref(),
    };
    Ok(Event {
        before: event.before.as_deref().map(raw).transpose()?,
        after: event.after.as_deref().map(raw).transpose()?,
        source,
        transaction: None,
        op: match event.operation {
            Operation::Insert => "c",
            Operation::Update => "u",
            Operation::Delete => "d",
        },
        ts_ms: event.timestamp,
    })
}
