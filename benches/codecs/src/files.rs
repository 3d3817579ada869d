//! Our files of documents: of a state table and of a change log, as the engine makes them.

use std::time::Instant;

use serde_json::value::RawValue;
use thermocline::cold::{ChangeRecord, ChangesFileWriter, DocumentFileWriter};
use thermocline::types::{CdcEvent, ChangeContext, Document, Json, Operation};
use thermocline::vortex::{TableSchema, infer};
use uuid::Uuid;

use crate::Failure;

/// 2024-02-29T12:00:00Z
pub const NOW: i64 = 1_709_208_000_000;

/// A file, and how long the writer took, its own codec included.
pub struct Written {
    pub bytes: Vec<u8>,
    pub ms: f64,
}

/// The objects of a JSON array as documents, with ids made of their positions.
pub fn documents(text: &[u8]) -> Result<Vec<Document>, Failure> {
    let objects: Vec<Box<RawValue>> = serde_json::from_slice(text)?;
    let document = |(position, object): (usize, &Box<RawValue>)| {
        let id = format!("f-{:06}", position + 1);
        let text = object.get().replacen('{', &format!("{{\"id\":\"{id}\","), 1);
        Ok(Document { id, sequence: i64::try_from(position)? + 1, timestamp: NOW, text })
    };
    objects.iter().enumerate().map(document).collect()
}

/// One file of a state table.
pub fn state(documents: &[Document]) -> Result<Written, Failure> {
    let mut columns = TableSchema::default();
    for document in documents {
        infer::observe(&mut columns, &Json::parse(&document.text)?);
    }
    let started = Instant::now();
    let mut writer = DocumentFileWriter::new(&columns);
    documents.iter().try_for_each(|document| writer.push(document))?;
    let (bytes, _) = writer.finish(|_| "state".to_owned())?;
    Ok(Written { bytes, ms: started.elapsed().as_secs_f64() * 1_000.0 })
}

/// One file of a change log: an insert a document.
pub fn changes(documents: &[Document]) -> Result<Written, Failure> {
    let started = Instant::now();
    let mut writer = ChangesFileWriter::new();
    for document in documents {
        let event = CdcEvent {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, document.id.as_bytes()),
            operation: Operation::Insert,
            collection: "things".to_owned(),
            document_id: document.id.clone(),
            timestamp: document.timestamp,
            sequence: document.sequence,
            before: None,
            after: Some(document.text.clone()),
            changed_fields: None,
            context: ChangeContext::default(),
        };
        writer.push(&ChangeRecord { event, before_sequence: None })?;
    }
    let (bytes, _) = writer.finish(|_| "changes".to_owned())?;
    Ok(Written { bytes, ms: started.elapsed().as_secs_f64() * 1_000.0 })
}
