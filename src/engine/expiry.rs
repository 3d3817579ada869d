//! Retention: documents that are older than is declared are deleted by the alarm, some a turn.
//!
//! Invariants: such a delete is an event like any other, whose source is `retention`; a document that was written since it
//! was found is not deleted; what is left of a pass is for the next alarm, so that archiving has its turn.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::{Condition, EXPIRY_TURN_MAX_BYTES, Expired, Mutation, Versions, Write};
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
        self.bind_by_record()?;
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
                let context = ChangeContext { source: Some(SOURCE.to_owned()), ..ChangeContext::default() };
                let ids = self.fitting(&collection.name, ids).await?;
                let deleted = self.delete_some(&collection.name, ids, last, &context).await?;
                return Ok(Some(deleted.0));
            }
        }
        Ok(None)
    }

    /// As many of these documents as one turn deletes, by the bytes that they really have: they were chosen by averages.
    async fn fitting(&self, collection: &str, mut ids: Vec<Rc<str>>) -> Result<Vec<Rc<str>>> {
        sorting::sort_by(&mut ids, Ord::cmp);
        let wanted: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        let read = || self.hot.some_documents(collection, &wanted, &|_| Ok(None));
        let (documents, _) = self.snapshotter.recalling(read).await?;
        let mut bytes = 0_usize;
        let fit = documents.iter().enumerate().take_while(|(position, document)| {
            bytes = bytes.saturating_add(document.text.len());
            *position == 0 || bytes <= EXPIRY_TURN_MAX_BYTES
        });
        let fit: Vec<Rc<str>> = fit.map(|(_, document)| document.id.as_str().into()).collect();
        Ok(if fit.is_empty() { ids } else { fit })
    }

    /// Deletes these documents, as many a transaction as it takes, but for those that were written after `last`; how many
    /// were deleted, and how many stay because another document needs them.
    pub(super) async fn delete_unchanged(
        &self,
        collection: &str,
        ids: &[String],
        last: Sequence,
        context: &ChangeContext,
    ) -> Result<(usize, usize)> {
        let mut left: Vec<Rc<str>> = ids.iter().map(|id| id.as_str().into()).collect();
        let (mut deleted, mut kept) = (0_usize, 0_usize);
        while !left.is_empty() {
            let fit = self.fitting(collection, left.clone()).await?;
            left.retain(|id| !fit.contains(id));
            let (some_deleted, some_kept) = self.delete_some(collection, fit, last, context).await?;
            deleted = deleted.saturating_add(some_deleted);
            kept = kept.saturating_add(some_kept);
        }
        Ok((deleted, kept))
    }

    async fn delete_some(
        &self,
        collection: &str,
        ids: Vec<Rc<str>>,
        last: Sequence,
        context: &ChangeContext,
    ) -> Result<(usize, usize)> {
        let condition = Condition { if_match: Some(Versions::UpTo(last)), if_none_match: None };
        let collection: Rc<str> = collection.into();
        let delete = |id| Write {
            collection: Rc::clone(&collection),
            mutation: Mutation::Delete { id },
            condition: condition.clone(),
        };
        let writes: Vec<Write> = ids.into_iter().map(delete).collect();
        let mut kept = 0_usize;
        let mut stays = |_, error: StorageError| match error.kind() {
            ErrorKind::Precondition | ErrorKind::NotFound => Ok(()),
            ErrorKind::Conflict => {
                kept = kept.saturating_add(1);
                Ok(())
            }
            _ => Err(error),
        };
        let outcomes = self.write_with(&writes, context, &mut stays).await?;
        Ok((outcomes.len(), kept))
    }
}
