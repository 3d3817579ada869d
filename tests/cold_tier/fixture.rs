//! Tables for the foreign readers: `npm run conformance` has this write them into a folder and compares what PyIceberg,
//! ClickHouse and Polars read there with the documents that were put.
//!
//! `THERMOCLINE_FIXTURE_DIR` names the folder. It gets the bucket's objects under their keys, and `expected.json`.

use std::path::PathBuf;

use serde_json::json;
use thermocline::cold::{CommitOperation, DataFile, Schema, TableKind};
use thermocline::ports::native::MemoryBucket;
use thermocline::types::Document;
use thermocline::types::time::Month;

use super::support::{
    Change, Collection, FEBRUARY, MARCH, Table, attempt, declare, delete_file, document, document_file, learned,
    parts_file, read,
};

const DAY: i64 = 86_400_000;

fn put(id: &'static str, fields: &str) -> Change {
    Change::Put(id, fields.to_owned())
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Inserts, updates and deletes over months; a long that becomes double; a field of mixed types; odd texts.
fn people(collection: &mut Collection) {
    let first = vec![
        put("ada", r#""name":"Ada","age":36,"score":1,"mixed":1,"big":9007199254740993"#),
        put("bob", r#""name":"Bob\u0000\t\"é😀","age":null,"score":2,"mixed":2,"tags":["a",1.0,{"b":null}]"#),
        put("cyd", r#""name":"","age":-9223372036854775808,"nested":{"a":{"b":[1e3]}},"mixed":3"#),
        put("ü/\"'\u{0}", r#""name":"odd id","_private":true,"Name":"other case","":0"#),
    ];
    collection.commit(FEBRUARY, first);
    let second = vec![
        put("ada", r#""name":"Ada","age":37,"score":1.5,"mixed":"text","big":-1"#),
        put("dan", r#""name":"Dan","score":5.0,"mixed":true,"late":"2024-03-02""#),
        Change::Delete("cyd"),
    ];
    collection.commit(MARCH, second);
    let third = (0..12).map(|number| {
        put(leak(format!("m{number:02}")), &format!("\"mixed\":{}", ["1", "\"x\"", "[2]", "null"][number % 4]))
    });
    collection.commit(MARCH + 40 * DAY, third.collect());
    collection.commit(MARCH + 41 * DAY, vec![put("bob", r#""name":"Bob","score":10.50,"big":12345678901234567890"#)]);
}

/// Every declared type, in its canonical text and in others.
fn types(collection: &mut Collection) {
    let declared = [
        ("b", "bool"),
        ("i", "int"),
        ("l", "long"),
        ("f", "float"),
        ("d", "double"),
        ("m", "decimal(9,2)"),
        ("n", "decimal(18,4)"),
        ("o", "decimal(38,10)"),
        ("day", "date"),
        ("at", "timestamp"),
        ("s", "string"),
        ("u", "uuid"),
        ("x", "binary"),
        ("j", "json"),
    ];
    declare(&mut collection.columns, &declared, true);
    let canonical = concat!(
        r#""b":true,"i":-5,"l":9223372036854775807,"f":0.1,"d":1e+300,"m":-10.50,"n":99999999999999.9999,"#,
        r#""o":-1234567890123456789012345678.0123456789,"day":"2024-02-29","at":"2024-02-29T12:00:00.123Z","s":"plain","#,
        r#""u":"0192d3f0-0000-7000-8000-000000000001","x":"AP8=","j":{"a":[1.0,null]}"#,
    );
    let other = concat!(
        r#""b":false,"i":5.0,"l":-0,"f":1e-50,"d":5.00,"m":"10.5","n":7,"o":0,"day":"1900-01-01","at":"2024-02-29T13:00:00+01:00","#,
        r#""s":"","u":"0192D3F0-0000-7000-8000-000000000001","x":"","j":"text""#,
    );
    collection.commit(FEBRUARY, vec![put("canonical", canonical), put("null", r#""b":null"#), put("other", other)]);
    // Types that widen: the earlier file keeps the narrow ones.
    let wider = declared.map(|(name, column_type)| match name {
        "i" => (name, "long"),
        "f" => (name, "double"),
        "m" => (name, "decimal(12,2)"),
        _ => (name, column_type),
    });
    declare(&mut collection.columns, &wider, false);
    collection.commit(MARCH, vec![put("wider", r#""i":5000000000,"f":0.1,"m":1234567890.12"#)]);
}

/// Names that engines could stumble over.
fn names(collection: &mut Collection) {
    let fields = concat!(
        r#""with.dot":1,"with space":2,"with\"quote":3,"with'apostrophe":4,"with`tick":5,"ünïcode😀":6,"select":7,"#,
        r#""a-b":8,"back\\slash":9,"slash/":10,"[0]":11,"{}":12,"$":13,"%41":14,"UPPER":15,"1digit":16,"year":17,"month":18,"#,
        r#""tab\t":19,"new\nline":20,"nul\u0000":21,"id.x":22,"_extra":23,"with;semicolon,comma":24,"element":25,"key":26"#,
    );
    collection.commit(FEBRUARY, vec![put("names", fields), put("none", "")]);
}

/// More than one row group a file, and months side by side.
fn large(collection: &mut Collection) {
    for (now, start) in [(FEBRUARY, 0), (MARCH, 15_000)] {
        let row = |number: usize| {
            let fields = format!(
                r#""n":{number},"city":"city {}","score":{}.25,"ok":{},"text":"{}""#,
                number % 97,
                number % 1_000,
                number.is_multiple_of(3),
                "lorem ipsum ".repeat(number % 5)
            );
            put(leak(format!("row-{number:06}")), &fields)
        };
        collection.commit(now, (start..start + 25_000).map(row).collect());
    }
}

/// So many commits that manifests are merged and snapshots expire.
fn busy(collection: &mut Collection) {
    for number in 0..70_i64 {
        let now = FEBRUARY + number * DAY;
        let id = leak(format!("k{}", number % 9));
        let change = if number % 10 == 9 {
            Change::Delete(leak(format!("k{}", (number - 1) % 9)))
        } else {
            put(id, &format!("\"n\":{number}"))
        };
        collection.commit(now, vec![change]);
    }
}

/// Everything deleted, then something again.
fn emptied(collection: &mut Collection, again: bool) {
    collection.commit(FEBRUARY, vec![put("a", "\"n\":1"), put("b", "\"n\":2")]);
    collection.commit(MARCH, vec![Change::Delete("a"), Change::Delete("b")]);
    if again {
        collection.commit(MARCH + DAY, vec![put("c", "\"n\":3")]);
    }
}

/// Files of parts whose rows are deleted by position, in two months, over three commits; the rows that are left.
fn deleted(bucket: &MemoryBucket, base_uri: &str) -> (Table, Vec<Document>) {
    let rows = |range: std::ops::Range<i64>, sequence: i64, now: i64| -> Vec<Document> {
        let row = |number: i64| {
            let fields =
                format!("\"n\":{},\"t\":\"{}\"", number * sequence, "x".repeat(usize::try_from(number % 40).unwrap()));
            document(&format!("row-{number:06}"), sequence + number, now, &fields)
        };
        range.map(row).collect()
    };
    let mut table = Table::new(base_uri, "deleted", TableKind::State);
    let old = [rows(20_000..45_000, 1, FEBRUARY), rows(0..15_000, 1, FEBRUARY)];
    let columns = learned(&old[0][..10]);
    let key = |table: &Table, now: i64, attempt_number: u128, number: usize| {
        table.state.path.data_file(Month::of(now), attempt(attempt_number), number)
    };
    let write = |(bytes, file): (Vec<u8>, DataFile)| {
        super::support::put(bucket, &file.key, &bytes);
        file
    };
    let february = write(parts_file(&columns, &[(1, &old[0]), (2, &old[1])], &key(&table, FEBRUARY, 1, 0)));
    let march_rows = rows(50_000..50_100, 1, MARCH);
    let march = write(parts_file(&columns, &[(3, &march_rows)], &key(&table, MARCH, 1, 1)));
    // Versions follow the sequence: up to 50,100, then a deletion each, then the updates.
    let mut first = table.commit_through(CommitOperation::Append, 1, 50_100, MARCH, Schema::state(&columns));
    first.added = vec![february.clone(), march.clone()];
    table.apply(bucket, first);
    // Every third row of one month, then also a whole row group, and the updated versions of some rows elsewhere.
    let thirds: Vec<u32> = (0..40_000).filter(|row| row % 3 == 0).collect();
    let of_february = write(delete_file(base_uri, &[(&february, &thirds)], &key(&table, FEBRUARY, 2, 0)));
    let mut second = table.commit_through(CommitOperation::Delete, 2, 63_434, MARCH + 1, Schema::state(&columns));
    second.added = vec![of_february.clone()];
    table.apply(bucket, second);
    let gone: Vec<u32> = (0..40_000).filter(|row| row % 3 == 0 || (20_000..40_000).contains(row)).collect();
    let updated = rows(50_000..50_010, 50_000, MARCH + 2);
    let tail = write(document_file(&columns, &updated, &key(&table, MARCH, 3, 0)));
    let of_february_now = write(delete_file(base_uri, &[(&february, &gone)], &key(&table, FEBRUARY, 3, 1)));
    let of_march =
        write(delete_file(base_uri, &[(&march, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])], &key(&table, MARCH, 3, 2)));
    let mut third = table.commit_through(CommitOperation::Overwrite, 3, 100_009, MARCH + 2, Schema::state(&columns));
    third.added = vec![tail, of_february_now, of_march];
    third.removed = vec![table.live[&of_february.key].clone()];
    table.apply(bucket, third);
    let kept =
        (0..).zip(old.into_iter().flatten()).filter(|(row, _)| !gone.contains(row)).map(|(_, document)| document);
    (table, kept.chain(march_rows.into_iter().skip(10)).chain(updated).collect())
}

/// Drives a collection through its commits.
type Build = fn(&mut Collection);

fn described(name: &str, table: &Table) -> serde_json::Value {
    let state = &table.state;
    json!({
        "name": name,
        "location": state.location(),
        "metadata": state.path.metadata(state.version),
        "columns": state.current_schema().unwrap().fields.iter().map(|field| &field.name).collect::<Vec<_>>(),
        "files": state.totals.data_files,
    })
}

fn described_row(row: &Document) -> serde_json::Value {
    json!({"id": row.id, "seq": row.sequence, "ts": row.timestamp, "text": row.text})
}

#[test]
#[ignore = "writes a folder for the foreign readers; npm run conformance runs it"]
fn writes_tables_for_foreign_readers() {
    let folder =
        PathBuf::from(std::env::var_os("THERMOCLINE_FIXTURE_DIR").expect("THERMOCLINE_FIXTURE_DIR names the folder"));
    let base_uri = format!("file://{}", folder.to_str().unwrap());
    let bucket = MemoryBucket::new();
    let mut tables = Vec::new();
    let builders: [(&str, Build); 7] = [
        ("people", people),
        ("types", types),
        ("names", names),
        ("large", large),
        ("busy", busy),
        ("emptied", |collection| emptied(collection, false)),
        ("refilled", |collection| emptied(collection, true)),
    ];
    for (name, build) in builders {
        let mut collection = Collection::new(&bucket, &base_uri, name);
        build(&mut collection);
        collection.check();
        let mut state = described(name, &collection.table);
        state["documents"] = collection.documents.values().map(described_row).collect();
        let mut changes = described(&format!("{name}__changes"), &collection.changes);
        changes["events"] = collection.log.iter().map(|record| {
            let event = &record.event;
            json!({
                "sequence": event.sequence, "event_id": event.id, "operation": event.operation.name(), "document_id": event.document_id,
                "timestamp": event.timestamp, "before": event.before, "after": event.after, "before_sequence": record.before_sequence,
                "source": event.context.source, "correlation_id": event.context.correlation_id,
            })
        }).collect();
        tables.extend([state, changes]);
    }
    let (table, rows) = deleted(&bucket, &base_uri);
    assert_eq!(read(&bucket, &table.files(), &learned(&rows[..10]), None, &|_| false).unwrap().0.len(), rows.len());
    let mut state = described("deleted", &table);
    state["documents"] = rows.iter().map(described_row).collect();
    tables.push(state);
    for key in bucket.keys() {
        let file = folder.join(&key);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bucket.object(&key).unwrap().bytes).unwrap();
    }
    std::fs::write(folder.join("expected.json"), serde_json::to_vec(&json!({"tables": tables})).unwrap()).unwrap();
}
