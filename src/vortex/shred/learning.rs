//! Documents into columns by a schema that is learned from them along the way, each document parsed once.
//!
//! Invariant: rows that are not stale are what [`Shredder`](super::Shredder) makes of them by the schema so far, and the
//! schema is what [`observe`] of each document makes of it.
//!
//! A column that is added holds null in the rows before: what they have of the field is null, or the field would have
//! had its column before. A column that changes its type, or becomes mixed, makes the rows before it stale.

use std::borrow::Cow;

use super::{Place, ShreddedBatch, unfit};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Json, Sequence, StorageTier, Timestamp};
use crate::vortex::column::Column;
use crate::vortex::infer::observe;
use crate::vortex::schema::{ID_NAME, Origin, TableSchema};

/// What a row has beside its document.
#[derive(Clone, Copy, Debug)]
pub struct RowKey<'a> {
    /// The document's id.
    pub id: &'a str,
    /// Its version.
    pub sequence: Sequence,
    /// When that was committed, Unix ms.
    pub timestamp: Timestamp,
}

/// Turns documents into columns and learns the columns from them.
pub struct LearningShredder {
    schema: TableSchema,
    batch: ShreddedBatch,
    /// Where the next field is likely to be: documents of a collection have their fields in one order.
    next: usize,
    /// The members of the document at hand that go to `_extra`.
    extra: Vec<usize>,
    stale: bool,
}

impl LearningShredder {
    /// Beginning with a schema.
    pub fn new(schema: TableSchema) -> Self {
        let batch = ShreddedBatch::new(&schema);
        Self { schema, batch, next: 0, extra: Vec::new(), stale: false }
    }

    /// How many documents the batch holds.
    pub fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// Whether a column has changed since documents were put into it: [`reshred`](Self::reshred) is due.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Adds a document. It is left as it was; on an error the batch is not to be used.
    pub fn push(&mut self, key: RowKey<'_>, document: &mut Json<'_>) -> Result<()> {
        match document.get(ID_NAME) {
            Some(Json::String(id)) if id == key.id => {}
            other => return Err(unfit("the field id to be the document's id", other.unwrap_or(&Json::Null))),
        }
        self.push_members(document, true)?;
        self.batch.push_key(key.id, key.sequence, key.timestamp)
    }

    /// Puts the documents, which are those of before, into columns again by the schema that they have led to.
    pub fn reshred<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> Result<()> {
        let fresh = ShreddedBatch::new(&self.schema);
        let before = std::mem::replace(&mut self.batch, fresh);
        for text in texts {
            let mut document = Json::parse(text).map_err(|error| error.during("shred document"))?;
            self.push_members(&mut document, false)?;
        }
        if self.batch.extra.rows() != before.rows() {
            return Err(misused(format!("expected the {} documents of before", before.rows())));
        }
        self.batch.ids = before.ids;
        self.batch.sequences = before.sequences;
        self.batch.timestamps = before.timestamps;
        self.stale = false;
        Ok(())
    }

    /// The schema and the documents. They must not be stale.
    pub fn finish(mut self) -> Result<(TableSchema, ShreddedBatch)> {
        if self.stale {
            return Err(misused("expected documents that are not stale".to_owned()));
        }
        self.batch.pad();
        Ok((self.schema, self.batch))
    }

    fn push_members(&mut self, document: &mut Json<'_>, learn: bool) -> Result<()> {
        let Json::Object(members) = document else { return Err(unfit("an object", document)) };
        let row = self.batch.extra.rows();
        self.next = 0;
        let mut extra = std::mem::take(&mut self.extra);
        extra.clear();
        for (position, member) in members.iter_mut().enumerate().filter(|(_, (name, _))| name != ID_NAME) {
            let alone = if learn { self.learn(row, member)? } else { self.put(row, member)? };
            if !alone {
                extra.push(position);
            }
        }
        let left = extra.iter().filter_map(|position| members.get(*position));
        let mut left: Vec<_> = left.map(|(name, value)| (name.as_ref(), value)).collect();
        self.batch.push_extra(&mut left)?;
        self.extra = extra;
        Ok(())
    }

    fn put(&mut self, row: usize, (name, value): &(Cow<'_, str>, Json<'_>)) -> Result<bool> {
        let place = self.place(name);
        self.batch.push_field(row, name, value, place)
    }

    /// Learns from a member, then puts it into its column; whether the column alone rebuilds it.
    fn learn<'j>(&mut self, row: usize, member: &mut (Cow<'j, str>, Json<'j>)) -> Result<bool> {
        let place = self.place(&member.0);
        let (name, value) = &*member;
        if matches!(value, Json::Null) {
            return self.batch.push_field(row, name, value, place);
        }
        if let Some(place) = place
            && let Some(represented) = place.represent(value)
            && self.count_fit(place.position)
        {
            return self.batch.push_represented(row, name, place, represented);
        }
        // What `observe` takes is a document: the member is moved into one of its own, and back.
        let lone = std::mem::replace(member, (Cow::Borrowed(""), Json::Null));
        let lone = Json::Object(vec![lone]);
        observe(&mut self.schema, &lone);
        if let Json::Object(mut members) = lone
            && let Some(observed) = members.pop()
        {
            *member = observed;
        }
        let (name, value) = &*member;
        let learned = self.place(name);
        self.follow(place, learned);
        self.batch.push_field(row, name, value, learned)
    }

    /// Counts a value that its column represents, where that can change nothing but the count.
    fn count_fit(&mut self, position: usize) -> bool {
        match self.schema.column_mut(position).map(|column| &mut column.origin) {
            Some(Origin::Declared) => true,
            Some(Origin::Inferred { fits, mixed: true, .. } | Origin::Inferred { fits, misfits: 0, .. }) => {
                *fits = fits.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    /// Makes the batch's columns those of the schema again, after one field was observed.
    fn follow(&mut self, before: Option<Place>, after: Option<Place>) {
        let Some(place) = after else { return };
        if before.is_none() {
            self.batch.columns.push(Column::new(place.column_type));
        } else if before != after {
            if let Some(column) = self.batch.columns.get_mut(place.position) {
                *column = Column::new(place.column_type);
            }
            self.stale = true;
        }
    }

    fn place(&mut self, name: &str) -> Option<Place> {
        let columns = self.schema.columns();
        let guess = columns.get(self.next).filter(|column| column.name == name).map(|_| self.next);
        let position = guess.or_else(|| self.schema.position(name))?;
        let place = Place::of(position, columns.get(position)?);
        self.next = position.saturating_add(1);
        Some(place)
    }
}

fn misused(message: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "shred document", message)
}
