//! A queue in memory.

use std::cell::{Cell, RefCell};

use async_trait::async_trait;

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::Queue;
use crate::types::StorageTier;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sending {
    /// It arrives.
    #[default]
    Works,
    /// It does not.
    Fails,
    /// It does, and is told as failed.
    HappensAndFails,
}

/// A queue that a test looks into.
#[derive(Debug, Default)]
pub struct LocalQueue {
    batches: RefCell<Vec<Vec<String>>>,
    /// What becomes of what is sent.
    pub sending: Cell<Sending>,
    /// How often something was sent, whatever became of it.
    pub sends: Cell<usize>,
}

impl LocalQueue {
    /// Takes what has arrived.
    pub fn take(&self) -> Vec<Vec<String>> {
        self.batches.take()
    }
}

#[async_trait(?Send)]
impl Queue for LocalQueue {
    async fn send(&self, messages: &[String]) -> Result<()> {
        self.sends.set(self.sends.get().saturating_add(1));
        if self.sending.get() != Sending::Fails {
            self.batches.borrow_mut().push(messages.to_vec());
        }
        if self.sending.get() == Sending::Works {
            return Ok(());
        }
        let message = "expected the queue to take messages, got a failure";
        Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "push to queue", message))
    }
}
