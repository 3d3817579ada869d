//! Sockets as a test holds their other ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::SOCKET_ATTACHMENT_MAX_BYTES;
use crate::ports::{Socket, Sockets};
use crate::types::StorageTier;

/// What a test sees of a socket.
#[derive(Debug, Default)]
pub struct LocalSocket {
    /// What was sent and not taken.
    sent: RefCell<Vec<String>>,
    attachment: RefCell<Option<String>>,
    closed: RefCell<Option<(u16, String)>>,
    /// Whether sending fails from now on.
    pub broken: Cell<bool>,
    /// Whether attaching fails from now on.
    pub cannot_attach: Cell<bool>,
}

impl LocalSocket {
    /// Takes what was sent.
    pub fn take(&self) -> Vec<String> {
        self.sent.take()
    }

    /// With what it was closed.
    pub fn closed(&self) -> Option<(u16, String)> {
        self.closed.borrow().clone()
    }
}

/// The sockets of one object; they outlive its instances.
#[derive(Debug, Default)]
pub struct LocalSockets(RefCell<Vec<Rc<LocalSocket>>>);

impl LocalSockets {
    /// Opens one with this attachment.
    pub fn accept(&self, attachment: &str) -> Rc<LocalSocket> {
        let socket = Rc::new(LocalSocket::default());
        socket.attachment.replace(Some(attachment.to_owned()));
        self.0.borrow_mut().push(Rc::clone(&socket));
        socket
    }
}

impl Sockets for LocalSockets {
    fn open(&self) -> Result<Vec<Box<dyn Socket>>> {
        let open =
            self.0.borrow().iter().filter(|socket| socket.closed.borrow().is_none()).cloned().collect::<Vec<_>>();
        Ok(open.into_iter().map(|socket| -> Box<dyn Socket> { Box::new(socket) }).collect())
    }
}

impl Socket for Rc<LocalSocket> {
    fn send(&self, text: &str) -> Result<()> {
        if self.broken.get() || self.closed.borrow().is_some() {
            return Err(failed("send"));
        }
        self.sent.borrow_mut().push(text.to_owned());
        Ok(())
    }

    fn attachment(&self) -> Result<Option<String>> {
        Ok(self.attachment.borrow().clone())
    }

    fn attach(&self, text: &str) -> Result<()> {
        if self.cannot_attach.get() || text.len() > SOCKET_ATTACHMENT_MAX_BYTES {
            return Err(failed("attach"));
        }
        self.attachment.replace(Some(text.to_owned()));
        Ok(())
    }

    fn close(&self, code: u16, reason: &str) {
        self.closed.borrow_mut().get_or_insert((code, reason.to_owned()));
    }
}

fn failed(operation: &'static str) -> StorageError {
    StorageError::new(ErrorKind::Unavailable, StorageTier::Api, operation, "expected an open socket, got a failure")
}
