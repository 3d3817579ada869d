//! The plain map: documents, what is declared of them, and the list of events.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::support::archive::State;
use crate::values::MOMENTS;
use crate::vocabulary::{COLLECTIONS, Change, Op, id_of};

#[derive(Clone, Debug)]
pub struct Kept {
    pub value: Rc<Value>,
    /// The sequence of its last event.
    pub version: usize,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub operation: &'static str,
    pub collection: usize,
    pub id: String,
    pub before: Option<Rc<Value>>,
    pub after: Option<Rc<Value>>,
}

pub type Documents = BTreeMap<String, Kept>;

#[derive(Default)]
pub struct Model {
    pub documents: [Documents; COLLECTIONS.len()],
    pub columns: [Vec<(&'static str, &'static str)>; COLLECTIONS.len()],
    /// The sequence at which a field was last dropped: files with older versions may have it in a column that left the
    /// table.
    pub dropped: [BTreeMap<&'static str, usize>; COLLECTIONS.len()],
    pub events: Vec<Event>,
}

/// Statuses that a refused write may answer with.
pub type Refusal = Vec<u16>;

fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut result = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            result.remove(name);
        } else {
            let merged = merged(result.get(name).unwrap_or(&Value::Null), value);
            result.insert(name.clone(), merged);
        }
    }
    Value::Object(result)
}

/// Whether a declared column takes a value of these tests.
fn accepts(column_type: &str, value: &Value) -> bool {
    let text = value.as_str();
    match column_type {
        "long" => value.is_i64() || value.as_f64().is_some_and(|value| value.fract() == 0.0 && value.abs() < 9e18),
        "double" => value.is_number(),
        // The numbers have two digits after the point at most.
        "decimal(12,2)" => {
            value.as_f64().is_some_and(|value| value.abs() < 1e10) || matches!(text, Some("5") | Some("-1.5"))
        }
        "string" => value.is_string(),
        "bool" => value.is_boolean(),
        "timestamp" => text.is_some_and(|text| MOMENTS.contains(&text)),
        "json" => true,
        other => panic!("{other}"),
    }
}

impl Model {
    fn log(&mut self, collection: usize, id: &str, after: Option<Rc<Value>>) {
        let version = self.events.len() + 1;
        let documents = &mut self.documents[collection];
        let before = match &after {
            Some(value) => documents.insert(id.to_owned(), Kept { value: Rc::clone(value), version }),
            None => documents.remove(id),
        };
        let before = before.map(|kept| kept.value);
        let operation = match (&before, &after) {
            (None, _) => "INSERT",
            (_, None) => "DELETE",
            _ => "UPDATE",
        };
        self.events.push(Event { operation, collection, id: id.to_owned(), before, after });
    }

    fn fits(&self, collection: usize, document: &Value) -> bool {
        let fits = |(name, column_type): &(&str, &str)| {
            document.get(*name).is_none_or(|value| value.is_null() || accepts(column_type, value))
        };
        self.columns[collection].iter().all(fits)
    }

    /// What a change does; why it is refused.
    pub fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        let id = id_of(change.id);
        let before = self.documents[change.collection].get(&id);
        let after = match (change.op, before) {
            (Op::Insert | Op::Upsert, _) => Some(change.document()),
            (Op::Patch, Some(before)) => Some(merged(&before.value, &change.fields)),
            (Op::Delete, Some(_)) => None,
            (Op::Patch | Op::Delete, None) => return Err(vec![404]),
        };
        let mut refusal = Vec::new();
        if change.op == Op::Insert && before.is_some() {
            refusal.push(409);
        }
        if after.as_ref().is_some_and(|after| !self.fits(change.collection, after)) {
            refusal.push(422);
        }
        if !refusal.is_empty() {
            return Err(refusal);
        }
        self.log(change.collection, &id, after.map(Rc::new));
        Ok(())
    }

    /// Applies all of the changes, or none.
    pub fn apply_all(&mut self, changes: &[Change]) -> Result<(), Refusal> {
        let before = (self.documents.clone(), self.events.len());
        let outcome = changes.iter().try_for_each(|change| self.apply(change));
        if outcome.is_err() {
            self.documents = before.0;
            self.events.truncate(before.1);
        }
        outcome
    }

    /// The changes, those that cannot be made another that can, and none that has no other.
    pub fn mended(&self, changes: &[Change]) -> Vec<Change> {
        let mut model = Self {
            events: Vec::new(),
            documents: self.documents.clone(),
            columns: self.columns.clone(),
            ..Self::default()
        };
        let mend = |change: &Change| {
            let other = Change { op: Op::Upsert, ..change.clone() };
            [change, &other].into_iter().find(|change| model.apply(change).is_ok()).cloned()
        };
        changes.iter().filter_map(mend).collect()
    }

    pub fn drop(&mut self, collection: usize) {
        let ids: Vec<String> = self.documents[collection].keys().cloned().collect();
        ids.iter().for_each(|id| self.log(collection, id, None));
        self.columns[collection].clear();
    }

    /// The documents as they were after each of these sequences, by the events alone.
    pub fn at(&self, sequences: &[usize]) -> Vec<State> {
        let mut state = State::new();
        let mut found = vec![State::new(); sequences.len()];
        for (position, event) in self.events.iter().enumerate() {
            let documents = state.entry(COLLECTIONS[event.collection].to_owned()).or_default();
            match &event.after {
                Some(after) => documents.insert(event.id.clone(), after.as_ref().clone()),
                None => documents.remove(&event.id),
            };
            for (found, _) in found.iter_mut().zip(sequences).filter(|(_, sequence)| **sequence == position + 1) {
                found.clone_from(&state);
            }
        }
        found
    }
}
