//! The columns of a state table: which top-level fields of its documents have a column, of which type, under which
//! field id and name, and how well inference has done so far.
//!
//! Invariants: a field id belongs to one field of the documents for ever and its type only widens (Iceberg spec, "Schema
//! Evolution"); no two columns' fields, and no two columns' names in the table, are equal but for case; at most
//! [`TABLE_MAX_COLUMNS`] columns.

mod declare;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::column_type::ColumnType;
use crate::limits::TABLE_MAX_COLUMNS;

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
/// The versions of the stored form of a [`TableSchema`]: where every column has its field's name, and where one has not.
const FORMAT: u32 = 1;
const FORMAT_RENAMED: u32 = 2;

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
    /// The column's name in the table, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed: Option<String>,
    /// What its values are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether a document may be without it.
    pub nullable: bool,
    /// Declared or inferred.
    pub origin: Origin,
}

impl TableColumn {
    /// The column's name in the table.
    pub fn table_name(&self) -> &str {
        self.renamed.as_ref().unwrap_or(&self.name)
    }

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
    /// The column's name in the table, where that is another.
    pub renamed: Option<String>,
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
    /// The names of fields and columns as engines that ignore case see them: none of them is given to another column.
    folded: HashSet<String>,
    /// Fields that get no column unless one is declared. They are declared too, and not of the stored form.
    dropped: Vec<String>,
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
            dropped: Vec::new(),
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
        self.columns.len() < TABLE_MAX_COLUMNS
            && may_be_column(name)
            && !self.folded.contains(&fold(name))
            && !self.dropped.iter().any(|dropped| dropped == name)
    }

    /// Adds an inferred column. The caller has checked [`has_room_for`](Self::has_room_for).
    pub(super) fn add_inferred(&mut self, name: &str, column_type: ColumnType) {
        self.last_column_id = self.last_column_id.saturating_add(1);
        let origin = Origin::Inferred { fits: 1, misfits: 0, mixed: false };
        let name = name.to_owned();
        let column = TableColumn { id: self.last_column_id, name, renamed: None, column_type, nullable: true, origin };
        self.positions.insert(column.name.clone(), self.columns.len());
        self.folded.insert(fold(&column.name));
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
        self.folded = self.columns.iter().flat_map(|column| [fold(&column.name), fold(column.table_name())]).collect();
    }
}

impl From<TableSchema> for Stored {
    fn from(schema: TableSchema) -> Self {
        let renamed = schema.columns.iter().any(|column| column.renamed.is_some());
        let format = if renamed { FORMAT_RENAMED } else { FORMAT };
        Self { format, last_column_id: schema.last_column_id, columns: schema.columns }
    }
}

impl TryFrom<Stored> for TableSchema {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        if !(FORMAT..=FORMAT_RENAMED).contains(&stored.format) {
            return Err(format!("expected a table schema of a format up to {FORMAT_RENAMED}, got {}", stored.format));
        }
        let mut schema = Self { columns: stored.columns, last_column_id: stored.last_column_id, ..Self::default() };
        schema.index();
        let ids: HashSet<i32> = schema.columns.iter().map(|column| column.id).collect();
        let known = FIRST_COLUMN_FIELD..=schema.last_column_id;
        let fields: HashSet<String> = schema.columns.iter().map(|column| fold(&column.name)).collect();
        let names: HashSet<String> = schema.columns.iter().map(|column| fold(column.table_name())).collect();
        let unique = [ids.len(), fields.len(), names.len()].iter().all(|count| *count == schema.columns.len());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Json;
    use crate::vortex::infer::observe;

    fn declaration(name: &str, column_type: &str, nullable: bool) -> ColumnDeclaration {
        ColumnDeclaration { name: name.to_owned(), renamed: None, column_type: column_type.parse().unwrap(), nullable }
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
            ("\"format\":1", "\"format\":3"),
            ("\"id\":6", "\"id\":5"),
            ("\"b\"", "\"A\""),
            ("lastColumnId\":6", "lastColumnId\":5"),
            ("\"name\":\"b\"", "\"name\":\"b\",\"renamed\":\"A\""),
        ] {
            assert!(serde_json::from_str::<TableSchema>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
