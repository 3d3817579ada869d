//! The jobs of an object, in its SQLite: what is to be done, how far it is, and what it has made so far.
//!
//! At most one restore runs. While it does, the object refuses other writes: they would be undone by its end without
//! their authors knowing. Stored values are JSON with a `format`; a newer one is refused.

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::WriteGate;
use crate::limits::{SCAN_PAGE_MAX_ROWS, SQL_MAX_PARAMETERS};
use crate::ports::{SqlParam, SqlStore, expect_integer, expect_text};
use crate::snapshots::named::manifest::ManifestReference;
use crate::types::{Document, Sequence, StorageTier, Timestamp};

const TABLES: [&str; 2] = [
    "CREATE TABLE jobs (id TEXT PRIMARY KEY, running INTEGER NOT NULL, job TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE job_parts (part INTEGER PRIMARY KEY, changes TEXT NOT NULL) STRICT",
];
/// What one restore finds beside its changes, made with it and dropped at its end: the versions of documents that it has
/// compared, and evicted documents.
const TABLES_OF_RESTORE: [(&str, &str); 2] = [
    ("job_seen", "(part INTEGER PRIMARY KEY, versions TEXT NOT NULL) STRICT"),
    (
        "job_images",
        "(collection TEXT, id TEXT, sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL, data TEXT NOT NULL, \
         PRIMARY KEY (collection, id)) STRICT, WITHOUT ROWID",
    ),
];
/// Columns of an image.
const IMAGE_COLUMNS: usize = 5;
/// The version of the stored form. Restores of version 1 compared by ranges of ids, and begin that anew.
const FORMAT: u32 = 2;
/// Jobs that are remembered.
const JOBS_KEPT: i64 = 100;

/// How a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// It goes on.
    Running,
    /// It has done everything.
    Done,
    /// It was given up, and has changed nothing.
    Failed,
}

/// What a restore does next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// Proves the snapshot's files, from this one on.
    Verify {
        /// Its place in the list of all files.
        file: usize,
    },
    /// Begins to compare. What is in it is of version 1 of the stored form.
    Compare {
        /// A collection's place in the list of collections.
        collection: usize,
        /// An id.
        after: Option<String>,
    },
    /// Brings the evicted documents of a collection that are not as they were.
    Images {
        /// Its place in the list of collections.
        collection: usize,
        /// Those in files with keys up to this one are brought.
        after: Option<String>,
    },
    /// Reads the documents that are not there as they were, and compares them.
    Wanted {
        /// The collection's place in the list of collections.
        collection: usize,
        /// The place of the file in the list of those to be read.
        file: usize,
        /// The row of it, or the event after which, the next page begins.
        from: i64,
    },
    /// Finds the documents that the snapshot does not have.
    Others {
        /// The collection's place in the list of collections.
        collection: usize,
    },
    /// Makes all changes, in one transaction.
    Swap,
}

/// How much is done, in files proved and documents compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// Of all.
    pub done: u64,
    /// About how many there are.
    pub total: u64,
}

/// A restore of a snapshot into this object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreJob {
    /// The snapshot.
    pub snapshot: Uuid,
    /// Its manifest.
    pub manifest: ManifestReference,
    /// The collections that are wanted; `None` for the object as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// What is to be done next.
    pub step: Step,
    /// The object's last sequence when it began to compare.
    pub sequence: Sequence,
    /// Changes found so far are in as many parts.
    pub parts: i64,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Task {
    /// Restores a snapshot into this object.
    Restore(RestoreJob),
    /// Another object restores it; its job has the same id.
    Delegated {
        /// That object's path.
        into: String,
        /// The snapshot, which stays until that object has ended; of version 1 none is told, and none was held.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<Uuid>,
    },
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    format: u32,
    /// Its id.
    pub id: Uuid,
    /// How it is.
    pub state: JobState,
    /// When it was made, in Unix ms.
    pub created_at: Timestamp,
    /// How far it is.
    pub progress: JobProgress,
    /// Failures in a row that may pass, and beginnings of the swap that nobody has told the end of.
    pub failures: u32,
    /// Nothing is tried before, in Unix ms.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_before: Timestamp,
    /// Why it failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Collections that are not restored, because nobody may change them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Collections of which another declaration was kept, because their tables can not become what they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub definitions_kept: Vec<String>,
    /// What it does.
    pub task: Task,
}

impl Job {
    /// A new job.
    pub fn new(id: Uuid, created_at: Timestamp, task: Task) -> Self {
        let (state, progress) = (JobState::Running, JobProgress::default());
        Self {
            format: FORMAT,
            id,
            state,
            created_at,
            progress,
            failures: 0,
            not_before: 0,
            error: None,
            skipped: Vec::new(),
            definitions_kept: Vec::new(),
            task,
        }
    }

    /// The restore into this object that it is.
    pub fn restore(&self) -> Option<&RestoreJob> {
        match &self.task {
            Task::Restore(restore) => Some(restore),
            Task::Delegated { .. } => None,
        }
    }

    /// What the `running` column says: a restore of this object goes on, one of another object does, or none.
    fn running(&self) -> i64 {
        match (self.state, &self.task) {
            (JobState::Running, Task::Restore(_)) => 1,
            (JobState::Running, Task::Delegated { .. }) => 2,
            _ => 0,
        }
    }
}

fn is_zero(time: &Timestamp) -> bool {
    *time == 0
}

/// The jobs of an object.
pub struct Jobs {
    sql: Rc<dyn SqlStore>,
    /// Whether the tables exist; `None` until it was looked for them.
    exists: Cell<Option<bool>>,
    /// Whether a restore runs; `None` until it was looked for one.
    running: Cell<Option<bool>>,
    /// When the restore that runs goes on at the earliest.
    not_before: Cell<Timestamp>,
    /// When another object is asked next how a restore of it goes on; the outer `None` until it was looked up.
    asked_at: Cell<Option<Option<Timestamp>>>,
    /// Whether the restore itself writes.
    swapping: Cell<bool>,
}

impl Jobs {
    /// The jobs in `sql`.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self {
            sql,
            exists: Cell::new(None),
            running: Cell::new(None),
            not_before: Cell::new(0),
            asked_at: Cell::new(None),
            swapping: Cell::new(false),
        }
    }

    fn exists(&self) -> Result<bool> {
        if let Some(exists) = self.exists.get() {
            return Ok(exists);
        }
        let statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'jobs'";
        let exists = !self.sql.query(statement, &[])?.is_empty();
        self.exists.set(Some(exists));
        Ok(exists)
    }

    /// Makes the tables if there are none, in a transaction of its own.
    pub fn create(&self) -> Result<()> {
        if !self.exists()? {
            for table in TABLES {
                self.sql.query(table, &[])?;
            }
            self.exists.set(None);
        }
        Ok(())
    }

    /// A job.
    pub fn get(&self, id: Uuid) -> Result<Option<Job>> {
        if !self.exists()? {
            return Ok(None);
        }
        let rows = self.sql.query("SELECT job FROM jobs WHERE id = ?", &[SqlParam::Text(&id.to_string())])?;
        rows.into_iter().next().map(|row| from_text(&expect_text(row.into_iter().next())?)).transpose()
    }

    /// The restore that runs.
    pub fn running(&self) -> Result<Option<Job>> {
        if self.running.get() == Some(false) || !self.exists()? {
            return Ok(None);
        }
        let rows = self.sql.query("SELECT job FROM jobs WHERE running = 1 LIMIT 1", &[])?;
        self.running.set(Some(!rows.is_empty()));
        let text = rows.into_iter().next().map(|row| expect_text(row.into_iter().next())).transpose()?;
        let job = text.map(|text| from_text(&text)).transpose()?;
        self.not_before.set(job.as_ref().map_or(0, |job| job.not_before));
        Ok(job)
    }

    /// The restores that other objects do.
    pub fn delegated(&self) -> Result<Vec<Job>> {
        if self.asked_at.get() == Some(None) || !self.exists()? {
            return Ok(Vec::new());
        }
        let rows = self.sql.query("SELECT job FROM jobs WHERE running = 2 ORDER BY id", &[])?;
        let jobs = rows.into_iter().map(|row| from_text(&expect_text(row.into_iter().next())?));
        let jobs = jobs.collect::<Result<Vec<_>>>()?;
        self.asked_at.set(Some(jobs.iter().map(|job| job.not_before).min()));
        Ok(jobs)
    }

    /// When a restore goes on at the earliest, or is asked for, as far as is known without looking.
    pub fn known_due(&self) -> Option<Timestamp> {
        let restore = (self.running.get() == Some(true)).then(|| self.not_before.get());
        [restore, self.asked_at.get().flatten()].into_iter().flatten().min()
    }

    /// Forgets a job.
    pub fn delete(&self, id: Uuid) -> Result<()> {
        self.asked_at.set(None);
        self.sql.query("DELETE FROM jobs WHERE id = ?", &[SqlParam::Text(&id.to_string())])?;
        Ok(())
    }

    /// Adds or replaces a job; long ended ones are forgotten.
    pub fn store(&self, job: &Job) -> Result<()> {
        let text = serde_json::to_string(job).map_err(|error| {
            let message = "expected a job to become JSON";
            StorageError::new(ErrorKind::Internal, StorageTier::Hot, "store job", message).caused_by(error)
        })?;
        if job.restore().is_some() {
            self.running.set(Some(true).filter(|_| job.running() == 1));
            self.not_before.set(job.not_before);
        } else {
            self.asked_at.set(None);
        }
        let id = job.id.to_string();
        let params = [SqlParam::Text(&id), SqlParam::Integer(job.running()), SqlParam::Text(&text)];
        self.sql.query("INSERT OR REPLACE INTO jobs (id, running, job) VALUES (?, ?, ?)", &params)?;
        Ok(())
    }

    /// Forgets all but the last jobs that have ended.
    pub fn forget_old(&self) -> Result<()> {
        let statement =
            "DELETE FROM jobs WHERE running = 0 AND id NOT IN (SELECT id FROM jobs ORDER BY id DESC LIMIT ?)";
        self.sql.query(statement, &[SqlParam::Integer(JOBS_KEPT)])?;
        Ok(())
    }

    /// Adds a part of the changes that the running restore has found.
    pub fn add_part(&self, part: i64, changes: &str) -> Result<()> {
        let params = [SqlParam::Integer(part), SqlParam::Text(changes)];
        self.sql.query("INSERT INTO job_parts (part, changes) VALUES (?, ?)", &params)?;
        Ok(())
    }

    /// A part of these changes.
    pub fn part(&self, part: i64) -> Result<String> {
        let rows = self.sql.query("SELECT changes FROM job_parts WHERE part = ?", &[SqlParam::Integer(part)])?;
        expect_text(rows.into_iter().next().and_then(|row| row.into_iter().next()))
    }

    /// Makes room for what a restore finds.
    pub fn begin_parts(&self) -> Result<()> {
        self.clear_parts()?;
        for (table, columns) in TABLES_OF_RESTORE {
            self.sql.query(&format!("CREATE TABLE {table} {columns}"), &[])?;
        }
        Ok(())
    }

    /// Forgets all that a restore has found.
    pub fn clear_parts(&self) -> Result<()> {
        self.sql.query("DELETE FROM job_parts", &[])?;
        for (table, _) in TABLES_OF_RESTORE {
            self.sql.query(&format!("DROP TABLE IF EXISTS {table}"), &[])?;
        }
        Ok(())
    }

    /// Adds versions that were compared.
    pub fn add_seen(&self, versions: &[Sequence]) -> Result<()> {
        if versions.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string(versions).map_err(|error| {
            let message = "expected versions to become JSON";
            StorageError::new(ErrorKind::Internal, StorageTier::Hot, "store job", message).caused_by(error)
        })?;
        self.sql.query("INSERT INTO job_seen (versions) VALUES (?)", &[SqlParam::Text(&text)])?;
        Ok(())
    }

    /// Hands over the versions that were compared, a part at a time.
    pub fn each_seen(&self, sink: &mut dyn FnMut(Sequence)) -> Result<()> {
        let parts = self.sql.query("SELECT part FROM job_seen", &[])?;
        for part in parts {
            let part = expect_integer(part.first())?;
            let statement = "SELECT versions FROM job_seen WHERE part = ?";
            let rows = self.sql.query(statement, &[SqlParam::Integer(part)])?;
            let text = expect_text(rows.into_iter().next().and_then(|row| row.into_iter().next()))?;
            let versions: Vec<Sequence> = serde_json::from_str(&text).map_err(|error| {
                let message = "expected versions of a restore, got other text";
                StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read job", message).caused_by(error)
            })?;
            versions.into_iter().for_each(&mut *sink);
        }
        Ok(())
    }

    /// Forgets which versions were compared.
    pub fn clear_seen(&self) -> Result<()> {
        self.sql.query("DELETE FROM job_seen", &[])?;
        Ok(())
    }

    /// Adds evicted documents of a collection; those that are known already stay.
    pub fn add_images(&self, collection: &str, images: &[Document]) -> Result<()> {
        for chunk in images.chunks(SQL_MAX_PARAMETERS / IMAGE_COLUMNS) {
            let values = vec!["(?, ?, ?, ?, ?)"; chunk.len()].join(", ");
            let statement =
                format!("INSERT OR IGNORE INTO job_images (collection, id, sequence, timestamp, data) VALUES {values}");
            let params: Vec<_> = chunk.iter().flat_map(|image| image_params(collection, image)).collect();
            self.sql.query(&statement, &params)?;
        }
        Ok(())
    }

    /// An evicted document of a collection, if it was brought.
    pub fn image(&self, collection: &str, id: &str) -> Result<Option<Document>> {
        let statement = "SELECT sequence, timestamp, data FROM job_images WHERE collection = ? AND id = ?";
        let rows = self.sql.query(statement, &[SqlParam::Text(collection), SqlParam::Text(id)])?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let (sequence, timestamp) = (expect_integer(row.first())?, expect_integer(row.get(1))?);
        Ok(Some(Document { id: id.to_owned(), sequence, timestamp, text: expect_text(row.into_iter().nth(2))? }))
    }

    /// Hands over the ids and versions of the evicted documents of a collection that were brought.
    pub fn each_image(&self, collection: &str, sink: &mut dyn FnMut(&str, Sequence) -> Result<()>) -> Result<()> {
        let statement = format!(
            "SELECT id, sequence FROM job_images WHERE collection = ? AND id > ? ORDER BY id LIMIT {SCAN_PAGE_MAX_ROWS}"
        );
        let mut after = String::new();
        loop {
            let page = self.sql.query(&statement, &[SqlParam::Text(collection), SqlParam::Text(&after)])?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                let sequence = expect_integer(row.get(1))?;
                after = expect_text(row.into_iter().next())?;
                sink(&after, sequence)?;
            }
        }
    }

    /// Does the writes of the restore itself.
    pub fn swapping<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.swapping.set(true);
        let done = work();
        self.swapping.set(false);
        // What was stored may have been taken back.
        self.running.set(None);
        done
    }
}

impl WriteGate for Jobs {
    fn check(&self) -> Result<()> {
        if self.swapping.get() || self.running.get() == Some(false) {
            return Ok(());
        }
        let Some(job) = self.running()? else {
            self.running.set(Some(false));
            return Ok(());
        };
        let message =
            format!("expected no restore to be in progress, got the job {}; try again when it has ended", job.id);
        Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "write documents", message))
    }
}

fn image_params<'i>(collection: &'i str, image: &'i Document) -> [SqlParam<'i>; IMAGE_COLUMNS] {
    let (sequence, timestamp) = (SqlParam::Integer(image.sequence), SqlParam::Integer(image.timestamp));
    [SqlParam::Text(collection), SqlParam::Text(&image.id), sequence, timestamp, SqlParam::Text(&image.text)]
}

fn from_text(text: &str) -> Result<Job> {
    let corrupt = |message: &'static str| StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read job", message);
    let mut job: Job =
        serde_json::from_str(text).map_err(|error| corrupt("expected a job, got other text").caused_by(error))?;
    match job.format {
        1 => {
            job.format = FORMAT;
            // What version 1 has found lacks what the swap needs now.
            if let Task::Restore(restore) = &mut job.task
                && matches!(restore.step, Step::Swap)
            {
                restore.step = Step::Compare { collection: 0, after: None };
            }
        }
        FORMAT => {}
        _ => return Err(corrupt("expected a job of format 1 or 2; a newer program wrote this object")),
    }
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_reads_back_and_a_newer_one_is_refused() {
        let text = r#"{"format":2,"id":"0192d3f0-0000-7000-8000-000000000000","state":"running","createdAt":5,"progress":{"done":1,"total":9},"failures":0,"task":{"restore":{"snapshot":"0192d3f0-0000-7000-8000-000000000001","manifest":{"key":"k","checksum":"sha256:00"},"step":{"wanted":{"collection":1,"file":2,"from":3}},"sequence":7,"parts":2}}}"#;
        let job = from_text(text).unwrap();
        assert_eq!(serde_json::to_string(&job).unwrap(), text);
        for step in [r#"{"images":{"collection":1,"after":"k"}}"#, r#"{"others":{"collection":1}}"#, r#""swap""#] {
            let text = text.replace(r#"{"wanted":{"collection":1,"file":2,"from":3}}"#, step);
            assert_eq!(serde_json::to_string(&from_text(&text).unwrap()).unwrap(), text);
        }
        assert!(from_text(&text.replace("\"format\":2", "\"format\":3")).is_err());
    }

    #[test]
    fn a_restore_of_version_1_begins_to_compare_anew() {
        let text = |step: &str| {
            format!(
                r#"{{"format":1,"id":"0192d3f0-0000-7000-8000-000000000000","state":"running","createdAt":5,"progress":{{"done":1,"total":9}},"failures":0,"task":{{"restore":{{"snapshot":"0192d3f0-0000-7000-8000-000000000001","manifest":{{"key":"k","checksum":"sha256:00"}},"step":{step},"sequence":7,"parts":2}}}}}}"#
            )
        };
        for step in [r#"{"compare":{"collection":1,"after":"a"}}"#, r#""swap""#] {
            let job = from_text(&text(step)).unwrap();
            assert!(matches!(job.restore().unwrap().step, Step::Compare { .. }), "{job:?}");
        }
        let job = from_text(&text(r#"{"verify":{"file":3}}"#)).unwrap();
        assert_eq!(job.restore().unwrap().step, Step::Verify { file: 3 });
    }
}
