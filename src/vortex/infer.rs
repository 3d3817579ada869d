//! Learns columns from documents.
//!
//! The first non-null value of a field decides its column's type: an integer makes it long, another number double, a
//! text string, `true` or `false` boolean, anything else JSON. From then on:
//!
//! - a long column that meets a number that is no integer of 64 bits becomes double;
//! - a value of another type is a misfit and stays in `_extra`;
//! - once [`SEEN_BEFORE_MIXED`] values were seen and more than a tenth of them are misfits, the column becomes a mixed
//!   string column, which holds the JSON text of values that are no strings.
//!
//! A column whose type changes gets a new field id. Only the sequence of documents decides, so that replaying a change
//! log infers the same columns.

use super::column_type::ColumnType;
use std::collections::BTreeSet;

use super::number;
use super::schema::{ID_NAME, Origin, TableSchema};
use crate::types::Json;

/// Values of a column that are seen before misfits may change its type.
pub const SEEN_BEFORE_MIXED: u64 = 10;

/// Learns from one new version of a document. Returns whether a column was added or changed its type; the counts
/// change with nearly every document.
pub fn observe(schema: &mut TableSchema, document: &Json<'_>) -> bool {
    observe_beside(schema, document, &BTreeSet::new())
}

/// The same where the columns with the field ids `fixed` keep their types: files have values of them. What does not fit
/// them is for `_extra`.
pub fn observe_beside(schema: &mut TableSchema, document: &Json<'_>, fixed: &BTreeSet<i32>) -> bool {
    let Json::Object(members) = document else { return false };
    let mut changed = false;
    for (name, value) in members {
        if name != ID_NAME && !matches!(value, Json::Null) {
            changed |= observe_field(schema, name, value, fixed);
        }
    }
    changed
}

fn observe_field(schema: &mut TableSchema, name: &str, value: &Json<'_>, fixed: &BTreeSet<i32>) -> bool {
    match schema.position(name) {
        Some(position) => observe_value(schema, position, value, fixed),
        None if schema.has_room_for(name) => {
            schema.add_inferred(name, inferred_type(value));
            true
        }
        None => false,
    }
}

fn inferred_type(value: &Json<'_>) -> ColumnType {
    match value {
        Json::Bool(_) => ColumnType::Boolean,
        Json::Number(text) if number::is_integer_text(text) && number::to_long(text).is_some() => ColumnType::Long,
        Json::Number(_) => ColumnType::Double,
        Json::String(_) => ColumnType::String,
        Json::Null | Json::Array(_) | Json::Object(_) => ColumnType::Json,
    }
}

fn observe_value(schema: &mut TableSchema, position: usize, value: &Json<'_>, fixed: &BTreeSet<i32>) -> bool {
    let Some(column) = schema.column_mut(position) else { return false };
    let is_fixed = fixed.contains(&column.id);
    let column_type = column.column_type;
    let Origin::Inferred { fits, misfits, mixed } = &mut column.origin else { return false };
    let widened = !is_fixed
        && column_type == ColumnType::Long
        && matches!(value, Json::Number(_))
        && column_type.represent(value).is_none();
    if *mixed || widened || represents(column_type, value) {
        *fits = fits.saturating_add(1);
    } else {
        *misfits = misfits.saturating_add(1);
    }
    if widened {
        schema.retype(position, ColumnType::Double);
        return true;
    }
    let seen = fits.saturating_add(*misfits);
    if *mixed || seen < SEEN_BEFORE_MIXED || misfits.saturating_mul(10) <= seen {
        return false;
    }
    if is_fixed && column_type != ColumnType::String {
        return false;
    }
    *mixed = true;
    // A string column keeps its id: what it holds stays true, and the misfits join it.
    if column_type != ColumnType::String {
        schema.retype(position, ColumnType::String);
    }
    true
}

/// Like [`ColumnType::represent`], without making the value.
fn represents(column_type: ColumnType, value: &Json<'_>) -> bool {
    column_type == ColumnType::Json || column_type.represent(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(documents: &[&str]) -> TableSchema {
        let mut schema = TableSchema::default();
        for document in documents {
            observe(&mut schema, &Json::parse(document).unwrap());
        }
        schema
    }

    fn column(schema: &TableSchema, name: &str) -> (i32, ColumnType, Origin) {
        let column = schema.column(name).unwrap();
        (column.id, column.column_type, column.origin)
    }

    fn inferred(fits: u64, misfits: u64, mixed: bool) -> Origin {
        Origin::Inferred { fits, misfits, mixed }
    }

    #[test]
    fn a_column_of_which_files_have_values_keeps_its_type() {
        let mut schema = learn(&[r#"{"n":1,"b":true}"#]);
        let before = [column(&schema, "n"), column(&schema, "b")].map(|(id, column_type, _)| (id, column_type));
        let fixed = before.iter().map(|(id, _)| *id).collect();
        for _ in 0..50 {
            let document = Json::parse(r#"{"n":0.5,"b":"text","more":1}"#).unwrap();
            observe_beside(&mut schema, &document, &fixed);
        }
        let after = [column(&schema, "n"), column(&schema, "b")].map(|(id, column_type, _)| (id, column_type));
        assert_eq!(before, after);
        assert_eq!(column(&schema, "more").1, ColumnType::Long, "what is new is learned");
    }

    #[test]
    fn the_first_value_that_is_not_null_decides() {
        let schema = learn(&[
            r#"{"id":"x","i":null}"#,
            r#"{"id":"x","i":7,"f":7.0,"e":7e0,"s":"","b":false,"o":{},"l":[],"big":9223372036854775808,"_x":1,"ID":2,"":3}"#,
        ]);
        let types: Vec<_> = schema
            .columns()
            .iter()
            .map(|column| format!("{} {} {}", column.id, column.name, column.column_type))
            .collect();
        assert_eq!(
            types,
            [
                "5 i long",
                "6 f double",
                "7 e double",
                "8 s string",
                "9 b bool",
                "10 o json",
                "11 l json",
                "12 big double"
            ]
        );
    }

    #[test]
    fn a_long_that_meets_a_fraction_becomes_a_new_double() {
        let schema = learn(&[r#"{"a":1}"#, r#"{"a":2.0}"#]);
        assert_eq!(column(&schema, "a"), (5, ColumnType::Long, inferred(2, 0, false)));
        let schema = learn(&[r#"{"a":1,"b":1}"#, r#"{"a":1.5}"#, r#"{"a":2}"#, r#"{"b":-9223372036854775809}"#]);
        assert_eq!(column(&schema, "a"), (7, ColumnType::Double, inferred(3, 0, false)));
        assert_eq!(column(&schema, "b"), (8, ColumnType::Double, inferred(2, 0, false)));
    }

    #[test]
    fn many_misfits_make_a_column_of_text() {
        let mut documents = vec![r#"{"a":1}"#; 9];
        documents.push(r#"{"a":"x"}"#);
        let schema = learn(&documents);
        assert_eq!(column(&schema, "a"), (5, ColumnType::Long, inferred(9, 1, false)));
        documents.push(r#"{"a":true}"#);
        let schema = learn(&documents);
        assert_eq!(column(&schema, "a"), (6, ColumnType::String, inferred(9, 2, true)));
        documents.extend([r#"{"a":7.5}"#, r#"{"a":null}"#]);
        assert_eq!(column(&learn(&documents), "a"), (6, ColumnType::String, inferred(10, 2, true)));
    }

    #[test]
    fn a_string_column_becomes_mixed_under_its_own_id() {
        let mut documents = vec![r#"{"a":"x"}"#; 10];
        documents.extend([r#"{"a":1}"#, r#"{"a":2}"#]);
        let schema = learn(&documents);
        assert_eq!(column(&schema, "a"), (5, ColumnType::String, inferred(10, 2, true)));
    }

    #[test]
    fn columns_are_bounded_and_names_differ_by_more_than_case() {
        let many: Vec<String> = (0..600).map(|number| format!("\"c{number}\":{number}")).collect();
        let schema = learn(&[&format!("{{{}}}", many.join(","))]);
        assert_eq!(schema.columns().len(), crate::limits::TABLE_MAX_COLUMNS);
        let schema = learn(&[r#"{"City":1,"city":"x","CITY":2.5}"#, r#"{"city":1}"#]);
        assert_eq!(column(&schema, "City"), (5, ColumnType::Long, inferred(1, 0, false)));
        assert_eq!(schema.columns().len(), 1);
    }

    #[test]
    fn changes_of_columns_are_told_from_counts() {
        let mut schema = TableSchema::default();
        let mut change = |text: &str| observe(&mut schema, &Json::parse(text).unwrap());
        assert!(change(r#"{"id":"x","a":1}"#));
        assert!(!change(r#"{"id":"x","a":1}"#));
        assert!(change(r#"{"id":"x","a":1.5}"#));
        assert!(!change("[]"));
    }
}
