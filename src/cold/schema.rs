//! Iceberg schemas, with stable field ids (spec, "Schemas and Data Types" and Appendix C, "Schemas").
//!
//! Two kinds of tables: the current state of a collection, and its change log. Field ids never change their meaning.

use serde::{Deserialize, Serialize};

use crate::vortex::schema::{EXTRA_FIELD, ID_FIELD, SEQUENCE_FIELD, TIMESTAMP_FIELD};
use crate::vortex::{ColumnType, TableSchema};

/// The `doc` of a string field that holds JSON text; by it such a field is known when a schema is read.
const JSON_DOC: &str = "JSON text";

/// Field ids of the change-log table.
pub mod change_fields {
    /// `sequence`, long, required, the identifier field: the event's position in the object's log.
    pub const SEQUENCE: i32 = 1;
    /// `event_id`, string, required: the event's UUID as text.
    pub const EVENT_ID: i32 = 2;
    /// `operation`, string, required: `INSERT`, `UPDATE` or `DELETE`.
    pub const OPERATION: i32 = 3;
    /// `document_id`, string, required.
    pub const DOCUMENT_ID: i32 = 4;
    /// `timestamp`, timestamptz, required: the commit time; the table is partitioned by its month.
    pub const TIMESTAMP: i32 = 5;
    /// `before`, string: JSON text of the version before; null for an insert.
    pub const BEFORE: i32 = 6;
    /// `after`, string: JSON text of the version after; null for a delete.
    pub const AFTER: i32 = 7;
    /// `before_sequence`, long: the version that `before` is; null for an insert or where it was not recorded.
    pub const BEFORE_SEQUENCE: i32 = 8;
    /// `source`, string: where the change came from, when not from a client.
    pub const SOURCE: i32 = 9;
    /// `correlation_id`, string: the caller's own id.
    pub const CORRELATION_ID: i32 = 10;
    /// How many there are; their ids are 1 to this.
    pub const COUNT: usize = 10;
}

/// Field ids of position delete files (spec, "Position Delete Files"); reserved for them in every table.
pub mod delete_fields {
    /// `file_path`, string, required: the location of a data file.
    pub const FILE_PATH: i32 = 2_147_483_546;
    /// `pos`, long, required: the position of a deleted row in it, counted from 0.
    pub const POS: i32 = 2_147_483_545;
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TableKind {
    /// The current documents of a collection.
    State,
    /// The change log of a collection.
    Changes,
}

impl TableKind {
    /// The field whose month a data file belongs to: its id, and the name of the partition field.
    pub fn partition_source(self) -> (i32, &'static str) {
        match self {
            Self::State => (TIMESTAMP_FIELD, "_ts_month"),
            Self::Changes => (change_fields::TIMESTAMP, "timestamp_month"),
        }
    }

    /// The field by which the rows of a data file ascend.
    pub fn sort_source(self) -> i32 {
        match self {
            Self::State => ID_FIELD,
            Self::Changes => change_fields::SEQUENCE,
        }
    }
}

/// A field of a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WireField", into = "WireField")]
pub struct Field {
    /// Unique in the table for ever.
    pub id: i32,
    /// The column's name.
    pub name: String,
    /// Whether every row has a value.
    pub required: bool,
    /// What its values are.
    pub field_type: ColumnType,
}

impl Field {
    fn new(id: i32, name: &str, field_type: ColumnType, required: bool) -> Self {
        Self { id, name: name.to_owned(), required, field_type }
    }
}

/// A field as the spec's JSON has it.
#[derive(Serialize, Deserialize)]
struct WireField {
    id: i32,
    name: String,
    required: bool,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
}

impl From<Field> for WireField {
    fn from(field: Field) -> Self {
        let (type_name, doc) = match field.field_type {
            ColumnType::Boolean => ("boolean".to_owned(), None),
            ColumnType::Decimal { precision, scale } => (format!("decimal({precision}, {scale})"), None),
            ColumnType::Timestamp => ("timestamptz".to_owned(), None),
            ColumnType::Json => ("string".to_owned(), Some(JSON_DOC.to_owned())),
            other => (other.to_string(), None),
        };
        Self { id: field.id, name: field.name, required: field.required, type_name, doc }
    }
}

impl From<WireField> for Field {
    fn from(wire: WireField) -> Self {
        let field_type = match (wire.type_name.as_str(), wire.doc.as_deref()) {
            ("string", Some(JSON_DOC)) => ColumnType::Json,
            ("boolean", _) => ColumnType::Boolean,
            ("timestamptz", _) => ColumnType::Timestamp,
            // These schemas are only ever written above.
            (other, _) => other.parse().unwrap_or(ColumnType::String),
        };
        Self { id: wire.id, name: wire.name, required: wire.required, field_type }
    }
}

/// A struct type with a version number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Schema {
    #[serde(rename = "type")]
    struct_type: StructType,
    /// The schema's number in its table.
    pub schema_id: i32,
    /// The fields that identify a row.
    pub identifier_field_ids: Vec<i32>,
    /// The columns, in order.
    pub fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StructType {
    Struct,
}

impl Schema {
    /// The schema of a state table; its number is given by the commit that first uses it.
    pub fn state(columns: &TableSchema) -> Self {
        let mut fields = vec![
            Field::new(ID_FIELD, "id", ColumnType::String, true),
            Field::new(SEQUENCE_FIELD, "_seq", ColumnType::Long, true),
            Field::new(TIMESTAMP_FIELD, "_ts", ColumnType::Timestamp, true),
        ];
        // A column that a declaration requires is required of new writes only: rows that a drop and a new declaration
        // left behind may be without it, so the table never promises it to readers.
        fields.extend(
            columns
                .columns()
                .iter()
                .map(|column| Field::new(column.id, column.table_name(), column.column_type, false)),
        );
        fields.push(Field::new(EXTRA_FIELD, "_extra", ColumnType::Json, false));
        Self { struct_type: StructType::Struct, schema_id: 0, identifier_field_ids: vec![ID_FIELD], fields }
    }

    /// The schema of a change-log table.
    pub fn changes() -> Self {
        use change_fields as id;
        let fields = vec![
            Field::new(id::SEQUENCE, "sequence", ColumnType::Long, true),
            Field::new(id::EVENT_ID, "event_id", ColumnType::String, true),
            Field::new(id::OPERATION, "operation", ColumnType::String, true),
            Field::new(id::DOCUMENT_ID, "document_id", ColumnType::String, true),
            Field::new(id::TIMESTAMP, "timestamp", ColumnType::Timestamp, true),
            Field::new(id::BEFORE, "before", ColumnType::Json, false),
            Field::new(id::AFTER, "after", ColumnType::Json, false),
            Field::new(id::BEFORE_SEQUENCE, "before_sequence", ColumnType::Long, false),
            Field::new(id::SOURCE, "source", ColumnType::String, false),
            Field::new(id::CORRELATION_ID, "correlation_id", ColumnType::String, false),
        ];
        Self { struct_type: StructType::Struct, schema_id: 0, identifier_field_ids: vec![id::SEQUENCE], fields }
    }

    /// The schema of position delete files.
    pub fn position_deletes() -> Self {
        let fields = vec![
            Field::new(delete_fields::FILE_PATH, "file_path", ColumnType::String, true),
            Field::new(delete_fields::POS, "pos", ColumnType::Long, true),
        ];
        Self { struct_type: StructType::Struct, schema_id: 0, identifier_field_ids: Vec::new(), fields }
    }

    /// The field under an id.
    pub fn field(&self, id: i32) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// Whether two schemas are the same but for their number.
    pub fn same_fields(&self, other: &Self) -> bool {
        self.fields == other.fields && self.identifier_field_ids == other.identifier_field_ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Json;
    use crate::vortex::infer::observe;
    use crate::vortex::{ColumnDeclaration, TableColumn};

    #[test]
    fn the_json_form_is_the_spec_s() {
        let mut columns = TableSchema::default();
        let declared = [("b", "bool"), ("d", "decimal(10,2)"), ("t", "timestamp"), ("u", "uuid")];
        let declared = declared.map(|(name, column_type)| ColumnDeclaration {
            name: name.to_owned(),
            renamed: None,
            column_type: column_type.parse().unwrap(),
            nullable: false,
        });
        columns.declare(&declared, true).unwrap();
        observe(&mut columns, &Json::parse(r#"{"id":"x","tags":[]}"#).unwrap());
        let text = serde_json::to_string(&Schema::state(&columns)).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"type":"struct","schema-id":0,"identifier-field-ids":[1],"fields":["#,
                r#"{"id":1,"name":"id","required":true,"type":"string"},"#,
                r#"{"id":2,"name":"_seq","required":true,"type":"long"},"#,
                r#"{"id":3,"name":"_ts","required":true,"type":"timestamptz"},"#,
                r#"{"id":5,"name":"b","required":false,"type":"boolean"},"#,
                r#"{"id":6,"name":"d","required":false,"type":"decimal(10, 2)"},"#,
                r#"{"id":7,"name":"t","required":false,"type":"timestamptz"},"#,
                r#"{"id":8,"name":"u","required":false,"type":"uuid"},"#,
                r#"{"id":9,"name":"tags","required":false,"type":"string","doc":"JSON text"},"#,
                r#"{"id":4,"name":"_extra","required":false,"type":"string","doc":"JSON text"}]}"#,
            )
        );
        assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), Schema::state(&columns));
        assert_eq!(columns.columns().iter().filter(|column: &&TableColumn| column.nullable).count(), 1);
    }

    #[test]
    fn the_change_log_has_a_fixed_schema() {
        let schema = Schema::changes();
        let ids: Vec<i32> = schema.fields.iter().map(|field| field.id).collect();
        assert_eq!(ids, (1..=10).collect::<Vec<_>>());
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema);
    }
}
