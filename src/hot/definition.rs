//! What is declared of a collection: columns with types, which every write is checked against.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::constraints::Constraints;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::json::pointer_token;
use crate::types::{Json, StorageTier, whole};
use crate::vortex::ColumnDeclaration;
pub use crate::vortex::ColumnType;

/// A declared column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredColumn {
    /// Its name in the table.
    pub name: String,
    /// The top-level field of the documents, where that is called otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What its values must be.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether it may be null or absent.
    #[serde(default = "nullable_by_default")]
    pub nullable: bool,
}

impl DeclaredColumn {
    /// The top-level field of the documents that it holds.
    pub fn field(&self) -> &str {
        self.field.as_ref().unwrap_or(&self.name)
    }
}

fn nullable_by_default() -> bool {
    true
}

/// When documents leave row form, where it is not as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Columnar {
    /// A row generation is sealed when it has this many documents.
    #[serde(default, deserialize_with = "whole::optional", skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,
    /// And not before its last write is this old, in ms.
    #[serde(default, deserialize_with = "whole::optional", skip_serializing_if = "Option::is_none")]
    pub min_age_ms: Option<i64>,
}

impl Columnar {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How long documents stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// A document whose version is older than so many days is deleted.
    #[serde(deserialize_with = "whole::required")]
    pub days: i64,
}

/// Everything declared of a collection. Fields that are not declared are kept, and their types inferred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionDefinition {
    /// The declared columns, in order.
    #[serde(default)]
    pub columns: Vec<DeclaredColumn>,
    /// The declared indexes: the fields, perhaps inside others, that queries compare with constants, together. In row form
    /// each is an index of SQLite, and so a row written more for a document; a segment has a filter for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Vec<String>>,
    /// When documents leave row form.
    #[serde(default, skip_serializing_if = "Columnar::is_default")]
    pub columnar: Columnar,
    /// How long documents stay, unless it is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// The fields that have no column: those of which there was one have it no longer, and none is inferred.
    #[serde(default, rename = "dropColumns", skip_serializing_if = "Vec::is_empty")]
    pub drop_columns: Vec<String>,
    /// The ids of columns of the table that were dropped and that it has until its next commit: a field that is declared
    /// again meanwhile does not get them back. Not declared by clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<i32>,
    /// What else is demanded. Not declared by clients.
    #[serde(default, skip_serializing_if = "Constraints::is_none")]
    pub constraints: Constraints,
}

/// The version of the stored form of columns alone, with indexes and thresholds, with a retention, with columns that have
/// other names than their fields or are dropped, and with constraints.
const FORMAT_COLUMNS: u32 = 1;
const FORMAT_INDEXES: u32 = 2;
const FORMAT_RETENTION: u32 = 3;
const FORMAT_EVOLVED: u32 = 4;
const FORMAT_CONSTRAINTS: u32 = 5;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    columns: Vec<DeclaredColumn>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    indexes: Vec<Vec<String>>,
    #[serde(default, skip_serializing_if = "Columnar::is_default")]
    columnar: Columnar,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention: Option<Retention>,
    #[serde(default, rename = "dropColumns", skip_serializing_if = "Vec::is_empty")]
    drop_columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<i32>,
    #[serde(default, skip_serializing_if = "Constraints::is_none")]
    constraints: Constraints,
}

/// Declared indexes of a collection, and fields of one.
const INDEXES_MAX: usize = 8;
const INDEX_FIELDS_MAX: usize = 4;
/// Days of a retention: a hundred years.
const RETENTION_MAX_DAYS: i64 = 36_500;
/// Fields that are dropped: each is compared with the others, and with every field of a document that has no column.
const DROPPED_MAX: usize = 1_000;
/// The name of a field in an index, in bytes.
const INDEX_FIELD_MAX_BYTES: usize = 255;

impl CollectionDefinition {
    /// Checks a document's values against the declared columns. Pointers are into the document.
    pub fn check_document(&self, document: &Json<'_>) -> Result<()> {
        let mut error: Option<StorageError> = None;
        for column in &self.columns {
            let problem = match document.get(column.field()) {
                None | Some(Json::Null) if column.nullable => continue,
                None | Some(Json::Null) => Some("expected a value, got none".to_owned()),
                Some(value) => column.column_type.accepts(value).err(),
            };
            if let Some(problem) = problem {
                let place = format!("/{}", pointer_token(column.field()));
                error = Some(error.unwrap_or_else(|| invalid("check document")).at(place, problem));
            }
        }
        if error.is_none()
            && let Some((field, problem)) = self.constraints.violated(document)
        {
            error = Some(invalid("check document").at(format!("/{}", pointer_token(field)), problem));
        }
        error.map_or(Ok(()), Err)
    }

    /// Refuses indexes, thresholds and drops that cannot be. Pointers are into the declaration.
    pub fn check(&self) -> Result<()> {
        let refuse = |pointer: String, detail: String| Err(invalid("declare collection").at(pointer, detail));
        if self.indexes.len() > INDEXES_MAX {
            return refuse(
                "/indexes".to_owned(),
                format!("expected at most {INDEXES_MAX} indexes, got {}", self.indexes.len()),
            );
        }
        for (position, fields) in self.indexes.iter().enumerate() {
            let pointer = format!("/indexes/{position}");
            if !(1..=INDEX_FIELDS_MAX).contains(&fields.len()) {
                return refuse(pointer, format!("expected 1 to {INDEX_FIELDS_MAX} fields, got {}", fields.len()));
            }
            let named = |field: &String| (1..=INDEX_FIELD_MAX_BYTES).contains(&field.len());
            if let Some(place) = fields.iter().position(|field| !named(field)) {
                return refuse(
                    format!("{pointer}/{place}"),
                    format!("expected the name of a field, 1 to {INDEX_FIELD_MAX_BYTES} bytes"),
                );
            }
            let again = |place: &usize| fields.iter().take(*place).any(|other| fields.get(*place) == Some(other));
            if let Some(place) = (0..fields.len()).find(again) {
                return refuse(format!("{pointer}/{place}"), "expected each field once in an index".to_owned());
            }
            if self.indexes.iter().take(position).any(|other| other == fields) {
                return refuse(pointer, "expected each index once".to_owned());
            }
        }
        let Columnar { threshold, min_age_ms } = self.columnar;
        if threshold.is_some_and(|rows| !(1..=65_536).contains(&rows)) {
            return refuse("/columnar/threshold".to_owned(), "expected a number of rows from 1 to 65536".to_owned());
        }
        if min_age_ms.is_some_and(|age| !(0..=86_400_000).contains(&age)) {
            return refuse("/columnar/minAgeMs".to_owned(), "expected an age in ms from 0 to 86400000".to_owned());
        }
        if self.retention.is_some_and(|retention| !(1..=RETENTION_MAX_DAYS).contains(&retention.days)) {
            let expected = format!("expected a number of days from 1 to {RETENTION_MAX_DAYS}");
            return refuse("/retention/days".to_owned(), expected);
        }
        if self.drop_columns.len() > DROPPED_MAX {
            let got = self.drop_columns.len();
            return refuse("/dropColumns".to_owned(), format!("expected at most {DROPPED_MAX} fields, got {got}"));
        }
        for (position, field) in self.drop_columns.iter().enumerate() {
            let refuse = |detail: &str| refuse(format!("/dropColumns/{position}"), detail.to_owned());
            if self.columns.iter().any(|column| column.field() == field) {
                return refuse("expected a field that is not declared too; drop it or declare it");
            }
            if self.drop_columns.iter().take(position).any(|other| other == field) {
                return refuse("expected each field once");
            }
        }
        Ok(())
    }

    /// The columns as the table's schema takes them.
    pub fn declarations(&self) -> Vec<ColumnDeclaration> {
        let declaration = |column: &DeclaredColumn| ColumnDeclaration {
            name: column.field().to_owned(),
            renamed: (column.name != column.field()).then(|| column.name.clone()),
            column_type: column.column_type,
            nullable: column.nullable,
        };
        self.columns.iter().map(declaration).collect()
    }

    /// A checksum, of 52 bits, of what its table's columns follow from; 0 where nothing of that is declared.
    pub fn columns_checksum(&self) -> Result<i64> {
        if self.columns.is_empty() && self.drop_columns.is_empty() && self.retired.is_empty() {
            return Ok(0);
        }
        let columns = Self {
            columns: self.columns.clone(),
            drop_columns: self.drop_columns.clone(),
            retired: self.retired.clone(),
            ..Self::default()
        };
        Ok(i64::try_from(xxh64(columns.to_stored()?.as_bytes(), 0) >> 12).unwrap_or(i64::MAX))
    }

    /// The form kept in SQLite.
    pub fn to_stored(&self) -> Result<String> {
        let columns_only = self.indexes.is_empty() && self.columnar.is_default();
        let evolved = self.columns.iter().any(|column| column.field.is_some())
            || !(self.drop_columns.is_empty() && self.retired.is_empty());
        let stored = Stored {
            format: match self.retention {
                _ if !self.constraints.is_none() => FORMAT_CONSTRAINTS,
                _ if evolved => FORMAT_EVOLVED,
                Some(_) => FORMAT_RETENTION,
                None if columns_only => FORMAT_COLUMNS,
                None => FORMAT_INDEXES,
            },
            columns: self.columns.clone(),
            indexes: self.indexes.clone(),
            columnar: self.columnar,
            retention: self.retention,
            drop_columns: self.drop_columns.clone(),
            retired: self.retired.clone(),
            constraints: self.constraints.clone(),
        };
        serde_json::to_string(&stored).map_err(|error| {
            StorageError::new(ErrorKind::Internal, StorageTier::Hot, "store definition", "expected it to become JSON")
                .caused_by(error)
        })
    }

    /// Reads the form kept in SQLite.
    pub fn from_stored(text: &str) -> Result<Self> {
        let corrupt =
            |message: &str| StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read definition", message);
        let stored: Stored = serde_json::from_str(text)
            .map_err(|error| corrupt("expected a collection's definition, got other JSON").caused_by(error))?;
        if !(FORMAT_COLUMNS..=FORMAT_CONSTRAINTS).contains(&stored.format) {
            return Err(corrupt("expected a definition of a format up to 5; a newer program wrote this object"));
        }
        let Stored { columns, indexes, columnar, retention, drop_columns, retired, constraints, .. } = stored;
        Ok(Self { columns, indexes, columnar, retention, drop_columns, retired, constraints })
    }
}

fn invalid(operation: &'static str) -> StorageError {
    StorageError::new(
        ErrorKind::Invalid,
        StorageTier::Hot,
        operation,
        "the request is well-formed but not valid; see errors",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(columns: &str) -> CollectionDefinition {
        serde_json::from_str(&format!(r#"{{"columns":{columns}}}"#)).unwrap()
    }

    #[test]
    fn the_stored_form_of_version_1_is_read() {
        let stored = r#"{"format":1,"columns":[{"name":"price","type":"decimal(10,2)","nullable":false}]}"#;
        let read = CollectionDefinition::from_stored(stored).unwrap();
        assert_eq!(read.columns[0].column_type, ColumnType::Decimal { precision: 10, scale: 2 });
        assert_eq!(read.to_stored().unwrap(), stored);
        assert!(CollectionDefinition::from_stored(r#"{"format":6,"columns":[]}"#).is_err());
    }

    #[test]
    fn the_stored_form_of_version_3_is_read() {
        let stored = r#"{"format":3,"columns":[],"retention":{"days":30}}"#;
        let read = CollectionDefinition::from_stored(stored).unwrap();
        assert_eq!(read.retention, Some(Retention { days: 30 }));
        assert_eq!(read.to_stored().unwrap(), stored);
    }

    #[test]
    fn the_stored_form_of_version_4_is_read() {
        let stored = r#"{"format":4,"columns":[{"name":"cost","field":"price","type":"long","nullable":true}],"dropColumns":["old"],"retired":[7]}"#;
        let read = CollectionDefinition::from_stored(stored).unwrap();
        assert_eq!((read.columns[0].field(), read.columns[0].name.as_str()), ("price", "cost"));
        assert_eq!((read.drop_columns.as_slice(), read.retired.as_slice()), (&["old".to_owned()][..], &[7][..]));
        assert_eq!(read.to_stored().unwrap(), stored);
    }

    #[test]
    fn the_stored_form_of_version_5_is_read() {
        let stored = r#"{"format":5,"columns":[],"constraints":{"checks":[{"field":"a","rule":{"between":[0,100]}},{"field":"b","rule":{"hex":32}},{"field":"c","rule":"object"}],"parent":"others","appendOnly":true}}"#;
        let read = CollectionDefinition::from_stored(stored).unwrap();
        assert_eq!(read.constraints.parent.as_deref(), Some("others"));
        assert!(read.constraints.append_only);
        assert_eq!(read.to_stored().unwrap(), stored);
    }

    #[test]
    fn the_stored_form_of_version_2_is_read() {
        let stored = r#"{"format":2,"columns":[],"indexes":[["city"],["a.b","c"]],"columnar":{"threshold":10}}"#;
        let read = CollectionDefinition::from_stored(stored).unwrap();
        assert_eq!(read.indexes, [vec!["city".to_owned()], vec!["a.b".to_owned(), "c".to_owned()]]);
        assert_eq!(read.columnar, Columnar { threshold: Some(10), min_age_ms: None });
        assert_eq!(read.to_stored().unwrap(), stored);
    }

    #[test]
    fn indexes_and_thresholds_that_cannot_be_are_refused() {
        let pointer = |text: &str| {
            let definition: CollectionDefinition = serde_json::from_str(text).unwrap();
            definition.check().unwrap_err().fields()[0].pointer.clone()
        };
        assert_eq!(pointer(r#"{"indexes":[[]]}"#), "/indexes/0");
        assert_eq!(pointer(r#"{"indexes":[["a"],["b","b"]]}"#), "/indexes/1/1");
        assert_eq!(pointer(r#"{"indexes":[["a"],["a"]]}"#), "/indexes/1");
        assert_eq!(pointer(r#"{"indexes":[["a",""]]}"#), "/indexes/0/1");
        assert_eq!(pointer(r#"{"indexes":[["a"],["b"],["c"],["d"],["e"],["f"],["g"],["h"],["i"]]}"#), "/indexes");
        assert_eq!(pointer(r#"{"columnar":{"threshold":0}}"#), "/columnar/threshold");
        assert_eq!(pointer(r#"{"columnar":{"minAgeMs":-1}}"#), "/columnar/minAgeMs");
        assert_eq!(pointer(r#"{"dropColumns":["a","b","a"]}"#), "/dropColumns/2");
        assert_eq!(
            pointer(r#"{"columns":[{"name":"a","field":"b","type":"int"}],"dropColumns":["a","b"]}"#),
            "/dropColumns/1"
        );
        let fields = |count: usize| (0..count).map(|n| format!("\"f{n}\"")).collect::<Vec<_>>().join(",");
        assert_eq!(pointer(&format!(r#"{{"dropColumns":[{}]}}"#, fields(1_001))), "/dropColumns");
        let most = format!(r#"{{"dropColumns":[{}]}}"#, fields(1_000));
        serde_json::from_str::<CollectionDefinition>(&most).unwrap().check().unwrap();
        for days in ["0", "-1", "36501", "1000000000"] {
            assert_eq!(pointer(&format!(r#"{{"retention":{{"days":{days}}}}}"#)), "/retention/days");
        }
    }

    #[test]
    fn documents_are_checked_by_their_fields() {
        let definition =
            definition(r#"[{"name":"b","field":"a","type":"long"},{"name":"a","field":"b","type":"bool"}]"#);
        definition.check_document(&Json::parse(r#"{"a":1,"b":true}"#).unwrap()).unwrap();
        let error = definition.check_document(&Json::parse(r#"{"a":true,"b":true}"#).unwrap()).unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/a");
    }

    #[test]
    fn documents_are_checked_against_declared_columns_only() {
        let definition = definition(r#"[{"name":"a/b","type":"long"},{"name":"c","type":"string","nullable":false}]"#);
        let check = |text: &str| definition.check_document(&Json::parse(text).unwrap());
        check(r#"{"c":"x","a/b":5,"other":{}}"#).unwrap();
        check(r#"{"c":"x","a/b":null}"#).unwrap();
        let error = check(r#"{"a/b":"5"}"#).unwrap_err();
        let pointers: Vec<_> = error.fields().iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b", "/c"]);
        assert_eq!(check(r#"{"c":null}"#).unwrap_err().fields()[0].pointer, "/c");
        let error = check(r#"{"c":7}"#).unwrap_err();
        assert_eq!(error.fields()[0].detail, "expected a string, got the number 7");
    }
}
