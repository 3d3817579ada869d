//! Reads Iceberg tables with Apache's Rust implementation, and compares every row with what was put.
//!
//!     thermocline-conformance <warehouse folder> <expected.json>
//!
//! The folder and the file are those of `readers.py`, which compares documents whole; here the ids, versions, times and
//! plain columns are compared, and every snapshot's count of rows. What the library cannot read is printed as `skip` with
//! its reason, and counted. The last line is `N passed, N failed, N skipped`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use futures_util::TryStreamExt;
use iceberg::io::FileIO;
use iceberg::table::StaticTable;
use iceberg::{ErrorKind, TableIdent};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SHOWN_MAX: usize = 5;

/// A value of a plain column; others are not compared.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    Boolean(bool),
    Long(i64),
    Double(f64),
    Text(String),
    Null,
    Other,
}

type Row = BTreeMap<String, Plain>;

/// What came of a table.
enum Outcome {
    Read { rows: usize, problems: Vec<String> },
    Skipped(String),
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(warehouse), Some(expected)) = (arguments.next(), arguments.next()) else {
        return Err("expected a warehouse folder and the path of expected.json".into());
    };
    let expected: Value = serde_json::from_slice(&std::fs::read(expected)?)?;
    let warehouse = std::fs::canonicalize(warehouse)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for table in expected["tables"].as_array().ok_or("expected a list of tables")? {
        let name = table["name"].as_str().ok_or("expected a name of each table")?;
        let outcome = runtime.block_on(check(&warehouse, table));
        let (rows, result, lines) = match outcome {
            Ok(Outcome::Read { rows, problems }) if problems.is_empty() => {
                passed += 1;
                (rows, "ok", problems)
            }
            Ok(Outcome::Read { rows, problems }) => {
                failed += 1;
                (rows, "FAILED", problems)
            }
            Ok(Outcome::Skipped(reason)) => {
                skipped += 1;
                (0, "skip", vec![reason])
            }
            Err(error) => {
                failed += 1;
                (0, "FAILED", vec![error.to_string()])
            }
        };
        println!("{:<10}  {name:<18}  {rows:>6}           {result}", "iceberg-rs");
        lines.iter().take(SHOWN_MAX).for_each(|line| println!("            {line}"));
        if let Some(further) = lines.len().checked_sub(SHOWN_MAX).filter(|further| *further > 0) {
            println!("            and {further} more");
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 || passed == 0 { Err("not all tables are read as they were written".into()) } else { Ok(()) }
}

async fn check(warehouse: &Path, table: &Value) -> Result<Outcome> {
    let metadata = warehouse.join(table["metadata"].as_str().ok_or("expected the metadata of each table")?);
    let location = format!("file://{}", metadata.to_str().ok_or("expected a path that is UTF-8")?);
    let identifier = TableIdent::from_strs(["thermocline", "table"])?;
    let opened = StaticTable::from_metadata_file(&location, identifier, FileIO::new_with_fs()).await?;
    let rows = match rows_of(&opened, None).await {
        Ok(rows) => rows,
        Err(error) if error.kind() == ErrorKind::FeatureUnsupported => return Ok(Outcome::Skipped(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut problems = match table.get("documents").and_then(Value::as_array) {
        Some(documents) => compare_documents(&rows, documents),
        None => compare_events(&rows, table["events"].as_array().ok_or("expected documents or events")?),
    };
    for snapshot in opened.metadata().snapshots() {
        let expected = snapshot.summary().additional_properties.get("total-records").and_then(|text| text.parse().ok());
        let deletes = snapshot
            .summary()
            .additional_properties
            .get("total-position-deletes")
            .map_or(0, |text| text.parse().unwrap_or(0));
        let found = rows_of(&opened, Some(snapshot.snapshot_id())).await?.len();
        if expected.map(|expected: usize| expected - deletes) != Some(found) {
            problems.push(format!(
                "snapshot {} has {found} rows, its summary says {expected:?} without {deletes}",
                snapshot.snapshot_id()
            ));
        }
    }
    Ok(Outcome::Read { rows: rows.len(), problems })
}

async fn rows_of(table: &StaticTable, snapshot: Option<i64>) -> iceberg::Result<Vec<Row>> {
    let mut scan = table.scan();
    if let Some(snapshot) = snapshot {
        scan = scan.snapshot_id(snapshot);
    }
    let batches: Vec<RecordBatch> = scan.build()?.to_arrow().await?.try_collect().await?;
    Ok(batches.iter().flat_map(rows).collect())
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let columns: Vec<_> = schema.fields().iter().zip(batch.columns()).collect();
    let row = |position| {
        columns.iter().map(|(field, column)| (field.name().clone(), plain(column.as_ref(), position))).collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

fn plain(column: &dyn Array, row: usize) -> Plain {
    if column.is_null(row) {
        return Plain::Null;
    }
    match column.data_type() {
        DataType::Boolean => Plain::Boolean(column.as_boolean().value(row)),
        DataType::Int32 => Plain::Long(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Plain::Long(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Plain::Double(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Plain::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Plain::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Plain::Text(column.as_string::<i64>().value(row).to_owned()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Plain::Long(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        _ => Plain::Other,
    }
}

fn text<'r>(row: &'r Row, name: &str) -> Option<&'r str> {
    match row.get(name) {
        Some(Plain::Text(text)) => Some(text),
        _ => None,
    }
}

fn long(row: &Row, name: &str) -> Option<i64> {
    match row.get(name) {
        Some(Plain::Long(value)) => Some(*value),
        _ => None,
    }
}

/// Rows of a state table against the documents that were put.
fn compare_documents(rows: &[Row], documents: &[Value]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expected: BTreeMap<&str, &Value> =
        documents.iter().filter_map(|document| Some((document["id"].as_str()?, document))).collect();
    for row in rows {
        let id = text(row, "id").unwrap_or_default();
        let Some(document) = expected.remove(id) else {
            problems.push(format!("{id:?} is not expected, or twice"));
            continue;
        };
        let (seq, ts) = (document["seq"].as_i64(), document["ts"].as_i64().map(|millis| millis * 1_000));
        if (long(row, "_seq"), long(row, "_ts")) != (seq, ts) {
            problems.push(format!(
                "{id:?}: version {:?} at {:?}, expected {seq:?} at {ts:?}",
                row.get("_seq"),
                row.get("_ts")
            ));
        }
        match serde_json::from_str::<Value>(document["text"].as_str().unwrap_or_default()) {
            Ok(put) => problems.extend(compare_fields(id, row, &put)),
            Err(error) => problems.push(format!("{id:?}: the document expected is no JSON: {error}")),
        }
    }
    problems.extend(expected.keys().map(|id| format!("{id:?} is missing")));
    problems
}

/// The plain columns of a row against the document's fields. What is kept in `_extra` beside its column is another
/// spelling, which `readers.py` compares.
fn compare_fields(id: &str, row: &Row, put: &Value) -> Vec<String> {
    let extra: Value = text(row, "_extra").and_then(|extra| serde_json::from_str(extra).ok()).unwrap_or(Value::Null);
    let own = ["id", "_seq", "_ts", "_extra"];
    let compared = row.iter().filter(|(name, _)| !own.contains(&name.as_str()) && extra.get(name.as_str()).is_none());
    let problem = |(name, value): (&String, &Plain)| {
        let wanted = put.get(name).unwrap_or(&Value::Null);
        let same = match (value, wanted) {
            (Plain::Other, _) => true,
            (Plain::Null, wanted) => wanted.is_null(),
            (Plain::Boolean(value), wanted) => wanted.as_bool() == Some(*value),
            (Plain::Long(value), Value::Number(wanted)) => wanted.as_i64() == Some(*value),
            // By value: a column that was widened has single-precision values.
            (Plain::Double(value), Value::Number(wanted)) => {
                wanted.as_f64().is_some_and(|wanted| wanted == *value || (wanted as f32) == (*value as f32))
            }
            (Plain::Text(value), Value::String(wanted)) => {
                wanted == value || serde_json::from_str::<Value>(value).is_ok_and(|value| value == wanted.as_str())
            }
            // JSON text, and times, which documents have as text.
            (Plain::Text(value), wanted) => serde_json::from_str::<Value>(value).is_ok_and(|value| value == *wanted),
            (Plain::Long(_), Value::String(_)) => true,
            _ => false,
        };
        (!same).then(|| format!("{id:?}: {name:?} is {value:?}, expected {wanted}"))
    };
    compared.filter_map(problem).collect()
}

/// Rows of a change log against the events of the feed.
fn compare_events(rows: &[Row], events: &[Value]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expected: BTreeMap<i64, &Value> =
        events.iter().filter_map(|event| Some((event["sequence"].as_i64()?, event))).collect();
    let names: BTreeSet<&str> = ["event_id", "operation", "document_id"].into();
    for row in rows {
        let sequence = long(row, "sequence").unwrap_or_default();
        let Some(event) = expected.remove(&sequence) else {
            problems.push(format!("event {sequence} is not expected, or twice"));
            continue;
        };
        for name in &names {
            if text(row, name) != event[*name].as_str() {
                problems.push(format!("event {sequence}: {name} is {:?}, expected {}", row.get(*name), event[*name]));
            }
        }
        if long(row, "timestamp") != event["timestamp"].as_i64().map(|millis| millis * 1_000) {
            problems.push(format!(
                "event {sequence}: timestamp is {:?}, expected {}",
                row.get("timestamp"),
                event["timestamp"]
            ));
        }
        for name in ["before", "after"] {
            let json = |text: Option<&str>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
            if json(text(row, name)) != json(event[name].as_str()) {
                problems.push(format!("event {sequence}: {name} is {:?}, expected {}", row.get(name), event[name]));
            }
        }
    }
    problems.extend(expected.keys().map(|sequence| format!("event {sequence} is missing")));
    problems
}
