//! Retention: documents that are older than is declared are deleted by the alarm, some a turn.
//!
//! Invariants: such a delete is an event like any other, whose source is `retention`; a document that was written since it
//! was found is not deleted; what is left of a pass is for the next alarm, so that archiving has its turn.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Collection, Condition, EXPIRY_TURN_MAX_BYTES, Expired, Mutation, Versions, Write};
use crate::snapshots::EvictedFiles;
use crate::types::{ChangeContext, Document, Sequence, Timestamp, sorting};

/// The source of the events.
const SOURCE: &str = "retention";
/// Turns of one alarm.
const TURNS: usize = 8;

impl Engine {
    /// Deletes documents that have passed, if a pass is due; tells how many.
    pub(super) async fn expire(&self) -> Result<usize> {
        let now = self.now_ms();
        // What is changed while an archive is made has to be kept in memory.
        if self.hot.next_expiry()?.is_none_or(|due| due > now) || self.snapshotter.is_running() {
            return Ok(0);
        }
        // What a restore has compared stays as it is until its end.
        if self.snapshotter.running_restore()?.is_some() {
            return Ok(0);
        }
        // An alarm has no name to route by.
        if let Some(record) = self.hot.object_record()? {
            self.bind(&record.name)?;
        }
        let mut all = 0_usize;
        for _ in 0..TURNS {
            let Some(deleted) = self.expire_some(now).await? else {
                self.hot.expiry_ended(now);
                break;
            };
            all = all.saturating_add(deleted);
            self.ports.clock.sleep_ms(0).await;
        }
        Ok(all)
    }

    /// One turn, and how many documents it deleted; `None` when nothing has passed.
    async fn expire_some(&self, now: Timestamp) -> Result<Option<usize>> {
        for (collection, before) in self.hot.expiring(now)? {
            loop {
                let last = self.last_sequence()?;
                let ids = match self.hot.expired(&collection, before)? {
                    Expired::None => break,
                    Expired::Documents(ids) => ids,
                    Expired::Some(evicted) => {
                        let mut times = Vec::new();
                        let mut look = |document: Document| {
                            times.push((document.id, document.timestamp));
                            Ok(ControlFlow::Continue(()))
                        };
                        let files = EvictedFiles::of(std::slice::from_ref(&evicted))?;
                        self.snapshotter.scan_evicted(&files, Some(&[]), &|_| true, &mut look).await?;
                        match self.hot.expired_of(&evicted, &times, before) {
                            Expired::Documents(ids) => ids,
                            // It is noted that none of these has.
                            Expired::None | Expired::Some(_) => continue,
                        }
                    }
                };
                let ids = self.fitting(&collection, ids).await?;
                return self.delete_expired(&collection, ids, last).await.map(Some);
            }
        }
        Ok(None)
    }

    /// As many of these documents as one turn deletes, by the bytes that they really have: they were chosen by averages.
    async fn fitting(&self, collection: &Collection, mut ids: Vec<Rc<str>>) -> Result<Vec<Rc<str>>> {
        sorting::sort_by(&mut ids, Ord::cmp);
        let wanted: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        let read = || self.hot.some_documents(&collection.name, &wanted, &|_| Ok(None));
        let (documents, _) = self.snapshotter.recalling(read).await?;
        let mut bytes = 0_usize;
        let fit = documents.iter().enumerate().take_while(|(position, document)| {
            bytes = bytes.saturating_add(document.text.len());
            *position == 0 || bytes <= EXPIRY_TURN_MAX_BYTES
        });
        let fit: Vec<Rc<str>> = fit.map(|(_, document)| document.id.as_str().into()).collect();
        Ok(if fit.is_empty() { ids } else { fit })
    }

    async fn delete_expired(&self, collection: &Collection, ids: Vec<Rc<str>>, last: Sequence) -> Result<usize> {
        let condition = Condition { if_match: Some(Versions::UpTo(last)), if_none_match: None };
        let delete = |id| Write {
            collection: Rc::clone(&collection.name),
            mutation: Mutation::Delete { id },
            condition: condition.clone(),
        };
        let writes: Vec<Write> = ids.into_iter().map(delete).collect();
        let context = ChangeContext { source: Some(SOURCE.to_owned()), ..ChangeContext::default() };
        let mut written_since = |_, error: StorageError| match error.kind() {
            ErrorKind::Precondition | ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        };
        self.write_with(&writes, &context, &mut written_since).await.map(|outcomes| outcomes.len())
    }
}
