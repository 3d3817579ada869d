//! Reads that meet a file which is not there any more: between a plan and its reads a file may be merged, or expire, and be
//! deleted. They are planned again from the state that is now. A file that is missing though that state has it is damage.

use crate::cold::AbsentFile;
use crate::error::{Result, StorageError};

/// How often one read is planned again, at most.
const REPLANS_MAX: usize = 16;

/// What one read has met.
#[derive(Default)]
pub struct Replans {
    absent: Option<String>,
    count: usize,
}

impl Replans {
    /// Whether a read that failed is to be planned again.
    pub fn again(&mut self, error: &StorageError) -> bool {
        let Some(AbsentFile(key)) = error.cause_as::<AbsentFile>() else { return false };
        self.count = self.count.saturating_add(1);
        let is_new = self.absent.as_ref() != Some(key);
        self.absent = Some(key.clone());
        is_new && self.count <= REPLANS_MAX
    }
}

/// Does a read, and does it again from its planning on as long as files that it meets were collected meanwhile.
pub async fn replanning<T>(mut read: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut replans = Replans::default();
    loop {
        match read().await {
            Err(error) if replans.again(&error) => {}
            done => return done,
        }
    }
}
