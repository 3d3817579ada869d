//! `POST /collections/{c}/import`: NDJSON of any length, committed in chunks.
//!
//! A line that cannot be stored is counted and told, and the others go on. Memory is bounded by one chunk and one line.

use std::rc::Rc;

use serde::Serialize;

use super::body::to_json;
use super::message::{Request, Response};
use super::object::{SEQUENCE_HEADER, change_context};
use super::params::QueryParams;
use crate::engine::{Condition, Engine, Mutation, NewDocument, Write};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{BATCH_MAX_BYTES, DOCUMENT_MAX_BYTES, IMPORT_CHUNK_MAX_DOCUMENTS, IMPORT_MAX_ERRORS};
use crate::types::{ChangeContext, Sequence, StorageTier, sorting};

#[derive(Serialize)]
struct LineError {
    line: u64,
    detail: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    imported: u64,
    failed: u64,
    first_sequence: Option<Sequence>,
    last_sequence: Option<Sequence>,
    errors: Vec<LineError>,
}

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
    let context = change_context(request)?;
    let mut import = Import {
        engine,
        context,
        collection: collection.into(),
        mode,
        resume_after,
        lines: Lines::default(),
        chunk: Vec::new(),
        chunk_bytes: 0,
        committed_line: 0,
        report: Report::default(),
    };
    loop {
        match request.body.next_chunk().await {
            Ok(Some(bytes)) => import.take(&bytes).await?,
            Ok(None) => break,
            Err(error) => return Err(import.broken_off(&error)),
        }
    }
    import.finish().await?;
    let mut report = import.report;
    sorting::sort_by_key(&mut report.errors, |error| error.line);
    let response = Response::json(200, to_json(&report)?);
    Ok(match report.last_sequence {
        Some(last) => response.with_header(SEQUENCE_HEADER, last.to_string()),
        None => response,
    })
}

struct Import<'e> {
    engine: &'e Engine,
    context: ChangeContext,
    collection: Rc<str>,
    mode: Mode,
    resume_after: u64,
    lines: Lines,
    /// The mutations to be committed next, with their lines.
    chunk: Vec<(u64, Write)>,
    chunk_bytes: usize,
    /// The last line that no longer needs to be sent again.
    committed_line: u64,
    report: Report,
}

impl Import<'_> {
    async fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.lines.extend(line);
            self.end_line().await?;
        }
        self.lines.extend(rest);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        if !self.lines.partial.is_empty() || self.lines.overflowed {
            self.end_line().await?;
        }
        self.commit().await
    }

    async fn end_line(&mut self) -> Result<()> {
        let line = self.lines.end();
        let number = self.lines.number;
        if number <= self.resume_after {
            return Ok(());
        }
        match line.and_then(|line| self.read_line(&line)) {
            Ok(None) => {}
            Ok(Some(write)) => self.chunk.push((number, write)),
            Err(error) => self.fail(number, &error),
        }
        let most = self.engine.config().performance.batch_size.min(IMPORT_CHUNK_MAX_DOCUMENTS);
        if self.chunk.len() >= most || self.chunk_bytes >= BATCH_MAX_BYTES {
            self.commit().await?;
        }
        Ok(())
    }

    fn read_line(&mut self, line: &[u8]) -> Result<Option<Write>> {
        let text = std::str::from_utf8(line).map_err(|error| {
            StorageError::new(ErrorKind::Malformed, StorageTier::Api, "import", "expected UTF-8, got other bytes")
                .caused_by(error)
        })?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let document = NewDocument::read(text, None, || self.engine.new_id())?;
        self.chunk_bytes = self.chunk_bytes.saturating_add(document.text.len());
        let mutation = match self.mode {
            Mode::Insert => Mutation::Insert(document),
            Mode::Upsert => Mutation::Upsert(document),
        };
        Ok(Some(Write { collection: Rc::clone(&self.collection), mutation, condition: Condition::default() }))
    }

    async fn commit(&mut self) -> Result<()> {
        let (lines, writes): (Vec<u64>, Vec<Write>) = std::mem::take(&mut self.chunk).into_iter().unzip();
        self.chunk_bytes = 0;
        // A chunk whose before-images are too much for one transaction is halved until they are not.
        let mut parts = vec![(lines.as_slice(), writes.as_slice())];
        while let Some((lines, writes)) = parts.pop() {
            match self.commit_part(lines, writes).await {
                Err(error) if error.kind() == ErrorKind::TooLarge && writes.len() > 1 => {
                    let half = writes.len() / 2;
                    let ((first_lines, last_lines), (first, last)) = (lines.split_at(half), writes.split_at(half));
                    parts.push((last_lines, last));
                    parts.push((first_lines, first));
                }
                other => other?,
            }
        }
        self.committed_line = self.lines.number;
        Ok(())
    }

    async fn commit_part(&mut self, lines: &[u64], writes: &[Write]) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut refused = Vec::new();
        let outcomes = self
            .engine
            .write_with(writes, &self.context, &mut |position, error| {
                refused.push((position, error));
                Ok(())
            })
            .await?;
        for (position, error) in &refused {
            self.fail(lines.get(*position).copied().unwrap_or_default(), error);
        }
        self.report.imported = self.report.imported.saturating_add(u64::try_from(outcomes.len()).unwrap_or(u64::MAX));
        if let (Some(first), Some(last)) = (outcomes.first(), outcomes.last()) {
            self.report.first_sequence.get_or_insert(first.sequence);
            self.report.last_sequence = Some(last.sequence);
        }
        Ok(())
    }

    fn fail(&mut self, line: u64, error: &StorageError) {
        self.report.failed = self.report.failed.saturating_add(1);
        if self.report.errors.len() < IMPORT_MAX_ERRORS {
            let fields = error.fields().iter().map(|field| format!("{}: {}", field.pointer, field.detail));
            let detail = std::iter::once(error.message().to_owned()).chain(fields).collect::<Vec<_>>().join("; ");
            self.report.errors.push(LineError { line, detail });
        }
    }

    /// The answer to a body that breaks off: what was committed stays, and where to go on.
    fn broken_off(&self, error: &StorageError) -> StorageError {
        StorageError::new(
            error.kind(),
            StorageTier::Api,
            "import",
            format!(
                "{}; {} documents up to line {} are committed, send the rest with resumeAfterLine={}",
                error.message(),
                self.report.imported,
                self.committed_line,
                self.committed_line
            ),
        )
    }
}

/// Lines put together from pieces of a body.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    overflowed: bool,
    number: u64,
}

impl Lines {
    fn extend(&mut self, bytes: &[u8]) {
        if self.partial.len().saturating_add(bytes.len()) > DOCUMENT_MAX_BYTES.saturating_add(1_024) {
            self.overflowed = true;
            self.partial.clear();
        }
        if !self.overflowed {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        self.number = self.number.saturating_add(1);
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.overflowed) {
            return Err(StorageError::new(
                ErrorKind::TooLarge,
                StorageTier::Api,
                "import",
                format!("expected a line of at most {DOCUMENT_MAX_BYTES} bytes, got more"),
            ));
        }
        Ok(line)
    }
}
