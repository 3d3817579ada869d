//! Refuses to build with a `wrangler.toml` or a default configuration that the worker would refuse at run time.

use std::error::Error;

#[path = "src/config/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only what refuses is needed here")]
mod config;

const WRANGLER: &str = "wrangler.toml";

#[allow(clippy::print_stdout, reason = "what a build script prints is for cargo")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={WRANGLER}");
    println!("cargo:rerun-if-changed=src/config");
    println!("cargo:rerun-if-changed=build.rs");
    config::StorageConfig::parse("")?;
    let text = std::fs::read_to_string(WRANGLER).map_err(|error| format!("{WRANGLER}: {error}"))?;
    check_wrangler(&text.parse()?).map_err(|problem| format!("{WRANGLER}: {problem}").into())
}

/// Refuses a `wrangler.toml` that the worker could not run with.
pub fn check_wrangler(file: &toml::Table) -> Result<(), String> {
    expect(file, "main", "build/index.js")?;
    expect(file, "compatibility_date", "2026-04-01")?;
    if file.contains_key("compatibility_flags") {
        return Err("expected no compatibility_flags".to_owned());
    }
    let objects = array(file.get("durable_objects").and_then(|table| table.get("bindings")));
    if !objects.iter().any(|binding| says(binding, "name", "OBJECTS") && says(binding, "class_name", "DigitalObject")) {
        return Err("expected a durable_objects binding OBJECTS of the class DigitalObject".to_owned());
    }
    let migrations = array(file.get("migrations"));
    if !migrations
        .iter()
        .any(|step| array(step.get("new_sqlite_classes")).iter().any(|class| class.as_str() == Some("DigitalObject")))
    {
        return Err("expected a migration whose new_sqlite_classes has DigitalObject".to_owned());
    }
    if !array(file.get("r2_buckets")).iter().any(|bucket| says(bucket, "binding", "COLD")) {
        return Err("expected an r2_buckets binding COLD".to_owned());
    }
    check_vars("[vars]", file)?;
    // Environments inherit no variables.
    let environments = file.get("env").and_then(toml::Value::as_table);
    for (name, environment) in environments.into_iter().flatten() {
        if let Some(environment) = environment.as_table() {
            check_vars(&format!("[env.{name}.vars]"), environment)?;
        }
    }
    Ok(())
}

/// Checks the variables of one environment: AUTH_SECRET, where it is none of the secrets, and STORAGE_CONFIG: text, or
/// tables, which the worker gets as JSON.
fn check_vars(place: &str, file: &toml::Table) -> Result<(), String> {
    let variable = |name: &str| file.get("vars").and_then(|vars| vars.get(name));
    let secret = variable("AUTH_SECRET").and_then(toml::Value::as_str).unwrap_or_default();
    if (1..config::AUTH_SECRET_MIN_BYTES).contains(&secret.len()) {
        let least = config::AUTH_SECRET_MIN_BYTES;
        return Err(format!("{place}: expected AUTH_SECRET to have at least {least} bytes, got {}", secret.len()));
    }
    let text = match variable("STORAGE_CONFIG") {
        None => return Ok(()),
        Some(toml::Value::String(text)) => text.clone(),
        Some(value) => serde_json::to_string(value).map_err(|error| format!("{place}: STORAGE_CONFIG: {error}"))?,
    };
    config::StorageConfig::parse(&text).map(|_| ()).map_err(|error| format!("{place}: {error}"))
}

fn expect(file: &toml::Table, key: &str, value: &str) -> Result<(), String> {
    match file.get(key).and_then(toml::Value::as_str) {
        Some(found) if found == value => Ok(()),
        found => Err(format!("expected {key} = \"{value}\", got {found:?}")),
    }
}

fn array(value: Option<&toml::Value>) -> &[toml::Value] {
    value.and_then(toml::Value::as_array).map_or(&[], Vec::as_slice)
}

fn says(table: &toml::Value, key: &str, value: &str) -> bool {
    table.get(key).and_then(toml::Value::as_str) == Some(value)
}
