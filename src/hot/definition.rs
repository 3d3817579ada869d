//! What is declared of a collection: columns with types, which every write is checked against.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::json::pointer_token;
use crate::types::{Json, StorageTier};
use crate::vortex::{ColumnDeclaration, ColumnType};

/// A declared column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredColumn {
    /// The top-level field of the documents.
    pub name: String,
    /// What its values must be.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether it may be null or absent.
    #[serde(default = "nullable_by_default")]
    pub nullable: bool,
}

fn nullable_by_default() -> bool {
    true
}

/// Everything declared of a collection. Fields that are not declared are kept, and their types inferred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionDefinition {
    /// The declared columns, in order.
    #[serde(default)]
    pub columns: Vec<DeclaredColumn>,
}

/// The version of the stored form.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    #[serde(flatten)]
    definition: CollectionDefinitionV1,
}

#[derive(Serialize, Deserialize)]
struct CollectionDefinitionV1 {
    columns: Vec<DeclaredColumn>,
}

impl CollectionDefinition {
    /// Checks a document's values against the declared columns. Pointers are into the document.
    pub fn check_document(&self, document: &Json<'_>) -> Result<()> {
        let mut error: Option<StorageError> = None;
        for column in &self.columns {
            let problem = match document.get(&column.name) {
                None | Some(Json::Null) if column.nullable => continue,
                None | Some(Json::Null) => Some("expected a value, got none".to_owned()),
                Some(value) => column.column_type.accepts(value).err(),
            };
            if let Some(problem) = problem {
                let place = format!("/{}", pointer_token(&column.name));
                error = Some(error.unwrap_or_else(|| invalid("check document")).at(place, problem));
            }
        }
        error.map_or(Ok(()), Err)
    }

    /// The columns as the table's schema takes them.
    pub fn declarations(&self) -> Vec<ColumnDeclaration> {
        let declaration = |column: &DeclaredColumn| ColumnDeclaration {
            name: column.name.clone(),
            column_type: column.column_type,
            nullable: column.nullable,
        };
        self.columns.iter().map(declaration).collect()
    }

    /// The form kept in SQLite.
    pub fn to_stored(&self) -> Result<String> {
        let stored = Stored { format: FORMAT, definition: CollectionDefinitionV1 { columns: self.columns.clone() } };
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
        if stored.format != FORMAT {
            return Err(corrupt("expected a definition of format 1; a newer program wrote this object"));
        }
        Ok(Self { columns: stored.definition.columns })
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
        assert!(CollectionDefinition::from_stored(r#"{"format":2,"columns":[]}"#).is_err());
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
