//! How soon documents change their form, and how long what is old is kept.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::LazyJust;
use serde_json::{Value, json};

/// A configuration: as by default, where small collections stay rows, or any of those that seal, merge, archive and
/// clean up early.
pub fn config() -> impl Strategy<Value = String> {
    prop_oneof![1 => LazyJust::new(|| "{}".to_owned()), 4 => hot().prop_flat_map(others)]
}

/// Events stay for ever, under every configuration of a history: years may pass between two steps, and each event is asked
/// for again.
pub fn objects() -> Value {
    json!({"expiryDays": 36_500})
}

fn hot() -> impl Strategy<Value = Value> {
    let sizes = (
        select(vec![1, 3, 64, 65_536]),
        prop_oneof![2..50i64, Just(1_000)],
        select(vec![0, 0, 60_000]),
        1..4usize,
        select(vec![64, 65_536]),
        select(vec![1_048_576, 1_024]),
        select(vec![16_777_216, 65_536]),
    );
    sizes.prop_map(|(direct, rows, age, unmerged, most, bytes, most_bytes)| {
        json!({
            "directBatch": direct, "sealRows": rows.min(most), "sealMinAgeMs": age, "maxUnmergedSegments": unmerged,
            "segmentMaxRows": most, "sealBytes": bytes.min(most_bytes), "segmentMaxBytes": most_bytes,
        })
    })
}

fn others(hot: Value) -> impl Strategy<Value = String> {
    let parts = (
        select(vec![None, Some(8_388_608)]),
        select(vec![None, Some(1)]),
        select(vec![10_000, 0]),
        select(vec![None, Some((1, 1, 60_000)), Some((3, 7, 60_000))]),
        select(vec![None, Some(1)]),
    );
    parts.prop_map(move |(memory, pending, publish, cold, evict)| {
        let mut config = json!({"hot": hot, "snapshots": {"publishIntervalMs": publish}});
        if let Some(bytes) = evict {
            config["hot"]["evictAboveBytes"] = json!(bytes);
        }
        if let Some(bytes) = memory {
            config["memory"] = json!({"budgetBytes": bytes});
        }
        if let Some(bytes) = pending {
            config["snapshots"]["maxPendingBytes"] = json!(bytes);
        }
        if let Some((snapshots, days, orphan_ms)) = cold {
            config["cold"] =
                json!({"icebergKeepSnapshots": snapshots, "icebergKeepDays": days, "orphanMinAgeMs": orphan_ms});
            config["cdc"] = json!({"maxAgeDays": days});
        }
        config.to_string()
    })
}
