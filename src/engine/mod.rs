//! One digital object: the tiers put together.
//!
//! Invariants: no await lies between a check and its write; no borrow of a cell is held across an await; a write is
//! acknowledged only after its transaction has committed and its archiving is scheduled.

mod access_log;
mod answers;
mod archive;
mod cached;
mod changes;
mod collections;
mod consumers;
mod documents;
mod erase;
mod evicted;
mod expiry;
mod export;
mod export_file;
mod follow;
mod history;
mod maintenance;
mod metrics;
mod push;
mod queries;
pub mod registry;
mod restore;
mod snapshots;
mod sockets;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub use crate::hot::query;
pub use crate::hot::{
    CollectionDefinition, Columnar, Condition, DeclaredColumn, KeptAnswer, Mutation, Retention, SegmentFigures,
    Versions, Write, WriteOutcome, constraints::Constraints, document::NewDocument,
};
pub use answers::{Once, Ticket};
pub use cached::{CACHE_CLASSES, CacheDrop, CacheFigures, DocumentCache, Entry, FORGOTTEN_ONE_BY_ONE_MAX, WarmFigures};
pub use collections::{CollectionInfo, ColumnInfo};
pub use consumers::ConsumerState;
pub use documents::Tier;
pub use erase::Erasing;
pub use export::{EXPORT_ABANDONED_MS, EXPORT_CHUNK_BYTES, EXPORT_IDLE_MAX_MS, EXPORTS_MAX, Export};
pub use export_file::ExportFile;
pub use follow::Follower;
pub use history::AsOf;
pub use maintenance::{Cleaned, ColdPart, Compacted, Maintained, Part};
pub use metrics::Metrics;
pub use restore::{Job, JobAnswer, JobState, Restore};
pub use snapshots::{LABEL_MAX_BYTES, SnapshotRequest};
pub use sockets::Pumped;

use self::answers::KeysInFlight;
use self::cached::cached_files;
use self::export::Exports;
use self::follow::Places;
use self::push::Pushing;
use self::sockets::SocketFeed;
use crate::cdc::Consumers;
use crate::config::StorageConfig;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::HotStore;
use crate::ports::{
    ClosableSql, InParts, Meter, MeteredBucket, MeteredSql, ObjectStore, PartSizes, Ports, Retries, Retrying, Spent,
    SqlCounters, TimelyCache, uuid_v7,
};
use crate::registry::embeddings::store::EmbeddingStore;
use crate::registry::similarity::store::SimilarityStore;
use crate::registry::temporary::TemporaryStore;
use crate::snapshots::Snapshotter;
use crate::types::names::ObjectName;
use crate::types::{Sequence, StorageTier, SyncState, Timestamp};
use crate::warm::{CachedBucket, Warm};

/// A digital object over its ports.
pub struct Engine {
    ports: Ports,
    config: StorageConfig,
    hot: Rc<HotStore>,
    snapshotter: Snapshotter,
    similarity: SimilarityStore,
    /// Held while the index of hashes is made of the records.
    similarity_making: futures_util::lock::Mutex<()>,
    /// The generation that was read last.
    generation: RefCell<Option<String>>,
    /// Whether the transaction of now has logged collisions that were found in it.
    has_collided: Cell<bool>,
    /// Held while a review is numbered and added.
    reviewing: futures_util::lock::Mutex<()>,
    embeddings: EmbeddingStore,
    /// Held while the index of embeddings is made of the records.
    embeddings_making: futures_util::lock::Mutex<()>,
    temporary: TemporaryStore,
    warm: Warm,
    /// Files of tables, read through the cache; `None` without a bucket, or where no cache is wanted.
    files: Option<Rc<CachedBucket>>,
    exports: Exports,
    keys_in_flight: KeysInFlight,
    consumers: Consumers,
    places: Places,
    /// Readers that wait for an event.
    waiting: Cell<usize>,
    socket_feed: Rc<SocketFeed>,
    pushing: Pushing,
    /// Since when somebody's maintenance is under way.
    maintaining: Cell<Option<Timestamp>>,
    meter: Rc<Meter>,
    /// What it was made of.
    made_of: Ports,
    /// Where exports are put.
    export_bucket: Option<Rc<dyn ObjectStore>>,
    sql: Rc<ClosableSql>,
    /// Exports that are being put into the bucket.
    puts: Cell<usize>,
    /// Whether erasing is worked on.
    erasing: Cell<bool>,
    /// Whether files of what was erased are still to be deleted.
    has_erased_files: Cell<bool>,
    /// The name this object is called by; known from its first request, or from its tables.
    name: RefCell<Option<ObjectName>>,
    /// When the alarm is due, as far as this instance knows; the outer `None` until it has asked.
    alarm_due: Cell<Option<Option<Timestamp>>>,
}

/// Whoever waits for events of an object that is gone goes too.
impl Drop for Engine {
    fn drop(&mut self) {
        self.hot.log().bell().silence();
        self.socket_feed.acknowledged.silence();
    }
}

impl Engine {
    /// An object over its ports. Nothing is read before it is needed.
    pub fn new(mut ports: Ports, config: StorageConfig) -> Self {
        let made_of = ports.clone();
        let meter = Rc::new(Meter::new(ports.clock.now_ms()));
        let sql = Rc::new(ClosableSql::new(Rc::clone(&ports.sql)));
        ports.cache = Rc::new(TimelyCache::new(ports.cache, Rc::clone(&ports.clock)));
        ports.sql = Rc::new(MeteredSql::new(sql.clone(), Rc::clone(&meter)));
        let sizes = PartSizes::from(&config.objects);
        let (clock, ids, retries) = (Rc::clone(&ports.clock), Rc::clone(&ports.ids), Retries::from(&config.timeouts));
        let decorated = |objects: Rc<dyn ObjectStore>| -> Rc<dyn ObjectStore> {
            let metered = MeteredBucket::new(objects, Rc::clone(&clock), Rc::clone(&meter));
            Rc::new(Retrying::new(Rc::new(metered), Rc::clone(&clock), Rc::clone(&ids), retries))
        };
        let objects = ports.objects.map(decorated);
        let export_bucket = ports.exports.clone().map(decorated).or_else(|| objects.clone());
        ports.objects = objects.map(|objects| -> Rc<dyn ObjectStore> { Rc::new(InParts::new(objects, sizes)) });
        // The rest is for what requests and the alarm build.
        let memory_bytes = config.memory.budget_bytes / 5 * 2;
        let files = cached_files(&ports, &config);
        let reads = files.clone().map(|files| -> Rc<dyn ObjectStore> { files });
        let hot = Rc::new(HotStore::new(Rc::clone(&ports.sql), config.hot.clone(), memory_bytes));
        Self {
            snapshotter: Snapshotter::new(ports.clone(), config.clone(), Rc::clone(&hot), reads),
            similarity: SimilarityStore::new(Rc::clone(&ports.sql), config.memory.budget_bytes / 5 * 3),
            similarity_making: futures_util::lock::Mutex::new(()),
            generation: RefCell::default(),
            has_collided: Cell::default(),
            reviewing: futures_util::lock::Mutex::new(()),
            embeddings: EmbeddingStore::new(Rc::clone(&ports.sql), config.memory.budget_bytes / 10 * 3),
            embeddings_making: futures_util::lock::Mutex::new(()),
            temporary: TemporaryStore::new(Rc::clone(&ports.sql)),
            files,
            warm: Warm::new(Rc::clone(&ports.cache)),
            exports: Exports::default(),
            keys_in_flight: KeysInFlight::default(),
            consumers: Consumers::new(Rc::clone(&ports.sql)),
            places: Places::default(),
            waiting: Cell::default(),
            socket_feed: Rc::default(),
            pushing: Pushing::default(),
            maintaining: Cell::new(None),
            meter,
            made_of,
            export_bucket,
            sql,
            puts: Cell::default(),
            erasing: Cell::new(false),
            has_erased_files: Cell::new(false),
            hot,
            ports,
            config,
            name: RefCell::new(None),
            alarm_due: Cell::new(None),
        }
    }

    /// The same object once more, which remembers nothing.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self::new(self.made_of.clone(), self.config.clone())
    }

    /// Tells the object its name, as the request was routed by it.
    pub fn bind(&self, name: &ObjectName) -> Result<()> {
        let known = self.name.borrow().clone();
        let known = match known {
            Some(known) => known,
            None => match self.hot.object_record()? {
                Some(record) => {
                    self.has_erased_files.set(record.erasing);
                    record.name
                }
                None => name.clone(),
            },
        };
        if known != *name {
            return Err(StorageError::new(
                ErrorKind::Internal,
                StorageTier::Api,
                "route request",
                format!("expected a request for the object \"{}\", got one for \"{}\"", known.path(), name.path()),
            ));
        }
        self.name.replace(Some(known));
        Ok(())
    }

    /// Tells the object its name as it was when it was last told: an alarm and a message of a socket have none
    /// to route by.
    pub(super) fn bind_by_record(&self) -> Result<()> {
        if self.name.borrow().is_some() {
            return Ok(());
        }
        self.hot.object_record()?.map_or(Ok(()), |record| self.bind(&record.name))
    }

    /// The object's name.
    pub fn name(&self) -> Result<ObjectName> {
        self.name.borrow().clone().ok_or_else(|| {
            StorageError::new(
                ErrorKind::Internal,
                StorageTier::Api,
                "route request",
                "expected the object to know its name",
            )
        })
    }

    /// The effective configuration.
    pub fn config(&self) -> &StorageConfig {
        &self.config
    }

    /// SQLite's counts since this instance started.
    pub fn counters(&self) -> SqlCounters {
        self.ports.sql.counters()
    }

    /// What was used since this instance started.
    pub fn spent(&self) -> Spent {
        self.meter.spent(self.counters())
    }

    /// What column segments there are.
    pub fn segment_figures(&self) -> Result<SegmentFigures> {
        self.hot.segment_figures()
    }

    /// Bytes of the database.
    pub fn database_bytes(&self) -> u64 {
        self.ports.sql.size_bytes()
    }

    /// The time.
    pub fn now_ms(&self) -> Timestamp {
        self.ports.clock.now_ms()
    }

    /// Ends the turn, so that other requests may begin.
    pub async fn let_others_run(&self) {
        self.ports.clock.sleep_ms(0).await;
    }

    /// A new document id.
    pub fn new_id(&self) -> Result<String> {
        Ok(uuid_v7(self.ports.ids.as_ref(), self.now_ms())?.to_string())
    }

    /// The sequence of the last event.
    pub fn last_sequence(&self) -> Result<Sequence> {
        self.hot.log().last_sequence()
    }

    /// Refuses a reader who has seen a later state than this object is in.
    pub fn check_min_sequence(&self, wanted: Sequence) -> Result<()> {
        let last = self.last_sequence()?;
        if wanted <= last {
            return Ok(());
        }
        Err(StorageError::new(
            ErrorKind::Precondition,
            StorageTier::Hot,
            "check Min-Sequence",
            format!("expected the object to have reached sequence {wanted}, got {last}; try again later"),
        ))
    }

    /// How far each tier has followed.
    pub fn sync_state(&self) -> Result<SyncState> {
        let last_hot_sequence = self.last_sequence()?;
        let published = self.snapshotter.published()?;
        Ok(SyncState {
            last_hot_sequence,
            last_warm_sequence: self.warm.sequence().unwrap_or(last_hot_sequence),
            last_cold_sequence: published.sequence,
            last_sync_timestamp: published.at,
        })
    }
}
