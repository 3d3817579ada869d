//! The change log (outbox): every mutation's event, committed with the mutation, in one gap-free sequence.
//!
//! [`record`] is the packed bytes of a log row, [`segment_events`] those of one that refers to a segment, [`log`] the tables that hold them, [`feed`] what readers are answered,
//! [`subscription`] what of it a reader is shown, [`envelope`] the text of it; [`consumers`] how far
//! named ones have come, [`bell`] how those who wait are woken, [`socket`] what a socket is sent,
//! [`push`] what a queue is. [`access_log`] is who did what.

pub mod access_log;
pub mod bell;
pub mod consumers;
pub mod envelope;
pub mod feed;
pub mod log;
pub mod push;
pub mod record;
pub mod segment_events;
pub mod socket;
pub mod subscription;

pub use bell::Bell;
pub use consumers::{Consumer, Consumers};
pub use feed::{FeedFilter, FeedPage};
pub use log::{Appender, ChangeLog, Referenced, References, RowsPosition};
pub use record::{Change, Image, LoggedEvent, RowsReference, SegmentReference};
pub use segment_events::{After, InlineEvent};
pub use subscription::{Format, Subscription};
