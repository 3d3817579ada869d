//! Restores of snapshots: begun here or at another object, done by the alarm.

use uuid::Uuid;

use super::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{PeerAnswer, uuid_v7};
use crate::snapshots::named::manifest::{self, ManifestReference};
use crate::snapshots::restore::Stepped;
use crate::snapshots::restore::job::Task;
use crate::types::names::ObjectName;
use crate::types::{StorageTier, Timestamp};

pub use crate::snapshots::restore::Restore;
pub use crate::snapshots::restore::job::{Job, JobState};

/// Steps of a restore in one alarm; what is left is for the next.
const STEPS: usize = 256;

/// What came of asking for a restore, or for a job.
pub enum JobAnswer {
    /// A job of this object.
    Own(Box<Job>),
    /// What the other object answered.
    Foreign(Uuid, PeerAnswer),
}

impl Engine {
    /// Begins to restore a snapshot, into this object or another, which is told `query` besides.
    pub async fn restore(
        &self,
        snapshot: Uuid,
        into: Option<&ObjectName>,
        collections: Option<Vec<String>>,
        query: &str,
    ) -> Result<JobAnswer> {
        let name = self.name()?;
        let known = self.snapshot(snapshot)?;
        let manifest = ManifestReference { key: manifest::key(&name, snapshot), checksum: known.metadata.checksum };
        let id = uuid_v7(self.ports.ids.as_ref(), self.now_ms())?;
        let wanted = Restore { id, snapshot, manifest, collections };
        match into.filter(|into| **into != name) {
            None => self.begin_restore(wanted).await,
            Some(into) => self.delegate(into, wanted, query).await,
        }
    }

    /// Begins a restore into this object; another object may ask for it.
    pub async fn begin_restore(&self, wanted: Restore) -> Result<JobAnswer> {
        let name = self.name()?;
        self.check_restored_together(wanted.collections.as_deref())?;
        self.learn_alarm().await?;
        self.hot.transaction(|| {
            self.hot.ensure_object(&name, self.now_ms())?;
            self.ensure_registry(&name)
        })?;
        let job = self.snapshotter.start_restore(&wanted).await?;
        // Issued in the turn of the job's row, so that they commit together.
        self.set_alarm(self.now_ms()).await?;
        Ok(JobAnswer::Own(Box::new(job)))
    }

    async fn delegate(&self, into: &ObjectName, wanted: Restore, query: &str) -> Result<JobAnswer> {
        let body = serde_json::to_string(&wanted).map_err(|error| {
            let message = "expected a restore to become JSON";
            StorageError::new(ErrorKind::Internal, StorageTier::Api, "restore snapshot", message).caused_by(error)
        })?;
        let path = format!("/internal/{}/restores{query}", into.path());
        self.learn_alarm().await?;
        self.snapshotter.note_delegated(wanted.id, into.path(), wanted.snapshot)?;
        // Issued in the turn of the job's row, so that they commit together.
        self.schedule_archive().await?;
        let answer = self.ports.peers.send(into, "POST", &path, Some(&body)).await?;
        // What it has refused it does not do; of any other failure nobody knows.
        if (400..500).contains(&answer.status) {
            self.snapshotter.forget_delegated(wanted.id)?;
        }
        Ok(JobAnswer::Foreign(wanted.id, answer))
    }

    /// Asks other objects how the restores go on that they do, if it is time for that.
    pub(super) async fn ask_others(&self) -> Result<()> {
        for job in self.snapshotter.delegated()? {
            if job.not_before <= self.now_ms()
                && let Task::Delegated { into, .. } = &job.task
            {
                let answer = self.ask(into, job.id).await;
                self.snapshotter.note_told(&job, &answer)?;
            }
        }
        Ok(())
    }

    async fn ask(&self, into: &str, id: Uuid) -> Result<PeerAnswer> {
        let path = format!("/internal/{into}/jobs/{id}");
        let (doc_type, doc_id) = into.split_once('/').unwrap_or_default();
        self.ports.peers.send(&ObjectName::new(doc_type, doc_id)?, "GET", &path, None).await
    }

    /// Cancels a job of this object that goes on; one that has ended stays as it is.
    pub fn cancel(&self, id: Uuid) -> Result<Job> {
        let find = || self.snapshotter.job(id)?.ok_or_else(|| unknown_job(id));
        if matches!(find()?.task, Task::Delegated { .. }) {
            let message = "expected a job that this object does, got one of another; cancel it there";
            return Err(StorageError::new(ErrorKind::Conflict, StorageTier::Api, "cancel job", message));
        }
        self.snapshotter.cancel_restore(id)?;
        find()
    }

    /// A job, told by the object that does it.
    pub async fn job(&self, id: Uuid) -> Result<JobAnswer> {
        let job = self.snapshotter.job(id)?.ok_or_else(|| unknown_job(id))?;
        let Task::Delegated { into, .. } = &job.task else { return Ok(JobAnswer::Own(Box::new(job))) };
        let answer = self.ask(into, id).await;
        let is_running = job.state == JobState::Running;
        if is_running && answer.as_ref().is_ok_and(|answer| answer.status == 200) {
            self.snapshotter.note_told(&job, &answer)?;
        }
        match answer {
            // That object forgets its jobs in its time.
            Ok(answer) if answer.status == 404 => Ok(JobAnswer::Own(Box::new(job))),
            Err(_) if !is_running => Ok(JobAnswer::Own(Box::new(job))),
            answer => Ok(JobAnswer::Foreign(id, answer?)),
        }
    }

    /// Goes on with the restore that runs, if one does.
    pub(super) async fn restore_some(&self) -> Result<()> {
        for _ in 0..STEPS {
            match self.snapshotter.restore_step().await? {
                Stepped::Idle => return Ok(()),
                Stepped::Worked => {}
                Stepped::Ready(job) => {
                    let job = self.snapshotter.note_swap(&job)?;
                    if job.state == JobState::Running
                        && let Err(error) = self.swap(&job).await
                    {
                        self.snapshotter.restore_failed(&job, &error)?;
                        return Err(error);
                    }
                }
            }
            self.ports.clock.sleep_ms(0).await;
        }
        Ok(())
    }

    /// Makes all changes of a restore in one transaction.
    async fn swap(&self, job: &Job) -> Result<()> {
        let Some(restore) = job.restore() else { return Ok(()) };
        let source = self.snapshotter.source(job, restore).await?;
        let now = self.now_ms();
        self.with_recalls(|| {
            self.hot.transaction(|| {
                if self.warm.may_hold_documents() {
                    self.hot.bump_cache_generation()?;
                }
                self.snapshotter.swap(job, &source, now)
            })
        })
        .await?;
        self.snapshotter.restore_ended();
        self.warm.generation_bumped();
        self.warm.invalidated(self.last_sequence()?);
        Ok(())
    }

    /// When a restore goes on, or is asked for, as far as this instance knows.
    pub(super) fn restore_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.snapshotter.known_restore_due().map(|due| due.max(now))
    }
}

fn unknown_job(id: Uuid) -> StorageError {
    let message = format!("expected the id of a job of this object, got {id}");
    StorageError::new(ErrorKind::NotFound, StorageTier::Api, "find job", message)
}
