//! Where the files of a table lie (API.md, "Iceberg").
//!
//! A key names an object of the bucket; a location is what the metadata says, `{base URI}/{key}`. Every key but those
//! of the metadata versions and the version hint contains the commit's attempt, so that no two attempts write the same
//! object.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::schema::TableKind;
use crate::types::names::{CHANGES_SUFFIX, ObjectName, check_collection};
use crate::types::time::Month;

/// The root of all tables in the bucket.
pub const ROOT: &str = "iceberg";

/// The folder of one table in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TablePath(String);

impl TablePath {
    /// The folder of a collection's table.
    pub fn new(object: &ObjectName, collection: &str, kind: TableKind) -> Self {
        let suffix = match kind {
            TableKind::State => "",
            TableKind::Changes => CHANGES_SUFFIX,
        };
        Self(format!("{ROOT}/{}/{collection}{suffix}", object.path()))
    }

    /// The folder of an object's table by the table's own name; `None` for what no collection can be called.
    pub fn named(object: &ObjectName, table: &str) -> Option<Self> {
        let (collection, kind) = match table.strip_suffix(CHANGES_SUFFIX) {
            Some(collection) => (collection, TableKind::Changes),
            None => (table, TableKind::State),
        };
        check_collection(collection).ok()?;
        Some(Self::new(object, collection, kind))
    }

    /// The folder of the table that a key belongs to; `None` for a key that no table of valid names has.
    pub fn of_key(key: &str) -> Option<Self> {
        let mut segments = key.split('/');
        if segments.next()? != ROOT {
            return None;
        }
        let object = ObjectName::new(segments.next()?, segments.next()?).ok()?;
        let path = Self::named(&object, segments.next()?)?;
        let part = segments.next()?;
        let mut depth = 0;
        for segment in segments {
            depth += 1;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'=');
            if segment.is_empty() || matches!(segment, "." | "..") || !segment.bytes().all(plain) {
                return None;
            }
        }
        (matches!(part, "data" | "metadata") && depth > 0).then_some(path)
    }

    /// The folder, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Data file `number` of an attempt.
    pub fn data_file(&self, month: Month, attempt: Uuid, number: usize) -> String {
        format!("{}/data/year={:04}/month={:02}/{attempt}-{number}.parquet", self.0, month.year, month.month)
    }

    /// Position-delete file `number` of an attempt.
    pub fn delete_file(&self, month: Month, attempt: Uuid, number: usize) -> String {
        format!("{}/data/year={:04}/month={:02}/{attempt}-{number}-deletes.parquet", self.0, month.year, month.month)
    }

    /// Manifest `number` of an attempt.
    pub fn manifest(&self, attempt: Uuid, number: usize) -> String {
        format!("{}/metadata/{attempt}-m{number}.avro", self.0)
    }

    /// The manifest list of a snapshot.
    pub fn manifest_list(&self, snapshot_id: i64, attempt: Uuid) -> String {
        format!("{}/metadata/snap-{snapshot_id}-{attempt}.avro", self.0)
    }

    /// The table metadata of a version.
    pub fn metadata(&self, version: i64) -> String {
        format!("{}/metadata/v{version}.metadata.json", self.0)
    }

    /// The pointer to the current version: its number as text.
    pub fn version_hint(&self) -> String {
        format!("{}/metadata/version-hint.text", self.0)
    }
}

/// The object whose table has a file that never changes: every file but those of the metadata versions and the version hint.
pub fn owner_of_immutable(key: &str) -> Option<ObjectName> {
    if !key.ends_with(".parquet") && !key.ends_with(".avro") {
        return None;
    }
    TablePath::of_key(key)?;
    let mut segments = key.split('/').skip(1);
    ObjectName::new(segments.next()?, segments.next()?).ok()
}

/// The location of an object under the base URI of all tables.
pub fn location(base_uri: &str, key: &str) -> String {
    format!("{}/{key}", base_uri.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{COLLECTION_MAX_BYTES, NAME_MAX_BYTES, R2_KEY_MAX_BYTES};

    #[test]
    fn keys_are_those_of_the_contract() {
        let object = ObjectName::new("demo", "one").unwrap();
        let attempt = Uuid::from_u128(7);
        let path = TablePath::new(&object, "movies", TableKind::State);
        let month = Month { year: 2024, month: 2 };
        assert_eq!(
            path.data_file(month, attempt, 3),
            "iceberg/demo/one/movies/data/year=2024/month=02/00000000-0000-0000-0000-000000000007-3.parquet"
        );
        assert_eq!(
            path.delete_file(month, attempt, 4),
            "iceberg/demo/one/movies/data/year=2024/month=02/00000000-0000-0000-0000-000000000007-4-deletes.parquet"
        );
        assert_eq!(
            path.manifest(attempt, 0),
            "iceberg/demo/one/movies/metadata/00000000-0000-0000-0000-000000000007-m0.avro"
        );
        assert_eq!(
            path.manifest_list(9, attempt),
            "iceberg/demo/one/movies/metadata/snap-9-00000000-0000-0000-0000-000000000007.avro"
        );
        assert_eq!(path.metadata(12), "iceberg/demo/one/movies/metadata/v12.metadata.json");
        assert_eq!(path.version_hint(), "iceberg/demo/one/movies/metadata/version-hint.text");
        assert_eq!(TablePath::new(&object, "movies", TableKind::Changes).as_str(), "iceberg/demo/one/movies__changes");
        assert_eq!(location("s3://cold/", "iceberg/x"), "s3://cold/iceberg/x");
    }

    #[test]
    fn keys_tell_their_table_and_other_keys_have_none() {
        let table = |key: &str| TablePath::of_key(key).map(|path| path.as_str().to_owned());
        let state = Some("iceberg/demo/one/movies".to_owned());
        assert_eq!(table("iceberg/demo/one/movies/metadata/v1.metadata.json"), state);
        assert_eq!(table("iceberg/demo/one/movies/data/year=2024/month=02/0-3.parquet"), state);
        let changes = Some("iceberg/demo/one/movies__changes".to_owned());
        assert_eq!(table("iceberg/demo/one/movies__changes/metadata/version-hint.text"), changes);
        for other in [
            "",
            "iceberg",
            "iceberg/demo/one/movies",
            "iceberg/demo/one/movies/",
            "iceberg/demo/one/movies/data",
            "iceberg/demo/one/movies/data/",
            "iceberg/demo/one/movies/data//x",
            "iceberg/demo/one/movies/data/../metadata/x",
            "iceberg/demo/one/movies/data/%2E%2E/x",
            "iceberg/demo/one/movies/other/x",
            "iceberg/demo/one/movies/data/x y",
            "iceberg/demo/one/Movies/data/x",
            "iceberg/demo/one/movies__changes__changes/data/x",
            "iceberg/demo/../movies/data/x",
            "iceberg//one/movies/data/x",
            "/iceberg/demo/one/movies/data/x",
            "other/demo/one/movies/data/x",
        ] {
            assert_eq!(table(other), None, "{other}");
        }
    }

    #[test]
    fn what_an_attempt_made_never_changes_and_versions_may() {
        let object = ObjectName::new("demo", "one").unwrap();
        let path = TablePath::new(&object, "movies", TableKind::State);
        let (attempt, month) = (Uuid::from_u128(7), Month { year: 2024, month: 2 });
        let immutable = [
            path.data_file(month, attempt, 0),
            path.delete_file(month, attempt, 1),
            path.manifest(attempt, 0),
            path.manifest_list(9, attempt),
        ];
        for key in immutable {
            assert_eq!(owner_of_immutable(&key), Some(object.clone()), "{key}");
        }
        for key in [path.metadata(1), path.version_hint(), "a.parquet".to_owned(), "other/a/b/c/data/x.avro".to_owned()]
        {
            assert_eq!(owner_of_immutable(&key), None, "{key}");
        }
    }

    #[test]
    fn the_longest_key_fits_the_bucket() {
        let name = "n".repeat(NAME_MAX_BYTES);
        let object = ObjectName::new(&name, &name).unwrap();
        let path = TablePath::new(&object, &"c".repeat(COLLECTION_MAX_BYTES), TableKind::Changes);
        let longest = path.data_file(Month { year: -9999, month: 12 }, Uuid::max(), usize::MAX);
        assert!(longest.len() < R2_KEY_MAX_BYTES, "{}", longest.len());
    }
}
