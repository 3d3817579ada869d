//! `GET /metrics`: an object's figures, as JSON or in the text format of Prometheus.
//!
//! Both are made of one list. What an object cannot measure is `null` in the one and absent in the other. The Worker adds
//! the figures of the cache, which it alone sees.

mod figures;
pub mod index;

use figures::{Figure, Figures, Kind};

use super::message::{Body, Request, Response};
use super::params::QueryParams;
use crate::engine::{CacheFigures, Engine, Metrics, WarmFigures};
use crate::error::Result;
use crate::limits::{
    R2_CLASS_A_NANO_USD, R2_CLASS_B_NANO_USD, R2_GB_MONTH_NANO_USD, SQL_GB_MONTH_NANO_USD, SQL_ROW_READ_NANO_USD,
    SQL_ROW_WRITTEN_NANO_USD,
};
use crate::ports::{BillingClass, BucketCall, CallFigures, Latency};
use crate::types::names::ObjectName;
use crate::types::time::rfc3339;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`
pub fn get(engine: &Engine, request: &Request) -> Result<Response> {
    QueryParams::read(&request.query, &[])?;
    let (name, metrics) = (engine.name()?, engine.metrics()?);
    let mut text = Figures::new(&name);
    let mut files = cache_figures(&FILES, &metrics.file_cache);
    let help = "Reads that waited for the load of another one.";
    files.push(Figure::counter("fileCache", "joined", "file_cache_joined", help, metrics.file_cache.joined));
    let index = index::figures(&metrics);
    for figure in hot(&metrics).iter().chain(&cold(&metrics)).chain(&files).chain(&cost(&metrics)).chain(&index) {
        text.add(figure);
    }
    if wants_text(request.header("accept")) {
        text.add_calls(&metrics.bucket);
        if let Some((searches, _)) = &metrics.index {
            text.add_latency("index_search_latency_seconds", "How long searches took.", &searches.latency);
        }
        return Ok(Response::empty(200).with_body(Body::Whole(text.into_bytes())).with_header("content-type", TEXT));
    }
    let mut json = format!("{{\"since\":\"{}\",\"until\":\"{}\"", rfc3339(metrics.since), rfc3339(metrics.now));
    text.json_group("hot", &mut json);
    text.json_group("cold", &mut json);
    // Into the group that was just ended.
    json.pop();
    json.push_str(",\"calls\":{");
    for (position, (call, figures)) in metrics.bucket.calls().enumerate() {
        json.push_str(if position == 0 { "" } else { "," });
        json.push_str(&call_json(call, figures));
    }
    json.push_str("}}");
    text.json_group("fileCache", &mut json);
    text.json_group("cost", &mut json);
    if metrics.index.is_some() {
        text.json_group("index", &mut json);
    }
    json.push('}');
    Ok(Response::json(200, json))
}

/// Adds to an object's answer what the Worker knows of its cache.
pub fn add_warm(name: &ObjectName, figures: &WarmFigures, mut response: Response) -> Response {
    let is_text = response.header("content-type") == Some(TEXT);
    // It grows.
    response.headers.retain(|(header, _)| header != "content-length");
    let Body::Whole(body) = &mut response.body else { return response };
    if response.status != 200 || body.is_empty() {
        return response;
    }
    let mut text = Figures::new(name);
    for figure in &warm(figures) {
        text.add(figure);
    }
    if is_text {
        body.append(&mut text.into_bytes());
        return response;
    }
    body.pop();
    let mut json = String::new();
    text.json_group("warm", &mut json);
    json.pop();
    json.push_str(&format!(",\"since\":\"{}\"}}}}", rfc3339(figures.since)));
    body.append(&mut json.into_bytes());
    response
}

/// Prometheus asks for its text, and takes anything else, too.
fn wants_text(accept: Option<&str>) -> bool {
    let accept = accept.unwrap_or_default().to_ascii_lowercase();
    accept.contains("text/plain") && !accept.contains("application/json")
}

fn hot(metrics: &Metrics) -> Vec<Figure> {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let pending = u64::try_from(metrics.pending_changes).unwrap_or(0);
    vec![
        Figure::counter("hot", "statements", "sql_statements", "Statements that SQLite ran.", metrics.statements),
        Figure::counter("hot", "errors", "sql_errors", "Statements that failed.", metrics.failed_statements),
        Figure::unknown("hot", "latencyMs"),
        Figure::counter("hot", "rowsRead", "rows_read", "Rows that SQLite read.", metrics.rows.rows_read),
        Figure::counter("hot", "rowsWritten", "rows_written", "Rows that SQLite wrote.", metrics.rows.rows_written),
        Figure::gauge("hot", "databaseBytes", "database_bytes", "Size of the database.", metrics.database_bytes),
        Figure::unknown("hot", "indexBytes"),
        Figure::gauge("hot", "collections", "collections", "Collections.", count(metrics.collections)),
        Figure::gauge("hot", "segments", "segments", "Column segments.", count(metrics.segments)),
        Figure::gauge(
            "hot",
            "segmentCacheBytes",
            "segment_cache_bytes",
            "Memory of segments' heads and columns.",
            count(metrics.segment_cache_bytes),
        ),
        Figure::gauge("hot", "pendingChanges", "pending_changes", "Changes that are not published yet.", pending),
    ]
}

fn cold(metrics: &Metrics) -> Vec<Figure> {
    let bucket = &metrics.bucket;
    vec![
        Figure::gauge("cold", "objects", "cold_objects", "Files of the tables' current states.", metrics.files),
        Figure::gauge("cold", "bytes", "cold_bytes", "Bytes of these files.", metrics.file_bytes),
        Figure::counter("cold", "uploads", "bucket_uploads", "Objects that were stored.", bucket.uploads),
        Figure::counter(
            "cold",
            "downloads",
            "bucket_downloads",
            "Objects, or parts of them, that were read.",
            bucket.downloads,
        ),
        Figure::counter("cold", "bytesIn", "bucket_in_bytes", "Bytes that were stored.", bucket.bytes_in),
        Figure::counter("cold", "bytesOut", "bucket_out_bytes", "Bytes that were read.", bucket.bytes_out),
    ]
}

/// What the platform bills for what was counted.
fn cost(metrics: &Metrics) -> Vec<Figure> {
    let (a, b) = (metrics.bucket.billed(BillingClass::A), metrics.bucket.billed(BillingClass::B));
    let items = [
        ("rowsRead", "rowsReadUsd", "cost_rows_read_usd", metrics.rows.rows_read, SQL_ROW_READ_NANO_USD),
        ("rowsWritten", "rowsWrittenUsd", "cost_rows_written_usd", metrics.rows.rows_written, SQL_ROW_WRITTEN_NANO_USD),
        ("classA", "classAUsd", "cost_class_a_usd", a, R2_CLASS_A_NANO_USD),
        ("classB", "classBUsd", "cost_class_b_usd", b, R2_CLASS_B_NANO_USD),
    ];
    let mut total = 0_u64;
    let mut figures = Vec::new();
    for (name, priced, metric, count, nano_usd) in items {
        let price = count.saturating_mul(nano_usd);
        total = total.saturating_add(price);
        figures.push(Figure::untold("cost", name, count));
        figures.push(Figure::new("cost", priced, metric, Kind::Counter, "What they cost, in USD.", usd(price)));
    }
    figures.push(Figure::new("cost", "totalUsd", "cost_usd", Kind::Counter, "What it all costs, in USD.", usd(total)));
    let stored = [
        ("databaseUsdPerMonth", "cost_database_usd_per_month", metrics.database_bytes, SQL_GB_MONTH_NANO_USD),
        ("filesUsdPerMonth", "cost_files_usd_per_month", metrics.file_bytes, R2_GB_MONTH_NANO_USD),
    ];
    for (name, metric, bytes, nano_usd) in stored {
        let price = usd(for_bytes(bytes, nano_usd));
        figures.push(Figure::new("cost", name, metric, Kind::Gauge, "What keeping them costs, in USD a month.", price));
    }
    figures
}

fn warm(figures: &WarmFigures) -> Vec<Figure> {
    let WarmFigures { since, now, counts } = *figures;
    let elapsed = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
    let mut figures = cache_figures(&DOCUMENTS, &counts);
    figures.push(Figure::untold(
        "warm",
        "operationsPerSecond",
        ratio(counts.operations.saturating_mul(1_000), elapsed),
    ));
    let help = "How old the answers were, all together, in ms.";
    figures.push(Figure::counter("warm", "ageMsTotal", "cache_age_ms", help, counts.age_ms));
    let help = "How old the oldest answer was, in ms.";
    figures.push(Figure::gauge("warm", "ageMsMax", "cache_age_max_ms", help, counts.age_max_ms));
    let help = "Misses because Min-Sequence asked for later.";
    figures.push(Figure::counter("warm", "tooOld", "cache_too_old", help, counts.too_old));
    figures
}

/// The names of the figures of one use of the cache, in JSON and in the text.
struct CacheNames {
    group: &'static str,
    metrics: [&'static str; 8],
}

/// Cached reads of documents, as the Worker counts them.
const DOCUMENTS: CacheNames = CacheNames {
    group: "warm",
    metrics: [
        "cache_hits",
        "cache_misses",
        "cache_rejected",
        "cache_failures",
        "cache_operations",
        "cache_keys_written",
        "cache_read_bytes",
        "cache_written_bytes",
    ],
};

/// Reads of files, as the object counts them.
const FILES: CacheNames = CacheNames {
    group: "fileCache",
    metrics: [
        "file_cache_hits",
        "file_cache_misses",
        "file_cache_rejected",
        "file_cache_failures",
        "file_cache_operations",
        "file_cache_keys_written",
        "file_cache_read_bytes",
        "file_cache_written_bytes",
    ],
};

fn cache_figures(names: &CacheNames, counts: &CacheFigures) -> Vec<Figure> {
    let counted = [
        ("hits", "Reads that the cache answered.", counts.hits),
        ("misses", "Reads that it did not.", counts.misses),
        ("rejected", "Misses because it had something else.", counts.rejected),
        ("failed", "Calls of the cache that failed or were not answered in time.", counts.failed),
        ("operations", "Calls of the cache.", counts.operations),
        ("keysWritten", "Entries that were put into it.", counts.keys_written),
        ("bytesRead", "Bytes that it answered.", counts.bytes_read),
        ("bytesWritten", "Bytes that were put into it.", counts.bytes_written),
    ];
    let named = counted.into_iter().zip(names.metrics);
    let mut figures: Vec<Figure> =
        named.map(|((name, help, value), metric)| Figure::counter(names.group, name, metric, help, value)).collect();
    let reads = counts.hits.saturating_add(counts.misses);
    figures.push(Figure::untold(names.group, "hitRate", ratio(counts.hits, reads)));
    figures
}

fn call_json(call: BucketCall, figures: &CallFigures) -> String {
    let (name, calls, failures) = (call.name(), figures.latency.calls, figures.failures);
    let times = latency_json(&figures.latency);
    format!("\"{name}\":{{\"calls\":{calls},\"failures\":{failures},\"latencyMs\":{times}}}")
}

/// How long calls took, as JSON; `null` without calls.
pub fn latency_json(latency: &Latency) -> String {
    let percentile = |percent| latency.percentile_ms(percent).unwrap_or(0);
    match latency.calls {
        0 => "null".to_owned(),
        calls => format!(
            "{{\"average\":{},\"p50\":{},\"p90\":{},\"p99\":{},\"max\":{}}}",
            ratio(latency.total_ms, calls),
            percentile(50),
            percentile(90),
            percentile(99),
            latency.max_ms
        ),
    }
}

/// A quotient to three places; `null` of nothing.
pub fn ratio(number: u64, of: u64) -> String {
    match number.saturating_mul(1_000).checked_div(of) {
        None => "null".to_owned(),
        Some(thousandths) => format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000),
    }
}

/// What bytes cost of which a GB costs so much.
fn for_bytes(bytes: u64, nano_usd: u64) -> u64 {
    let price = u128::from(bytes).saturating_mul(u128::from(nano_usd)) / 1_000_000_000;
    u64::try_from(price).unwrap_or(u64::MAX)
}

fn usd(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_and_only_it_gets_text() {
        for accept in
            ["text/plain", "text/plain; version=0.0.4", "application/openmetrics-text,text/plain;q=0.5,*/*;q=0.1"]
        {
            assert!(wants_text(Some(accept)), "{accept}");
        }
        for accept in [None, Some(""), Some("*/*"), Some("application/json"), Some("application/json, text/plain, */*")]
        {
            assert!(!wants_text(accept), "{accept:?}");
        }
    }

    #[test]
    fn quotients_and_prices_are_exact() {
        assert_eq!([ratio(1, 3), ratio(0, 5), ratio(7, 2), ratio(1, 0)], ["0.333", "0.000", "3.500", "null"]);
        assert_eq!([for_bytes(5_000_000_000, 200_000_000), for_bytes(4, 200_000_000)], [1_000_000_000, 0]);
        assert_eq!([usd(0), usd(1), usd(1_234_567_890_123)], ["0.000000000", "0.000000001", "1234.567890123"]);
    }
}
