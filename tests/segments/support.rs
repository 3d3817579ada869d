//! What the other files share: segments in memory, and documents to put in them.

use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Map, Value};
use thermocline::hot::segment::{BuiltSegment, ColumnBytes, NewRow, Origin, SegmentBuilder, SegmentHead};
use thermocline::ports::native::SplitMix64;
use thermocline::types::{Document, Json};
use thermocline::vortex::blob::Budget;
use thermocline::vortex::{ColumnDeclaration, ColumnType};

/// 2024-02-29T23:59:59.999Z
pub const NOW: i64 = 1_709_251_199_999;

/// More than any test decodes.
pub fn ample() -> Budget {
    Budget::new(1 << 30)
}

pub fn declaration(name: &str, column_type: &str) -> ColumnDeclaration {
    ColumnDeclaration {
        name: name.to_owned(),
        renamed: None,
        column_type: column_type.parse().unwrap(),
        nullable: true,
    }
}

pub fn fields(indexes: &[&[&str]]) -> Vec<Vec<String>> {
    indexes.iter().map(|fields| fields.iter().map(|field| (*field).to_owned()).collect()).collect()
}

/// A document of an id and members.
pub fn document(id: &str, sequence: i64, members: Map<String, Value>) -> Document {
    let mut all = Map::from_iter([("id".to_owned(), Value::from(id))]);
    all.extend(members.into_iter().filter(|(name, _)| name != "id"));
    Document { id: id.to_owned(), sequence, timestamp: NOW - sequence, text: Value::Object(all).to_string() }
}

/// Sorts by id, as a builder wants it.
pub fn sorted(mut documents: Vec<Document>) -> Vec<Document> {
    documents.sort_by(|left, right| left.id.cmp(&right.id));
    documents.dedup_by(|left, right| left.id == right.id);
    documents
}

pub fn new_row(document: &Document) -> NewRow<'_> {
    let Document { id, sequence, timestamp, text } = document;
    NewRow { id, sequence: *sequence, timestamp: *timestamp, text }
}

pub fn build_with(documents: &[Document], declared: &[ColumnDeclaration], indexes: &[Vec<String>]) -> BuiltSegment {
    let mut builder = SegmentBuilder::new(declared, indexes).unwrap();
    documents.iter().for_each(|document| builder.push(new_row(document)).unwrap());
    assert_eq!(builder.rows(), documents.len());
    builder.finish(Origin::Direct, vec![]).unwrap()
}

pub fn build(documents: &[Document]) -> BuiltSegment {
    build_with(documents, &[], &[])
}

/// The blob that a segment's pieces are of: its groups, then its tail.
pub fn columns(built: &BuiltSegment) -> ColumnBytes {
    let groups: Vec<Rc<[u8]>> = built.groups.iter().map(|group| group.as_slice().into()).collect();
    let mut columns = ColumnBytes::default();
    for position in 0..built.head.index.columns().len() {
        let (group, range) = built.head.group_of(position).unwrap();
        columns.insert(position, Rc::clone(&groups[group]), range);
    }
    columns
}

/// What a program sees that finds the segment's bytes.
pub fn reopened(built: &BuiltSegment) -> SegmentHead {
    let head = SegmentHead::read(&built.head.to_bytes().unwrap()).unwrap();
    assert_eq!(head, built.head);
    head
}

pub fn assert_same(expected: &Document, got: &Document) {
    assert_eq!((&expected.id, expected.sequence, expected.timestamp), (&got.id, got.sequence, got.timestamp));
    let same = Json::parse(&expected.text).unwrap().same(&Json::parse(&got.text).unwrap());
    assert!(same, "expected {}, got {}", expected.text, got.text);
}

pub fn assert_all_same(expected: &[Document], got: &[Document]) {
    assert_eq!(expected.len(), got.len());
    expected.iter().zip(got).for_each(|(expected, got)| assert_same(expected, got));
}

/// A value of any kind; numbers of any spelling come from [`respelled`].
pub fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-4_i64..4).prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        "20[0-9]{2}-0[1-9]-1[0-9]".prop_map(Value::from),
        Just(Value::from("0192d3f0-0000-7000-8000-000000000000")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,3}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Names that collide, that no column can have, and ordinary ones.
pub fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-f]",
        1 => prop::sample::select(vec!["A", "_seq", "_ts", "_extra", "ID", "", "a.b", "é", "\u{0}", "x\"y"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// Documents with ascending ids and versions in no order.
pub fn any_documents(rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Document>> {
    let members = prop::collection::btree_map(any_name(), any_value(), 0..7);
    let row = (any_id(), 0_i64..1_000_000, members, any::<u64>());
    prop::collection::vec(row, rows).prop_map(|rows| {
        let document = |(id, sequence, members, noise): (String, i64, std::collections::BTreeMap<_, _>, u64)| {
            let mut document = document(&id, sequence, members.into_iter().collect());
            document.text = respelled(&document.text, noise);
            document
        };
        sorted(rows.into_iter().map(document).collect())
    })
}

pub fn any_id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}", "\\PC{1,4}", "doc-[0-9]{1,6}"]
}

/// The same document with some numbers spelled otherwise.
pub fn respelled(text: &str, noise: u64) -> String {
    fn walk(value: &Json<'_>, noise: u64, out: &mut String) {
        match value {
            Json::Number(text) if !text.contains(['.', 'e', 'E']) => {
                let spelled = [text.to_string(), format!("{text}.0"), format!("{text}e0"), format!("{text}.50")];
                out.push_str(&spelled[(noise % 8).min(3) as usize * usize::from(noise.is_multiple_of(3))]);
            }
            Json::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    thermocline::types::json::write_string(name, out);
                    out.push(':');
                    walk(value, noise.rotate_right(at as u32), out);
                }
                out.push('}');
            }
            other => other.write(out),
        }
    }
    let mut out = String::new();
    walk(&Json::parse(text).unwrap(), noise, &mut out);
    out
}

/// A declared column of every type, by one-letter names that documents use too.
pub fn any_declarations() -> impl Strategy<Value = Vec<ColumnDeclaration>> {
    let types = [
        "bool",
        "int",
        "long",
        "float",
        "double",
        "decimal(9,2)",
        "date",
        "timestamp",
        "string",
        "uuid",
        "binary",
        "json",
    ];
    let declared = prop::sample::subsequence(vec!["a", "b", "c", "d", "e", "f"], 0..4);
    (declared, prop::collection::vec(prop::sample::select(types.to_vec()), 6)).prop_map(|(names, types)| {
        names.iter().zip(types).map(|(name, column_type)| declaration(name, column_type)).collect()
    })
}

/// Numbers that only their seed decides.
pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The type of a column.
pub fn type_of(head: &SegmentHead, name: &str) -> ColumnType {
    head.index.columns()[head.index.position(name).unwrap()].column_type
}
