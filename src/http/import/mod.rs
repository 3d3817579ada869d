//! `POST /collections/{c}/import`: NDJSON of any length, committed in chunks.

pub mod stream;

use std::rc::Rc;

use self::stream::{Entry, Line, ReadLines, ReportKind, import_lines, line_text};
use super::message::{Request, Response};
use super::params::QueryParams;
use crate::engine::{Condition, Engine, Mutation, NewDocument, Write};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

#[derive(Clone, Copy)]
enum Mode {
    Insert,
    Upsert,
}

/// `POST /collections/{c}/import`
pub async fn import(engine: &Engine, request: &mut Request, collection: &str) -> Result<Response> {
    let params = QueryParams::read(&request.query, &["mode", "resumeAfterLine"])?;
    let mode = params.choice("mode", Mode::Insert, &[("insert", Mode::Insert), ("upsert", Mode::Upsert)])?;
    let resume_after = params.number("resumeAfterLine", 0u64, 0..=u64::MAX)?;
    if request.media_type().as_deref() != Some("application/x-ndjson") {
        return Err(StorageError::new(
            ErrorKind::UnsupportedMedia,
            StorageTier::Api,
            "import",
            "expected content type application/x-ndjson, got another",
        ));
    }
    let mut documents = Documents { engine, collection: collection.into(), mode };
    import_lines(engine, request, resume_after, ReportKind::Plain, &mut documents).await
}

/// Lines that are documents.
struct Documents<'e> {
    engine: &'e Engine,
    collection: Rc<str>,
    mode: Mode,
}

impl ReadLines for Documents<'_> {
    fn read(&mut self, line: &[u8]) -> Result<Line> {
        let text = line_text(line)?;
        if text.trim().is_empty() {
            return Ok(Line::Nothing);
        }
        let document = NewDocument::read(text, None, || self.engine.new_id())?;
        let bytes = document.text.len();
        let mutation = match self.mode {
            Mode::Insert => Mutation::Insert(document),
            Mode::Upsert => Mutation::Upsert(document),
        };
        let write = Write { collection: Rc::clone(&self.collection), mutation, condition: Condition::default() };
        Ok(Line::Entry(Box::new(Entry { owner: None, write, bytes })))
    }
}
