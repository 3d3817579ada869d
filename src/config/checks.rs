//! What is refused although each key is of its type: texts that mean nothing, and keys that contradict each other.

use super::{ConfigError, StorageConfig};

/// Any text will do.
pub fn nothing_against(_text: &str) -> Option<&'static str> {
    None
}

/// Text that says something.
pub fn not_empty(text: &str) -> Option<&'static str> {
    text.is_empty().then_some("text that is not empty")
}

/// A location without a slash at the end.
pub fn base_uri(uri: &str) -> Option<&'static str> {
    match uri {
        "" => not_empty(uri),
        uri if uri.ends_with('/') => Some("one without a slash at the end"),
        uri if has_credentials(uri) => {
            Some("one without credentials, which it would tell to every reader of the tables")
        }
        _ => None,
    }
}

/// The URL of a host, and no secret in it: readers of tables are told it.
pub fn endpoint(url: &str) -> Option<&'static str> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if host.is_none_or(str::is_empty) {
        return Some("one that begins with https:// or http:// and names a host");
    }
    if url.contains(['?', '#']) {
        return Some("one without a query");
    }
    base_uri(url)
}

/// The origin of a page as browsers send it, or `*`.
pub fn origin(text: &str) -> Option<&'static str> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]_".contains(&byte);
    let is_origin = text == "*" || (!host.is_empty() && host.bytes().all(is_host));
    (!is_origin)
        .then_some("\"*\", or origins such as \"https://app.example\": scheme, host in lower case, port, and no slash")
}

fn has_credentials(uri: &str) -> bool {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    authority.split('/').next().is_some_and(|authority| authority.contains('@'))
}

/// Refuses keys that are each accepted and contradict each other: one names both.
pub fn agreed(config: &StorageConfig) -> Result<(), ConfigError> {
    let StorageConfig { hot, cold, objects, timeouts, worm, .. } = config;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut rules = vec![
        ("hot.sealRows", hot.seal_rows, "hot.segmentMaxRows", count(hot.segment_max_rows)),
        ("hot.sealBytes", hot.seal_bytes, "hot.segmentMaxBytes", count(hot.segment_max_bytes)),
        ("hot.evictAboveBytes", number(hot.evict_above_bytes), "hot.refuseAboveBytes", number(hot.refuse_above_bytes)),
        (
            "objects.multipartPartBytes",
            number(objects.multipart_part_bytes),
            "objects.multipartThresholdBytes",
            number(objects.multipart_threshold_bytes),
        ),
        ("cold.icebergKeepDays", cold.iceberg_keep_days, "objects.expiryDays", objects.expiry_days),
    ];
    if worm.enabled {
        rules.push(("worm.retentionPeriod", worm.retention_period_days, "objects.expiryDays", objects.expiry_days));
        rules.push((
            "worm.auditLogRetention",
            worm.audit_log_retention_days,
            "objects.expiryDays",
            objects.expiry_days,
        ));
    }
    for (path, value, most_path, most) in rules {
        if value > most {
            return Err(ConfigError::new(path, format!("expected at most {most_path} = {most}, got {value}")));
        }
    }
    let waits = i64::from(timeouts.retry_delay_ms).saturating_mul((1_i64 << timeouts.retries.min(32)) - 1);
    if waits >= timeouts.query_ms {
        let message = format!(
            "expected the waits of timeouts.retries = {} to be less than timeouts.queryMs = {}, got {waits} in all",
            timeouts.retries, timeouts.query_ms
        );
        return Err(ConfigError::new("timeouts.retryDelayMs", message));
    }
    Ok(())
}
