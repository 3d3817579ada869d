//! Query parameters: decoded, each known and given once.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::{PAGE_DEFAULT_ITEMS, PAGE_MAX_ITEMS};
use crate::types::StorageTier;
use crate::types::names::quoted;

/// The parameters of a request.
#[derive(Debug, Default)]
pub struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    /// Reads the part after `?`; a name that is not in `known`, or that comes twice, is refused.
    pub fn read(query: &str, known: &[&str]) -> Result<Self> {
        let mut params: Vec<(String, String)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name)?;
            if !known.contains(&name.as_str()) {
                let expected = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(refuse(format!("expected no parameters but {expected}, got {}", quoted(&name))));
            }
            if params.iter().any(|(other, _)| *other == name) {
                return Err(refuse(format!("expected the parameter {name} once, got it twice")));
            }
            params.push((name, decode(value)?));
        }
        Ok(Self(params))
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A number, which must lie in a range.
    pub fn number<T>(&self, name: &str, default: T, range: std::ops::RangeInclusive<T>) -> Result<T>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.get(name) else { return Ok(default) };
        match text.parse::<T>() {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => Err(refuse(format!(
                "expected {name} to be a whole number from {} to {}, got {}",
                range.start(),
                range.end(),
                quoted(text)
            ))),
        }
    }

    /// `limit`, as all lists have it.
    pub fn limit(&self) -> Result<usize> {
        self.number("limit", PAGE_DEFAULT_ITEMS, 1..=PAGE_MAX_ITEMS)
    }

    /// One of some words.
    pub fn choice<T: Copy>(&self, name: &str, default: T, choices: &[(&str, T)]) -> Result<T> {
        let Some(text) = self.get(name) else { return Ok(default) };
        choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            refuse(format!("expected {name} to be one of {}, got {}", words.join(", "), quoted(text)))
        })
    }

    /// A comma-separated list; `None` when the parameter is absent or empty.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let text = self.get(name).filter(|text| !text.is_empty())?;
        Some(text.split(',').collect())
    }
}

/// One parameter of a query that may have any others; the first one of the name.
pub fn find_param(query: &str, name: &str) -> Result<Option<String>> {
    for part in query.split('&') {
        let (found, value) = part.split_once('=').unwrap_or((part, ""));
        if decode(found)? == name {
            return decode(value).map(Some);
        }
    }
    Ok(None)
}

fn decode(text: &str) -> Result<String> {
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(refuse("expected the query to be percent-encoded UTF-8, got other bytes".to_owned())),
    }
}

/// A parameter that cannot be read.
pub fn refuse(message: String) -> StorageError {
    StorageError::new(ErrorKind::Malformed, StorageTier::Api, "read parameters", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_bounded() {
        let params = QueryParams::read("limit=5&name=a%20b+c&flag", &["limit", "name", "flag"]).unwrap();
        assert_eq!(params.limit().unwrap(), 5);
        assert_eq!(params.get("name"), Some("a b c"));
        assert_eq!(params.get("flag"), Some(""));
        assert_eq!(QueryParams::default().limit().unwrap(), PAGE_DEFAULT_ITEMS);
    }

    #[test]
    fn unknown_repeated_and_bad_values_are_refused() {
        for bad in ["other=1", "limit=1&limit=2", "limit=%ff", "%22=1"] {
            assert_eq!(QueryParams::read(bad, &["limit"]).unwrap_err().kind(), ErrorKind::Malformed, "{bad}");
        }
        for bad in ["limit=0", "limit=-1", "limit=1001", "limit=1.5", "limit=", "limit=99999999999999999999"] {
            assert!(QueryParams::read(bad, &["limit"]).unwrap().limit().is_err(), "{bad}");
        }
    }
}
