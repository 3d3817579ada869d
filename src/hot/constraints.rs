//! What the program demands of a collection of its own beside columns' types: what values must look like, that a document has
//! one of the same id in another collection, that documents are only ever added. Every way of writing is held to it.
//!
//! Clients declare none of this, and cannot declare anything of a collection that has any.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, StorageError};
use crate::types::{Json, StorageTier};

/// What is demanded of a collection's documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Constraints {
    /// What values of top-level fields must be; an absent or null one is the column's business.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<FieldCheck>,
    /// The collection in which a document of the same id must be: it is made there first, and deleted here first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Whether documents are never changed nor deleted, and the collection never dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub append_only: bool,
    /// Whether a restore leaves the collection as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}

/// What a field's value must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldCheck {
    /// The top-level field.
    pub field: String,
    /// The rule.
    pub rule: Rule,
}

/// A rule for a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// An integer between two, both allowed.
    Between(i64, i64),
    /// A number from 0 to 1 with at most so many digits after the point.
    Fraction(u8),
    /// One of these texts.
    OneOf(Vec<String>),
    /// So many bytes as lower-case hexadecimal digits.
    Hex(usize),
    /// A text of at most so many characters, and not empty.
    Text(usize),
    /// An object.
    Object,
}

impl Constraints {
    /// Whether nothing is demanded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether documents are this object's alone: no restore gives them to another.
    pub fn are_of_one_object(&self) -> bool {
        self.append_only || self.stays
    }

    /// The first field that is not as it must be, and why.
    pub fn violated(&self, document: &Json<'_>) -> Option<(&str, String)> {
        self.checks.iter().find_map(|check| match document.get(&check.field) {
            None | Some(Json::Null) => None,
            Some(value) => check.rule.violated(value).map(|problem| (check.field.as_str(), problem)),
        })
    }
}

impl Rule {
    /// Why a value is not as it must be.
    pub fn violated(&self, value: &Json<'_>) -> Option<String> {
        let expected = |what: String| Some(format!("expected {what}, got {}", shown(value)));
        match (self, value) {
            (Self::Between(least, most), Json::Number(text)) => match text.parse::<i64>() {
                Ok(number) if (*least..=*most).contains(&number) => None,
                _ => expected(format!("an integer from {least} to {most}")),
            },
            (Self::Between(least, most), _) => expected(format!("an integer from {least} to {most}")),
            (Self::Fraction(digits), value) => match value {
                Json::Number(text) if is_fraction(text, *digits) => None,
                _ => expected(format!("a number from 0 to 1 with at most {digits} digits after the point")),
            },
            (Self::OneOf(names), value) => match value {
                Json::String(text) if names.iter().any(|name| name == text) => None,
                _ => expected(format!("one of {}", names.join(", "))),
            },
            (Self::Hex(bytes), value) => match value {
                Json::String(text) if text.len() == bytes.saturating_mul(2) && text.bytes().all(is_hex) => None,
                _ => expected(format!("{} lower-case hexadecimal digits", bytes.saturating_mul(2))),
            },
            (Self::Text(most), value) => match value {
                Json::String(text) if !text.is_empty() && text.chars().count() <= *most => None,
                _ => expected(format!("a text of 1 to {most} characters")),
            },
            (Self::Object, Json::Object(_)) => None,
            (Self::Object, _) => expected("an object".to_owned()),
        }
    }
}

/// A rendering of a bad value that is short.
fn shown(value: &Json<'_>) -> String {
    match value {
        Json::Number(text) => text.chars().take(40).collect(),
        Json::String(text) if text.len() <= 80 => format!("{text:?}"),
        Json::String(text) => format!("a text of {} characters", text.chars().count()),
        other => other.kind().to_owned(),
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Whether a number's text is from 0 to 1 and has few digits after the point.
fn is_fraction(text: &str, digits: u8) -> bool {
    let Ok(number) = text.parse::<f64>() else { return false };
    let scaled = number * 10f64.powi(i32::from(digits));
    (0.0..=1.0).contains(&number) && (scaled - scaled.round()).abs() < 1e-9
}

/// The error of a change to what is only ever added to.
pub fn append_only(collection: &str) -> StorageError {
    StorageError::new(
        ErrorKind::Forbidden,
        StorageTier::Hot,
        "change document",
        format!(
            "expected no change to \"{collection}\", which is written once and read many times (WORM): its entries are never changed nor deleted; append to it by the routes made for it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violated(rule: &Rule, value: &str) -> bool {
        rule.violated(&Json::parse(value).unwrap()).is_some()
    }

    #[test]
    fn values_are_held_to_their_rules() {
        let quality = Rule::Between(0, 100);
        for (value, bad) in [("0", false), ("100", false), ("101", true), ("-1", true), ("5.5", true), ("\"5\"", true)]
        {
            assert_eq!(violated(&quality, value), bad, "{value}");
        }
        let confidence = Rule::Fraction(4);
        for (value, bad) in [
            ("0", false),
            ("1", false),
            ("1.0000", false),
            ("0.1234", false),
            ("0.3", false),
            ("1.00001", true),
            ("0.12345", true),
            ("-0.1", true),
            ("1e-5", true),
            ("null", true),
        ] {
            assert_eq!(violated(&confidence, value), bad, "{value}");
        }
        let hash = Rule::Hex(2);
        for (value, bad) in
            [("\"00ff\"", false), ("\"00FF\"", true), ("\"00f\"", true), ("\"00fg\"", true), ("5", true)]
        {
            assert_eq!(violated(&hash, value), bad, "{value}");
        }
        let label = Rule::OneOf(vec!["a".to_owned(), "b".to_owned()]);
        assert!(!violated(&label, "\"b\""));
        let problem = label.violated(&Json::parse("\"c\"").unwrap()).unwrap();
        assert_eq!(problem, "expected one of a, b, got \"c\"");
        let notes = Rule::Text(3);
        assert!(!violated(&notes, "\"äöü\"") && violated(&notes, "\"äöüß\"") && violated(&notes, "\"\""));
        assert!(!violated(&Rule::Object, "{}") && violated(&Rule::Object, "[]"));
    }

    #[test]
    fn the_first_violation_is_named_and_absent_fields_violate_nothing() {
        let constraints = Constraints {
            checks: vec![
                FieldCheck { field: "a".to_owned(), rule: Rule::Between(0, 1) },
                FieldCheck { field: "b".to_owned(), rule: Rule::Object },
            ],
            ..Constraints::default()
        };
        let first = |text: &str| {
            let document = Json::parse(text).unwrap();
            constraints.violated(&document).map(|(field, _)| field.to_owned())
        };
        assert_eq!(first(r#"{"a":null,"c":5}"#), None);
        assert_eq!(first(r#"{"a":2,"b":2}"#).as_deref(), Some("a"));
        assert_eq!(first(r#"{"b":2}"#).as_deref(), Some("b"));
    }
}
