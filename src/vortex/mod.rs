//! Typed columns: how documents become columns and documents again, and columns bytes. Pure: bytes and values in, bytes
//! and values out.
//!
//! A table's columns are described by a [`TableSchema`], which grows by declaration ([`TableSchema::declare`]) and by
//! inference ([`infer::observe`]). A [`Shredder`] turns documents into one [`Column`] a field; a [`Rebuilder`] turns
//! them back. A [`blob`] holds columns as bytes: how values are laid out there is told in `encoding`, which layout they get
//! in `choose`. Invariants, held by property tests:
//!
//! - a rebuilt document is the same JSON as the one shredded (members in any order, number text kept);
//! - a value that the type of its field's column can represent is always in the column; where its text is not the
//!   canonical text of that value, the text is kept in `_extra` too, and wins when rebuilding;
//! - a column read from a blob is the one written, and bytes that no writer made are refused or read, without a panic and
//!   within the memory given.

pub mod blob;
mod choose;
pub mod column;
pub mod column_type;
mod encoding;
pub mod infer;
mod moment;
mod number;
pub mod rebuild;
pub mod schema;
pub mod shred;
pub mod value;

pub use column::{Bitmap, Column, ColumnCursor, Values};
pub use column_type::ColumnType;
pub use moment::{format_date, format_timestamp};
pub use rebuild::{Rebuilder, RebuiltColumn};
pub use schema::{ColumnDeclaration, Origin, TableColumn, TableSchema};
pub use shred::{ShreddedBatch, Shredder, StrayFields};
pub use value::{Fit, Scalar};
