//! Reading back: what is skipped, what is fetched, and that neither changes what is found.

use std::ops::ControlFlow;

use proptest::prelude::*;
use thermocline::cold::{ChangesFileWriter, ChangesRange, DataFile, TableKind, scan};
use thermocline::error::ErrorKind;
use thermocline::ports::native::{MemoryBucket, run};
use thermocline::types::statistics::{Bound, ColumnBounds, ColumnStatistics};
use thermocline::types::{Document, Json};
use thermocline::vortex::TableSchema;

use super::support::{
    FEBRUARY, assert_same_text, change_record, declare, document, document_file, learned, path, put, read, read_changes,
};

fn many(count: usize) -> Vec<Document> {
    let row = |number: usize| {
        // Texts that do not compress keep the file above the size that is fetched whole.
        let noise: String = (0..8)
            .map(|part| format!("{:016x}", (number * 8 + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        document(
            &format!("{number:08}"),
            i64::try_from(number).unwrap(),
            FEBRUARY,
            &format!("\"n\":{number},\"noise\":\"{noise}\""),
        )
    };
    (0..count).map(row).collect()
}

fn stored(documents: &[Document], columns: &TableSchema) -> (MemoryBucket, DataFile) {
    let bucket = MemoryBucket::new();
    let (bytes, file) = document_file(columns, documents, "k");
    put(&bucket, "k", &bytes);
    (bucket, file)
}

/// Prunes what cannot hold a document of this id.
fn by_id(id: &str) -> impl Fn(&dyn ColumnStatistics) -> bool {
    move |statistics| {
        let Some(bounds) = statistics.bounds("id") else { return false };
        let below = matches!(&bounds.lower, Some(Bound::Text(lower)) if id < lower.as_str());
        let above = matches!(&bounds.upper, Some(Bound::Text(upper)) if id > upper.as_str());
        below || above
    }
}

#[test]
fn a_large_file_is_read_in_parts() {
    let documents = many(50_000);
    let columns = learned(documents.iter().take(3));
    let (bucket, file) = stored(&documents, &columns);
    assert!(file.file_size > 4 * 1024 * 1024 && file.split_offsets.len() == 3);
    let files = [file.clone()];

    let (found, stats) = read(&bucket, &files, &columns, None, &|_| false).unwrap();
    assert_eq!((found.len(), stats.row_groups_scanned, stats.requests), (50_000, 3, 4));
    assert!(stats.bytes_fetched <= file.file_size);

    let (found, stats) = read(&bucket, &files, &columns, None, &by_id("00031234")).unwrap();
    assert!(found.iter().any(|document| document.text == documents[31_234].text));
    assert_eq!((stats.row_groups_scanned, stats.row_groups_pruned, stats.requests), (1, 2, 2));

    let (found, stats) = read(&bucket, &files, &columns, None, &by_id("zzz")).unwrap();
    assert_eq!((found.len(), stats.files_pruned, stats.requests), (0, 1, 0));

    let (found, stats) = read(&bucket, &files, &columns, Some(&["n"]), &|_| false).unwrap();
    assert_eq!(found[7].text, r#"{"id":"00000007","n":7}"#);
    assert!(stats.bytes_fetched * 4 < file.file_size, "{stats:?}");
}

#[test]
fn a_scan_ends_when_the_sink_says_so() {
    let documents = many(10);
    let columns = learned(&documents);
    let (bucket, file) = stored(&documents, &columns);
    let mut left = 3;
    let mut sink = |_| {
        left -= 1;
        Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let stats =
        run(scan(&bucket, &[file.clone(), file], &columns, None, &|_| false, &mut sink)).done().unwrap().unwrap();
    assert_eq!((stats.rows_read, stats.files_scanned, stats.requests), (3, 1, 1));
}

#[test]
fn earlier_files_are_read_by_what_they_say_of_themselves() {
    let mut columns = TableSchema::default();
    declare(&mut columns, &[("i", "int"), ("f", "float"), ("gone", "string")], true);
    let old = [document("a", 1, FEBRUARY, r#""i":7,"f":0.1,"gone":"x","new":1"#)];
    let (old_bytes, old_file) = document_file(&columns, &old, "old");
    declare(&mut columns, &[("i", "long"), ("f", "double"), ("new", "long")], false);
    let new = [document("b", 2, FEBRUARY, r#""i":5000000000,"f":0.1,"new":2"#)];
    let (new_bytes, new_file) = document_file(&columns, &new, "new");
    let bucket = MemoryBucket::new();
    put(&bucket, "old", &old_bytes);
    put(&bucket, "new", &new_bytes);
    let (found, _) = read(&bucket, &[old_file.clone(), new_file.clone()], &columns, None, &|_| false).unwrap();
    assert_same_text(&found[0].text, &old[0].text);
    assert_same_text(&found[1].text, &new[0].text);

    // Bounds of the earlier file under the columns of now: widened ones hold, those of other ids are unknown.
    let seen = std::cell::RefCell::new(Vec::new());
    let note = |statistics: &dyn ColumnStatistics| {
        seen.borrow_mut().push(["i", "f", "new", "gone", "id"].map(|field| statistics.bounds(field)));
        true
    };
    read(&bucket, &[old_file], &columns, None, &note).unwrap();
    let seen = seen.into_inner();
    let [i, f, new, gone, id] = &seen[0];
    let long = |value| {
        Some(ColumnBounds {
            lower: Some(Bound::Long(value)),
            upper: Some(Bound::Long(value)),
            null_count: Some(0),
            row_count: 1,
        })
    };
    assert_eq!(i, &long(7));
    assert_eq!(id.as_ref().unwrap().upper, Some(Bound::Text("a".to_owned())));
    assert!(
        matches!(f, Some(ColumnBounds { lower: Some(Bound::Double(lower)), upper: Some(Bound::Double(upper)), .. }) if *lower < 0.1 && *upper > 0.1)
    );
    assert_eq!((new, gone), (&None, &None));
    assert!(!new_file.loses_values_under(&thermocline::cold::Schema::state(&columns)));
}

/// What the statistics of a file and of its row group say of a field.
fn told(file: &DataFile, bucket: &MemoryBucket, columns: &TableSchema, field: &str) -> Vec<Option<ColumnBounds>> {
    let told = std::cell::RefCell::new(Vec::new());
    let note = |statistics: &dyn ColumnStatistics| {
        told.borrow_mut().push(statistics.bounds(field));
        false
    };
    read(bucket, std::slice::from_ref(file), columns, None, &note).unwrap();
    told.into_inner()
}

#[test]
fn only_what_a_column_tells_all_of_is_told() {
    let documents = [
        document("a", 1, FEBRUARY, r#""address":{"zip":7},"b.c":1,"n":1,"_seq":9,"N":1"#),
        document("b", 2, FEBRUARY, r#""b":{"c":5},"n":null"#),
    ];
    let columns = learned(&documents);
    let (bucket, file) = stored(&documents, &columns);
    let told = |field: &str| told(&file, &bucket, &columns, field);
    // Inside another field, or in a column of that very name: nothing is known.
    assert_eq!((told("address.zip"), told("b.c")), (vec![None, None], vec![None, None]));
    // The document's `_seq` is in `_extra`, and the table's column of that name is not it.
    assert_eq!((told("_seq"), told("N")), (vec![None, None], vec![None, None]));
    let n = Some(ColumnBounds {
        lower: Some(Bound::Long(1)),
        upper: Some(Bound::Long(1)),
        null_count: Some(1),
        row_count: 2,
    });
    assert_eq!(told("n"), [n.clone(), n]);
    // No document has it: the file's own columns say so, the manifest's do not.
    let absent = Some(ColumnBounds { lower: None, upper: None, null_count: Some(2), row_count: 2 });
    assert_eq!((told("absent"), told("_ts")), (vec![None, absent.clone()], vec![None, absent]));
}

#[test]
fn change_logs_are_read_in_order_from_any_sequence() {
    let bucket = MemoryBucket::new();
    let mut files = Vec::new();
    let mut all = Vec::new();
    for number in 0..4_i64 {
        let mut writer = ChangesFileWriter::new();
        for sequence in number * 10 + 1..=number * 10 + 10 {
            let before = document("a", sequence - 1, FEBRUARY, "\"n\":1.50");
            let after = document("a", sequence, FEBRUARY, "\"n\":\"\\u0000é\"");
            let record = change_record(
                "a",
                sequence,
                FEBRUARY + sequence,
                (sequence > 1).then_some(&before),
                (sequence % 7 != 0).then_some(&after),
            );
            writer.push(&record).unwrap();
            all.push(record);
        }
        let (bytes, file) = writer
            .finish(|month| {
                path("things", TableKind::Changes).data_file(
                    month,
                    super::support::attempt(1),
                    usize::try_from(number).unwrap(),
                )
            })
            .unwrap();
        put(&bucket, &file.key, &bytes);
        files.push(file);
    }
    files.reverse();
    for after in [-1, 0, 9, 10, 25, 39, 40, 99] {
        let range = ChangesRange { after, until: i64::MAX, images: true };
        let (found, stats) = read_changes(&bucket, &files, range).unwrap();
        let expected: Vec<_> = all.iter().filter(|record| record.event.sequence > after).cloned().collect();
        assert_eq!(found, expected, "after {after}");
        assert_eq!(stats.files_scanned, u64::try_from(expected.len().div_ceil(10)).unwrap());
    }
    let (found, _) = read_changes(&bucket, &files, ChangesRange { after: 4, until: 12, images: false }).unwrap();
    let sequences: Vec<i64> = found.iter().map(|record| record.event.sequence).collect();
    assert_eq!(sequences, (5..=12).collect::<Vec<_>>());
    assert!(found.iter().all(|record| record.event.before.is_none()
        && record.event.after.is_none()
        && record.before_sequence.is_some()));
}

#[test]
fn a_file_that_is_gone_is_told() {
    let documents = many(2);
    let columns = learned(&documents);
    let (_, file) = stored(&documents, &columns);
    let error = read(&MemoryBucket::new(), &[file], &columns, None, &|_| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.message().starts_with("k: expected a data file of the table in the bucket, got no object"),
        "{error}"
    );
}

/// A condition on one field, evaluated on documents and on bounds: a small model of what queries do.
#[derive(Clone, Debug)]
enum Condition {
    Number(std::cmp::Ordering, f64),
    Text(std::cmp::Ordering, String),
    IsNull,
}

impl Condition {
    fn holds(&self, value: Option<&Json<'_>>) -> bool {
        match (self, value) {
            (Self::IsNull, value) => matches!(value, None | Some(Json::Null)),
            (Self::Number(order, bound), Some(Json::Number(text))) => {
                text.parse::<f64>().unwrap().total_cmp(bound) == *order
            }
            (Self::Text(order, bound), Some(Json::String(text))) => text.as_ref().cmp(bound) == *order,
            _ => false,
        }
    }

    /// Whether no value within the bounds can make the condition hold.
    fn is_excluded(&self, bounds: &ColumnBounds) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let number = |bound: &Option<Bound>| match bound {
            Some(Bound::Long(value)) => Some(*value as f64),
            Some(Bound::Double(value)) => Some(*value),
            _ => None,
        };
        let text = |bound: &Option<Bound>| match bound {
            Some(Bound::Text(value)) => Some(value.clone()),
            _ => None,
        };
        let all_null = bounds.null_count == Some(bounds.row_count);
        match self {
            Self::IsNull => bounds.null_count == Some(0),
            Self::Number(order, value) => {
                let below = number(&bounds.lower).is_some_and(|lower| *value < lower);
                let above = number(&bounds.upper).is_some_and(|upper| *value > upper);
                all_null
                    || matches!(order, Equal if below || above)
                    || matches!(order, Less if below)
                    || matches!(order, Greater if above)
            }
            Self::Text(order, value) => {
                let below = text(&bounds.lower).is_some_and(|lower| *value < lower);
                let above = text(&bounds.upper).is_some_and(|upper| *value > upper);
                all_null
                    || matches!(order, Equal if below || above)
                    || matches!(order, Less if below)
                    || matches!(order, Greater if above)
            }
        }
    }
}

fn order() -> impl Strategy<Value = std::cmp::Ordering> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    prop::sample::select(vec![Less, Equal, Greater])
}

fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => (-2_i64..3).prop_map(|value| value.to_string()),
        4 => (1_i64..10).prop_map(|value| format!("0.{value}")),
        1 => (1_i64..10).prop_map(|value| format!("-{value}e-1")),
        1 => prop::sample::select(vec!["9007199254740993", "9007199254740992.0", "1e2"]).prop_map(str::to_owned),
    ]
}

fn string_text() -> impl Strategy<Value = String> {
    "[ab]{0,2}|a{16,18}|2024-01-0[1-3](T0[1-2]:00:00(\\.000|\\.0001)?(Z|\\+01:00))?"
        .prop_map(|text| format!("{text:?}"))
}

/// A column type, empty for an inferred one, and groups of values of which most are of that type.
fn groups() -> impl Strategy<Value = (&'static str, Vec<Vec<(String, bool)>>)> {
    let numeric = prop::sample::select(vec!["", "int", "long", "float", "float", "double", "decimal(9,1)"]);
    let textual = prop::sample::select(vec!["", "date", "timestamp", "timestamp", "string"]);
    let other = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[1]".to_owned()),
        number_text(),
        string_text()
    ];
    let values = |fitting: BoxedStrategy<String>, other: BoxedStrategy<String>| {
        let value = prop_oneof![15 => fitting, 1 => other];
        prop::collection::vec(prop::collection::vec((value, prop::bool::weighted(0.9)), 1..3), 1..6)
    };
    let other = other.boxed();
    prop_oneof![
        (numeric, values(number_text().boxed(), other.clone())),
        (textual, values(string_text().boxed(), other))
    ]
}

/// A condition about one of the values themselves, so that it often meets the ends of bounds.
fn condition(value: &str, order: std::cmp::Ordering, is_null: bool) -> Condition {
    match Json::parse(value).unwrap() {
        _ if is_null => Condition::IsNull,
        Json::Number(text) => Condition::Number(order, text.parse().unwrap()),
        Json::String(text) => Condition::Text(order, text.into_owned()),
        _ => Condition::Number(order, 0.1),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn pruning_never_loses_a_document(
        (column_type, groups) in groups(),
        about in any::<prop::sample::Index>(),
        order in order(),
        is_null in prop::bool::weighted(0.1),
    ) {
        let values: Vec<&str> = groups.iter().flatten().map(|(value, _)| value.as_str()).collect();
        let condition = condition(values[about.index(values.len())], order, is_null);
        // A file a group, so that every group is decided by its own bounds: in the manifest and in the footer.
        let mut columns = TableSchema::default();
        if !column_type.is_empty() {
            declare(&mut columns, &[("v", column_type)], true);
        }
        let bucket = MemoryBucket::new();
        let mut files = Vec::new();
        let mut all = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let documents: Vec<Document> = group.iter().enumerate().map(|(row, (value, there))| {
                document(&format!("{number}-{row}"), 1, FEBRUARY, &if *there { format!("\"v\":{value}") } else { String::new() })
            }).collect();
            if column_type.is_empty() {
                documents.iter().for_each(|document| {
                    thermocline::vortex::infer::observe(&mut columns, &Json::parse(&document.text).unwrap());
                });
            }
            let key = format!("k{number}");
            let (bytes, file) = document_file(&columns, &documents, &key);
            put(&bucket, &key, &bytes);
            files.push(file);
            all.extend(documents);
        }
        let holds = |document: &Document| condition.holds(Json::parse(&document.text).unwrap().get("v"));
        let expected: Vec<&str> = all.iter().filter(|document| holds(document)).map(|document| document.id.as_str()).collect();
        let prune = |statistics: &dyn ColumnStatistics| statistics.bounds("v").is_some_and(|bounds| condition.is_excluded(&bounds));
        // The manifest's bounds alone, then the footer's alone, then both.
        for skip in [None, Some(true), Some(false)] {
            let calls = std::cell::Cell::new(0_usize);
            let some = |statistics: &dyn ColumnStatistics| {
                calls.set(calls.get() + 1);
                let is_manifest = calls.get() == 1;
                skip.is_none_or(|skipped| skipped != is_manifest) && prune(statistics)
            };
            let found = files.iter().flat_map(|file| {
                calls.set(0);
                read(&bucket, std::slice::from_ref(file), &columns, None, &some).unwrap().0
            });
            let found: Vec<String> = found.filter(|document| holds(document)).map(|document| document.id).collect();
            prop_assert_eq!(&found, &expected);
        }
    }
}
