//! `POST /batch`: several mutations in one transaction.

use std::fmt;
use std::rc::Rc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::access::Principal;
use super::body::{MapOnly, json_text, parse, to_json};
use super::documents::{check_patch, checked_id};
use super::idempotency::{Begun, begin, finish};
use super::message::{Request, Response};
use super::object::{SEQUENCE_HEADER, change_context};
use super::params::QueryParams;
use crate::engine::{
    Condition, Engine, FORGOTTEN_ONE_BY_ONE_MAX, Mutation, NewDocument, Versions, Write, WriteOutcome,
};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{BATCH_MAX_BYTES, BATCH_MAX_OPERATIONS};
use crate::types::names::check_collection;
use crate::types::{Sequence, StorageTier, whole};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'b> {
    #[serde(borrow)]
    operations: Operations<'b>,
}

/// Operations, bounded while they are read.
struct Operations<'b>(Vec<Operation<'b>>);

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Insert,
    Upsert,
    Update,
    Delete,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Operation<'b> {
    op: Op,
    collection: String,
    id: Option<String>,
    #[serde(borrow)]
    doc: Option<&'b RawValue>,
    #[serde(default, deserialize_with = "whole::optional")]
    if_version: Option<Sequence>,
}

impl<'de: 'b, 'b> Deserialize<'de> for Operations<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Operations<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {BATCH_MAX_OPERATIONS} operations")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> std::result::Result<Self::Value, A::Error> {
                let mut operations = Vec::new();
                while let Some(operation) = sequence.next_element::<MapOnly<Operation<'de>>>()? {
                    if operations.len() == BATCH_MAX_OPERATIONS {
                        return Err(serde::de::Error::custom(format!(
                            "expected at most {BATCH_MAX_OPERATIONS} operations, got more; split the batch"
                        )));
                    }
                    operations.push(operation.0);
                }
                Ok(Operations(operations))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    first_sequence: Option<Sequence>,
    last_sequence: Sequence,
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    id: &'a str,
    operation: &'static str,
    sequence: Sequence,
}

/// The header by which the Worker learns which documents a few operations have changed.
pub const CHANGED_HEADER: &str = "thermocline-cache-changed";

/// `POST /batch`
pub async fn batch(engine: &Engine, request: &mut Request, principal: &Principal) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let context = change_context(request)?;
    let text = json_text(request, BATCH_MAX_BYTES, &["application/json"]).await?;
    let ticket = match begin(engine, request, &text, principal)? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(ticket) => ticket,
    };
    let writes = read(engine, &text)?;
    drop(text);
    let before = engine.last_sequence()?;
    if writes.is_empty() && ticket.is_none() {
        return answer(&[], before);
    }
    let mut refused = |position, error| Err(placed(error, position));
    let changed = changed_documents(&writes);
    let answer = |outcomes: &[WriteOutcome]| {
        let response = answer(outcomes, before)?;
        Ok(match &changed {
            Some(changed) => response.with_header(CHANGED_HEADER, changed.clone()),
            None => response,
        })
    };
    finish(engine, ticket.as_ref(), &writes, &context, &mut refused, &answer).await
}

/// The documents that a few writes change, for the Worker to take them back; more have changed the object's generation.
fn changed_documents(writes: &[Write]) -> Option<String> {
    let document = |write: &Write| {
        let id = percent_encoding::utf8_percent_encode(write.mutation.id(), percent_encoding::NON_ALPHANUMERIC);
        format!("{}/{id}", write.collection)
    };
    let few = (1..=FORGOTTEN_ONE_BY_ONE_MAX).contains(&writes.len());
    few.then(|| writes.iter().map(document).collect::<Vec<_>>().join(" "))
}

/// What a batch did to an object that had reached the sequence `before`.
fn answer(outcomes: &[WriteOutcome], before: Sequence) -> Result<Response> {
    let last_sequence = outcomes.last().map_or(before, |outcome| outcome.sequence);
    let results = outcomes
        .iter()
        .map(|outcome| Outcome { id: &outcome.id, operation: outcome.operation.name(), sequence: outcome.sequence })
        .collect();
    let first_sequence = outcomes.first().map(|outcome| outcome.sequence);
    let body = to_json(&Answer { first_sequence, last_sequence, results })?;
    Ok(Response::json(200, body).with_header(SEQUENCE_HEADER, last_sequence.to_string()))
}

fn read(engine: &Engine, text: &str) -> Result<Vec<Write>> {
    let batch: Batch<'_> = parse(text, "read batch")?;
    let mut last: Rc<str> = "".into();
    let mut writes = Vec::with_capacity(batch.operations.0.len());
    for (position, operation) in batch.operations.0.into_iter().enumerate() {
        if *last != *operation.collection {
            last = operation.collection.as_str().into();
        }
        let write = read_operation(engine, operation, Rc::clone(&last));
        writes.push(write.map_err(|error| placed(error, position))?);
    }
    Ok(writes)
}

/// An error of an operation's part, told with its place in the batch.
fn placed(error: StorageError, position: usize) -> StorageError {
    let message = error.message().to_owned();
    let place = format!("/operations/{position}");
    if error.fields().is_empty() { error.at(place, message) } else { error.under(&format!("{place}/doc")) }
}

fn read_operation(engine: &Engine, operation: Operation<'_>, collection: Rc<str>) -> Result<Write> {
    check_collection(&collection)?;
    let invalid =
        |detail: &str| StorageError::new(ErrorKind::Invalid, StorageTier::Api, "read batch", detail.to_owned());
    let id = operation.id.as_deref().map(checked_id).transpose()?;
    let doc = operation.doc.map(RawValue::get);
    let mutation = match (operation.op, id, doc) {
        (Op::Insert, id, Some(doc)) => Mutation::Insert(NewDocument::read(doc, id, || engine.new_id())?),
        (Op::Upsert, id, Some(doc)) => Mutation::Upsert(NewDocument::read(doc, id, || engine.new_id())?),
        (Op::Update, Some(id), Some(doc)) => {
            check_patch(doc)?;
            Mutation::Merge { id: id.into(), patch: doc.to_owned() }
        }
        (Op::Delete, Some(id), None) => Mutation::Delete { id: id.into() },
        (Op::Delete, _, Some(_)) => return Err(invalid("expected a delete without doc, got one")),
        (Op::Update | Op::Delete, None, _) => return Err(invalid("expected an id, got none")),
        (_, _, None) => return Err(invalid("expected a doc, got none")),
    };
    let condition = match operation.if_version {
        None => Condition::default(),
        Some(0) => Condition { if_match: None, if_none_match: Some(Versions::Any) },
        Some(version) => Condition { if_match: Some(Versions::Listed(vec![version])), if_none_match: None },
    };
    Ok(Write { collection, mutation, condition })
}
