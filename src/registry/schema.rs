//! The registry's collections: their columns, indexes and constraints.
//!
//! A document of an asset or of a hash record has the asset's id, so that each is unique in its tenant and found by its key.
//! Clients may read and query these collections as any other, and write documents of the first two; what is declared of them
//! is the registry's.

use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::constraints::{Constraints, FieldCheck, Rule};
use crate::hot::{CollectionDefinition, ColumnType, DeclaredColumn};
use crate::types::StorageTier;

/// Assets.
pub const ASSETS: &str = "asset_metadata";
/// Hash records.
pub const HASHES: &str = "hash_records";
/// Collisions and their reviews.
pub const COLLISIONS: &str = "collision_log";
/// What a tenant has set, one document.
pub const SETTINGS: &str = "registry_settings";
/// The id of that document.
pub const SETTINGS_ID: &str = "settings";

/// Characters of a URL, of a content type, status or other name, of a reviewer's notes.
pub const URL_MAX_CHARACTERS: usize = 2_048;
const NAME_MAX_CHARACTERS: usize = 255;
/// Characters of a reviewer's notes.
pub const NOTES_MAX_CHARACTERS: usize = 1_000;
/// What a reviewer may find.
pub const LABELS: [&str; 4] = ["benign_variant", "suspicious", "not_similar", "false_positive"];
/// The largest integer that every reader of JSON has exactly.
const MAX_EXACT: i64 = (1 << 53) - 1;

/// A column and what its values must be.
type Column = (&'static str, ColumnType, bool, Option<Rule>);

/// The collections with their definitions, parents first.
pub fn collections() -> [(&'static str, CollectionDefinition); 4] {
    let text = |characters| Some(Rule::Text(characters));
    let (string, moment, json) = (ColumnType::String, ColumnType::Timestamp, ColumnType::Json);
    let assets: [Column; 11] = [
        ("metadataId", ColumnType::Uuid, false, None),
        ("manifestUrl", string, false, text(URL_MAX_CHARACTERS)),
        ("imageUrl", string, false, text(URL_MAX_CHARACTERS)),
        ("contentType", string, false, text(NAME_MAX_CHARACTERS)),
        ("fileSize", ColumnType::Long, false, Some(Rule::Between(0, MAX_EXACT))),
        ("uploadedAt", moment, false, None),
        ("processedAt", moment, true, None),
        ("status", string, false, text(NAME_MAX_CHARACTERS)),
        ("metadata", json, false, Some(Rule::Object)),
        ("createdAt", moment, false, None),
        ("updatedAt", moment, false, None),
    ];
    let confidence = ColumnType::Decimal { precision: 5, scale: 4 };
    let hashes: [Column; 10] = [
        ("hashId", ColumnType::Uuid, false, None),
        ("pdqHash", string, false, Some(Rule::Hex(super::similarity::hash::HASH_BYTES))),
        ("pdqQuality", ColumnType::Int, false, Some(Rule::Between(0, 100))),
        ("ensembleHashes", json, true, None),
        ("embeddingId", string, true, text(NAME_MAX_CHARACTERS)),
        ("embedding", ColumnType::Binary, true, None),
        ("embeddingConfidence", confidence, true, Some(Rule::Fraction(4))),
        ("manifestLineage", json, false, Some(Rule::Object)),
        ("createdAt", moment, false, None),
        ("updatedAt", moment, false, None),
    ];
    let collisions: [Column; 14] = [
        ("entry", string, false, Some(Rule::OneOf(vec!["collision".to_owned(), "review".to_owned()]))),
        ("primaryAssetId", string, true, None),
        ("conflictingAssetId", string, true, None),
        ("similarityScores", json, true, None),
        ("conflictType", json, true, None),
        ("lineageDiff", json, true, None),
        ("createdAt", moment, false, None),
        ("collisionId", ColumnType::Uuid, true, None),
        ("reviewNumber", ColumnType::Int, true, None),
        ("label", string, true, Some(Rule::OneOf(LABELS.map(str::to_owned).to_vec()))),
        ("notes", string, true, text(NOTES_MAX_CHARACTERS)),
        ("reviewedBy", string, true, text(NAME_MAX_CHARACTERS)),
        ("reviewedAt", moment, true, None),
        ("resolved", ColumnType::Boolean, true, None),
    ];
    let of_assets = Constraints { parent: Some(ASSETS.to_owned()), ..Constraints::default() };
    let worm = Constraints { append_only: true, ..Constraints::default() };
    let of_lineage: [&[&str]; 2] = [&["manifestLineage.issuerKeyId"], &["manifestLineage.parentHash"]];
    // Of two that serve a list of the log as well, the later is read.
    let of_log: [&[&str]; 4] = [
        &["entry", "createdAt"],
        &["collisionId", "reviewNumber"],
        &["conflictingAssetId", "createdAt"],
        &["primaryAssetId", "createdAt"],
    ];
    [
        (ASSETS, definition(&assets, &[&["uploadedAt"], &["status"]], Constraints::default())),
        (HASHES, definition(&hashes, &[&["pdqHash"], &["embeddingId"], of_lineage[0], of_lineage[1]], of_assets)),
        (COLLISIONS, definition(&collisions, &of_log, worm)),
        (SETTINGS, definition(&[], &[], Constraints { stays: true, ..Constraints::default() })),
    ]
}

fn definition(columns: &[Column], indexes: &[&[&str]], mut constraints: Constraints) -> CollectionDefinition {
    let mut declared = Vec::with_capacity(columns.len());
    for (name, column_type, nullable, rule) in columns {
        declared.push(DeclaredColumn {
            name: (*name).to_owned(),
            field: None,
            column_type: *column_type,
            nullable: *nullable,
        });
        let check = |rule: &Rule| FieldCheck { field: (*name).to_owned(), rule: rule.clone() };
        constraints.checks.extend(rule.as_ref().map(check));
    }
    let indexes = indexes.iter().map(|fields| fields.iter().map(|field| (*field).to_owned()).collect()).collect();
    CollectionDefinition { columns: declared, indexes, constraints, ..CollectionDefinition::default() }
}

/// Whether a collection of a registry is the registry's own.
pub fn is_own(collection: &str) -> bool {
    [ASSETS, HASHES, COLLISIONS, SETTINGS].contains(&collection)
}

/// Whether documents of a collection are written by the registry's routes alone.
pub fn is_guarded(collection: &str) -> bool {
    [COLLISIONS, SETTINGS].contains(&collection)
}

/// The error of declaring or dropping a collection that the registry has made.
pub fn managed(collection: &str) -> StorageError {
    let message = format!(
        "expected a collection that is not the registry's own, got \"{collection}\", which the registry declares and keeps"
    );
    StorageError::new(ErrorKind::Forbidden, StorageTier::Api, "declare collection", message)
}

/// Refuses writes of a document in a collection that only the registry's routes write.
pub fn check_open(collection: &str) -> Result<()> {
    match collection {
        COLLISIONS => Err(crate::hot::constraints::append_only(collection)),
        SETTINGS => {
            let message = "expected settings to be written by PUT …/settings, got another route";
            Err(StorageError::new(ErrorKind::Forbidden, StorageTier::Api, "write document", message))
        }
        _ => Ok(()),
    }
}
