//! Where in the log a moment of the past is.

use super::{ChangeLog, TABLE_PREFIX};
use crate::cdc::record::{Body, Header, Record};
use crate::error::Result;
use crate::limits::SCAN_PAGE_MAX_BYTES;
use crate::ports::{SqlParam, expect_blob, expect_integer};
use crate::types::{CollectionId, Sequence, Timestamp};

/// The bytes at the start of a record that [`Header::read`] needs.
const HEADER_BYTES: usize = 36;

/// A record: its first sequence, its last one, and its commit time.
struct Found {
    first: Sequence,
    last: Sequence,
    timestamp: Timestamp,
}

impl ChangeLog {
    /// The sequence of the last event that was committed at or before a moment; 0 when none was. `None` when the log does
    /// not reach back so far.
    pub fn sequence_at(&self, moment: Timestamp) -> Result<Option<Sequence>> {
        let state = self.state()?;
        if state.last_timestamp <= moment {
            return Ok(Some(state.last_sequence));
        }
        for generation in state.generations.iter().rev() {
            match self.first_from(*generation, 0)? {
                Some(first) if first.timestamp <= moment => {
                    return self.last_before(*generation, first, moment).map(Some);
                }
                // Nothing was ever committed before it.
                Some(Found { first: 1, .. }) => return Ok(Some(0)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The commit time of the oldest event that is still here; `None` when none is.
    pub fn oldest_timestamp(&self) -> Result<Option<Timestamp>> {
        for generation in self.state()?.generations {
            if let Some(found) = self.first_from(generation, 0)? {
                return Ok(Some(found.timestamp));
            }
        }
        Ok(None)
    }

    /// The life of a collection that the first drop after a sequence ended; `None` when there was none.
    pub fn life_dropped_after(&self, collection: CollectionId, after: Sequence) -> Result<Option<i64>> {
        for generation in self.state()?.generations {
            let mut position = after;
            while let Some(records) = self.page(generation, position, SCAN_PAGE_MAX_BYTES)? {
                for (last, bytes) in records {
                    if let Body::Rows { reference, .. } = Record::read(&bytes)?.body
                        && reference.collection == collection
                    {
                        return Ok(Some(reference.life));
                    }
                    position = last;
                }
            }
        }
        Ok(None)
    }

    /// The last sequence of a generation's last record at or before a moment; `first` is one such.
    fn last_before(&self, generation: i64, first: Found, moment: Timestamp) -> Result<Sequence> {
        let (mut found, mut end) = (first.last, self.last_sequence()?.saturating_add(1));
        // Records that are in order have rising last sequences: looked for by halves of these.
        let mut start = found.saturating_add(1);
        while start < end {
            let middle = start.midpoint(end);
            match self.first_from(generation, middle)? {
                Some(record) if record.timestamp <= moment => {
                    found = record.last;
                    start = record.last.saturating_add(1);
                }
                Some(record) => end = middle.min(record.first),
                None => end = middle,
            }
        }
        Ok(found)
    }

    /// The first record of a generation whose last sequence is not below `sequence`.
    fn first_from(&self, generation: i64, sequence: Sequence) -> Result<Option<Found>> {
        let statement = format!(
            "SELECT last, substr(data, 1, {HEADER_BYTES}) FROM {TABLE_PREFIX}{generation} \
             WHERE last >= CAST(? AS INTEGER) ORDER BY last, part LIMIT 1"
        );
        let rows = self.sql.query(&statement, &[SqlParam::Integer(sequence)])?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let last = expect_integer(row.first())?;
        let Header { first, timestamp } = Header::read(&expect_blob(row.into_iter().nth(1))?)?;
        Ok(Some(Found { first, last, timestamp }))
    }
}
