//! The configuration where it is said and told: `wrangler.toml` through the build script, `GET /`, docs/CONFIGURATION.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../build.rs"]
#[allow(dead_code, reason = "its main is the build's")]
mod build_script;
mod support;

use std::fs;

use serde_json::Value;
use support::Object;
use thermocline::config::StorageConfig;
use thermocline::ports::native::World;

fn at(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What the build says of the checkout's `wrangler.toml` with this added.
fn built_with(added: &str) -> Result<(), String> {
    build_script::check_wrangler(&format!("{}\n{added}", at("wrangler.toml")).parse().unwrap())
}

#[test]
fn the_page_is_what_the_table_of_keys_says() {
    assert!(
        at("docs/CONFIGURATION.md") == thermocline::config::page(),
        "docs/CONFIGURATION.md is stale: cargo run --example configuration > docs/CONFIGURATION.md"
    );
}

#[test]
fn the_page_has_every_key_once_and_no_other() {
    let page = thermocline::config::page();
    let rows =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).filter(|key| key.contains('.'));
    let mut listed: Vec<&str> = rows.collect();
    let all = listed.len();
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed.len(), all, "none twice");
    let effective: Value = serde_json::from_str(&StorageConfig::default().effective()).unwrap();
    for (group, keys) in effective.as_object().unwrap() {
        for key in keys.as_object().unwrap().keys() {
            assert!(listed.contains(&format!("{group}.{key}").as_str()), "{group}.{key}");
        }
    }
}

#[test]
fn a_wrangler_toml_is_refused_by_its_key_and_place() {
    assert_eq!(built_with(""), Ok(()));
    for (added, told) in [
        ("[vars]\nSTORAGE_CONFIG = '{\"hot\":{\"sealRow\":5}}'", "[vars]: STORAGE_CONFIG, key hot.sealRow: "),
        ("[vars.STORAGE_CONFIG.hot]\nsealRows = 0", "[vars]: STORAGE_CONFIG, key hot.sealRows: "),
        ("[vars.STORAGE_CONFIG.hot]\nsealRows = 1.5", "[vars]: STORAGE_CONFIG, key hot.sealRows: "),
        ("[vars.STORAGE_CONFIG.hot]\nsealRows = 2026-01-01", "[vars]: STORAGE_CONFIG, key hot.sealRows: "),
        ("[vars]\nSTORAGE_CONFIG = 7", "[vars]: STORAGE_CONFIG: expected a JSON object"),
        ("[vars]\nSTORAGE_CONFIG = '{'", "[vars]: STORAGE_CONFIG: expected a JSON object"),
        (
            "[vars.STORAGE_CONFIG.hot]\nsealRows = 5\n[env.a.vars]\nX = 'y'\n[env.b.vars]\nSTORAGE_CONFIG = '{\"cold\":{\"x\":1}}'",
            "[env.b.vars]: STORAGE_CONFIG, key cold.x: ",
        ),
        ("[vars]\nAUTH_SECRET = 'x'", "[vars]: expected AUTH_SECRET to have at least 32 bytes, got 1"),
        ("[env.a.vars]\nAUTH_SECRET = 'xx'", "[env.a.vars]: expected AUTH_SECRET to have at least 32 bytes, got 2"),
        ("[env.a.vars.STORAGE_CONFIG.pool]\nsize = 5", "[env.a.vars]: STORAGE_CONFIG, key pool: "),
    ] {
        let error = built_with(added).expect_err(added);
        assert!(error.starts_with(told), "{added}: {error}");
    }
    for fine in [
        "[vars]\nSTORAGE_CONFIG = '{\"hot\":{\"sealRows\":5}}'",
        "[vars.STORAGE_CONFIG.hot]\nsealRows = 5\n[env.a.vars.STORAGE_CONFIG]\n[env.b]",
        "[vars]\nAUTH_SECRET = ''\n[env.a.vars]\nAUTH_SECRET = '0123456789abcdef0123456789abcdef'",
    ] {
        assert_eq!(built_with(fine), Ok(()), "{fine}");
    }
}

#[test]
fn an_object_tells_the_values_in_effect() {
    let world = World::new(1).unwrap();
    let object = Object::wake_with(&world, r#"{"hot":{"sealRows":7}}"#);
    let config = object.ok("GET", "", "")["config"].clone();
    assert_eq!((&config["hot"]["sealRows"], &config["cold"]["s3Endpoint"]), (&7.into(), &Value::Null));
    assert_eq!(config["timeouts"]["queryMs"], 60_000);
    assert_eq!(config["worm"], serde_json::json!({"auditLogRetention": 730}), "what is not there is in no effect");
}
