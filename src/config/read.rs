//! The JSON of `STORAGE_CONFIG` into the fields, key by key.
//!
//! Invariants: what is not said keeps its default; nothing is ignored: an unknown key, one said twice, and one that has no
//! effect here are refused, each by its path.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::masking::Masking;
use super::table::{Entry, Plain, Rule, State};
use super::{ConfigError, absent};

/// Characters of a name or a value that a refusal repeats.
const TOLD_CHARACTERS: usize = 100;
/// Names that differ in more places are not taken for one another.
const TYPO_MAX: usize = 4;

/// The members of a JSON object in their order, repeated ones too.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collecting;
        impl<'de> Visitor<'de> for Collecting {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collecting)
    }
}

/// Reads `text` into the fields.
pub fn read(text: &str, entries: &mut [Entry<'_>]) -> Result<(), ConfigError> {
    for (group, text) in members("", text)? {
        let is_group = entries.iter().any(|entry| entry.group == group);
        if !is_group {
            return Err(unknown(&group, entries));
        }
        for (name, text) in members(&group, text.get())? {
            let path = format!("{group}.{name}");
            match entries.iter_mut().find(|entry| entry.group == group && entry.key.name == name) {
                Some(entry) => {
                    take(entry, text.get()).map_err(|message| ConfigError::new(&path, message))?;
                }
                None => return Err(unknown(&path, entries)),
            }
        }
    }
    Ok(())
}

/// The members of the object at `path`, none twice.
pub(super) fn members<'t>(path: &str, text: &'t str) -> Result<Vec<(String, &'t RawValue)>, ConfigError> {
    let Members(members) = serde_json::from_str(text)
        .map_err(|error| ConfigError::new(path, format!("expected a JSON object: {error}")))?;
    for (position, (name, _)) in members.iter().enumerate() {
        if members.iter().take(position).any(|(earlier, _)| earlier == name) {
            let path = if path.is_empty() { told(name) } else { format!("{path}.{}", told(name)) };
            return Err(ConfigError::new(&path, "expected it once, got it twice".to_owned()));
        }
    }
    Ok(members)
}

/// Gives a field the value that a text says, if its key accepts it.
fn take(entry: &mut Entry<'_>, text: &str) -> Result<(), String> {
    let given = plain(text)?;
    let default = entry.setting.value();
    let refused = |expected: String| format!("expected {expected}, got {}", given.told());
    if let Some(expected) = entry.key.rule.against(&given, default == Plain::Nothing) {
        return Err(refused(expected));
    }
    match entry.key.state {
        State::Fixed(reason) if given != default => return Err(refused(default.told()) + ": " + reason),
        State::Reserved(feature) if given != default => {
            return Err(refused(default.told())
                + "; it belongs to "
                + feature
                + ", which this version does not have yet");
        }
        _ => {}
    }
    let message = refused("another value".to_owned());
    if entry.setting.set(given) { Ok(()) } else { Err(message) }
}

fn plain(text: &str) -> Result<Plain, String> {
    let other = || format!("expected a value of its type, got {}", told(text));
    match text.as_bytes().first() {
        Some(b'n') => Ok(Plain::Nothing),
        Some(b't') => Ok(Plain::Flag(true)),
        Some(b'f') => Ok(Plain::Flag(false)),
        Some(b'"') => serde_json::from_str(text).map(Plain::Text).map_err(|_| other()),
        Some(b'[') => serde_json::from_str(text).map(Plain::Names).map_err(|_| other()),
        Some(b'{') => Ok(Plain::Object(text.to_owned())),
        _ => text.parse().map(Plain::Number).map_err(|_| format!("expected a whole number, got {}", told(text))),
    }
}

impl Rule {
    /// What was expected instead, when a value is not accepted.
    fn against(self, value: &Plain, optional: bool) -> Option<String> {
        let fault = match (self, value) {
            (_, Plain::Nothing) if optional => return None,
            (Self::Within(least, most), Plain::Number(number)) if (least..=most).contains(number) => return None,
            (Self::Flag, Plain::Flag(_)) => return None,
            (Self::OneOf(words), Plain::Text(text)) if words.contains(&text.as_str()) => return None,
            (Self::Names, Plain::Names(_)) => return None,
            (Self::Masking, Plain::Flag(false)) => return None,
            (Self::Masking, Plain::Object(text)) => return Masking::parse(text).err(),
            (Self::Text(most, against), Plain::Text(text)) if text.len() <= most => match against(text) {
                None => return None,
                Some(expected) => return Some(expected.to_owned()),
            },
            (Self::Texts(most, bytes, against), Plain::Names(texts)) if texts.len() <= most => {
                let fault = |text: &String| if text.len() <= bytes { against(text) } else { Some("shorter texts") };
                return texts.iter().find_map(fault).map(str::to_owned);
            }
            (rule, _) => rule,
        };
        Some(match fault {
            Self::Within(least, most) => format!("a whole number from {least} to {most}"),
            Self::Flag => "true or false".to_owned(),
            Self::OneOf(words) => words.join(" or "),
            Self::Names => "a list of names".to_owned(),
            Self::Texts(most, bytes, _) => format!("a list of at most {most} texts of at most {bytes} bytes"),
            Self::Masking => "false, or an object of rules".to_owned(),
            Self::Text(most, _) => format!("text of at most {most} bytes"),
        })
    }
}

impl Plain {
    /// As a refusal tells it. Of text only its length, where it may be long: it may be what nobody else is to see.
    pub fn told(&self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) if text.len() <= 16 => format!("{text:?}"),
            Self::Text(text) => format!("text of {} bytes", text.len()),
            Self::Names(names) => format!("a list of {}", names.len()),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}

/// Why a path that is no key's is refused.
fn unknown(path: &str, entries: &[Entry<'_>]) -> ConfigError {
    let message = match (absent::reason(path), nearest(path, entries)) {
        (Some(reason), _) => format!("it has no effect here, leave it out: {reason}"),
        (None, Some(near)) => format!("expected a key of docs/CONFIGURATION.md, got another; did you mean {near}?"),
        (None, None) => "expected a key of docs/CONFIGURATION.md, got another".to_owned(),
    };
    ConfigError::new(&told(path), message)
}

/// The key or group that is most likely meant.
fn nearest(path: &str, entries: &[Entry<'_>]) -> Option<String> {
    let Some((group, name)) = path.split_once('.') else {
        let near = entries.iter().map(|entry| (distance(path, entry.group), entry.group)).min()?;
        return (near.0 <= TYPO_MAX && near.0 < path.len()).then(|| near.1.to_owned());
    };
    let far = |entry: &Entry<'_>| distance(name, entry.key.name) + usize::from(entry.group != group);
    let near = entries.iter().min_by_key(|entry| far(entry))?;
    (far(near) <= TYPO_MAX && far(near) < name.len()).then(|| format!("{}.{}", near.group, near.key.name))
}

/// In how many places two names differ: changed, left out or added.
fn distance(one: &str, other: &str) -> usize {
    // A name that is this much longer is another.
    if one.len() > other.len().saturating_add(TYPO_MAX) {
        return usize::MAX / 2;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, byte) in one.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, against) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = diagonal + usize::from(byte != against);
            diagonal = *cell;
            left = changed.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

pub(super) fn told(text: &str) -> String {
    text.chars().take(TOLD_CHARACTERS).flat_map(char::escape_debug).collect()
}
