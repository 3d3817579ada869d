//! Sockets that stay open while the object is not in memory.

use crate::error::Result;

/// A message from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMessage<'m> {
    /// Text.
    Text(&'m str),
    /// Bytes, this many.
    Bytes(usize),
}

/// One socket. What is attached to it comes back after the object was not in memory.
pub trait Socket {
    /// Sends text; queued by the platform, in order. Fails when the socket is closed.
    fn send(&self, text: &str) -> Result<()>;

    /// What is attached; `None` when nothing is.
    fn attachment(&self) -> Result<Option<String>>;

    /// Attaches another text, of at most [`SOCKET_ATTACHMENT_MAX_BYTES`](crate::limits::SOCKET_ATTACHMENT_MAX_BYTES).
    fn attach(&self, text: &str) -> Result<()>;

    /// Closes it. A socket that is closed already stays so.
    fn close(&self, code: u16, reason: &str);
}

/// The sockets of an object.
pub trait Sockets {
    /// Those that are open.
    fn open(&self) -> Result<Vec<Box<dyn Socket>>>;
}
