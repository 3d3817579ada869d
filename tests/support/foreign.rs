//! A bucket as a folder for the foreign readers, and what its tables have to hold: what the object itself answers, its
//! documents by id and its change feed, texts as they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thermocline::cold::TableKind;
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::hot::HotStore;
use thermocline::ports::native::World;

use super::Object;

/// All that `conformance/readers.py` reads with.
pub const READERS: [&str; 3] = ["pyiceberg", "polars", "clickhouse"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    events: Vec<Event>,
    cursor: Cursor,
    has_more: bool,
}

#[derive(Deserialize)]
struct Cursor {
    sequence: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: String,
    operation: String,
    collection: String,
    document_id: String,
    timestamp: i64,
    sequence: i64,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
}

fn feed(object: &Object) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let answer = object.send("GET", &format!("/cdc?after={after}&limit=1000&documents=true"), &[], "");
        assert_eq!(answer.status, 200);
        let page: Page = serde_json::from_slice(answer.body.bytes()).unwrap();
        events.extend(page.events);
        after = page.cursor.sequence;
        if !page.has_more {
            return events;
        }
    }
}

/// The documents of a collection, with the version and time of each one's last event.
fn documents(object: &Object, collection: &str, events: &[&Event]) -> Value {
    let last: BTreeMap<&str, &Event> = events.iter().map(|event| (event.document_id.as_str(), *event)).collect();
    let live = last.into_iter().filter(|(_, event)| event.operation != "DELETE");
    let document = |(id, event): (&str, &Event)| {
        let encoded = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        let answer = object.send("GET", &format!("/collections/{collection}/docs/{encoded}"), &[], "");
        assert_eq!(answer.status, 200, "{id}: {}", String::from_utf8_lossy(answer.body.bytes()));
        let text = String::from_utf8(answer.body.bytes().to_vec()).unwrap();
        json!({"id": id, "seq": event.sequence, "ts": event.timestamp, "text": text})
    };
    live.map(document).collect()
}

fn changes(events: &[&Event]) -> Value {
    let text = |image: &Option<Box<RawValue>>| image.as_ref().map(|image| image.get().to_owned());
    let told = |event: &&Event| {
        json!({
            "sequence": event.sequence, "event_id": event.id, "operation": event.operation,
            "document_id": event.document_id, "timestamp": event.timestamp, "before": text(&event.before),
            "after": text(&event.after),
        })
    };
    events.iter().map(told).collect()
}

/// The location of all tables that [`export`] writes to this warehouse.
pub fn base_uri(warehouse: &Path) -> String {
    format!("file://{}/at", warehouse.to_str().unwrap())
}

/// Writes the bucket of an object, everything of which is published, to the folder `name` of a warehouse, which the readers
/// then find as `at`. The tables, as the readers want them described.
pub fn export(world: &World, object: &Object, warehouse: &Path, name: &str, readers: &[&str]) -> Vec<Value> {
    for key in world.bucket.keys() {
        let file = warehouse.join(name).join(&key);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, world.bucket.object(&key).unwrap().bytes).unwrap();
    }
    let ports = world.ports();
    let catalog = ColdCatalog::new(Rc::clone(&ports.sql));
    let collections = HotStore::new(ports.sql, Default::default(), 1 << 24).catalog().unwrap();
    let events = feed(object);
    let mut tables = Vec::new();
    for collection in collections.all() {
        let events: Vec<&Event> = events.iter().filter(|event| *event.collection == *collection.name).collect();
        for kind in [TableKind::State, TableKind::Changes] {
            let Some(record) = catalog.table(TableId { collection: collection.id, kind }).unwrap() else { continue };
            assert_eq!(record.published, record.state.version, "all is published");
            let path = &record.state.path;
            let mut table = json!({
                "name": format!("{name} {}", path.as_str().rsplit('/').next().unwrap()),
                "root": name,
                "at": "at",
                "metadata": format!("at/{}", path.metadata(record.published)),
                "readers": readers,
            });
            match kind {
                TableKind::State => {
                    let columns = record.columns.columns().iter();
                    let fields: BTreeMap<&str, &str> =
                        columns.map(|column| (column.table_name(), column.name.as_str())).collect();
                    table["fields"] = json!(fields);
                    table["documents"] = documents(object, &collection.name, &events);
                }
                TableKind::Changes => table["events"] = changes(&events),
            }
            tables.push(table);
        }
    }
    tables
}

/// Ends a warehouse: what its tables have to hold.
pub fn describe(warehouse: &Path, tables: &[Value]) {
    let expected = json!({"brief": true, "tables": tables});
    std::fs::write(warehouse.join("expected.json"), serde_json::to_vec(&expected).unwrap()).unwrap();
}
