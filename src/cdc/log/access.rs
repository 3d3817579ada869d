//! What the records of the log tell of accesses.

use super::ChangeLog;
use crate::cdc::access_log::{AccessEntry, AccessFilter, AccessKey, AccessLog, AccessPage, Gathering, Stream};
use crate::cdc::record::{Body, Record};
use crate::error::Result;

/// Bytes of records that are looked at together.
const PAGE_BYTES: usize = 256 * 1024;
/// The status of every write that is logged: what is refused is not.
const DONE: u16 = 200;

impl ChangeLog {
    /// The access log of the same object.
    pub fn access(&self) -> &AccessLog {
        &self.access
    }

    /// A page of the access log: packs, what waits, and the records that are still here.
    pub fn access_page(&self, filter: &AccessFilter, after: AccessKey, limit: usize) -> Result<AccessPage> {
        let mut writes = Gathering::new(filter, after, limit);
        self.access.gather(Stream::Writes, &mut writes)?;
        self.gather_records(&mut writes)?;
        let mut others = Gathering::new(filter, after, limit);
        self.access.gather(Stream::Others, &mut others)?;
        Ok(writes.merge(others))
    }

    fn gather_records(&self, into: &mut Gathering<'_>) -> Result<()> {
        let (from, to) = into.bounds();
        let mut position = match into.after() {
            (_, order) if order > 0 => order.min(self.last_sequence()?),
            _ => self.sequence_at(from.saturating_sub(1))?.unwrap_or(0),
        };
        for generation in self.state()?.generations {
            while !into.is_done()
                && let Some(records) = self.page(generation, position, PAGE_BYTES)?
            {
                for (last, bytes) in records {
                    into.looked_at(bytes.len());
                    let record = Record::read(&bytes)?;
                    if record.timestamp > to {
                        return Ok(());
                    }
                    let key = (record.timestamp, record.first);
                    match record.into_access()? {
                        Some(entry) => into.take(entry),
                        None if !into.is_done() => into.pass(key),
                        None => {}
                    }
                    position = last;
                }
            }
        }
        Ok(())
    }
}

impl Record<'_> {
    /// The access that made it; `None` where it was none, or was not noted.
    pub fn into_access(self) -> Result<Option<AccessEntry>> {
        let Some(access) = self.context.access.clone() else { return Ok(None) };
        let collections = self.collection_names();
        let document_id = match (self.body, self.count) {
            (Body::Events(mut events), 1) => events.next_event(0)?.map(|event| event.document_id),
            _ => None,
        };
        Ok(Some(AccessEntry {
            timestamp: self.timestamp,
            order: self.first,
            principal: access.principal,
            action: access.action,
            collections,
            document_id,
            status: DONE,
            elapsed_ms: None,
            correlation_id: self.context.correlation_id.clone(),
            sequence: Some(self.first),
            events: Some(u64::from(self.count)),
        }))
    }
}
