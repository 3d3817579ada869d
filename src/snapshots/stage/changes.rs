//! Staging the change logs: the plan's events, read once, which also teaches the tables their columns.

use std::ops::ControlFlow;
use std::rc::Rc;

use uuid::Uuid;

use super::{CollectionStage, FILE_MAX_BYTES, OPEN_MAX_BYTES, Stage, Stages};
use crate::cold::{ChangeRecord, ChangesFileWriter, TableKind, TablePath};
use crate::error::Result;
use crate::hot::{LoggedEvent, References, event_namespace};
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::snapshots::recall::recalling;
use crate::types::time::Month;
use crate::types::{Json, Sequence};
use crate::vortex::infer;

impl Stage<'_> {
    pub(super) async fn stage_changes(&mut self, stages: &mut Stages<'_>) -> Result<()> {
        let namespace = event_namespace(self.name);
        let mut position = self.plan.after;
        loop {
            self.clock.sleep_ms(0).await;
            let events = recalling(self.hot, &|| Ok(Rc::clone(&self.objects)), || self.read_events(position)).await?;
            let Some(last) = events.last() else { break };
            position = last.sequence;
            for event in events {
                let Some(stage) = stages.get_mut(&event.collection_id) else { continue };
                if let Some(after) = &event.after {
                    infer::observe_beside(&mut stage.columns, &Json::parse(after)?, &stage.fixed);
                }
                let month = Month::of(event.timestamp);
                if stage
                    .changes
                    .as_ref()
                    .is_some_and(|(open, writer)| *open != month || writer.approximate_bytes() >= FILE_MAX_BYTES)
                {
                    self.end_changes(stage).await?;
                }
                let new = || (month, ChangesFileWriter::new().compressed_by(self.config.compression));
                let (_, writer) = stage.changes.get_or_insert_with(new);
                writer.push(&record(event, namespace))?;
            }
            while let Some(largest) = largest_open(stages) {
                self.end_changes(largest).await?;
            }
        }
        for stage in stages.values_mut() {
            self.end_changes(stage).await?;
        }
        Ok(())
    }

    /// The next events of the plan, some MiB of them; those of a dropped collection may have documents that are evicted.
    fn read_events(&self, after: Sequence) -> Result<Vec<LoggedEvent>> {
        let mut events = Vec::new();
        let mut bytes = 0usize;
        let references = References { documents: self.hot, dropped: true };
        self.hot.log().read(after, self.plan.through, references, &mut |event| {
            let images = event.before.as_ref().map_or(0, |image| image.text.len());
            bytes = bytes
                .saturating_add(images)
                .saturating_add(event.after.as_ref().map_or(0, String::len))
                .saturating_add(64);
            events.push(event);
            Ok(if bytes > SCAN_PAGE_MAX_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(events)
    }

    async fn end_changes(&mut self, stage: &mut CollectionStage<'_>) -> Result<()> {
        let Some((_, writer)) = stage.changes.take() else { return Ok(()) };
        let path = TablePath::new(self.name, &stage.planned.name, TableKind::Changes);
        let number = stage.change_files.len();
        let (bytes, file) = writer.finish(|month| path.data_file(month, self.plan.attempt, number))?;
        let class = self.class_of(file.month);
        self.put_file(file, &bytes, class, &mut stage.change_files).await
    }
}

fn record(event: LoggedEvent, namespace: Uuid) -> ChangeRecord {
    let before_sequence = event.before.as_ref().map(|image| image.sequence);
    ChangeRecord { event: event.into_event(namespace), before_sequence }
}

/// The collection with the largest open file, when the open ones are too large together.
fn largest_open<'m, 'p>(stages: &'m mut Stages<'p>) -> Option<&'m mut CollectionStage<'p>> {
    let size = |stage: &CollectionStage<'_>| stage.changes.as_ref().map_or(0, |(_, writer)| writer.approximate_bytes());
    if stages.values().map(size).fold(0, usize::saturating_add) <= OPEN_MAX_BYTES {
        return None;
    }
    stages.values_mut().max_by_key(|stage| size(stage))
}
