//! The table of keys as a whole: defaults, ranges, refusals.

use super::table::{Plain, Rule, State};
use super::*;

fn refused(text: &str) -> ConfigError {
    StorageConfig::parse(text).expect_err(text)
}

fn said(group: &str, name: &str, value: &str) -> String {
    format!(r#"{{"{group}":{{"{name}":{value}}}}}"#)
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = StorageConfig::parse("").unwrap();
    assert_eq!(config, StorageConfig::default());
    assert_eq!(config.snapshots.flush_delay_ms, 5_000);
    assert_eq!(config.snapshots.publish_interval_ms, 10_000);
    assert_eq!(config.cold.base_uri, "s3://cold");
    assert_eq!(config.cold.target_file_bytes, 134_217_728);
    assert_eq!(config.cold.compression.to_string(), "snappy");
    assert_eq!((config.objects.expiry_days, config.objects.transition_to_infrequent_days), (730, None));
    assert_eq!((config.timeouts.query_ms, config.timeouts.retries, config.timeouts.retry_delay_ms), (60_000, 3, 100));
    assert_eq!(config.performance.max_concurrent_operations, 100);
    let warm = &config.warm;
    let classes = (warm.cache_ttl_secs, warm.session_ttl_secs, warm.temporary_ttl_secs, warm.default_ttl_secs);
    assert_eq!(classes, (3_600, 1_800, 300, 300));
    for text in [" ", "{}", r#"{"cdc":{}}"#] {
        assert_eq!(StorageConfig::parse(text).unwrap(), config);
    }
}

#[test]
fn a_partial_object_keeps_the_other_defaults() {
    let config = StorageConfig::parse(r#"{"snapshots":{"flushDelayMs":50}}"#).unwrap();
    let mut expected = StorageConfig::default();
    expected.snapshots.flush_delay_ms = 50;
    assert_eq!(config, expected);
}

/// Every key takes the ends of its range and nothing beyond, and no value of another type. Which others it contradicts is not looked at.
#[test]
fn every_key_accepts_what_its_row_says_and_nothing_else() {
    let mut keys = 0;
    let mut reading = StorageConfig::default();
    for index in 0..StorageConfig::default().entries().len() {
        let mut fresh = StorageConfig::default();
        let (group, key, default) = {
            let entry = &fresh.entries()[index];
            (entry.group, entry.key, entry.setting.value())
        };
        let path = format!("{group}.{}", key.name);
        let mut read = |value: &str| {
            reading = StorageConfig::default();
            let read = super::read::read(&said(group, key.name, value), &mut reading.entries());
            read.map(|()| reading.entries()[index].setting.value())
        };
        let (accepted, wrong) = match key.rule {
            Rule::Within(least, most) => (
                vec![least.to_string(), most.to_string()],
                vec![
                    (least - 1).to_string(),
                    (most + 1).to_string(),
                    "1.5".into(),
                    "1e3".into(),
                    "9".repeat(30),
                    "true".into(),
                ],
            ),
            Rule::Flag => (vec!["true".into(), "false".into()], vec!["\"true\"".into(), "1".into()]),
            Rule::OneOf(words) => (
                words.iter().map(|word| format!("\"{word}\"")).collect(),
                vec!["\"zstd\"".into(), format!("\"{}\"", words[0].to_uppercase()), "0".into()],
            ),
            Rule::Text(most, _) => (vec![default.json()], vec![format!("\"{}\"", "x".repeat(most + 1)), "1".into()]),
            Rule::Texts(most, bytes, _) => (
                vec!["[\"*\"]".into(), "[\"https://a.example\",\"http://localhost:8080\"]".into()],
                vec![
                    "\"*\"".into(),
                    "[1]".into(),
                    "[\"https://a.example/\"]".into(),
                    "[\"a.example\"]".into(),
                    "[\"https://\"]".into(),
                    format!("[\"https://{}\"]", "x".repeat(bytes)),
                    format!("[{}]", vec!["\"*\""; most + 1].join(",")),
                ],
            ),
            Rule::Masking => (
                vec![
                    "false".into(),
                    r#"{"rules":[{"collection":"a","path":"b","show":["writer","admin"],"with":"last4"}]}"#.into(),
                ],
                vec!["true".into(), "[]".into(), r#"{"rules":[{"collection":"a"}]}"#.into()],
            ),
            Rule::Names => (vec![default.json()], vec!["\"a\"".into(), "[1]".into(), "[[]]".into()]),
        };
        for value in accepted {
            let is_default = value == default.json();
            match key.state {
                State::Honoured => assert_eq!(read(&value).unwrap().json(), value, "{path}"),
                _ if is_default => assert_eq!(read(&value).unwrap(), default, "{path}"),
                State::Fixed(reason) | State::Reserved(reason) => {
                    let error = read(&value).expect_err(&path);
                    assert!(error.path == path && error.message.contains(reason), "{error}");
                }
            }
        }
        for value in wrong.iter().map(String::as_str).chain(["{}", "[{}]"]) {
            assert_eq!(read(value).expect_err(value).path, path, "{value}");
        }
        let nothing = read("null");
        if default == Plain::Nothing {
            assert_eq!(nothing.unwrap(), Plain::Nothing);
        } else {
            assert_eq!(nothing.expect_err("null").path, path);
        }
        keys += 1;
    }
    assert!(keys > 50, "{keys} keys");
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn no_two_keys_have_one_name_and_groups_are_together() {
    let mut config = StorageConfig::default();
    let entries = config.entries();
    let paths: std::collections::BTreeSet<_> = entries.iter().map(|entry| (entry.group, entry.key.name)).collect();
    assert_eq!(paths.len(), entries.len());
    let mut groups: Vec<_> = entries.iter().map(|entry| entry.group).collect();
    groups.dedup();
    assert_eq!(groups, keys::GROUPS.iter().map(|(group, _)| *group).collect::<Vec<_>>());
    for (names, _) in absent::ABSENT {
        for name in *names {
            let is_key = entries.iter().any(|entry| {
                *name == entry.group
                    || *name == entry.key.name
                    || *name == format!("{}.{}", entry.group, entry.key.name)
            });
            assert!(!is_key, "{name} is a key and does not apply");
        }
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused_and_both_named() {
    for (text, path, other) in [
        (
            r#"{"objects":{"multipartPartBytes":16777217}}"#,
            "objects.multipartPartBytes",
            "objects.multipartThresholdBytes = 16777216",
        ),
        (r#"{"objects":{"expiryDays":6}}"#, "cold.icebergKeepDays", "objects.expiryDays = 6"),
        (r#"{"hot":{"refuseAboveBytes":2097152}}"#, "hot.evictAboveBytes", "hot.refuseAboveBytes = 2097152"),
        (r#"{"hot":{"segmentMaxRows":64}}"#, "hot.sealRows", "hot.segmentMaxRows = 64"),
        (r#"{"hot":{"segmentMaxBytes":65536}}"#, "hot.sealBytes", "hot.segmentMaxBytes = 65536"),
        (r#"{"timeouts":{"queryMs":700}}"#, "timeouts.retryDelayMs", "timeouts.queryMs = 700"),
        (r#"{"timeouts":{"retries":10}}"#, "timeouts.retryDelayMs", "timeouts.retries = 10"),
    ] {
        let error = refused(text);
        assert!(error.path == path && error.message.contains(other), "{text}: {error}");
    }
    for text in [
        r#"{"objects":{"expiryDays":6},"cold":{"icebergKeepDays":6}}"#,
        r#"{"timeouts":{"queryMs":701}}"#,
        r#"{"timeouts":{"retries":0,"retryDelayMs":60000,"queryMs":1}}"#,
        r#"{"hot":{"refuseAboveBytes":8000000000}}"#,
    ] {
        assert!(StorageConfig::parse(text).is_ok(), "{text}");
    }
}

/// These keys cannot be set yet, and are to be right when they can.
#[test]
fn what_is_guarded_for_long_does_not_expire_before() {
    let mut config = StorageConfig::default();
    config.worm.enabled = true;
    assert_eq!(checks::agreed(&config), Ok(()));
    config.objects.expiry_days = 729;
    let error = checks::agreed(&config).unwrap_err();
    assert!(error.path == "worm.retentionPeriod" && error.message.contains("objects.expiryDays = 729"), "{error}");
    config.worm.retention_period_days = 1;
    assert_eq!(checks::agreed(&config).unwrap_err().path, "worm.auditLogRetention");
}

#[test]
fn refusals_name_the_key_and_what_was_meant() {
    for (text, path, message) in [
        (r#"{"snapshots":{"flushDelay":50}}"#, "snapshots.flushDelay", "did you mean snapshots.flushDelayMs?"),
        (r#"{"snapshots":{"flush_delay_ms":50}}"#, "snapshots.flush_delay_ms", "did you mean snapshots.flushDelayMs?"),
        (r#"{"hot":{"keepDays":50}}"#, "hot.keepDays", "did you mean snapshots.keepDays?"),
        (r#"{"snapshot":{}}"#, "snapshot", "did you mean snapshots?"),
        (r#"{"nothing":1}"#, "nothing", "expected a key of docs/CONFIGURATION.md, got another"),
        (r#"{"hot":{"":1}}"#, "hot.", "got another"),
        (r#"{"hot":[1]}"#, "hot", "expected a JSON object"),
        (r#"{"hot":null}"#, "hot", "expected a JSON object"),
        (
            r#"{"warm":{"defaultTtlSecs":"300"}}"#,
            "warm.defaultTtlSecs",
            r#"expected a whole number from 1 to 31536000, got "300""#,
        ),
        (r#"{"snapshots":{"flushDelayMs":-1}}"#, "snapshots.flushDelayMs", "got -1"),
        (r#"{"cdc":{"maxBytes":1,"maxBytes":2}}"#, "cdc.maxBytes", "expected it once"),
        (r#"{"cdc":{},"cdc":{}}"#, "cdc", "expected it once"),
        (r#"{"cold":{"baseUri":"s3://cold/"}}"#, "cold.baseUri", "without a slash"),
        (r#"{"cold":{"baseUri":""}}"#, "cold.baseUri", "not empty"),
        (r#"{"cold":{"s3Region":""}}"#, "cold.s3Region", "not empty"),
        (r#"{"cold":{"s3Endpoint":"r2.example"}}"#, "cold.s3Endpoint", "https://"),
        (r#"{"cold":{"s3Endpoint":"https://r2.example/"}}"#, "cold.s3Endpoint", "without a slash"),
        (r#"{"cold":{"s3Endpoint":"https://r2.example?key=secret"}}"#, "cold.s3Endpoint", "without a query"),
        (r#"{"cold":{"baseUri":"\ud800"}}"#, "cold.baseUri", "expected"),
        (r#"{"pool":{"size":4}}"#, "pool", "there are no connections"),
        (r#"{"timeouts":{"poolSize":4}}"#, "timeouts.poolSize", "there are no connections"),
        (r#"{"performance":{"compressionLevel":3}}"#, "performance.compressionLevel", "Snappy has no levels"),
        (
            r#"{"objects":{"transitionToArchiveDays":3}}"#,
            "objects.transitionToArchiveDays",
            "R2 has no class for archives",
        ),
        (r#"{"worm":{"enabled":true}}"#, "worm.enabled", "does not have yet"),
    ] {
        let error = refused(text);
        assert!(error.path == path && error.message.contains(message), "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("STORAGE_CONFIG, key {path}: ")), "{error}");
    }
    for text in ["{} {}", "[", "[]", "null", "7", "\"{}\"", "{\"hot\":{}", "{'hot':{}}"] {
        let error = refused(text);
        assert!(
            error.path.is_empty() && error.to_string().starts_with("STORAGE_CONFIG: expected a JSON object: "),
            "{error}"
        );
    }
}

#[test]
fn what_may_be_a_secret_is_neither_accepted_nor_repeated() {
    for text in [
        r#"{"cold":{"s3Endpoint":"https://user:hunter2@r2.example"}}"#,
        r#"{"cold":{"baseUri":"s3://user:hunter2@cold"}}"#,
        r#"{"objects":{"encryption":"hunter2 hunter2 hunter2"}}"#,
    ] {
        let error = refused(text);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    assert!(StorageConfig::parse(r#"{"cold":{"baseUri":"s3://cold/a@b"}}"#).is_ok(), "no credentials, but a folder");
}

#[test]
fn names_of_any_length_and_kind_are_refused_shortly() {
    for name in ["x".repeat(10_000), "\\n\\u0000\\\"".repeat(200), "é".repeat(500)] {
        let error = refused(&said("hot", &name, "1"));
        assert!(error.to_string().len() < 2_000 && !error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn the_values_in_effect_are_a_configuration_that_says_the_same() {
    let text = r#"{"hot":{"sealRows":7},"cold":{"s3Endpoint":"https://r2.example","compression":"none"}}"#;
    for text in ["", text] {
        let config = StorageConfig::parse(text).unwrap();
        assert_eq!(StorageConfig::parse(&config.effective()).unwrap(), config);
    }
    let told: serde_json::Value = serde_json::from_str(&StorageConfig::parse(text).unwrap().effective()).unwrap();
    assert_eq!((&told["hot"]["sealRows"], &told["hot"]["sealBytes"]), (&7.into(), &1_048_576.into()));
    assert_eq!(told["cold"]["s3Endpoint"], "https://r2.example");
    assert_eq!(told["security"]["encryptionAtRest"], true);
    assert!(
        told["worm"] == serde_json::json!({"auditLogRetention": 730}) && told["warm"]["cacheTtlSecs"] == 3_600,
        "nothing of the others is in effect"
    );
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_group_with_an_effect_has_an_example_that_is_accepted() {
    let mut config = StorageConfig::default();
    let entries = config.entries();
    for (group, _) in keys::GROUPS {
        let mut of_group = entries.iter().filter(|entry| entry.group == *group);
        let has_effect = of_group.any(|entry| !matches!(entry.key.state, State::Reserved(_)));
        let examples: Vec<_> = page::EXAMPLES.iter().filter(|(of, _)| of == group).collect();
        assert_eq!(examples.len(), usize::from(has_effect), "{group}");
        for (group, example) in examples {
            StorageConfig::parse(example).unwrap();
            assert!(example.starts_with(&format!("{{\"{group}\":")), "{example}");
        }
    }
}
