//! Restores that other objects do of snapshots of this one.
//!
//! The job is stored before the other object is asked, and goes on here as long as it may go on there: until that object
//! says that it has ended, or does not know it, or could not be asked again and again. So long the snapshot stays.

use serde::Deserialize;
use uuid::Uuid;

use super::FAILURES_MAX;
use super::job::{Job, JobState, Task};
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::PeerAnswer;
use crate::snapshots::Snapshotter;
use crate::snapshots::named::unknown;
use crate::snapshots::schedule::retry_ms;
use crate::types::{StorageTier, Timestamp};

/// Restores that other objects may do at once.
const DELEGATED_MAX: usize = 16;
/// The least and the longest pause between two questions, in ms: in between it is as long as the job has taken.
const PAUSE_MS: (i64, i64) = (10_000, 600_000);
/// A request that was not answered may still begin a job for so long, in ms.
const BEGINS_WITHIN_MS: i64 = 60_000;

/// What is read of another object's answer.
#[derive(Deserialize)]
struct Told {
    state: JobState,
    #[serde(default)]
    error: Option<String>,
}

impl Snapshotter {
    /// Stores a job that another object is about to be asked for. It holds the snapshot from here on.
    pub fn note_delegated(&self, id: Uuid, into: String, snapshot: Uuid) -> Result<()> {
        if !self.is_kept(snapshot)? {
            return Err(unknown(snapshot));
        }
        if self.delegated()?.len() >= DELEGATED_MAX {
            let message = format!(
                "expected at most {DELEGATED_MAX} restores into other objects at once, got one more; wait for the end of one"
            );
            return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Cold, "restore snapshot", message));
        }
        let now = self.ports.clock.now_ms();
        let mut job = Job::new(id, now, Task::Delegated { into, snapshot: Some(snapshot) });
        job.not_before = now.saturating_add(PAUSE_MS.0);
        self.hot.transaction(|| {
            self.jobs.create()?;
            self.jobs.store(&job)?;
            self.jobs.forget_old()
        })?;
        self.jobs.delegated()?;
        self.catalog_changed();
        Ok(())
    }

    /// Forgets a job that another object has refused to begin.
    pub fn forget_delegated(&self, id: Uuid) -> Result<()> {
        self.hot.transaction(|| self.jobs.delete(id))?;
        self.jobs.delegated()?;
        self.catalog_changed();
        Ok(())
    }

    /// The jobs that other objects do.
    pub fn delegated(&self) -> Result<Vec<Job>> {
        self.jobs.delegated()
    }

    /// Notes what another object has answered about a job of its, unless another has noted something meanwhile.
    pub fn note_told(&self, job: &Job, answer: &Result<PeerAnswer>) -> Result<()> {
        let mut next = job.clone();
        self.learn(&mut next, answer, self.ports.clock.now_ms());
        self.hot.transaction(|| match self.jobs.get(job.id)?.as_ref() == Some(job) {
            true => self.jobs.store(&next),
            false => Ok(()),
        })?;
        self.jobs.delegated()?;
        self.catalog_changed();
        Ok(())
    }

    fn learn(&self, job: &mut Job, answer: &Result<PeerAnswer>, now: Timestamp) {
        let age_ms = now.saturating_sub(job.created_at);
        let told = answer.as_ref().ok().filter(|answer| answer.status == 200);
        if let Some(told) =
            told.and_then(|answer| serde_json::from_str::<Told>(std::str::from_utf8(&answer.body).ok()?).ok())
        {
            (job.state, job.error, job.failures) = (told.state, told.error, 0);
            job.not_before = now.saturating_add(age_ms.clamp(PAUSE_MS.0, PAUSE_MS.1));
            return;
        }
        job.failures = job.failures.saturating_add(1);
        job.not_before = retry_ms(job.failures, None, now);
        let is_unknown = answer.as_ref().is_ok_and(|answer| answer.status == 404);
        job.error = Some(
            if is_unknown { "the other object does not know it" } else { "the other object does not tell" }.to_owned(),
        );
        if (is_unknown && age_ms >= BEGINS_WITHIN_MS) || job.failures >= FAILURES_MAX {
            job.state = JobState::Failed;
        }
    }
}
