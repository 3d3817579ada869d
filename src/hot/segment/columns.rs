//! The bytes of some columns of a segment, shared with whoever else reads them.

use std::ops::Range;
use std::rc::Rc;

use crate::vortex::blob::{Blob, BlobIndex};

/// Bytes in which a column lies, and where.
type Shared = (Rc<[u8]>, Range<usize>);

/// The bytes of some columns, by their position in the blob.
#[derive(Clone, Debug, Default)]
pub struct ColumnBytes {
    columns: Vec<Option<Shared>>,
}

impl ColumnBytes {
    /// All columns of a blob that is in memory.
    pub fn whole(index: &BlobIndex, blob: &Rc<[u8]>) -> Self {
        let columns = index.columns().iter().map(|column| Some((Rc::clone(blob), column.range()))).collect();
        Self { columns }
    }

    /// Adds the column at `position`, which is `range` of `bytes`.
    pub fn insert(&mut self, position: usize, bytes: Rc<[u8]>, range: Range<usize>) {
        if self.columns.len() <= position {
            self.columns.resize(position.saturating_add(1), None);
        }
        if let Some(column) = self.columns.get_mut(position) {
            *column = Some((bytes, range));
        }
    }

    /// The columns as a blob with this index; reading one that was not brought is an error.
    pub fn blob<'b>(&'b self, index: &'b BlobIndex) -> Blob<'b> {
        let bytes = |column: &'b Option<Shared>| column.as_ref().and_then(|(bytes, range)| bytes.get(range.clone()));
        Blob::of_columns(index, self.columns.iter().map(bytes).collect())
    }
}
