//! Requests with a key: done once, however often they are sent.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::Engine;
use crate::error::{ErrorKind, Result, StorageError};
use crate::hot::answers::{Digest, in_flight};
use crate::hot::{KeptAnswer, Write, WriteOutcome};
use crate::types::{ChangeContext, StorageTier};

/// The keys of requests that are being answered now.
pub(super) type KeysInFlight = Rc<RefCell<HashSet<Digest>>>;

/// What is known of a request with a key.
pub enum Once {
    /// It was answered before.
    Answered(KeptAnswer),
    /// It is new.
    New(Ticket),
}

/// The right to answer a request with a key; while it is there, nobody else has it.
pub struct Ticket {
    key: Digest,
    request: Digest,
    in_flight: KeysInFlight,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.in_flight.borrow_mut().remove(&self.key);
    }
}

impl Engine {
    /// Looks for the answer to a request of `principal` with a key; `parts` are what makes it this request.
    pub fn once(&self, principal: &str, key: &str, parts: &[&str]) -> Result<Once> {
        let (key, request) = (digest(&[principal, key]), digest(parts));
        if self.keys_in_flight.borrow().contains(&key) {
            return Err(in_flight());
        }
        if let Some(answer) = self.hot.answers().find(&key, &request, self.now_ms())? {
            return Ok(Once::Answered(answer));
        }
        self.keys_in_flight.borrow_mut().insert(key);
        Ok(Once::New(Ticket { key, request, in_flight: Rc::clone(&self.keys_in_flight) }))
    }

    /// Does all mutations in one transaction, or none, and keeps the answer that `answer` makes of them in it.
    pub async fn write_once(
        &self,
        writes: &[Write],
        context: &ChangeContext,
        refused: &mut dyn FnMut(usize, StorageError) -> Result<()>,
        ticket: Option<&Ticket>,
        answer: &mut dyn FnMut(&[WriteOutcome]) -> Result<KeptAnswer>,
    ) -> Result<KeptAnswer> {
        self.check_open_to_all(writes)?;
        self.write_answering(writes, context, refused, ticket, answer).await
    }

    /// The same, whatever the collections are.
    pub(super) async fn write_answering(
        &self,
        writes: &[Write],
        context: &ChangeContext,
        refused: &mut dyn FnMut(usize, StorageError) -> Result<()>,
        ticket: Option<&Ticket>,
        answer: &mut dyn FnMut(&[WriteOutcome]) -> Result<KeptAnswer>,
    ) -> Result<KeptAnswer> {
        let mut answered = None;
        let mut keep = |outcomes: &[WriteOutcome]| {
            let answer = answer(outcomes)?;
            if let Some(ticket) = ticket {
                self.hot.answers().keep(&ticket.key, &ticket.request, &answer, self.now_ms())?;
            }
            answered = Some(answer);
            Ok(())
        };
        self.write_and(writes, context, refused, &mut keep).await?;
        answered.ok_or_else(|| {
            let message = "expected a committed write to have its answer, got none";
            StorageError::new(ErrorKind::Internal, StorageTier::Api, "answer request", message)
        })
    }
}

/// A digest of several texts, each by its length, so that no two lists of texts are alike.
fn digest(parts: &[&str]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
