//! What reading may take and what it took.

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// The memory that a reader may still take, in bytes. Everything that is decoded is taken from it before it is
/// allocated, what is decoded along the way included.
#[derive(Clone, Debug)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Takes `bytes`; refused with [`ErrorKind::Unavailable`] when there are not as many.
    pub fn take(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(exceeded(bytes, self.left)),
        }
    }

    /// Makes room for `count` more values.
    pub(in crate::vortex) fn reserve<T>(&mut self, values: &mut Vec<T>, count: usize) -> Result<()> {
        let bytes = count.saturating_mul(size_of::<T>());
        self.take(bytes)?;
        values.try_reserve_exact(count).map_err(|error| exceeded(bytes, self.left).caused_by(error))
    }

    /// An empty list with room for `count` values.
    pub(in crate::vortex) fn vector<T>(&mut self, count: usize) -> Result<Vec<T>> {
        let mut values = Vec::new();
        self.reserve(&mut values, count)?;
        Ok(values)
    }
}

#[cold]
fn exceeded(bytes: usize, left: usize) -> StorageError {
    let message = format!(
        "expected to decode within the memory given, got {bytes} bytes to take of {left}; read fewer rows at once"
    );
    StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "read column blob", message)
}

/// What reading one value took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Bytes of the blob that were looked at, the value's own included where it is text or bytes.
    pub bytes: usize,
    /// Values that were decoded on the way.
    pub values: usize,
}

impl Touched {
    pub(in crate::vortex) fn add(&mut self, bytes: usize, values: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.values = self.values.saturating_add(values);
    }
}
