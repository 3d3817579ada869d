//! Documents into columns: by a schema that is known ([`Shredder`]), or by one that is learned from the same documents
//! ([`LearningShredder`]).

mod learning;

pub use learning::{LearningShredder, RowKey};

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::column::Column;
use super::column_type::ColumnType;
use super::schema::{ID_NAME, TableColumn, TableSchema};
use super::value::{Fit, Scalar};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::json::write_members;
use crate::types::time::MICROS_PER_MILLI;
use crate::types::{Document, Json, Sequence, StorageTier, Timestamp};

/// The fields whose values cannot all be compared through their column: some value is in `_extra` only, or is there
/// with a text that compares differently. A column's bounds hold for its field only when the field is not among these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StrayFields {
    /// None.
    #[default]
    None,
    /// These, by name.
    Some(BTreeSet<String>),
    /// Too many to name: possibly any.
    Any,
}

impl StrayFields {
    /// Names kept before giving up on naming them.
    pub const MAX_NAMES: usize = 64;

    /// Whether `field` may have values that its column does not tell of.
    pub fn contains(&self, field: &str) -> bool {
        match self {
            Self::None => false,
            Self::Some(names) => names.contains(field),
            Self::Any => true,
        }
    }

    /// Adds a field.
    pub fn insert(&mut self, field: &str) {
        match self {
            Self::Any => {}
            Self::None => *self = Self::Some(crate::types::sorting::set_of([field.to_owned()])),
            Self::Some(names) if names.contains(field) => {}
            Self::Some(names) if names.len() >= Self::MAX_NAMES => *self = Self::Any,
            Self::Some(names) => {
                names.insert(field.to_owned());
            }
        }
    }

    /// Adds all fields of `other`.
    pub fn merge(&mut self, other: &Self) {
        match other {
            Self::None => {}
            Self::Some(names) => names.iter().for_each(|name| self.insert(name)),
            Self::Any => *self = Self::Any,
        }
    }
}

/// Documents as columns; all have the same number of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ShreddedBatch {
    /// The documents' ids.
    pub ids: Column,
    /// Their versions.
    pub sequences: Column,
    /// Their commit times, in microseconds.
    pub timestamps: Column,
    /// One column a column of the schema, in its order.
    pub columns: Vec<Column>,
    /// JSON text of what has no column.
    pub extra: Column,
    /// The fields that the columns do not tell all of.
    pub stray: StrayFields,
}

impl ShreddedBatch {
    fn new(schema: &TableSchema) -> Self {
        Self {
            ids: Column::new(ColumnType::String),
            sequences: Column::new(ColumnType::Long),
            timestamps: Column::new(ColumnType::Timestamp),
            columns: schema.columns().iter().map(|column| Column::new(column.column_type)).collect(),
            extra: Column::new(ColumnType::Json),
            stray: StrayFields::None,
        }
    }

    /// How many documents there are.
    pub fn rows(&self) -> usize {
        self.ids.rows()
    }

    fn push_key(&mut self, id: &str, sequence: Sequence, timestamp: Timestamp) -> Result<()> {
        let timestamp = timestamp.checked_mul(MICROS_PER_MILLI);
        let timestamp = timestamp.ok_or_else(|| unfit("a time that fits microseconds", &Json::Null))?;
        self.ids.push(Scalar::Text(Cow::Borrowed(id)))?;
        self.sequences.push(Scalar::Long(sequence))?;
        self.timestamps.push(Scalar::Long(timestamp))
    }

    /// Puts a value into its column where it can; whether the column alone rebuilds it.
    fn push_field(&mut self, row: usize, name: &str, value: &Json<'_>, place: Option<Place>) -> Result<bool> {
        let represented = place.and_then(|place| Some((place, place.represent(value)?)));
        let Some((place, represented)) = represented else {
            // A null in `_extra` is null in the column too, so that it compares alike.
            if !matches!(value, Json::Null) {
                self.stray.insert(name);
            }
            return Ok(false);
        };
        self.push_represented(row, name, place, represented)
    }

    fn push_represented(
        &mut self,
        row: usize,
        name: &str,
        place: Place,
        (scalar, fit): (Scalar<'_>, Fit),
    ) -> Result<bool> {
        if let Some(column) = self.columns.get_mut(place.position) {
            column.pad_to(row);
            column.push(scalar)?;
        }
        if fit == Fit::Respelled {
            self.stray.insert(name);
        }
        Ok(fit == Fit::Canonical)
    }

    fn push_extra(&mut self, members: &mut [(&str, &Json<'_>)]) -> Result<()> {
        if members.is_empty() {
            return self.extra.push_option(None);
        }
        // A document that was rebuilt has its members in another order; it makes the same columns.
        members.sort_unstable_by_key(|(name, _)| *name);
        let mut text = String::new();
        write_members(members.iter().copied(), &mut text);
        self.extra.push(Scalar::Text(Cow::Owned(text)))
    }

    fn pad(&mut self) {
        let rows = self.rows();
        self.columns.iter_mut().for_each(|column| column.pad_to(rows));
    }
}

/// The column of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    position: usize,
    column_type: ColumnType,
    mixed: bool,
}

impl Place {
    fn of(position: usize, column: &TableColumn) -> Self {
        Self { position, column_type: column.column_type, mixed: column.is_mixed() }
    }

    fn represent<'j>(self, value: &'j Json<'_>) -> Option<(Scalar<'j>, Fit)> {
        self.column_type.represent(value).or_else(|| {
            let as_text = self.mixed && !matches!(value, Json::Null);
            as_text.then(|| (Scalar::Text(Cow::Owned(value.to_text())), Fit::Respelled))
        })
    }
}

/// Turns documents into columns, one after the other.
pub struct Shredder<'s> {
    schema: &'s TableSchema,
    positions: HashMap<&'s str, Place>,
    batch: ShreddedBatch,
    bytes: usize,
    /// A document's canonical text, to be measured.
    canonical: String,
}

impl<'s> Shredder<'s> {
    /// For documents of a table.
    pub fn new(schema: &'s TableSchema) -> Self {
        let columns = schema.columns().iter().enumerate();
        let positions = columns.map(|(position, column)| (column.name.as_str(), Place::of(position, column)));
        Self {
            schema,
            positions: positions.collect(),
            batch: ShreddedBatch::new(schema),
            bytes: 0,
            canonical: String::new(),
        }
    }

    /// How many documents the batch holds.
    pub fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// Bytes of the documents' canonical texts in the batch: those of equal documents are the same, however they are spelled.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a document. On an error the batch is not to be used.
    pub fn push(&mut self, document: &Document) -> Result<()> {
        let parsed = Json::parse(&document.text).map_err(|error| error.during("shred document"))?;
        let Json::Object(members) = &parsed else { return Err(unfit("an object", &parsed)) };
        match parsed.get(ID_NAME) {
            Some(Json::String(id)) if *id == document.id => {}
            other => return Err(unfit("the field id to be the document's id", other.unwrap_or(&Json::Null))),
        }
        let row = self.batch.rows();
        let mut extra: Vec<(&str, &Json<'_>)> = Vec::new();
        for (name, value) in members.iter().filter(|(name, _)| name != ID_NAME) {
            let place = self.positions.get(name.as_ref()).copied();
            if !self.batch.push_field(row, name, value, place)? {
                extra.push((name, value));
            }
        }
        self.batch.push_key(&document.id, document.sequence, document.timestamp)?;
        self.batch.push_extra(&mut extra)?;
        self.canonical.clear();
        parsed.write(&mut self.canonical);
        self.bytes = self.bytes.saturating_add(self.canonical.len());
        Ok(())
    }

    /// Ends the batch and starts the next.
    pub fn take(&mut self) -> ShreddedBatch {
        self.bytes = 0;
        let mut batch = std::mem::replace(&mut self.batch, ShreddedBatch::new(self.schema));
        batch.pad();
        batch
    }
}

fn unfit(expected: &str, got: &Json<'_>) -> StorageError {
    let message = format!("expected a document that is {expected}, got {}", got.kind());
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "shred document", message)
}
