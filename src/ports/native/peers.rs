//! Other objects, as a test has them.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;

use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{PeerAnswer, Peers};
use crate::types::StorageTier;
use crate::types::names::ObjectName;

/// Answers a request to an object: method, path and body.
pub type Answering = dyn Fn(&str, &str, Option<&str>) -> PeerAnswer;

/// Other objects that a test answers for.
#[derive(Default)]
pub struct LocalPeers {
    known: RefCell<Vec<(String, Rc<Answering>)>>,
}

impl LocalPeers {
    /// Answers for an object, by its path such as `demo/2`.
    pub fn answer_for(&self, object: &str, answering: Rc<Answering>) {
        self.known.borrow_mut().push((object.to_owned(), answering));
    }
}

#[async_trait(?Send)]
impl Peers for LocalPeers {
    async fn send(&self, to: &ObjectName, method: &str, path: &str, body: Option<&str>) -> Result<PeerAnswer> {
        let known = self.known.borrow().iter().find(|(object, _)| *object == to.path()).map(|(_, one)| Rc::clone(one));
        match known {
            Some(answering) => Ok(answering(method, path, body)),
            None => {
                let message = "expected another object to be reachable, got none; try again";
                Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "reach object", message))
            }
        }
    }
}
