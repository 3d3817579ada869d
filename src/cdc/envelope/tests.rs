//! The text of events, in each form.

use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::cdc::feed::FeedPage;
use crate::types::{ChangeContext, Operation};

fn object() -> ObjectName {
    ObjectName::new("demo", "7").unwrap()
}

fn updated(sequence: i64) -> CdcEvent {
    CdcEvent {
        id: Uuid::from_u128(5),
        operation: Operation::Update,
        collection: "orders".to_owned(),
        document_id: "a \"b\"".to_owned(),
        timestamp: 1_767_225_600_123,
        sequence,
        before: Some(r#"{"id":"a \"b\"","n":1.0}"#.to_owned()),
        after: Some(r#"{"id":"a \"b\"","n":9007199254740993}"#.to_owned()),
        changed_fields: Some(vec!["n".to_owned()]),
        context: ChangeContext {
            source: Some("snapshot:x".to_owned()),
            correlation_id: Some("c".to_owned()),
            access: None,
        },
    }
}

fn text(event: &CdcEvent, format: Format) -> String {
    let mut out = String::new();
    write(event, format, &object(), &mut out).unwrap();
    out
}

#[test]
fn native_events_are_told_as_the_contract_has_them() {
    let expected = r#"{"id":"00000000-0000-0000-0000-000000000005","operation":"UPDATE","collection":"orders","documentId":"a \"b\"","timestamp":1767225600123,"sequence":42,"before":{"id":"a \"b\"","n":1.0},"after":{"id":"a \"b\"","n":9007199254740993},"changedFields":["n"],"source":"snapshot:x","correlationId":"c"}"#;
    assert_eq!(text(&updated(42), Format::Native), expected);
}

#[test]
fn debezium_events_have_the_fields_of_its_envelope() {
    let expected = format!(
        r#"{{"before":{{"id":"a \"b\"","n":1.0}},"after":{{"id":"a \"b\"","n":9007199254740993}},"source":{{"version":"{}","connector":"thermocline","name":"demo","ts_ms":1767225600123,"snapshot":"false","db":"7","sequence":"[\"42\"]","table":"orders","event_id":"00000000-0000-0000-0000-000000000005","document_id":"a \"b\"","pos":42,"changed_fields":["n"],"origin":"snapshot:x","correlation_id":"c"}},"transaction":null,"op":"u","ts_ms":1767225600123}}"#,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(text(&updated(42), Format::Debezium), expected);
    let inserted = CdcEvent { operation: Operation::Insert, before: None, changed_fields: None, ..updated(1) };
    let inserted: Value = serde_json::from_str(&text(&inserted, Format::Debezium)).unwrap();
    assert_eq!((&inserted["op"], &inserted["before"]), (&Value::from("c"), &Value::Null));
    let deleted = CdcEvent { operation: Operation::Delete, after: None, changed_fields: None, ..updated(1) };
    let deleted: Value = serde_json::from_str(&text(&deleted, Format::Debezium)).unwrap();
    assert_eq!((&deleted["op"], &deleted["after"]), (&Value::from("d"), &Value::Null));
}

#[test]
fn cloud_events_have_the_required_attributes_and_only_lower_case_extensions() {
    let expected = r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000005","source":"/v1/demo/7/collections/orders","type":"thermocline.document.updated","subject":"a \"b\"","time":"2026-01-01T00:00:00.123Z","datacontenttype":"application/json","sequence":"0000000000000000042","collection":"orders","origin":"snapshot:x","correlationid":"c","data":{"before":{"id":"a \"b\"","n":1.0},"after":{"id":"a \"b\"","n":9007199254740993},"changedFields":["n"]}}"#;
    assert_eq!(text(&updated(42), Format::CloudEvents), expected);
    let value: Value = serde_json::from_str(expected).unwrap();
    let names = value.as_object().unwrap().keys();
    assert!(
        names.clone().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())),
        "{names:?}"
    );
}

#[test]
fn a_frame_has_as_many_events_as_fit_and_the_cursor_after_them() {
    let page = FeedPage { events: (1..=3).map(updated).collect(), sequence: 9, timestamp: 5, has_more: false };
    let one = text(&updated(1), Format::Native).len();
    let cut = frame(&page, Format::Native, &object(), 2 * one + 200).unwrap();
    assert_eq!((cut.events, cut.sequence, cut.has_more), (2, 2, true));
    assert!(cut.text.len() <= 2 * one + 200);
    let value: Value = serde_json::from_str(&cut.text).unwrap();
    assert_eq!(value["cursor"]["sequence"], 2);
    assert_eq!(value["events"].as_array().unwrap().len(), 2);
    let least = frame(&page, Format::Native, &object(), 0).unwrap();
    assert_eq!((least.events, least.sequence), (1, 1));
    let whole = frame(&page, Format::Native, &object(), 1 << 20).unwrap();
    assert_eq!((whole.events, whole.sequence, whole.has_more), (3, 9, false));
    let empty = FeedPage { events: Vec::new(), ..page };
    assert_eq!(
        frame(&empty, Format::Native, &object(), 0).unwrap().text,
        r#"{"events":[],"cursor":{"sequence":9,"timestamp":5}}"#
    );
}
