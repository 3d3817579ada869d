//! The change log (outbox): every mutation's event, committed with the mutation, in one gap-free sequence.
//!
//! [`record`] is the packed bytes of a log row, [`log`] the tables that hold them, [`feed`] what readers are answered.

pub mod feed;
pub mod log;
pub mod record;

pub use feed::{FeedFilter, FeedPage};
pub use log::{Appender, ChangeLog, ReferencedRows, RowsPosition};
pub use record::{Change, Image, LoggedEvent, RowsReference};
