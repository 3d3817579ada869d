//! docs/CONFIGURATION.md, made of the table of keys: `cargo run --example configuration > docs/CONFIGURATION.md`.

use std::fmt::Write;

use super::absent::ABSENT;
use super::keys::GROUPS;
use super::table::{Entry, Plain, Rule, State};
use super::{ConfigError, StorageConfig};

/// One for each group of which something has an effect.
pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("hot", r#"{"hot":{"evictAboveBytes":2000000000,"refuseAboveBytes":4000000000}}"#),
    ("memory", r#"{"memory":{"budgetBytes":41943040}}"#),
    ("snapshots", r#"{"snapshots":{"flushDelayMs":60000,"keepDays":365}}"#),
    ("cdc", r#"{"cdc":{"maxAgeDays":30}}"#),
    ("budgets", r#"{"budgets":{"tokenRequests":600,"objectCostMicroUsd":1000}}"#),
    ("cold", r#"{"cold":{"baseUri":"s3://thermocline-cold","icebergKeepDays":30}}"#),
    ("objects", r#"{"objects":{"transitionToInfrequentDays":90}}"#),
    ("warm", r#"{"warm":{"defaultTtlSecs":60}}"#),
    ("query", r#"{"query":{"maxRows":100000000}}"#),
    ("performance", r#"{"performance":{"maxConcurrentOperations":40}}"#),
    ("timeouts", r#"{"timeouts":{"queryMs":20000,"retries":5}}"#),
    (
        "security",
        r#"{"security":{"corsOrigins":["https://app.example"],"dataMasking":{"rules":[{"collection":"users","path":"contact.email","show":["admin"],"with":"last4"}]}}}"#,
    ),
    ("worm", r#"{"worm":{"auditLogRetention":365}}"#),
];

const INTRODUCTION: &str = r#"# Configuration

This page is made of the table of keys in [src/config/keys.rs](../src/config/keys.rs); a test holds that it is.

The variable `STORAGE_CONFIG` is one JSON object over the defaults: a key that is absent keeps its default. Numbers are
milliseconds, bytes, seconds, days and counts, as the key's name says. In `wrangler.toml`, as text or as tables; with
environments, in each, because they inherit no variables:

```toml
[vars]
STORAGE_CONFIG = '{"cold":{"baseUri":"s3://thermocline-cold"},"snapshots":{"flushDelayMs":60000}}'

[env.staging.vars.STORAGE_CONFIG.snapshots]
flushDelayMs = 1000
```

Nothing that is said is ignored. A key that is unknown, of another type or out of range, said twice, in contradiction to another, or
without effect here is refused by its path. What is in `wrangler.toml` is refused by the build, and what is set otherwise by
every request, with 500 and the path in `detail`; `/healthz` answers 503 with it. Such as:

```
{REFUSED}
```

`GET /v1/{type}/{id}` tells the values in effect under `config`. No key takes a secret, and URLs with credentials are refused, so that
there is nothing in it to be masked; secrets are variables of their own, see [OPERATIONS.md](OPERATIONS.md#bindings-and-variables).
"#;

/// The page.
pub fn page() -> String {
    let mut config = StorageConfig::default();
    let entries = config.entries();
    let mut page = INTRODUCTION.replace("{REFUSED}", &refusal().to_string());
    for (group, about) in GROUPS {
        let of_group: Vec<_> =
            entries.iter().filter(|entry| entry.group == *group && reserved_for(entry).is_none()).collect();
        if of_group.is_empty() {
            continue;
        }
        let about = about.trim();
        let _ = write!(page, "\n## {group}\n\n{about}\n\n| key | default | accepted | |\n|---|---|---|---|\n");
        for entry in of_group {
            let _ = writeln!(page, "{}", row(entry));
        }
        if let Some((_, example)) = EXAMPLES.iter().find(|(of, _)| of == group) {
            let _ = write!(page, "\n```json\n{example}\n```\n");
        }
    }
    page.push_str(
        "\n## Not there yet\n\nThese belong to what this version does not have. They have no effect, are not among the values in \
         effect, and are refused when they are set to anything but their default.\n\n\
         | key | default | belongs to | what it will say |\n|---|---|---|---|\n",
    );
    for entry in &entries {
        if let Some(feature) = reserved_for(entry) {
            let (key, default) = (path(entry), shown(entry, &entry.setting.value()));
            let _ = writeln!(page, "| `{key}` | {default} | {feature} | {} |", entry.key.meaning.trim());
        }
    }
    page.push_str(
        "\n## What does not apply\n\nNames that other stores have. Here they would have no effect, in whichever group they are, and are \
         refused with the reason.\n\n| name | why |\n|---|---|\n",
    );
    for (names, reason) in ABSENT {
        let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "| {names} | {reason} |");
    }
    page
}

/// What a typo answers.
fn refusal() -> ConfigError {
    let refused = StorageConfig::parse(r#"{"snapshots":{"flushDelay":60000}}"#);
    refused.err().unwrap_or_else(|| ConfigError::new("", "accepted".to_owned()))
}

fn reserved_for(entry: &Entry<'_>) -> Option<&'static str> {
    match entry.key.state {
        State::Reserved(feature) => Some(feature),
        _ => None,
    }
}

fn path(entry: &Entry<'_>) -> String {
    format!("{}.{}", entry.group, entry.key.name)
}

fn row(entry: &Entry<'_>) -> String {
    let default = shown(entry, &entry.setting.value());
    let (accepted, reason) = match entry.key.state {
        State::Fixed(reason) => (format!("only {default}"), format!(" Fixed: {reason}.")),
        _ => (accepted(entry), String::new()),
    };
    format!("| `{}` | {default} | {accepted} | {}{reason} |", path(entry), entry.key.meaning.trim())
}

fn accepted(entry: &Entry<'_>) -> String {
    match entry.key.rule {
        Rule::Within(least, most) => {
            format!("{} to {}", shown(entry, &Plain::Number(least)), shown(entry, &Plain::Number(most)))
        }
        Rule::Flag => "`true`, `false`".to_owned(),
        Rule::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Rule::Text(most, _) => format!("text, {most} bytes"),
        Rule::Names => "a list of names".to_owned(),
        Rule::Texts(most, bytes, _) => format!("at most {most} texts, {bytes} bytes each"),
        Rule::Masking => "`false`, or rules as in [SECURE.md](SECURE.md#fields-that-are-hidden)".to_owned(),
    }
}

fn shown(entry: &Entry<'_>, value: &Plain) -> String {
    match value {
        Plain::Nothing => "none".to_owned(),
        Plain::Number(number) if entry.key.name.ends_with("Bytes") => bytes(*number),
        Plain::Number(number) => grouped(*number),
        Plain::Text(text) if text.is_empty() => "`\"\"`".to_owned(),
        Plain::Text(text) => format!("`{text}`"),
        Plain::Flag(flag) => format!("`{flag}`"),
        Plain::Names(names) if names.is_empty() => "none".to_owned(),
        Plain::Names(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        Plain::Object(text) => format!("`{text}`"),
    }
}

/// In the largest unit that says it exactly.
fn bytes(number: i64) -> String {
    let units = [("GB", 1_000_000_000), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    let tenths = number / 100_000_000;
    if tenths % 10 != 0 && number % 100_000_000 == 0 {
        return format!("{}.{} GB", tenths / 10, tenths % 10);
    }
    let unit = units.iter().find(|(_, unit)| number >= *unit && number % unit == 0);
    unit.map_or_else(|| "0 B".to_owned(), |(name, unit)| format!("{} {name}", grouped(number / unit)))
}

/// With a comma every three digits.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
