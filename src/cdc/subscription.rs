//! What a reader of the feed wants: which events, how much of them, and in which form.
//!
//! Every event passes [`outgoing`] on its way out, whatever transport and form it takes: it is the one place that
//! decides what of an event this reader is shown.

use crate::error::Result;
use crate::types::json::by_name;
use crate::types::{CdcEvent, Json, Masks, Operation};

/// The form of an event as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// This project's own.
    #[default]
    Native,
    /// Debezium's change event, as its JSON converter writes it without schemas.
    Debezium,
    /// CloudEvents 1.0 in JSON.
    CloudEvents,
}

impl Format {
    /// All of them, by the names that requests use.
    pub const NAMED: [(&'static str, Self); 3] =
        [("native", Self::Native), ("debezium", Self::Debezium), ("cloudevents", Self::CloudEvents)];

    /// The name that requests use.
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, format)| *format == self).map_or("native", |(name, _)| name)
    }
}

/// Which events a reader wants, and how they are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// Only of these collections; `None` for all.
    pub collections: Option<Vec<String>>,
    /// Only these operations; `None` for all.
    pub operations: Option<Vec<Operation>>,
    /// Whether the documents are wanted.
    pub documents: bool,
    /// How an event is written.
    pub format: Format,
    /// What is hidden from the reader.
    pub masks: Masks,
}

impl Default for Subscription {
    fn default() -> Self {
        Self { collections: None, operations: None, documents: true, format: Format::Native, masks: Masks::default() }
    }
}

impl Subscription {
    /// Whether an event passes.
    pub fn wants(&self, event: &CdcEvent) -> bool {
        self.wants_collection(&event.collection)
            && self.operations.as_ref().is_none_or(|wanted| wanted.contains(&event.operation))
    }

    /// Whether events of a collection can pass.
    pub fn wants_collection(&self, name: &str) -> bool {
        self.collections.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name))
    }
}

/// An event as a reader is shown it: with what follows from its images, and without these unless they are wanted.
pub fn outgoing(mut event: CdcEvent, subscription: &Subscription) -> Result<CdcEvent> {
    // Before anything follows from them: that a hidden field has changed is hidden too.
    for image in [&mut event.before, &mut event.after] {
        *image = image.take().map(|text| subscription.masks.apply(&event.collection, text)).transpose()?;
    }
    if let (Some(before), Some(after)) = (&event.before, &event.after) {
        event.changed_fields = Some(changed_fields(before, after)?);
    }
    if !subscription.documents {
        event.before = None;
        event.after = None;
    }
    Ok(event)
}

/// The top-level fields that differ: first those changed or removed, in the order before, then those added.
fn changed_fields(before: &str, after: &str) -> Result<Vec<String>> {
    let (before, after) = (Json::parse(before)?, Json::parse(after)?);
    let (Json::Object(old), Json::Object(new)) = (&before, &after) else { return Ok(Vec::new()) };
    let (old_by_name, new_by_name) = (by_name(old), by_name(new));
    let changed =
        old.iter().filter(|(name, value)| !new_by_name.get(name.as_ref()).is_some_and(|other| other.same(value)));
    let added = new.iter().filter(|(name, _)| !old_by_name.contains_key(name.as_ref()));
    Ok(changed.chain(added).map(|(name, _)| name.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_fields_are_those_changed_removed_and_added() {
        let fields =
            changed_fields(r#"{"id":"x","a":1,"b":2,"c":{"d":1}}"#, r#"{"id":"x","b":2.0,"c":{"d":1},"e":null}"#)
                .unwrap();
        assert_eq!(fields, ["a", "b", "e"]);
    }
}
