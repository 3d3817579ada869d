//! Erasing the object, hot and cold.
//!
//! Its tables go in one transaction, which is the moment of the erasing; then its files are deleted, a page of keys at a time,
//! by the request and, where they are many or the bucket fails, by alarms. Until the last file is gone the object takes no
//! other requests, because its tables' files have the same names in every life. What this instance remembers of the tables
//! is of no use afterwards: the caller goes on with [`renewed`](Engine::renewed).
//!
//! Invariants: what was begun is ended, over failures and restarts; a file that was on its way when the object went away is
//! deleted too, because whoever does not know that all have arrived looks again when they must have.

use super::{Engine, export_file};
use crate::cold::expiry::ExpiredEvents;
use crate::cold::paths;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::Erasure;
use crate::hot::constraints::append_only;
use crate::ports::expect_listing;
use crate::types::{StorageTier, Timestamp};

/// Pages of keys that one request or alarm deletes.
const PAGES: usize = 20;
/// Keys of one page: what the bucket deletes at once.
const PAGE_KEYS: u32 = 1_000;
/// How long files may be on their way to the bucket from an instance that is gone, in ms.
const ON_THEIR_WAY_MS: i64 = 60_000;
/// How often it is looked whether an archiving in flight has ended, in ms, and how many times.
const POLL_MS: u32 = 20;
const POLLS: usize = 1_500;
/// How a socket learns that the object was erased.
const ERASED_CODE: u16 = 4_410;

/// How far erasing has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasing {
    /// Its record; `None` for an object that had nothing to be erased but, perhaps, files.
    pub record: Option<Erasure>,
    /// Files that this call deleted.
    pub deleted: u64,
    /// Whether nothing is left.
    pub done: bool,
}

/// Marks an erasing that is worked on until it is dropped.
struct Begun<'e>(&'e Engine);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.erasing.set(false);
    }
}

impl Engine {
    /// Refuses to work for an object that is being erased.
    pub fn check_not_erasing(&self) -> Result<()> {
        if self.erasing.get() || self.has_erased_files.get() { Err(busy()) } else { Ok(()) }
    }

    /// Whether the tables that this instance remembers may be gone, so that another has to take its place.
    pub fn is_closed(&self) -> bool {
        self.sql.is_closed()
    }

    /// Drops all tables, unless there is nothing in them; `true` when it did.
    pub async fn erase_tables(&self, by: &str) -> Result<bool> {
        if self.erasing.get() {
            return Err(busy());
        }
        if !self.has_something_to_erase()? {
            return Ok(false);
        }
        self.check_nothing_is_kept()?;
        self.erasing.set(true);
        let _begun = Begun(self);
        // Should this instance end after the tables are gone, an alarm goes on.
        self.set_alarm(self.now_ms().saturating_add(ON_THEIR_WAY_MS)).await?;
        // No await after this: another archiving may not begin before the tables are gone.
        self.until_archiving_ends().await?;
        self.check_nothing_is_kept()?;
        let erased = self.hot.transaction(|| {
            let gone = ExpiredEvents { through: self.last_sequence()?, timestamp: self.hot.log().last_timestamp()? };
            self.hot.erase(by, self.now_ms())?;
            if self.ports.objects.is_some() { self.snapshotter.begin_after(gone) } else { Ok(()) }
        });
        // What failed may have happened.
        self.sql.close();
        erased?;
        for socket in self.ports.sockets.open().unwrap_or_default() {
            socket.close(ERASED_CODE, "expected an object that is there, got one that was erased; read from now on");
        }
        Ok(true)
    }

    /// Refuses to erase entries that are written once: they would be gone.
    fn check_nothing_is_kept(&self) -> Result<()> {
        for collection in self.hot.catalog()?.all_live() {
            if collection.definition.constraints.append_only && !self.hot.is_empty(collection)? {
                return Err(append_only(&collection.name));
            }
        }
        Ok(())
    }

    /// What there is besides the record that it was erased.
    fn has_something_to_erase(&self) -> Result<bool> {
        let Some(record) = self.hot.object_record()? else { return Ok(false) };
        if record.erasing {
            return Ok(false);
        }
        let untouched = match self.hot.last_erasure()? {
            Some(last) => last.sequence == self.last_sequence()? && self.hot.catalog()?.all().is_empty(),
            None => false,
        };
        Ok(!untouched)
    }

    async fn until_archiving_ends(&self) -> Result<()> {
        for _ in 0..POLLS {
            if !self.snapshotter.is_running() {
                return Ok(());
            }
            self.ports.clock.sleep_ms(POLL_MS).await;
        }
        let message = "expected the archiving that is in progress to end, got one that goes on; try again";
        Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, "erase object", message))
    }

    /// Whether files are on their way to the bucket.
    pub fn is_putting(&self) -> bool {
        self.puts.get() > 0 || self.snapshotter.has_runs()
    }

    /// Deletes files of what was erased, some of them. `none_on_their_way` when it is known that all files have arrived.
    pub async fn erase_files(&self, none_on_their_way: bool) -> Result<Erasing> {
        let record = self.hot.last_erasure()?;
        let pending = self.hot.object_record()?.is_some_and(|record| record.erasing);
        if self.erasing.replace(true) {
            return Ok(Erasing { record, deleted: 0, done: false });
        }
        let _begun = Begun(self);
        let mut deleted = 0;
        let emptied = self.delete_files(&mut deleted).await;
        let now = self.now_ms();
        let began = record.as_ref().map_or(now, |record| record.at);
        let arrive_by = began.saturating_add(ON_THEIR_WAY_MS);
        let arrived = none_on_their_way || !pending || now >= arrive_by;
        let done = matches!(emptied, Ok(true)) && arrived;
        if pending {
            self.hot.note_erased(i64::try_from(deleted).unwrap_or(i64::MAX), done.then_some(now))?;
            self.has_erased_files.set(!done);
            if !done {
                self.set_alarm(next_look(now, arrive_by, &emptied)).await?;
            }
        }
        // What is pending goes on by itself, whatever the bucket says now.
        if !pending {
            emptied?;
        }
        Ok(Erasing { record: self.hot.last_erasure()?, deleted, done })
    }

    /// Deletes some pages of files; `true` when none was left.
    async fn delete_files(&self, deleted: &mut u64) -> Result<bool> {
        let Some(bucket) = &self.ports.objects else { return Ok(true) };
        let listing = expect_listing(bucket.as_ref())?;
        let name = self.name()?;
        let mut folders = [format!("{}/{}/", paths::ROOT, name.path()), export_file::folder(&name)].into_iter();
        let mut folder = folders.next();
        for _ in 0..PAGES {
            let Some(prefix) = &folder else { return Ok(true) };
            let keys = listing.keys(prefix, PAGE_KEYS).await?;
            if keys.is_empty() {
                folder = folders.next();
                continue;
            }
            bucket.delete(&keys).await?;
            *deleted = deleted.saturating_add(u64::try_from(keys.len()).unwrap_or(0));
        }
        Ok(folder.is_none())
    }

    /// Goes on with what was begun, as the alarm's work; `false` when nothing was.
    pub(super) async fn go_on_erasing(&self) -> Result<bool> {
        let Some(record) = self.hot.object_record()?.filter(|record| record.erasing) else { return Ok(false) };
        // An alarm has no name to route by.
        self.bind(&record.name)?;
        // Should this instance end here, the next one goes on.
        self.set_alarm(self.now_ms().saturating_add(ON_THEIR_WAY_MS)).await?;
        self.erase_files(false).await?;
        Ok(true)
    }
}

fn next_look(now: Timestamp, arrive_by: Timestamp, emptied: &Result<bool>) -> Timestamp {
    match emptied {
        Ok(true) => arrive_by.max(now.saturating_add(1_000)),
        Ok(false) => now.saturating_add(1_000),
        Err(_) => now.saturating_add(ON_THEIR_WAY_MS),
    }
}

/// What a request is told whose object is being erased.
pub(super) fn busy() -> StorageError {
    let message = "expected an object that is not being erased, got one that is; try again later";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "use object", message)
}
