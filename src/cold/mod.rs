//! The cold tier's files: Parquet data files and Apache Iceberg v2 metadata, written and read back.
//!
//! Everything here but [`scan`] is pure: columns and plans in, bytes out. The same input makes the same bytes, so that
//! a commit that is replayed after a crash stages exactly the objects that it staged before. Spec sections named in
//! these modules are those of <https://iceberg.apache.org/spec/>.

mod avro;
pub mod bounds;
pub mod catalog;
pub mod changes;
pub mod commit;
pub mod compaction;
pub mod data_file;
pub mod documents;
mod evolve;
pub mod expiry;
mod file_reader;
pub mod fsck;
mod id_filter;
mod invariants;
mod manifest;
mod manifest_list;
mod manifest_plan;
pub mod metadata;
mod parquet_encode;
mod parquet_file;
mod parquet_read;
mod parquet_schema;
pub mod parquet_write;
pub mod paths;
pub mod position_deletes;
pub mod read;
pub mod retention;
pub mod scan;
pub mod schema;
mod statistics;
mod summary;
pub mod table;
pub mod tags;

pub use changes::{ChangeRecord, ChangesFileWriter};
pub use commit::{BuiltCommit, Commit, CommitOperation, StagedObject, plan_commit, snapshot_id};
pub use data_file::{ColumnMetrics, DataFile, FileContent, FilePart, LiveFile};
pub use documents::DocumentFileWriter;
pub use evolve::evolve;
pub use file_reader::AbsentFile;
pub use paths::TablePath;
pub use position_deletes::{PositionDeletesWriter, deleted_positions, read_position_deletes};
pub use retention::Retention;
pub use scan::{ChangesRange, ScanStats, read_versions, scan, scan_changes, scan_rows};
pub use schema::{Schema, TableKind};
pub use table::TableState;
pub use tags::retag;
