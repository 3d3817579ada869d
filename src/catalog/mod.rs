//! The tables of all objects, as the Worker shows them to other engines: found in the bucket, loaded from their metadata,
//! and their files opened to whoever holds a session's token.
//!
//! Nothing here writes, and no object is asked: the bucket is what engines see, and the object that wrote it is the only
//! writer there is.

mod base;
mod listing;
mod namespace;
mod session;

pub use crate::cold::paths::TablePath;
pub use base::S3Base;
pub use listing::{LoadedTable, Page, PageRequest, Tables};
pub use namespace::Namespace;
pub use session::{Credentials, Refusal, SESSION_MS, SessionKey};
