//! Documents into a segment, each parsed once.
//!
//! The columns are learned from the documents on the way ([`LearningShredder`]). Where a column changes its type after
//! documents were put into it, they are put into columns again by the schema of the end: at once while they are few,
//! otherwise when all of them are known. So a segment's bytes depend on its documents alone.

use super::head::{Origin, SegmentHead, group_columns};
use super::head_format::open_index;
use super::id_filter::IdFilter;
use super::key_filter::KeyCollector;
use super::{EXTRA_NAME, SEGMENT_MAX_ROWS, SEGMENT_MAX_TEXT_BYTES, SEQUENCE_NAME, TIMESTAMP_NAME, unwritable};
use crate::error::{ErrorKind, Result};
use crate::types::time::Month;
use crate::types::{Json, Sequence, Timestamp};
use crate::vortex::blob::{BlobWriter, EncodeOptions};
use crate::vortex::schema::ID_NAME;
use crate::vortex::shred::{LearningShredder, RowKey};
use crate::vortex::{Column, ColumnDeclaration, ShreddedBatch, StrayFields, TableSchema, Values};

/// Documents that are put into columns again at once, in all: where a column changes its type early, little is lost.
const RESHRED_AT_ONCE: usize = 4_096;
/// Bytes of the names of stray fields, at most, before giving up on naming them: they are kept in memory.
const STRAY_MAX_BYTES: usize = 16_384;

/// A version of a document to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its version.
    pub sequence: Sequence,
    /// When that was committed, Unix ms.
    pub timestamp: Timestamp,
    /// Its JSON text, `id` included.
    pub text: &'a str,
}

/// A segment's bytes.
#[derive(Clone, Debug)]
pub struct BuiltSegment {
    /// What it is about.
    pub head: SegmentHead,
    /// The blob's bytes but for its tail, in groups of whole columns.
    pub groups: Vec<Vec<u8>>,
}

/// Builds one segment.
pub struct SegmentBuilder {
    shredder: LearningShredder,
    keys: KeyCollector,
    texts: Texts,
    /// The month, and the last moment that was found to be in it.
    month: Option<(Month, Timestamp)>,
    sequences: (Sequence, Sequence),
    last_id: String,
    at_once: usize,
}

/// Texts one after the other.
#[derive(Default)]
struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.text.get(start..*end))
    }
}

impl SegmentBuilder {
    /// For documents of a collection with these declared columns and indexes, which are lists of fields.
    pub fn new(declared: &[ColumnDeclaration], indexes: &[Vec<String>]) -> Result<Self> {
        let mut schema = TableSchema::default();
        // A segment has its columns by the documents' fields.
        let fields = declared.iter().map(|column| ColumnDeclaration { renamed: None, ..column.clone() });
        schema.declare(&fields.collect::<Vec<_>>(), true)?;
        Ok(Self {
            shredder: LearningShredder::new(schema),
            keys: KeyCollector::new(indexes),
            texts: Texts::default(),
            month: None,
            sequences: (Sequence::MAX, Sequence::MIN),
            last_id: String::new(),
            at_once: RESHRED_AT_ONCE,
        })
    }

    /// How many documents there are.
    pub fn rows(&self) -> usize {
        self.texts.ends.len()
    }

    /// Bytes of their JSON text.
    pub fn text_bytes(&self) -> u64 {
        u64::try_from(self.texts.text.len()).unwrap_or(u64::MAX)
    }

    /// Adds a document. Ids must ascend and all documents be of one month. One that there is no room for is refused with
    /// [`ErrorKind::TooLarge`] and changes nothing; after any other error the builder is not to be used.
    pub fn push(&mut self, row: NewRow<'_>) -> Result<()> {
        if self.rows() >= SEGMENT_MAX_ROWS {
            return Err(unwritable(
                ErrorKind::TooLarge,
                format!("expected at most {SEGMENT_MAX_ROWS} documents in a segment, got more; begin another"),
            ));
        }
        if self.texts.text.len().saturating_add(row.text.len()) > SEGMENT_MAX_TEXT_BYTES {
            return Err(unwritable(
                ErrorKind::TooLarge,
                format!(
                    "expected at most {SEGMENT_MAX_TEXT_BYTES} bytes of documents in a segment, got more; begin another"
                ),
            ));
        }
        let month = match self.month {
            Some((month, timestamp)) if timestamp == row.timestamp => month,
            _ => Month::of(row.timestamp),
        };
        if self.month.is_some_and(|(others, _)| others != month || row.id <= self.last_id.as_str()) {
            return Err(unwritable(
                ErrorKind::Internal,
                "expected documents of one month with ascending ids, got another",
            ));
        }
        let mut document = Json::parse(row.text).map_err(|error| error.during("write segment"))?;
        self.keys.add(&document);
        let key = RowKey { id: row.id, sequence: row.sequence, timestamp: row.timestamp };
        self.shredder.push(key, &mut document)?;
        self.texts.push(row.text);
        self.month = Some((month, row.timestamp));
        let (least, greatest) = self.sequences;
        self.sequences = (least.min(row.sequence), greatest.max(row.sequence));
        self.last_id.clear();
        self.last_id.push_str(row.id);
        if self.shredder.is_stale()
            && let Some(left) = self.at_once.checked_sub(self.rows())
        {
            self.at_once = left;
            self.shredder.reshred(self.texts.iter())?;
        }
        Ok(())
    }

    /// The segment's bytes. There must be a document.
    pub fn finish(mut self, origin: Origin, supersedes: Vec<i64>) -> Result<BuiltSegment> {
        let Some((month, _)) = self.month else {
            return Err(unwritable(ErrorKind::Internal, "expected a document in a segment, got none"));
        };
        if self.shredder.is_stale() {
            self.shredder.reshred(self.texts.iter())?;
        }
        let (rows, text_bytes) = (self.rows(), self.text_bytes());
        // Column bytes are made one column at a time; what they are made of is given back on the way.
        self.texts = Texts::default();
        let (schema, mut batch) = self.shredder.finish()?;
        let (first_id, filter) = ids(&batch.ids);
        let stray = bounded(std::mem::take(&mut batch.stray));
        let mut blob = write_blob(&schema, batch)?;
        let end = columns_end(&blob);
        let tail = blob.split_off(end.min(blob.len())).into_boxed_slice();
        let index = open_index(&tail, end)?;
        let ranges = group_columns(&index);
        let mut groups = Vec::with_capacity(ranges.len());
        for range in ranges.iter().rev() {
            groups.push(blob.split_off(range.start.min(blob.len())));
        }
        groups.reverse();
        let head = SegmentHead {
            rows,
            text_bytes,
            month,
            first_sequence: self.sequences.0,
            last_sequence: self.sequences.1,
            first_id,
            last_id: self.last_id,
            origin,
            supersedes,
            stray,
            index,
            filter,
            key_filters: self.keys.finish(),
            tail,
            groups: ranges,
        };
        Ok(BuiltSegment { head, groups })
    }
}

/// Where a blob's columns end: what its last four bytes say.
fn columns_end(blob: &[u8]) -> usize {
    let end = blob.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    end.and_then(|end| usize::try_from(end).ok()).unwrap_or(0)
}

/// The columns of a segment, in their order, as a blob.
fn write_blob(schema: &TableSchema, batch: ShreddedBatch) -> Result<Vec<u8>> {
    let ShreddedBatch { ids, sequences, timestamps, columns, extra, stray: _ } = batch;
    let names = schema.columns().iter().map(|column| column.name.as_str());
    let names = [ID_NAME, SEQUENCE_NAME, TIMESTAMP_NAME].into_iter().chain(names);
    let mut writer = BlobWriter::new(EncodeOptions::default());
    for (name, column) in names.zip([ids, sequences, timestamps].into_iter().chain(columns)) {
        writer.push(name, &column)?;
    }
    if extra.null_count() < extra.rows() {
        writer.push(EXTRA_NAME, &extra)?;
    }
    writer.finish()
}

/// The first id, and the filter of all.
fn ids(ids: &Column) -> (String, IdFilter) {
    let mut filter = IdFilter::for_keys(ids.rows());
    let Values::Text { offsets, text } = ids.values() else { return (String::new(), filter) };
    let place = |offset: &u32| usize::try_from(*offset).unwrap_or(usize::MAX);
    let id = |(start, end): (&u32, &u32)| text.get(place(start)..place(end)).unwrap_or_default();
    let mut each = offsets.iter().zip(offsets.iter().skip(1)).map(id).peekable();
    let first = each.peek().copied().unwrap_or_default().to_owned();
    each.for_each(|id| filter.insert(IdFilter::hash(id.as_bytes())));
    (first, filter)
}

/// Names that are long in all are not kept.
fn bounded(stray: StrayFields) -> StrayFields {
    match stray {
        StrayFields::Some(names) if names.iter().map(String::len).sum::<usize>() > STRAY_MAX_BYTES => StrayFields::Any,
        stray => stray,
    }
}
