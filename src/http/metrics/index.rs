//! The figures of a registry's index of hashes.

use super::figures::{Figure, Kind};
use super::{latency_json, ratio};
use crate::engine::Metrics;
use crate::engine::registry::IndexFigures;
use crate::types::Timestamp;
use crate::types::time::rfc3339;

/// Bytes of a hash.
const HASH_BYTES: u64 = 32;

/// The figures; none of what is no registry. What is not in memory has no size that is known.
pub fn figures(metrics: &Metrics) -> Vec<Figure> {
    let Some((searches, index)) = &metrics.index else { return Vec::new() };
    let counter = |name, metric, help, value| Figure::counter("index", name, metric, help, value);
    let mut figures = vec![
        counter("searches", "index_searches", "Searches of hashes.", searches.searches),
        counter("candidates", "index_candidates", "Hashes that the index named.", searches.candidates),
        counter("distances", "index_distances", "Hashes that were compared.", searches.distances),
        counter("compactions", "index_compactions", "Compactions.", searches.compactions),
        Figure::untold("index", "lastCompaction", last_compaction(searches.last_compaction)),
        Figure::untold("index", "latencyMs", latency_json(&searches.latency)),
    ];
    let Some(index) = index else {
        let unknown = ["keys", "removed", "memoryBytes", "storedBytes", "amplification"];
        figures.extend(unknown.map(|name| Figure::unknown("index", name)));
        return figures;
    };
    let memory = u64::try_from(index.memory_bytes).unwrap_or(u64::MAX);
    let gauge = |name, metric, help, value| Figure::gauge("index", name, metric, help, value);
    figures.extend([
        gauge("keys", "index_keys", "Hashes that can be found.", index.hashes),
        gauge("removed", "index_removed", "Removed hashes that take room yet.", index.removed),
        gauge("memoryBytes", "index_memory_bytes", "Memory of the index.", memory),
        gauge("storedBytes", "index_stored_bytes", "Bytes of what is packed of it.", stored_bytes(index)),
    ]);
    let help = "Packed bytes for each byte of a hash.";
    figures.push(match index.hashes {
        0 => Figure::unknown("index", "amplification"),
        _ => Figure::new("index", "amplification", "index_amplification", Kind::Gauge, help, amplification(index)),
    });
    figures
}

fn stored_bytes(index: &IndexFigures) -> u64 {
    u64::try_from(index.stored_bytes).unwrap_or(0)
}

/// How many bytes are packed for each byte of a hash that can be found; `null` without hashes.
pub fn amplification(index: &IndexFigures) -> String {
    ratio(stored_bytes(index), index.hashes.saturating_mul(HASH_BYTES))
}

/// When it was last compacted, as JSON.
pub fn last_compaction(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "null".to_owned(), |at| format!("\"{}\"", rfc3339(at)))
}
