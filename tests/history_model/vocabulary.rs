//! What a history is made of.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::{config, values};

pub const COLLECTIONS: [&str; 2] = ["movies", "people"];
/// Ids that documents may have.
pub const IDS: u8 = 200;
/// Ids that sort and encode in their own ways; the others are between them.
const ODD_IDS: [&str; 12] = ["a", "b/c", "é", "Z", "0", "\u{1}", "a a", "%", "日本", "-", "~", "a\""];

const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Insert,
    Upsert,
    Patch,
    Delete,
}

#[derive(Clone)]
pub struct Change {
    pub op: Op,
    pub collection: usize,
    pub id: u8,
    pub fields: Value,
}

impl fmt::Debug for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, collection, id, fields } = self;
        write!(formatter, "{op:?} {collection} {:?} {fields}", id_of(*id))
    }
}

/// What makes a batch be refused.
#[derive(Clone, Copy, Debug)]
pub enum Flaw {
    DeleteAbsent,
    PatchAbsent,
    WrongVersion,
    NoObject,
}

/// A collection declared: columns with their types, indexes, and when documents leave row form.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Fields and types, in the order of the table.
    pub columns: Vec<(&'static str, &'static str)>,
    /// The names of these columns where they are others; the rest have those of their fields.
    pub names: Vec<Option<&'static str>>,
    /// Fields that have no column: those of them that had one.
    pub dropped: Vec<&'static str>,
    pub indexes: Vec<Vec<&'static str>>,
    pub threshold: Option<i64>,
    pub min_age_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub enum Step {
    One(Change),
    Batch(Vec<Change>),
    /// A batch of changes that can be: what cannot is an upsert instead.
    Mended(Vec<Change>),
    /// The same with a flaw at a place, so that nothing of it happens.
    Flawed(Vec<Change>, usize, Flaw),
    /// Documents of one collection, by inserts or by upserts.
    Import(usize, bool, Vec<(u8, Value)>),
    Declare(usize, Declared),
    Drop(usize),
    /// A new instance, perhaps with another configuration.
    Restart(Option<String>),
    Alarm(usize),
    Sync,
    /// Reads with alarms between their pages.
    Walk(u32),
    Wait(i64),
    /// Everything is archived, and looked at as a whole.
    Settle,
}

pub fn id_of(number: u8) -> String {
    match ODD_IDS.get(usize::from(number)) {
        Some(odd) => (*odd).to_owned(),
        None => format!("d{number:03}"),
    }
}

/// Any of all ids, or one of the odd ones, so that some are changed often.
fn id() -> impl Strategy<Value = u8> {
    prop_oneof![1 => 0..ODD_IDS.len() as u8, 2 => 0..IDS]
}

fn fields() -> impl Strategy<Value = Value> {
    any::<u32>().prop_map(values::fields)
}

fn change() -> impl Strategy<Value = Change> {
    let op = prop_oneof![3 => Just(Op::Insert), 4 => Just(Op::Upsert), 3 => Just(Op::Patch), 2 => Just(Op::Delete)];
    (op, 0..COLLECTIONS.len(), id(), fields()).prop_map(|(op, collection, id, fields)| Change {
        op,
        collection,
        id,
        fields,
    })
}

/// Few changes, as many as make a direct segment by default, or any number; in half of the batches of one collection.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    let count = prop_oneof![
        2 => prop::collection::vec(change(), 1..8),
        1 => prop::collection::vec(change(), 64..70),
        2 => prop::collection::vec(change(), 8..150),
    ];
    (count, any::<bool>()).prop_map(|(mut changes, alone)| {
        let first = changes.first().map_or(0, |change| change.collection);
        if alone {
            changes.iter_mut().for_each(|change| change.collection = first);
        }
        changes
    })
}

/// The lines of an import.
fn lines() -> impl Strategy<Value = Vec<(u8, Value)>> {
    let line = || (id(), fields());
    prop_oneof![1 => prop::collection::vec(line(), 0..10), 1 => prop::collection::vec(line(), 10..200)]
}

fn declared() -> impl Strategy<Value = Declared> {
    let types: [(&str, &[&str]); 6] = [
        ("a", &["long", "double", "json"]),
        ("b", &["double", "decimal(12,2)", "json"]),
        ("c", &["string", "json"]),
        ("t", &["timestamp", "string", "json"]),
        ("A", &["bool", "json"]),
        ("n", &["json"]),
    ];
    let all: Vec<(&str, &str)> =
        types.iter().flat_map(|(name, types)| types.iter().map(|column_type| (*name, *column_type))).collect();
    let columns = prop::collection::vec(select(all), 0..4).prop_map(|mut columns| {
        // Names that differ in case alone may not both be declared.
        columns.sort_unstable_by_key(|(name, _)| name.to_lowercase());
        columns.dedup_by_key(|(name, _)| name.to_lowercase());
        columns
    });
    let index = prop::sample::subsequence(vec!["a", "b", "c", "d", "t", "n.k", "none"], 1..3);
    let indexes = prop::collection::vec(index, 0..4).prop_map(|mut indexes| {
        indexes.sort_unstable();
        indexes.dedup();
        indexes
    });
    let threshold = prop_oneof![Just(None), (1..50i64).prop_map(Some)];
    let age = select(vec![None, Some(0), Some(5_000)]);
    let plain = (columns.prop_shuffle(), indexes, threshold, age, Just(Vec::new()), Just(Vec::new()));
    let plain = plain.prop_map(|(columns, indexes, threshold, min_age_ms, names, dropped)| Declared {
        columns,
        names,
        dropped,
        indexes,
        threshold,
        min_age_ms,
    });
    // As it is in a quarter of the cases, and else with other names, and drops of what is not declared.
    (plain, prop::bool::weighted(0.75), evolution()).prop_map(|(plain, evolves, (names, dropped))| match evolves {
        false => plain,
        true => Declared { names, dropped, ..plain },
    })
}

/// Names of columns, perhaps those of other fields, and fields to drop.
fn evolution() -> impl Strategy<Value = (Vec<Option<&'static str>>, Vec<&'static str>)> {
    let names = prop::sample::subsequence(vec!["a", "b", "c", "t", "n", "x", "Y", "z"], 3).prop_shuffle();
    let names = names.prop_flat_map(|names| {
        let other = |name| prop_oneof![2 => Just(None), 3 => Just(Some(name))];
        names.into_iter().map(other).collect::<Vec<_>>()
    });
    (names, prop::sample::subsequence(vec!["a", "b", "c", "d", "t", "n", "é"], 0..4))
}

pub fn step() -> impl Strategy<Value = Step> {
    let collection = || 0..COLLECTIONS.len();
    let flaw = select(vec![Flaw::DeleteAbsent, Flaw::PatchAbsent, Flaw::WrongVersion, Flaw::NoObject]);
    let wait = prop_oneof![3 => 0..120_000i64, 2 => 0..40 * DAY_MS, 1 => 0..400 * DAY_MS];
    prop_oneof![
        12 => change().prop_map(Step::One),
        4 => changes().prop_map(Step::Batch),
        12 => changes().prop_map(Step::Mended),
        3 => (changes(), any::<prop::sample::Index>(), flaw)
            .prop_map(|(changes, place, flaw)| { let place = place.index(changes.len()); Step::Flawed(changes, place, flaw) }),
        6 => (collection(), any::<bool>(), lines()).prop_map(|(c, upsert, lines)| Step::Import(c, upsert, lines)),
        6 => (collection(), declared()).prop_map(|(c, declared)| Step::Declare(c, declared)),
        1 => collection().prop_map(Step::Drop),
        2 => Just(Step::Restart(None)),
        1 => config::config().prop_map(|config| Step::Restart(Some(config))),
        8 => (1..4usize).prop_map(Step::Alarm),
        2 => Just(Step::Sync),
        2 => any::<u32>().prop_map(Step::Walk),
        4 => wait.prop_map(Step::Wait),
        1 => Just(Step::Settle),
    ]
}

impl Change {
    pub fn document(&self) -> Value {
        let mut document = self.fields.clone();
        document["id"] = json!(id_of(self.id));
        document
    }

    /// As an operation of a batch.
    pub fn operation(&self) -> Value {
        let op = match self.op {
            Op::Insert => "insert",
            Op::Upsert => "upsert",
            Op::Patch => "update",
            Op::Delete => "delete",
        };
        let mut operation = json!({"op": op, "collection": COLLECTIONS[self.collection], "id": id_of(self.id)});
        if self.op != Op::Delete {
            operation["doc"] = self.fields.clone();
        }
        operation
    }
}
