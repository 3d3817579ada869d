//! Everything outside one object, for a native test: build an engine over [`World::ports`], drop it, build another.

use std::rc::Rc;

use super::{LocalPeers, LocalSockets, ManualAlarm, ManualClock, MemoryBucket, MemoryCache, NativeSql, SeededIds};
use crate::error::Result;
use crate::ports::Ports;

/// 2026-01-01T00:00:00.000Z, where a world begins.
const BEGINNING_MS: i64 = 1_767_225_600_000;

/// The stores, the clock and the alarm of one object.
pub struct World {
    /// The object's database.
    pub sql: NativeSql,
    /// The bucket.
    pub bucket: MemoryBucket,
    /// The data centre's cache.
    pub cache: MemoryCache,
    /// The time.
    pub clock: Rc<ManualClock>,
    /// The randomness.
    pub ids: Rc<SeededIds>,
    /// The object's alarm.
    pub alarm: Rc<ManualAlarm>,
    /// Other objects.
    pub peers: Rc<LocalPeers>,
    /// The sockets that follow the object.
    pub sockets: Rc<LocalSockets>,
}

impl World {
    /// An empty world with its database in memory, whose ids follow from `seed`.
    pub fn new(seed: u64) -> Result<Self> {
        Ok(Self::over(NativeSql::in_memory()?, seed))
    }

    /// A world around a database that is there already.
    pub fn over(sql: NativeSql, seed: u64) -> Self {
        let clock = Rc::new(ManualClock::new(BEGINNING_MS));
        Self {
            sql,
            bucket: MemoryBucket::new(),
            cache: MemoryCache::new(clock.clone()),
            clock,
            ids: Rc::new(SeededIds::new(seed)),
            alarm: Rc::new(ManualAlarm::new()),
            peers: Rc::default(),
            sockets: Rc::default(),
        }
    }

    /// Ports for a new instance of the object: the same stores, counters of rows at zero.
    pub fn ports(&self) -> Ports {
        Ports {
            sql: Rc::new(self.sql.reopened()),
            objects: Some(Rc::new(self.bucket.clone())),
            exports: None,
            cache: Rc::new(self.cache.clone()),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            alarm: self.alarm.clone(),
            peers: self.peers.clone(),
            sockets: self.sockets.clone(),
            queue: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SqlCounters;

    #[test]
    fn a_new_instance_meets_the_same_stores() {
        let world = World::new(1).unwrap();
        let first = world.ports();
        first.sql.query("CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID", &[]).unwrap();
        first.sql.query("INSERT INTO t VALUES ('a')", &[]).unwrap();
        drop(first);
        let second = world.ports();
        assert_eq!(second.sql.counters(), SqlCounters::default());
        assert_eq!(second.sql.query("SELECT id FROM t", &[]).unwrap().len(), 1);
        world.clock.advance(5);
        assert_eq!(second.clock.now_ms(), BEGINNING_MS + 5);
    }
}
