//! What the engine needs of the world, as traits: SQLite, a bucket, an edge cache, a clock, random ids, an alarm, and
//! the requests that arrive.
//!
//! Everything outside `platform/` reaches the world through these, so that it runs natively under test, with faults
//! injected at any call. Ports return this project's own error.

mod cache;
mod clock;
mod closable;
pub mod message;
mod meter;
mod metered;
mod multipart;
mod object_folders;
mod object_store;
mod peers;
mod queue;
mod retrying;
mod signatures;
mod sockets;
mod sql;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;

use std::rc::Rc;

pub use cache::{EdgeCache, TimelyCache};
pub use clock::{Alarm, Clock, Ids, uuid_v7};
pub use closable::ClosableSql;
pub use meter::{BillingClass, BucketCall, BucketFigures, CallFigures, LATENCY_BOUNDS_MS, Latency, Meter, Spent};
pub use metered::{MeteredBucket, MeteredSql};
pub use multipart::{InParts, PartSizes};
pub use object_folders::{ByteRange, FolderPage, ObjectDescription, ObjectFolders, ObjectStreams, Opened};
pub(crate) use object_store::expect_listing;
pub use object_store::{
    KeyListing, ObjectInfo, ObjectMetadata, ObjectStore, PartUploads, PutCondition, PutOutcome, StorageClass,
    StoredObject, UploadedPart,
};
pub use peers::{PeerAnswer, Peers};
pub use queue::Queue;
pub use retrying::{Retries, Retrying, RetryingFolders};
pub use signatures::{PublicKey, Signatures};
pub use sockets::{Socket, SocketMessage, Sockets};
pub use sql::{SqlCounters, SqlParam, SqlRow, SqlStore, SqlValue, expect_blob, expect_integer, expect_text, transact};

/// All ports of one object.
#[derive(Clone)]
pub struct Ports {
    /// The object's SQLite.
    pub sql: Rc<dyn SqlStore>,
    /// The bucket; `None` when none is bound, and then the cold tier is absent.
    pub objects: Option<Rc<dyn ObjectStore>>,
    /// The same bucket, where what is put is encrypted with a key for exports; `None` when there is no such key.
    pub exports: Option<Rc<dyn ObjectStore>>,
    /// The Cache API of this data centre.
    pub cache: Rc<dyn EdgeCache>,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Randomness for ids.
    pub ids: Rc<dyn Ids>,
    /// The object's one alarm.
    pub alarm: Rc<dyn Alarm>,
    /// Other objects.
    pub peers: Rc<dyn Peers>,
    /// The sockets that follow the object's feed.
    pub sockets: Rc<dyn Sockets>,
    /// The queue that events are pushed to; `None` when none is bound.
    pub queue: Option<Rc<dyn Queue>>,
}

/// The ports of the Worker in front of the objects.
#[derive(Clone)]
pub struct EdgePorts {
    /// The Cache API of this data centre.
    pub cache: Rc<dyn EdgeCache>,
    /// The bucket; `None` when none is bound.
    pub bucket: Option<Rc<dyn ObjectFolders>>,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Randomness for ids.
    pub ids: Rc<dyn Ids>,
}
