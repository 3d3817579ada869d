//! The steps in which a restore finds what differs, collection by collection.
//!
//! 1. The evicted documents that are not as they were are brought, a file at a time: what replaces or deletes them needs
//!    their texts, in one transaction that can not wait for the bucket.
//! 2. The documents of the snapshot that are not there in the same version are read, a row group at a time in the order of
//!    its files, and become changes if their texts differ. Which documents they were compared with is noted.
//! 3. What was neither kept nor compared is deleted.
//!
//! So no row group is read more often than there are steps, whatever the order of ids; a page of a change log may end
//! within one.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::compare::{Changes, is_same};
use super::job::{Job, RestoreJob, Step};
use super::source::Source;
use super::versions::{Versions, WantedRows, member};
use super::{Found, stepped};
use crate::cold::{ChangesRange, read_versions, scan_changes, scan_rows};
use crate::error::Result;
use crate::snapshots::Snapshotter;
use crate::types::{Document, sorting};

/// Bytes of a change log's documents that one step compares, about.
const PAGE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of documents that are stored at once.
const STORED_AT_ONCE_BYTES: usize = 4 * 1024 * 1024;
/// What a document takes in a page beside its id and text, in bytes.
const DOCUMENT_OVERHEAD_BYTES: usize = 96;

/// A page of what is wanted, and where the next one begins; `None` at the end of a file.
type Page = (Vec<Document>, Option<i64>);

impl Snapshotter {
    /// The name of a collection that is restored; `None` after the last.
    pub(super) fn restored_name(
        &self,
        source: &Source,
        restore: &RestoreJob,
        collection: usize,
    ) -> Result<Option<String>> {
        let wanted = self.wanted_collections(source.manifest()?, restore)?;
        Ok(wanted.get(collection).map(|wanted| wanted.name.clone()))
    }

    /// The versions of a collection, remembered while it is compared.
    async fn versions(&self, source: &Source, collection: usize, name: &str) -> Result<Rc<Versions>> {
        let known = source.versions.borrow().clone();
        if let Some((_, versions)) = known.filter(|(of, _)| *of == collection) {
            return Ok(versions);
        }
        source.versions.replace(None);
        let same_versions = self.is_of_this_object(source.manifest()?)?;
        let versions = Rc::new(self.compare_versions(source, name, same_versions).await?);
        source.versions.replace(Some((collection, Rc::clone(&versions))));
        Ok(versions)
    }

    /// Brings the evicted documents of the next file that are not as they were.
    pub(super) async fn bring_images(
        &self,
        job: &Job,
        restore: &RestoreJob,
        collection: usize,
        after: Option<&str>,
    ) -> Result<()> {
        let source = self.source(job, restore).await?;
        let Some(name) = self.restored_name(&source, restore, collection)? else {
            return self.advance(job, &stepped(job, restore, Step::Swap, 0, 0), Found::default());
        };
        let files = self.evicted_files(&name)?.0;
        let next = files.into_iter().find(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let Some((key, (file, rows))) = next else {
            let step = Step::Wanted { collection, file: 0, from: 0 };
            return self.advance(job, &stepped(job, restore, step, 0, 0), Found::default());
        };
        let (versions, objects) = (self.versions(&source, collection, &name).await?, self.bucket()?);
        let mut differ = rows.clone();
        read_versions(objects.as_ref(), &file, &mut |position, version| {
            if versions.kept.contains(member(version)) {
                differ.remove(position);
            }
        })
        .await?;
        let (mut images, mut bytes) = (Vec::new(), 0_usize);
        if !differ.is_empty() {
            scan_rows(objects.as_ref(), &file, &differ, None, &|_| false, &mut |document: Document| {
                bytes = bytes.saturating_add(size(&document));
                images.push(document);
                if bytes > STORED_AT_ONCE_BYTES {
                    self.add_images(job, &name, &std::mem::take(&mut images))?;
                    bytes = 0;
                }
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        }
        self.add_images(job, &name, &images)?;
        let step = Step::Images { collection, after: Some(key) };
        self.advance(job, &stepped(job, restore, step, 0, 0), Found::default())
    }

    /// Stores evicted documents, unless another run of the job was faster. That some are stored again does nothing.
    fn add_images(&self, job: &Job, collection: &str, images: &[Document]) -> Result<()> {
        self.hot.transaction(|| match self.jobs.get(job.id)?.as_ref() == Some(job) {
            true => self.jobs.add_images(collection, images),
            false => Ok(()),
        })
    }

    /// Compares a page of what is wanted of a file, from a place on.
    pub(super) async fn compare_wanted(
        &self,
        job: &Job,
        restore: &RestoreJob,
        (collection, file, from): (usize, usize, i64),
    ) -> Result<()> {
        let source = self.source(job, restore).await?;
        let Some(name) = self.restored_name(&source, restore, collection)? else {
            return self.advance(job, &stepped(job, restore, Step::Swap, 0, 0), Found::default());
        };
        let versions = self.versions(&source, collection, &name).await?;
        let (mut page, next) = match versions.wanted.get(file) {
            None => {
                let step = Step::Others { collection };
                return self.advance(job, &stepped(job, restore, step, 0, 0), Found::default());
            }
            Some(WantedRows::Data(..)) => self.page_of_rows(&versions, file, from).await?,
            Some(WantedRows::Changes(..)) => self.page_of_events(&versions, file, from, &name).await?,
        };
        sorting::sort_by(&mut page, |left, right| left.id.cmp(&right.id));
        let mut found = Found::default();
        let mut changes = Changes::default();
        let mut rest = page.as_slice();
        while !rest.is_empty() {
            let ids: Vec<&str> = rest.iter().map(|document| document.id.as_str()).collect();
            let image = |id: &str| self.jobs.image(&name, id);
            let (present, taken) = self.recalling(|| self.hot.some_documents(&name, &ids, &image)).await?;
            self.hot.take_back_lent();
            let present: HashMap<&str, &Document> = present.iter().map(|one| (one.id.as_str(), one)).collect();
            for document in rest.iter().take(taken) {
                let there = present.get(document.id.as_str());
                found.seen.extend(there.map(|there| there.sequence));
                match there {
                    Some(there) if is_same(&document.text, &there.text)? => {}
                    _ => changes.push(collection, &document.id, Some(&document.text))?,
                }
            }
            rest = rest.get(taken.max(1)..).unwrap_or_default();
            self.ports.clock.sleep_ms(0).await;
        }
        found.parts = changes.into_parts();
        let step = match next {
            Some(from) => Step::Wanted { collection, file, from },
            None => Step::Wanted { collection, file: file.saturating_add(1), from: 0 },
        };
        let (done, parts) = (u64::try_from(page.len()).unwrap_or(u64::MAX), found.parts.len());
        self.advance(job, &stepped(job, restore, step, done, parts), found)
    }

    /// What is wanted of the next row group that has any.
    async fn page_of_rows(&self, versions: &Versions, file: usize, from: i64) -> Result<Page> {
        let Some(WantedRows::Data(file, rows, ends)) = versions.wanted.get(file) else { return Ok((Vec::new(), None)) };
        let mut rows = rows.clone();
        rows.remove_range(..u32::try_from(from).unwrap_or(u32::MAX));
        let Some(first) = rows.min() else { return Ok((Vec::new(), None)) };
        let end = ends.iter().copied().find(|end| *end > first);
        rows.remove_range(end.unwrap_or(u32::MAX)..);
        let mut page = Vec::new();
        scan_rows(self.bucket()?.as_ref(), file, &rows, None, &|_| false, &mut |document: Document| {
            page.push(document);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok((page, end.map(i64::from)))
    }

    async fn page_of_events(&self, versions: &Versions, file: usize, from: i64, name: &str) -> Result<Page> {
        let Some(WantedRows::Changes(files, range)) = versions.wanted.get(file) else { return Ok((Vec::new(), None)) };
        let (mut page, mut bytes, mut next) = (Vec::new(), 0_usize, None);
        let after = range.after.max(from);
        let within = |event: &u64| *event > member(after) && *event <= member(range.until);
        let Some(first) = versions.events.iter().find(within) else { return Ok((page, next)) };
        let last = versions.events.iter().rev().find(within).unwrap_or(first);
        let sequence = |event: u64| i64::try_from(event).unwrap_or(i64::MAX);
        let range = ChangesRange { after: sequence(first).saturating_sub(1), until: sequence(last), images: true };
        scan_changes(self.bucket()?.as_ref(), files, name, range, &mut |record| {
            let event = record.event;
            let Some(text) = event.after.filter(|_| versions.events.contains(member(event.sequence))) else {
                return Ok(ControlFlow::Continue(()));
            };
            let (sequence, timestamp) = (event.sequence, event.timestamp);
            let document = Document { id: event.document_id, sequence, timestamp, text };
            bytes = bytes.saturating_add(size(&document));
            page.push(document);
            if bytes <= PAGE_MAX_BYTES {
                return Ok(ControlFlow::Continue(()));
            }
            next = Some(sequence);
            Ok(ControlFlow::Break(()))
        })
        .await?;
        Ok((page, next))
    }

    /// Notes that what is there, and is not the snapshot's, is to be deleted.
    pub(super) async fn delete_others(&self, job: &Job, restore: &RestoreJob, collection: usize) -> Result<()> {
        let source = self.source(job, restore).await?;
        let step = Step::Images { collection: collection.saturating_add(1), after: None };
        let Some(name) = self.restored_name(&source, restore, collection)? else {
            return self.advance(job, &stepped(job, restore, step, 0, 0), Found::default());
        };
        let versions = self.versions(&source, collection, &name).await?;
        let mut kept = versions.kept.clone();
        self.jobs.each_seen(&mut |version| {
            kept.insert(member(version));
        })?;
        // In one turn: the ids that one part has are in memory, and not all.
        self.hot.transaction(|| {
            if self.jobs.get(job.id)?.as_ref() != Some(job) {
                return Ok(());
            }
            let (mut changes, mut parts, mut known) = (Changes::default(), 0_usize, 0_u64);
            let mut delete = |id: &str, version: i64| {
                known = known.saturating_add(1);
                if kept.contains(member(version)) {
                    return Ok(());
                }
                changes.push(collection, id, None)?;
                self.add_parts(restore, &mut parts, changes.take_full())
            };
            self.hot.each_version(&name, &mut delete)?;
            self.jobs.each_image(&name, &mut delete)?;
            self.add_parts(restore, &mut parts, changes.into_parts())?;
            self.jobs.clear_seen()?;
            self.jobs.store(&stepped(job, restore, step.clone(), known, parts))
        })?;
        source.versions.replace(None);
        self.catalog_changed();
        Ok(())
    }

    fn add_parts(&self, restore: &RestoreJob, known: &mut usize, parts: Vec<String>) -> Result<()> {
        for part in parts {
            self.jobs.add_part(restore.parts.saturating_add(i64::try_from(*known).unwrap_or(i64::MAX)), &part)?;
            *known = known.saturating_add(1);
        }
        Ok(())
    }
}

fn size(document: &Document) -> usize {
    document.id.len().saturating_add(document.text.len()).saturating_add(DOCUMENT_OVERHEAD_BYTES)
}
