//! `POST /maintenance`: what the alarm does by and by, done at once.

use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{json_text, parse};
use super::message::{Request, Response};
use super::params::QueryParams;
use super::problem;
use crate::engine::{Cleaned, ColdPart, Compacted, Engine, Part};
use crate::error::{Result, StorageError};

const BODY_MAX_BYTES: usize = 64 * 1024;

/// There are none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

/// `POST /maintenance`
pub async fn maintain(engine: &Engine, request: &mut Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let text = json_text(request, BODY_MAX_BYTES, &["application/json"]).await?;
    if !text.trim().is_empty() {
        let Options {} = parse(&text, "read maintenance options")?;
    }
    let done = engine.maintain_now().await?;
    let (cleanup, compaction) = (cleanup(&done.cleaned.figures), compaction(&done.compacted.figures));
    let cold = done.cold.as_ref();
    let [before, after] = done.generation.figures;
    let cache = json!({"generationBefore": before, "generationAfter": after, "bumped": after != before});
    let answer = json!({
        "cleanupResults": part(cleanup, &done.cleaned, Some(cold.map(cold_cleanup))),
        "compactionResults": part(compaction, &done.compacted, Some(cold.map(cold_compaction))),
        "cacheCleanup": part(cache, &done.generation, None),
    });
    Ok(Response::json(200, answer.to_string()))
}

fn cleanup(figures: &Cleaned) -> Value {
    json!({
        "expiredDocuments": figures.documents,
        "keptAnswerDays": figures.answer_days,
        "trimmedEvents": figures.log_events,
    })
}

fn compaction(figures: &Compacted) -> Value {
    json!({
        "seals": figures.seals,
        "merges": figures.merges,
        "segmentsBefore": figures.segments[0],
        "segmentsAfter": figures.segments[1],
        "databaseBytesBefore": figures.database_bytes[0],
        "databaseBytesAfter": figures.database_bytes[1],
    })
}

fn cold_cleanup(cold: &ColdPart) -> Value {
    let figures = json!({
        "expiredSnapshots": cold.before.snapshots.saturating_sub(cold.after.snapshots),
        "expiredEvents": cold.after.expired_events.saturating_sub(cold.before.expired_events),
        "deletedObjects": cold.after.deleted_objects.saturating_sub(cold.before.deleted_objects),
    });
    with_error(figures, cold.error.as_ref())
}

fn cold_compaction(cold: &ColdPart) -> Value {
    let figures = json!({
        "filesBefore": cold.before.files,
        "filesAfter": cold.after.files,
        "bytesBefore": cold.before.file_bytes,
        "bytesAfter": cold.after.file_bytes,
    });
    with_error(figures, cold.error.as_ref())
}

/// A part with what all of them have, and with its share of the bucket's; the inner `None` says that there is no bucket.
fn part<T>(mut figures: Value, part: &Part<T>, cold: Option<Option<Value>>) -> Value {
    if let Some(cold) = cold {
        set(&mut figures, "cold", cold.unwrap_or_else(|| json!({"skipped": "no bucket is bound as COLD"})));
    }
    set(&mut figures, "more", part.more.into());
    with_error(figures, part.error.as_ref())
}

/// Figures, and the problem that was met, if any.
fn with_error(mut figures: Value, error: Option<&StorageError>) -> Value {
    if let Some(error) = error {
        let problem = problem::response(error);
        let text = std::str::from_utf8(problem.body.bytes()).unwrap_or_default();
        let told = serde_json::from_str(text).unwrap_or_default();
        set(&mut figures, "error", told);
    }
    figures
}

fn set(figures: &mut Value, name: &str, value: Value) {
    if let Some(figures) = figures.as_object_mut() {
        figures.insert(name.to_owned(), value);
    }
}
