//! Events as text, in the forms that readers know.
//!
//! Invariants: a document is passed on as the text that it was stored as, so that numbers keep theirs; the same event is
//! the same text at every reading; one event is one line.

mod cloudevents;
mod debezium;
mod native;
mod page;

use serde::Serialize;
use serde_json::value::RawValue;

pub use page::{Frame, frame, page};

use super::subscription::Format;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::names::ObjectName;
use crate::types::{CdcEvent, StorageTier};

/// Appends an event of an object.
pub fn write(event: &CdcEvent, format: Format, object: &ObjectName, out: &mut String) -> Result<()> {
    match format {
        Format::Native => append(&native::event(event)?, out),
        Format::Debezium => append(&debezium::event(event, object)?, out),
        Format::CloudEvents => append(&cloudevents::event(event, object)?, out),
    }
}

fn append(value: &impl Serialize, out: &mut String) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| {
        let message = "expected an event to become JSON";
        StorageError::new(ErrorKind::Internal, StorageTier::Hot, "render event", message).caused_by(error)
    })?;
    out.push_str(&text);
    Ok(())
}

/// The text of a document, to be put into a larger one as it is.
fn raw(text: &str) -> Result<&RawValue> {
    serde_json::from_str(text).map_err(|error| {
        let message = "expected a stored document to be JSON";
        StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "render event", message).caused_by(error)
    })
}

#[cfg(test)]
mod tests;
