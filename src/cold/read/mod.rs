//! Iceberg v2 tables read from the bucket alone, as any engine reads them.
//!
//! Version hint -> `v{N}.metadata.json` -> manifest list -> manifests -> data files, without the positions that
//! position-delete files name. Nothing here knows of SQLite, of this program's own notes in data files, or of its
//! checksums: what this module reads is what a foreign engine reads, so tables of other writers are read too, and
//! [`fsck`](super::fsck) proves the writing side by it. Invariants:
//!
//! - nothing that an object says of a size is believed before it is bounded: objects are fetched up to a maximum, and
//!   what one of them makes of its bytes is bounded again;
//! - what is not as the spec says is an error that names the object; optional fields may be missing;
//! - a snapshot is read whole or not at all: what this reader cannot apply (equality deletes, nested columns, other
//!   formats) is an error, never other rows.
//!
//! Data files are decoded unproved ([`foreign`]): that is for tools and tests. The object itself reads its files by
//! [`scan`](super::scan), which proves them first, and nothing that is deployed calls this module.

mod avro;
pub mod foreign;
pub mod manifest;
pub mod manifest_list;
pub mod metadata;
mod objects;
pub mod table;
pub mod types;

pub use manifest::{DataContent, DataFile, EntryStatus, ManifestEntry};
pub use manifest_list::{ManifestContent, ManifestFile};
pub use metadata::TableMetadata;
pub use table::{Expected, Row, Table};
pub use types::{FieldType, PrimitiveType};
