//! The columns of a state table: which top-level fields of its documents have a column, of which type, under which
//! field id, and how well inference has done so far.
//!
//! Invariants: a field id belongs to one column for ever and its type only widens (Iceberg spec, "Schema Evolution");
//! no two columns' names are equal but for case; at most [`TABLE_MAX_COLUMNS`] columns.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::column_type::ColumnType;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::TABLE_MAX_COLUMNS;
use crate::types::StorageTier;
use crate::types::names::quoted;

/// The name of the field that holds a document's id.
pub const ID_NAME: &str = "id";
/// Field id of `id`, the document's id: a required string, the identifier field.
pub const ID_FIELD: i32 = 1;
/// Field id of `_seq`, the document's version: a required long.
pub const SEQUENCE_FIELD: i32 = 2;
/// Field id of `_ts`, the version's commit time: a required timestamp.
pub const TIMESTAMP_FIELD: i32 = 3;
/// Field id of `_extra`: JSON text of what has no column.
pub const EXTRA_FIELD: i32 = 4;
/// The first field id of the documents' own fields.
pub const FIRST_COLUMN_FIELD: i32 = 5;
/// A column's name in bytes, at most.
pub const COLUMN_NAME_MAX_BYTES: usize = 255;
/// The version of the stored form of a [`TableSchema`].
const FORMAT: u32 = 1;

/// How a column came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// By a client: values that its type cannot represent are refused when written.
    Declared,
    /// From the documents.
    Inferred {
        /// Non-null values seen that the type represents.
        fits: u64,
        /// Non-null values seen that it does not.
        misfits: u64,
        /// The column is a string column that holds the JSON text of values that are no strings.
        mixed: bool,
    },
}

/// A column of a state table, beside the four that each has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// The Iceberg field id.
    pub id: i32,
    /// The name of the documents' top-level field.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether a document may be without it.
    pub nullable: bool,
    /// Declared or inferred.
    pub origin: Origin,
}

impl TableColumn {
    /// Whether the column holds the JSON text of values that are no strings.
    pub fn is_mixed(&self) -> bool {
        matches!(self.origin, Origin::Inferred { mixed: true, .. })
    }

    fn is_declared(&self) -> bool {
        self.origin == Origin::Declared
    }
}

/// A column as a client declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDeclaration {
    /// The name of the documents' top-level field.
    pub name: String,
    /// What its values are.
    pub column_type: ColumnType,
    /// Whether a document may be without it.
    pub nullable: bool,
}

/// The columns of a state table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct TableSchema {
    columns: Vec<TableColumn>,
    last_column_id: i32,
    positions: HashMap<String, usize>,
    folded: HashSet<String>,
}

/// The stored form: versioned JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    format: u32,
    last_column_id: i32,
    columns: Vec<TableColumn>,
}

impl Default for TableSchema {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            last_column_id: FIRST_COLUMN_FIELD - 1,
            positions: HashMap::new(),
            folded: HashSet::new(),
        }
    }
}

impl TableSchema {
    /// The columns, in the order of the table.
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The highest field id ever given.
    pub fn last_column_id(&self) -> i32 {
        self.last_column_id
    }

    /// The position in [`columns`](Self::columns) of the column of a field.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// The column of a field.
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.get(self.position(name)?)
    }

    /// Whether a field that has no column could be given one.
    pub fn has_room_for(&self, name: &str) -> bool {
        self.columns.len() < TABLE_MAX_COLUMNS && may_be_column(name) && !self.folded.contains(&fold(name))
    }

    /// Makes `declared` the complete list of declared columns.
    ///
    /// A column that was declared and is not in the list is dropped; one that is new is added; one that stays may be
    /// widened and made nullable. A declared name takes over the inferred column of that name, under a new field id
    /// when the types differ. While `empty` (no document was ever there) anything may change. A name that was dropped
    /// and comes back gets a new field id. Returns whether anything changed; on an error nothing has.
    pub fn declare(&mut self, declared: &[ColumnDeclaration], empty: bool) -> Result<bool> {
        check_declarations(declared)?;
        let mut next = self.clone();
        let folded: HashSet<String> = declared.iter().map(|declaration| fold(&declaration.name)).collect();
        // Inferred columns stay unless a declared name takes their place, which `declare_one` decides by exact name.
        next.columns.retain(|column| {
            let named = declared.iter().any(|declaration| declaration.name == column.name);
            named || !(column.is_declared() || folded.contains(&fold(&column.name)))
        });
        for (position, declaration) in declared.iter().enumerate() {
            next.declare_one(declaration, empty).map_err(|detail| conflict(position, detail))?;
        }
        if next.columns.len() > TABLE_MAX_COLUMNS {
            let message = format!(
                "expected at most {TABLE_MAX_COLUMNS} columns, inferred ones included, got {}",
                next.columns.len()
            );
            return Err(StorageError::new(ErrorKind::Invalid, StorageTier::Api, "declare columns", message));
        }
        next.index();
        let changed = next.columns != self.columns;
        *self = next;
        Ok(changed)
    }

    /// Declares what columns that files have values of, those with the ids in `fixed`, leave room for. Such a column stays
    /// under its id where the declarations would take it away or give it a type that its values are not of: engines find
    /// values by the id. What is declared instead has no column as long as that is so.
    pub fn declare_around(&mut self, declared: &[ColumnDeclaration], fixed: &BTreeSet<i32>) -> Result<bool> {
        let becomes = |column: &TableColumn| {
            let same = declared.iter().find(|declaration| declaration.name == column.name);
            same.is_some_and(|declaration| column.column_type.widens_to(declaration.column_type))
        };
        let mut kept = HashSet::new();
        let staying = self.columns.iter_mut().filter(|column| fixed.contains(&column.id) && !becomes(column));
        for column in staying {
            kept.insert(fold(&column.name));
            column.nullable = true;
            if column.is_declared() {
                column.origin = Origin::Inferred { fits: 1, misfits: 0, mixed: false };
            }
        }
        let others = declared.iter().filter(|declaration| !kept.contains(&fold(&declaration.name)));
        self.declare(&others.cloned().collect::<Vec<_>>(), true)
    }

    fn declare_one(&mut self, declaration: &ColumnDeclaration, empty: bool) -> std::result::Result<(), String> {
        let ColumnDeclaration { name, column_type, nullable } = declaration;
        let id = self.last_column_id.saturating_add(1);
        let fresh = || TableColumn {
            id,
            name: name.clone(),
            column_type: *column_type,
            nullable: *nullable,
            origin: Origin::Declared,
        };
        match self.columns.iter_mut().find(|column| column.name == *name) {
            None if *nullable || empty => self.columns.push(fresh()),
            None => {
                return Err(format!(
                    "a new column of a collection that had documents must be nullable, got {name:?} that is not"
                ));
            }
            Some(column) => {
                if column.nullable && !nullable && !empty {
                    return Err(format!("column {name:?} is nullable and can only stay so"));
                }
                if column.column_type.widens_to(*column_type) {
                    *column = TableColumn { id: column.id, ..fresh() };
                    return Ok(());
                }
                if column.is_declared() && !empty {
                    return Err(format!(
                        "column {name:?} is {} and cannot become {column_type}: int widens to long, float to double, a decimal to more digits before the point",
                        column.column_type
                    ));
                }
                *column = fresh();
            }
        }
        self.last_column_id = id;
        Ok(())
    }

    /// Adds an inferred column. The caller has checked [`has_room_for`](Self::has_room_for).
    pub(super) fn add_inferred(&mut self, name: &str, column_type: ColumnType) {
        self.last_column_id = self.last_column_id.saturating_add(1);
        let origin = Origin::Inferred { fits: 1, misfits: 0, mixed: false };
        let column =
            TableColumn { id: self.last_column_id, name: name.to_owned(), column_type, nullable: true, origin };
        self.positions.insert(column.name.clone(), self.columns.len());
        self.folded.insert(fold(name));
        self.columns.push(column);
    }

    /// Replaces an inferred column by one of another type, under a new field id.
    pub(super) fn retype(&mut self, position: usize, column_type: ColumnType) {
        if let Some(column) = self.columns.get_mut(position) {
            self.last_column_id = self.last_column_id.saturating_add(1);
            column.id = self.last_column_id;
            column.column_type = column_type;
        }
    }

    /// How an inferred column came to be, to count on.
    pub(super) fn column_mut(&mut self, position: usize) -> Option<&mut TableColumn> {
        self.columns.get_mut(position)
    }

    fn index(&mut self) {
        self.positions =
            self.columns.iter().enumerate().map(|(position, column)| (column.name.clone(), position)).collect();
        self.folded = self.columns.iter().map(|column| fold(&column.name)).collect();
    }
}

impl From<TableSchema> for Stored {
    fn from(schema: TableSchema) -> Self {
        Self { format: FORMAT, last_column_id: schema.last_column_id, columns: schema.columns }
    }
}

impl TryFrom<Stored> for TableSchema {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        if stored.format != FORMAT {
            return Err(format!("expected a table schema of format {FORMAT}, got {}", stored.format));
        }
        let mut schema = Self { columns: stored.columns, last_column_id: stored.last_column_id, ..Self::default() };
        schema.index();
        let ids: HashSet<i32> = schema.columns.iter().map(|column| column.id).collect();
        let known = FIRST_COLUMN_FIELD..=schema.last_column_id;
        let unique = ids.len() == schema.columns.len() && schema.folded.len() == schema.columns.len();
        if unique && ids.iter().all(|id| known.contains(id)) && schema.columns.len() <= TABLE_MAX_COLUMNS {
            return Ok(schema);
        }
        Err("expected columns with unique names and unique field ids from 5 to the last".to_owned())
    }
}

/// Whether a field's name can be a column's: not empty, at most 255 bytes, not beginning with `_`, not `id` in any
/// case, and without control characters, which some engines cut names at.
pub fn may_be_column(name: &str) -> bool {
    (1..=COLUMN_NAME_MAX_BYTES).contains(&name.len())
        && !name.starts_with('_')
        && !name.chars().any(char::is_control)
        && fold(name) != ID_NAME
}

/// Engines that ignore case must not see two columns of one name.
fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn check_declarations(declared: &[ColumnDeclaration]) -> Result<()> {
    let invalid = |position: usize, detail: String| {
        StorageError::new(ErrorKind::Invalid, StorageTier::Api, "declare columns", "a column's name is not valid")
            .at(format!("/columns/{position}/name"), detail)
    };
    let mut seen = HashSet::new();
    for (position, declaration) in declared.iter().enumerate() {
        let name = &declaration.name;
        if !may_be_column(name) {
            return Err(invalid(
                position,
                format!(
                    "expected 1 to {COLUMN_NAME_MAX_BYTES} bytes without control characters that do not begin with _ and are not id, got {}",
                    quoted(name)
                ),
            ));
        }
        if !seen.insert(fold(name)) {
            return Err(invalid(
                position,
                format!("expected names that differ by more than case, got {} again", quoted(name)),
            ));
        }
    }
    Ok(())
}

fn conflict(position: usize, detail: String) -> StorageError {
    StorageError::new(ErrorKind::Conflict, StorageTier::Api, "declare columns", "a column cannot be changed that way")
        .at(format!("/columns/{position}"), detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Json;
    use crate::vortex::infer::observe;

    fn declaration(name: &str, column_type: &str, nullable: bool) -> ColumnDeclaration {
        ColumnDeclaration { name: name.to_owned(), column_type: column_type.parse().unwrap(), nullable }
    }

    fn described(schema: &TableSchema) -> Vec<String> {
        let column = |column: &TableColumn| {
            let required = if column.nullable { "" } else { " required" };
            format!("{} {} {}{required}", column.id, column.name, column.column_type)
        };
        schema.columns().iter().map(column).collect()
    }

    #[test]
    fn declared_columns_evolve_as_the_spec_allows() {
        let mut schema = TableSchema::default();
        assert!(
            schema.declare(&[declaration("a", "int", false), declaration("b", "decimal(5,2)", true)], true).unwrap()
        );
        assert_eq!(described(&schema), ["5 a int required", "6 b decimal(5,2)"]);
        assert!(
            !schema.declare(&[declaration("a", "int", false), declaration("b", "decimal(5,2)", true)], false).unwrap()
        );
        schema
            .declare(
                &[
                    declaration("a", "long", true),
                    declaration("b", "decimal(9,2)", true),
                    declaration("c", "date", true),
                ],
                false,
            )
            .unwrap();
        assert_eq!(described(&schema), ["5 a long", "6 b decimal(9,2)", "7 c date"]);
        schema.declare(&[declaration("c", "date", true)], false).unwrap();
        schema.declare(&[declaration("a", "string", true), declaration("c", "date", true)], false).unwrap();
        assert_eq!(described(&schema), ["7 c date", "8 a string"]);
    }

    #[test]
    fn columns_that_files_have_values_of_stay_under_their_ids() {
        let declared = [declaration("a", "int", false), declaration("b", "long", true), declaration("c", "date", true)];
        let mut schema = TableSchema::default();
        schema.declare(&declared, true).unwrap();
        let after = |fixed: &[i32], declared: &[ColumnDeclaration]| {
            let mut schema = schema.clone();
            schema.declare_around(declared, &fixed.iter().copied().collect()).unwrap();
            described(&schema)
        };
        assert_eq!(after(&[5, 6, 7], &declared), described(&schema), "what is declared as before stays as it is");
        assert_eq!(
            after(&[5], &[declaration("a", "long", false)]),
            ["5 a long required"],
            "wider is under the same id"
        );
        assert_eq!(after(&[], &[declaration("c", "date", true)]), ["7 c date"]);
        assert_eq!(after(&[5], &[declaration("c", "date", true)]), ["5 a int", "7 c date"], "taken away");
        assert_eq!(after(&[6], &[declaration("b", "string", true)]), ["6 b long"], "of another type");
        assert_eq!(
            after(&[6], &[declaration("B", "string", true)]),
            ["6 b long"],
            "by a name that only case tells apart"
        );
        assert_eq!(after(&[7], &[declaration("B", "string", true)]), ["7 c date", "8 B string"]);
    }

    #[test]
    fn other_alterations_conflict_and_change_nothing() {
        let mut schema = TableSchema::default();
        schema.declare(&[declaration("a", "long", true), declaration("b", "float", true)], true).unwrap();
        let before = schema.clone();
        for bad in [
            declaration("a", "int", true),
            declaration("a", "long", false),
            declaration("a", "double", true),
            declaration("c", "int", false),
        ] {
            let error = schema.declare(&[declaration("b", "double", true), bad], false).unwrap_err();
            assert_eq!((error.kind(), error.fields()[0].pointer.as_str()), (ErrorKind::Conflict, "/columns/1"));
            assert_eq!(schema, before);
        }
    }

    #[test]
    fn names_that_engines_could_confuse_are_refused() {
        for bad in ["", "_a", "id", "ID", "a\u{0}", "a\tb", &"x".repeat(256)] {
            let error = TableSchema::default().declare(&[declaration(bad, "int", true)], true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        }
        let twice = [declaration("A", "int", true), declaration("a", "int", true)];
        assert_eq!(TableSchema::default().declare(&twice, true).unwrap_err().fields()[0].pointer, "/columns/1/name");
        let many: Vec<_> =
            (0..=TABLE_MAX_COLUMNS).map(|number| declaration(&format!("c{number}"), "int", true)).collect();
        assert_eq!(TableSchema::default().declare(&many, true).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_declaration_takes_over_what_was_inferred() {
        let mut schema = TableSchema::default();
        observe(&mut schema, &Json::parse(r#"{"id":"x","a":1,"B":1,"c":1}"#).unwrap());
        assert_eq!(described(&schema), ["5 a long", "6 B long", "7 c long"]);
        schema
            .declare(
                &[declaration("a", "long", true), declaration("b", "long", true), declaration("c", "date", true)],
                false,
            )
            .unwrap();
        assert_eq!(described(&schema), ["5 a long", "9 c date", "8 b long"]);
        assert!(schema.columns().iter().all(TableColumn::is_declared));
    }

    #[test]
    fn the_stored_form_is_versioned_and_checked() {
        let mut schema = TableSchema::default();
        schema.declare(&[declaration("a", "decimal(9,2)", false)], true).unwrap();
        observe(&mut schema, &Json::parse(r#"{"id":"x","b":1}"#).unwrap());
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(
            text,
            r#"{"format":1,"lastColumnId":6,"columns":[{"id":5,"name":"a","type":"decimal(9,2)","nullable":false,"origin":"declared"},{"id":6,"name":"b","type":"long","nullable":true,"origin":{"inferred":{"fits":1,"misfits":0,"mixed":false}}}]}"#
        );
        assert_eq!(serde_json::from_str::<TableSchema>(&text).unwrap(), schema);
        for (from, to) in [
            ("\"format\":1", "\"format\":2"),
            ("\"id\":6", "\"id\":5"),
            ("\"b\"", "\"A\""),
            ("lastColumnId\":6", "lastColumnId\":5"),
        ] {
            assert!(serde_json::from_str::<TableSchema>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
