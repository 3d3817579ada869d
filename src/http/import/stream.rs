//! Bodies of lines, of any length, committed in chunks.
//!
//! A line that cannot be stored is counted and told, and the others go on. Memory is bounded by one chunk and one line.

use serde::Serialize;

use crate::engine::{Engine, Write, WriteOutcome};
use crate::error::{ErrorKind, Result, StorageError};
use crate::http::body::to_json;
use crate::http::message::{Request, Response};
use crate::http::object::{SEQUENCE_HEADER, change_context};
use crate::limits::{BATCH_MAX_BYTES, DOCUMENT_MAX_BYTES, IMPORT_CHUNK_MAX_DOCUMENTS, IMPORT_MAX_ERRORS};
use crate::types::{ChangeContext, Sequence, StorageTier, sorting};

/// What becomes of a line.
pub enum Line {
    /// Nothing: it says nothing, or goes on in the next one.
    Nothing,
    /// It is of no concern, and counted.
    Skipped,
    /// Something to be stored.
    Entry(Box<Entry>),
    /// Nothing can be read of the whole body.
    Unreadable(StorageError),
}

/// What a line stores.
pub struct Entry {
    /// A document that has to be there before, made unless it is. What is there already of its own is skipped.
    pub owner: Option<Write>,
    /// The document.
    pub write: Write,
    /// Bytes of both.
    pub bytes: usize,
}

/// Who knows what lines say.
pub trait ReadLines {
    /// Reads a line, without its end.
    fn read(&mut self, line: &[u8]) -> Result<Line>;

    /// Whether a line is wanted even if an earlier call has stored it.
    fn wants_all(&self) -> bool {
        false
    }

    /// Refuses to end here.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What is told of lines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// All but how many were skipped, because none can be.
    Plain,
    /// That, too.
    WithSkipped,
}

#[derive(Serialize)]
struct LineError {
    line: u64,
    detail: String,
}

/// What became of what was sent.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    imported: u64,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u64>,
    first_sequence: Option<Sequence>,
    last_sequence: Option<Sequence>,
    errors: Vec<LineError>,
}

impl Report {
    /// Nothing yet.
    pub fn new(kind: ReportKind) -> Self {
        Self { skipped: (kind == ReportKind::WithSkipped).then_some(0), ..Self::default() }
    }

    /// Counts so many documents, and the events of all that was stored for them.
    pub fn add(&mut self, documents: usize, outcomes: &[WriteOutcome]) {
        self.imported = self.imported.saturating_add(u64::try_from(documents).unwrap_or(u64::MAX));
        let sequence = |outcome: Option<&WriteOutcome>| outcome.map(|outcome| outcome.sequence);
        self.first_sequence = self.first_sequence.or(sequence(outcomes.first()));
        self.last_sequence = sequence(outcomes.last()).or(self.last_sequence);
    }

    fn skip(&mut self) {
        self.skipped = self.skipped.map(|skipped| skipped.saturating_add(1));
    }

    fn fail(&mut self, line: u64, error: &StorageError) {
        self.failed = self.failed.saturating_add(1);
        if self.errors.len() < IMPORT_MAX_ERRORS {
            let fields = error.fields().iter().map(|field| format!("{}: {}", field.pointer, field.detail));
            let detail = std::iter::once(error.message().to_owned()).chain(fields).collect::<Vec<_>>().join("; ");
            self.errors.push(LineError { line, detail });
        }
    }

    /// The answer that tells it.
    pub fn response(mut self) -> Result<Response> {
        sorting::sort_by_key(&mut self.errors, |error| error.line);
        let response = Response::json(200, to_json(&self)?);
        Ok(match self.last_sequence {
            Some(last) => response.with_header(SEQUENCE_HEADER, last.to_string()),
            None => response,
        })
    }
}

/// A line's text.
pub fn line_text(line: &[u8]) -> Result<&str> {
    std::str::from_utf8(line).map_err(|error| {
        StorageError::new(ErrorKind::Malformed, StorageTier::Api, "import", "expected UTF-8, got other bytes")
            .caused_by(error)
    })
}

/// Stores what the lines of a request's body say, but for those that an earlier call has stored.
pub async fn import_lines(
    engine: &Engine,
    request: &mut Request,
    resume_after: u64,
    kind: ReportKind,
    reader: &mut dyn ReadLines,
) -> Result<Response> {
    let context = change_context(request)?;
    let mut import = Import {
        engine,
        context,
        reader,
        resume_after,
        lines: Lines::default(),
        chunk: Chunk::default(),
        chunk_bytes: 0,
        committed_line: resume_after,
        report: Report::new(kind),
    };
    loop {
        match request.body.next_chunk().await {
            Ok(Some(bytes)) => import.take(&bytes).await?,
            Ok(None) => break,
            Err(error) => return Err(import.broken_off(&error)),
        }
    }
    import.finish().await?;
    // Chunks of many lines have done so themselves.
    engine.forget_cached()?;
    import.report.response()
}

/// What is committed at once, or in halves.
#[derive(Default)]
struct Chunk {
    /// The lines, and which of them bring an owner.
    lines: Vec<(u64, bool)>,
    owners: Vec<Write>,
    writes: Vec<Write>,
}

impl Chunk {
    fn halves(mut self) -> (Self, Self) {
        let half = self.lines.len() / 2;
        let lines = self.lines.split_off(half);
        let owned = self.lines.iter().filter(|(_, owned)| *owned).count();
        let (owners, writes) = (self.owners.split_off(owned), self.writes.split_off(half));
        (self, Self { lines, owners, writes })
    }
}

struct Import<'e> {
    engine: &'e Engine,
    context: ChangeContext,
    reader: &'e mut dyn ReadLines,
    resume_after: u64,
    lines: Lines,
    /// What is to be committed next.
    chunk: Chunk,
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
        if let Err(error) = self.reader.end() {
            self.report.fail(self.lines.number, &error);
        }
        self.commit().await
    }

    async fn end_line(&mut self) -> Result<()> {
        let line = self.lines.end();
        let number = self.lines.number;
        if number <= self.resume_after && !self.reader.wants_all() {
            return Ok(());
        }
        match line.and_then(|line| self.reader.read(&line)) {
            Ok(Line::Nothing) => {}
            Ok(Line::Skipped) => self.report.skip(),
            Ok(Line::Unreadable(error)) => return Err(error),
            Ok(Line::Entry(entry)) => {
                let Entry { owner, write, bytes } = *entry;
                self.chunk_bytes = self.chunk_bytes.saturating_add(bytes);
                self.chunk.lines.push((number, owner.is_some()));
                self.chunk.owners.extend(owner);
                self.chunk.writes.push(write);
            }
            Err(error) => self.report.fail(number, &error),
        }
        let most = self.engine.config().performance.batch_size.min(IMPORT_CHUNK_MAX_DOCUMENTS);
        if self.chunk.lines.len() >= most || self.chunk_bytes >= BATCH_MAX_BYTES {
            self.commit().await?;
            // A body that is all there would keep everyone else waiting until its end.
            self.engine.let_others_run().await;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        // A chunk whose before-images are too much for one transaction is halved until they are not.
        let mut parts = vec![chunk];
        while let Some(part) = parts.pop() {
            let Chunk { lines, owners, writes } = part;
            let owned = owners.len();
            let mut all = owners;
            all.extend(writes);
            match self.commit_part(&lines, owned, &all).await {
                Err(error) if error.kind() == ErrorKind::TooLarge && lines.len() > 1 => {
                    let writes = all.split_off(owned);
                    let (first, last) = Chunk { lines, owners: all, writes }.halves();
                    parts.push(last);
                    parts.push(first);
                }
                Err(error) => return Err(self.broken_off(&error)),
                Ok(()) => self.committed_line = lines.last().map_or(self.committed_line, |(line, _)| *line),
            }
        }
        self.committed_line = self.lines.number.max(self.resume_after);
        Ok(())
    }

    /// Commits a part of a chunk: the owners, which come first, and then the documents of the lines.
    async fn commit_part(&mut self, lines: &[(u64, bool)], owners: usize, writes: &[Write]) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let (mut known_owners, mut refused) = (0_usize, Vec::new());
        let outcomes = self
            .engine
            .write_with(writes, &self.context, &mut |position, error| {
                match position.checked_sub(owners) {
                    Some(place) => refused.push((place, error)),
                    // One that is there is as good as one that is made.
                    None if error.kind() == ErrorKind::Conflict => known_owners = known_owners.saturating_add(1),
                    None => return Err(error),
                }
                Ok(())
            })
            .await?;
        for (place, error) in &refused {
            match lines.get(*place) {
                Some((_, true)) if error.kind() == ErrorKind::Conflict => self.report.skip(),
                Some((line, _)) => self.report.fail(*line, error),
                None => {}
            }
        }
        let made = outcomes.len().saturating_sub(owners.saturating_sub(known_owners));
        self.report.add(made, &outcomes);
        Ok(())
    }

    /// The answer to an import that breaks off: what was committed stays, and where to go on.
    fn broken_off(&self, error: &StorageError) -> StorageError {
        StorageError::new(
            error.kind(),
            StorageTier::Api,
            "import",
            format!(
                "{}; at least {} documents up to line {} are committed, send the rest with resumeAfterLine={}",
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
