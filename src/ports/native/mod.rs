//! The ports over real SQLite and memory, for native tests.
//!
//! Each store is a handle that can be cloned: a new instance of the engine over the same storage, as after an
//! eviction, is made by building it again over clones ([`World::ports`]). What the platform refuses is refused here
//! too, so that a native test fails where production would. [`FaultPlan`] breaks any single call.
//!
//! What differs: the counters of [`NativeSql`] (see there), and time, which stands still until a test moves it.

mod clock;
mod executor;
mod faults;
mod folder_bucket;
mod memory_bucket;
mod memory_cache;
mod numbers;
mod peers;
mod queue;
mod signatures;
mod sockets;
mod sqlite;
mod statements;
mod world;

pub use clock::{ManualAlarm, ManualClock, SeededIds};
pub use executor::{Outcome, join_seeded, run, yield_now};
pub use faults::{Fault, FaultPlan};
pub use folder_bucket::FolderBucket;
pub use memory_bucket::{MemoryBucket, MemoryObject, OperationCounts};
pub use memory_cache::MemoryCache;
pub use numbers::SplitMix64;
pub use peers::{Answering, LocalPeers};
pub use queue::{LocalQueue, Sending};
pub use signatures::NativeSignatures;
pub use sockets::{LocalSocket, LocalSockets};
pub use sqlite::NativeSql;
pub use world::World;
