//! Declared indexes in row form: a column of keys and an index of SQLite over it, for each.
//!
//! A key is the [bytes](super::segment::index_key) of the tuple of a document's values, cut at [`KEY_MAX_BYTES`]; so keys
//! are in the order of the tuples, and what is found between two of them is looked at again. The column is named by a
//! hash of the index's fields: a generation made before an index was declared has no such column, and is read whole.

use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::query::{Comparison, FieldPath, Filter, Operand, OrderKey, Query};
use super::segment::index_key;
use crate::error::Result;
use crate::types::Json;

/// Bytes of a key that are stored.
pub const KEY_MAX_BYTES: usize = 512;
const COLUMN_PREFIX: &str = "key_";
const HASH_DIGITS: usize = 16;

/// An index, told by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexId(u64);

impl IndexId {
    /// The index over these fields.
    pub fn of(fields: &[String]) -> Self {
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_le_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        Self(xxh64(&bytes, 0))
    }

    /// The column of its keys.
    pub fn column(self) -> String {
        format!("{COLUMN_PREFIX}{:016x}", self.0)
    }

    /// The indexes whose columns a table has, by the statement that made it.
    pub fn of_table(statement: &str) -> Rc<[Self]> {
        let columns = statement.split(COLUMN_PREFIX).skip(1).filter_map(|rest| rest.get(..HASH_DIGITS));
        columns.filter_map(|digits| u64::from_str_radix(digits, 16).ok()).map(Self).collect()
    }
}

/// The key of a document in an index.
pub fn key(fields: &[FieldPath], document: &Json<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    for field in fields {
        index_key::put_value(field.find(document), &mut key);
    }
    key.truncate(KEY_MAX_BYTES);
    key
}

/// The columns of keys that documents written to a table have. The key in an index that is not declared now is null, so
/// that no old one stays where the index is declared again.
#[derive(Clone, Debug, Default)]
pub struct KeyColumns {
    columns: Vec<(IndexId, Option<Vec<FieldPath>>)>,
}

impl KeyColumns {
    /// Of a table that has these indexes.
    pub fn new(declared: &[Vec<String>], of_table: &[IndexId]) -> Self {
        let paths = |fields: &Vec<String>| fields.iter().map(|field| FieldPath::new(field.as_str())).collect();
        let declared = |id: &IndexId| declared.iter().find(|fields| IndexId::of(fields) == *id).map(paths);
        Self { columns: of_table.iter().map(|id| (*id, declared(id))).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.columns.iter().map(|(id, _)| id.column())
    }

    /// The keys of a document; `None` in an index that is not declared.
    pub fn keys(&self, text: &str) -> Result<Vec<Option<Vec<u8>>>> {
        if self.columns.is_empty() {
            return Ok(Vec::new());
        }
        let document = Json::parse(text)?;
        Ok(self.columns.iter().map(|(_, fields)| fields.as_ref().map(|fields| key(fields, &document))).collect())
    }
}

/// Keys between which the documents lie that a condition can hold for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRange {
    /// In which index.
    pub index: IndexId,
    /// From the first key of each pair on, up to before the second.
    pub keys: Vec<KeyPair>,
}

/// A stored key, and one beyond the last.
pub type KeyPair = (Vec<u8>, Vec<u8>);

/// Values of one `in` that are looked up one by one.
const IN_MAX: usize = 32;

/// Keys of an index whose first fields are equal to constants, in the order of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexOrder {
    /// In which index.
    pub index: IndexId,
    /// From the first key on, up to before the second, all lie that are wanted.
    pub keys: KeyPair,
    /// Whether from the greatest to the least.
    pub descending: bool,
    constants: Vec<u8>,
}

impl IndexOrder {
    /// Whether two values of the field may have stored keys that do not tell them apart, since keys are cut.
    pub fn are_alike(&self, left: &OrderKey, right: &OrderKey) -> bool {
        with(&self.constants, left, KEY_MAX_BYTES) == with(&self.constants, right, KEY_MAX_BYTES)
    }
}

/// How an index serves a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexUse {
    /// It tells where documents lie that the condition can hold for.
    Range(IndexRange),
    /// It gives them in the order that is wanted.
    Order(IndexOrder),
}

/// The index that serves a query best: the one with the most leading fields that are equal to constants, and a range of
/// the next field; of equals one in the order that is wanted, and the one that is declared last. `None` when none has its
/// first field compared or ordered by.
pub fn choose(query: &Query, declared: &[Vec<String>]) -> Option<IndexUse> {
    let mut conjuncts = Vec::new();
    query.filter.iter().for_each(|filter| collect(filter, &mut conjuncts));
    let uses = declared.iter().flat_map(|fields| {
        let range = range_of(fields, &conjuncts)
            .map(|(served, keys)| (served, false, IndexUse::Range(IndexRange { index: IndexId::of(fields), keys })));
        [range, order_of(fields, &conjuncts, query)]
    });
    uses.flatten().max_by_key(|(served, in_order, _)| (*served, *in_order)).map(|(.., of_index)| of_index)
}

/// The comparisons that all have to hold.
fn collect<'f>(filter: &'f Filter, conjuncts: &mut Vec<(&'f str, &'f Comparison)>) {
    match filter {
        Filter::And(all) => all.iter().for_each(|filter| collect(filter, conjuncts)),
        Filter::Compare(path, comparison) => conjuncts.push((path.as_str(), comparison)),
        Filter::Or(_) | Filter::Not(_) => {}
    }
}

/// The values of an index's first fields that are equal to constants, and the field after them.
fn constants<'f>(fields: &'f [String], conjuncts: &[(&str, &Comparison)]) -> (Vec<u8>, usize, Option<&'f String>) {
    let mut tuple = Vec::new();
    for (equal, field) in fields.iter().enumerate() {
        let value = conjuncts.iter().find_map(|(name, comparison)| match comparison {
            Comparison::Eq(operand) if name == field => Some(&operand.0),
            _ => None,
        });
        let Some(value) = value else { return (tuple, equal, Some(field)) };
        index_key::put(value, &mut tuple);
    }
    (tuple, fields.len(), None)
}

/// The keys whose next value satisfies the comparisons of a field, after constants. Several are met where one range of keys
/// each will do; else the first is.
fn range_of_field(constants: &[u8], field: &str, conjuncts: &[(&str, &Comparison)]) -> Option<Vec<KeyPair>> {
    let of_field = conjuncts.iter().filter(|(name, _)| *name == field);
    of_field.filter_map(|(_, comparison)| ranges(constants, comparison)).reduce(|left, right| {
        match (left.as_slice(), right.as_slice()) {
            ([one], [other]) => vec![meet(one, other)],
            _ => left,
        }
    })
}

/// The keys in both ranges.
fn meet(left: &KeyPair, right: &KeyPair) -> KeyPair {
    (left.0.clone().max(right.0.clone()), left.1.clone().min(right.1.clone()))
}

/// How many comparisons an index serves, and the keys it is to be read between.
fn range_of(fields: &[String], conjuncts: &[(&str, &Comparison)]) -> Option<(usize, Vec<KeyPair>)> {
    let (constants, equal, next) = constants(fields, conjuncts);
    let served = equal.saturating_mul(2);
    match next.and_then(|field| range_of_field(&constants, field, conjuncts)) {
        Some(keys) => Some((served.saturating_add(1), keys)),
        None => (served > 0).then(|| (served, vec![between(constants.clone(), constants)])),
    }
}

/// How an index gives documents in the order of a query's first key, where it does.
fn order_of(fields: &[String], conjuncts: &[(&str, &Comparison)], query: &Query) -> Option<(usize, bool, IndexUse)> {
    let order = query.order_by.first().filter(|_| !query.is_grouped())?;
    let (constants, equal, next) = constants(fields, conjuncts);
    let field = next.filter(|field| *field == order.path.as_str())?;
    let mut keys = between(constants.clone(), constants.clone());
    let range = range_of_field(&constants, field, conjuncts);
    let mut served = equal.saturating_mul(2);
    // Several ranges are read better one by one.
    if let Some([range]) = range.as_deref() {
        keys = meet(&keys, range);
        served = served.saturating_add(1);
    }
    if let Some(after) = query.after.as_ref().and_then(|after| after.first()) {
        let (least, beyond) = between(with(&constants, after, usize::MAX), with(&constants, after, usize::MAX));
        let from = if order.descending { (Vec::new(), beyond) } else { (least, keys.1.clone()) };
        keys = meet(&keys, &from);
    }
    let order = IndexOrder { index: IndexId::of(fields), keys, descending: order.descending, constants };
    Some((served, true, IndexUse::Order(order)))
}

/// The first bytes of the key of constants and a value.
fn with(constants: &[u8], value: &OrderKey, max_bytes: usize) -> Vec<u8> {
    let mut key = constants.to_vec();
    index_key::put(value, &mut key);
    key.truncate(max_bytes);
    key
}

/// The keys whose next value satisfies a comparison, after the values of `tuple`.
fn ranges(tuple: &[u8], comparison: &Comparison) -> Option<Vec<KeyPair>> {
    let with = |value: &OrderKey| with(tuple, value, usize::MAX);
    let tagged = |tag: u8| [tuple, &[tag]].concat();
    let one = |least: Vec<u8>, greatest: Vec<u8>| Some(vec![between(least, greatest)]);
    match comparison {
        Comparison::Lt(Operand(value)) | Comparison::Lte(Operand(value)) => {
            one(tagged(index_key::kind_tags(value).0), with(value))
        }
        Comparison::Gt(Operand(value)) | Comparison::Gte(Operand(value)) => {
            one(with(value), tagged(index_key::kind_tags(value).1))
        }
        Comparison::Between(Operand(low), Operand(high)) => one(with(low), with(high)),
        Comparison::Prefix(prefix) => {
            let least = [tuple, &index_key::text_beginning(prefix)].concat();
            one(least.clone(), least)
        }
        Comparison::IsNull(true) => one(with(&OrderKey::Null), with(&OrderKey::Null)),
        Comparison::In(operands) if operands.as_slice().len() <= IN_MAX => {
            Some(operands.as_slice().iter().map(|Operand(value)| between(with(value), with(value))).collect())
        }
        Comparison::In(_) | Comparison::Eq(_) | Comparison::Ne(_) | Comparison::IsNull(false) => None,
    }
}

/// The stored keys from `least` to all that begin with `greatest`.
fn between(mut least: Vec<u8>, mut greatest: Vec<u8>) -> KeyPair {
    least.truncate(KEY_MAX_BYTES);
    greatest.truncate(KEY_MAX_BYTES);
    // The first key beyond those: its tag is never 255, so that there is one.
    while greatest.last() == Some(&u8::MAX) {
        greatest.pop();
    }
    match greatest.last_mut() {
        Some(last) => *last = last.saturating_add(1),
        None => greatest.push(u8::MAX),
    }
    (least, greatest)
}

#[cfg(test)]
mod tests {
    use super::super::query::{Operands, OrderBy};
    use super::*;

    #[test]
    fn a_table_tells_the_indexes_it_has() {
        let ids = [IndexId::of(&["city".to_owned()]), IndexId::of(&["a".to_owned(), "b".to_owned()])];
        let statement = format!("CREATE TABLE t (id TEXT, {} BLOB, {} BLOB) STRICT", ids[0].column(), ids[1].column());
        assert_eq!(IndexId::of_table(&statement).as_ref(), ids);
        assert!(IndexId::of_table("CREATE TABLE t (id TEXT, key_ TEXT)").is_empty());
        assert_ne!(IndexId::of(&["ab".to_owned()]), IndexId::of(&["a".to_owned(), "b".to_owned()]));
    }

    /// Every document that satisfies a condition has its key in one of the ranges; and most others do not.
    #[test]
    fn ranges_hold_what_satisfies_the_condition() {
        let operand = |text: &str| Operand(OrderKey::of(Some(&Json::parse(text).unwrap())));
        let values =
            ["null", "false", "true", "-7", "0", "2.5", "3", "1e30", "\"\"", "\"ab\"", "\"abc\"", "\"b\"", "[]"];
        let long = format!("\"{}\"", "ab".repeat(600));
        let values: Vec<&str> = values.into_iter().chain([long.as_str()]).collect();
        let fields = ["a".to_owned(), "b".to_owned()];
        let paths = fields.clone().map(FieldPath::new);
        let mut comparisons = vec![Comparison::IsNull(true), Comparison::Prefix("ab".to_owned())];
        for value in values.iter().filter(|value| **value != "null") {
            let all = [Comparison::Eq, Comparison::Lt, Comparison::Lte, Comparison::Gt, Comparison::Gte];
            comparisons.extend(all.map(|comparison| comparison(operand(value))));
            comparisons.push(Comparison::Between(operand(value), operand("\"abc\"")));
        }
        let (mut held, mut within) = (0, 0);
        for comparison in comparisons {
            let filter = Filter::And(vec![
                Filter::Compare(paths[0].clone(), Comparison::Eq(operand("\"x\""))),
                Filter::Compare(paths[1].clone(), comparison),
            ]);
            let query = Query { filter: Some(filter.clone()), ..Query::default() };
            let Some(IndexUse::Range(range)) = choose(&query, &[fields.to_vec()]) else { panic!("a range") };
            for value in &values {
                let text = format!(r#"{{"a":"x","b":{value}}}"#);
                let document = Json::parse(&text).unwrap();
                let key = key(&paths, &document);
                let inside = range.keys.iter().any(|(least, beyond)| *least <= key && key < *beyond);
                let holds = filter.evaluate(&document) == Some(true);
                assert!(inside || !holds, "{filter:?} {value}");
                held += usize::from(holds);
                within += usize::from(inside);
            }
        }
        assert!(held > 100 && within < held * 2, "{held} of {within}");
    }

    #[test]
    fn the_index_with_the_most_equal_fields_is_chosen() {
        let declared: Vec<Vec<String>> = [&["a"][..], &["a", "b"], &["c"]]
            .iter()
            .map(|fields| fields.iter().map(|f| (*f).to_owned()).collect())
            .collect();
        let eq = |name: &str| Filter::Compare(FieldPath::new(name), Comparison::Eq(Operand(OrderKey::Integer(1))));
        let chosen = |filter: &Filter| {
            let query = Query { filter: Some(filter.clone()), ..Query::default() };
            match choose(&query, &declared) {
                Some(IndexUse::Range(range)) => Some(range.index),
                _ => None,
            }
        };
        assert_eq!(chosen(&Filter::And(vec![eq("b"), eq("a")])), Some(IndexId::of(&declared[1])));
        assert_eq!(chosen(&eq("c")), Some(IndexId::of(&declared[2])));
        assert_eq!(chosen(&eq("b")), None);
        assert_eq!(chosen(&Filter::Or(vec![eq("a"), eq("c")])), None);
        assert_eq!(chosen(&Filter::Not(Box::new(eq("a")))), None);
    }

    #[test]
    fn an_index_in_the_order_that_is_wanted_is_chosen_among_equals() {
        let declared: Vec<Vec<String>> = [&["a", "t"][..], &["t"], &["b", "t"], &["c"]]
            .iter()
            .map(|fields| fields.iter().map(|f| (*f).to_owned()).collect())
            .collect();
        let one = || Operand(OrderKey::Integer(1));
        let eq = |name: &str| Filter::Compare(FieldPath::new(name), Comparison::Eq(one()));
        let chosen = |all: Vec<Filter>| {
            let order_by = vec![OrderBy { path: FieldPath::new("t"), descending: true }];
            match choose(&Query { filter: Some(Filter::And(all)), order_by, ..Query::default() }, &declared) {
                Some(IndexUse::Order(order)) => (true, declared.iter().position(|f| IndexId::of(f) == order.index)),
                Some(IndexUse::Range(range)) => (false, declared.iter().position(|f| IndexId::of(f) == range.index)),
                None => (false, None),
            }
        };
        assert_eq!(chosen(vec![]), (true, Some(1)));
        assert_eq!(chosen(vec![eq("a")]), (true, Some(0)));
        assert_eq!(chosen(vec![eq("a"), eq("b")]), (true, Some(2)), "the last one");
        assert_eq!(chosen(vec![eq("c")]), (false, Some(3)), "more is equal");
        let at = |comparison| Filter::Compare(FieldPath::new("t"), comparison);
        assert_eq!(chosen(vec![eq("a"), at(Comparison::Gt(one()))]), (true, Some(0)));
        let both = Comparison::In(Operands::new(vec![one(), Operand(OrderKey::Integer(9))]));
        assert_eq!(chosen(vec![at(both)]), (false, Some(1)), "several ranges are read one by one");
    }

    #[test]
    fn keys_are_in_the_order_of_values() {
        let fields = [FieldPath::new("a"), FieldPath::new("b.c")];
        let key = |text: &str| key(&fields, &Json::parse(text).unwrap());
        assert!(key(r#"{"a":1,"b":{"c":"x"}}"#) < key(r#"{"a":1.5}"#));
        assert_eq!(key(r#"{"a":1,"b":{"c":null}}"#), key(r#"{"a":1.0}"#));
        assert_eq!(key(&format!(r#"{{"a":"{}"}}"#, "x".repeat(5_000))).len(), KEY_MAX_BYTES);
    }
}
