//! A JSON value that keeps what the text said.
//!
//! Numbers stay text, so that `1.0`, `1e3` and 9007199254740993 come back as they were put. Objects keep their order
//! and have no name twice. Nesting is at most [`JSON_MAX_DEPTH`], so that recursion over a value is bounded.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jiter::{Jiter, JiterError, Peek};

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::JSON_MAX_DEPTH;
use crate::types::StorageTier;

/// A parsed value that borrows from its text where it can.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as its text.
    Number(Cow<'a, str>),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object: members in the order of the text, names unique.
    Object(Members<'a>),
}

/// The members of an object.
pub type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

impl<'a> Json<'a> {
    /// Parses one JSON text (RFC 8259).
    ///
    /// Refused as malformed: anything after the value, a name twice in one object, nesting deeper than
    /// [`JSON_MAX_DEPTH`], and lone surrogates. A number beyond the range of a double is refused as invalid.
    pub fn parse(text: &'a str) -> Result<Self> {
        let mut reader = Reader { text, jiter: Jiter::new(text.as_bytes()) };
        let peek = reader.jiter.peek().map_err(|error| reader.refuse(&error))?;
        let value = reader.value(peek, 0)?;
        reader.jiter.finish().map_err(|error| reader.refuse(&error))?;
        Ok(value)
    }

    /// The member `name`, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Appends the value as JSON text on one line.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => write_members(members.iter().map(|(name, value)| (name.as_ref(), value)), out),
        }
    }

    /// The value as JSON text on one line.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Whether two values are the same JSON: objects regardless of order, numbers by their text.
    pub fn same(&self, other: &Json<'_>) -> bool {
        match (self, other) {
            (Self::Null, Json::Null) => true,
            (Self::Bool(left), Json::Bool(right)) => left == right,
            (Self::Number(left), Json::Number(right)) | (Self::String(left), Json::String(right)) => left == right,
            (Self::Array(left), Json::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.same(right))
            }
            (Self::Object(left), Json::Object(right)) => left.len() == right.len() && same_members(left, right),
            _ => false,
        }
    }

    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Number(text) => Json::Number(Cow::Owned(text.into_owned())),
            Self::String(text) => Json::String(Cow::Owned(text.into_owned())),
            Self::Array(items) => Json::Array(items.into_iter().map(Json::into_owned).collect()),
            Self::Object(members) => Json::Object(
                members.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect(),
            ),
        }
    }
}

fn same_members(left: &Members<'_>, right: &Members<'_>) -> bool {
    // Documents nearly always keep their order; the index is made only for one that does not.
    let mut index = None;
    left.iter().enumerate().all(|(position, (name, value))| {
        let found = match right.get(position) {
            Some((other, found)) if other == name => Some(found),
            _ => index.get_or_insert_with(|| by_name(right)).get(name.as_ref()).copied(),
        };
        found.is_some_and(|found| value.same(found))
    })
}

/// The members of an object by name, for more than a few look-ups.
pub fn by_name<'m, 'v>(members: &'m Members<'v>) -> HashMap<&'m str, &'m Json<'v>> {
    members.iter().map(|(name, value)| (name.as_ref(), value)).collect()
}

/// Appends a JSON object made of `members`.
pub fn write_members<'m, 'v: 'm>(members: impl Iterator<Item = (&'m str, &'m Json<'v>)>, out: &mut String) {
    out.push('{');
    for (position, (name, value)) in members.enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        value.write(out);
    }
    out.push('}');
}

/// Appends `text` as a JSON string.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.push_str("\\u00");
                let code = u32::from(control);
                out.push(char::from_digit(code >> 4, 16).unwrap_or('0'));
                out.push(char::from_digit(code & 15, 16).unwrap_or('0'));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A member name as a token of an RFC 6901 pointer.
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Reader<'a> {
    text: &'a str,
    jiter: Jiter<'a>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, peek: Peek, depth: usize) -> Result<Json<'a>> {
        Ok(match peek {
            Peek::Null => {
                self.jiter.known_null().map_err(|error| self.refuse(&error))?;
                Json::Null
            }
            Peek::True | Peek::False => Json::Bool(self.jiter.known_bool(peek).map_err(|error| self.refuse(&error))?),
            Peek::String => Json::String(self.string()?),
            Peek::Array => self.array(depth)?,
            Peek::Object => self.object(depth)?,
            _ => Json::Number(self.number(peek)?),
        })
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>> {
        let depth = self.deeper(depth)?;
        let mut items = Vec::new();
        let mut next = self.jiter.known_array().map_err(|error| self.refuse(&error))?;
        while let Some(peek) = next {
            items.push(self.value(peek, depth)?);
            next = self.jiter.array_step().map_err(|error| self.refuse(&error))?;
        }
        Ok(Json::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>> {
        let depth = self.deeper(depth)?;
        // Room for a usual document; objects inside it may be many, and small.
        let mut members = if depth == 1 { Vec::with_capacity(16) } else { Vec::new() };
        let text = self.text;
        let mut name = self.jiter.known_object().map(|name| name.map(|name| borrowed(text, name)));
        while let Some(key) = name.map_err(|error| self.refuse(&error))? {
            let peek = self.jiter.peek().map_err(|error| self.refuse(&error))?;
            let value = self.value(peek, depth)?;
            members.push((key, value));
            name = self.jiter.next_key().map(|name| name.map(|name| borrowed(text, name)));
        }
        match repeated(&members) {
            Some(name) => Err(malformed(format!("expected every name of an object once, got {name:?} twice"))),
            None => Ok(Json::Object(members)),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        let text = self.text;
        self.jiter.known_str().map(|string| borrowed(text, string)).map_err(|error| self.refuse(&error))
    }

    fn number(&mut self, peek: Peek) -> Result<Cow<'a, str>> {
        let start = self.jiter.current_index();
        self.jiter.known_number_bytes(peek).map(|_| ()).map_err(|error| self.refuse(&error))?;
        let text = self.text.get(start..self.jiter.current_index()).unwrap_or_default();
        // Only a number of many digits or with an exponent can leave the range of a double.
        let may_overflow = text.len() > 300 || text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
        if may_overflow && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(StorageError::new(
                ErrorKind::Invalid,
                StorageTier::Api,
                "read JSON",
                format!("expected numbers within the range of a double (about ±1.8e308), got {}", short(text)),
            ));
        }
        Ok(Cow::Borrowed(text))
    }

    fn deeper(&self, depth: usize) -> Result<usize> {
        if depth < JSON_MAX_DEPTH {
            return Ok(depth + 1);
        }
        Err(malformed(format!("expected at most {JSON_MAX_DEPTH} levels of nesting, got more")))
    }

    fn refuse(&self, error: &JiterError) -> StorageError {
        let position = self.jiter.error_position(error.index);
        malformed(format!(
            "expected JSON, got an error at line {}, column {}: {}",
            position.line, position.column, error.error_type
        ))
    }
}

/// A string that was read from a text: where it lies in the text a part of it, else (it had escapes) a copy.
fn borrowed<'a>(text: &'a str, string: &str) -> Cow<'a, str> {
    let part = string.as_ptr().addr().checked_sub(text.as_ptr().addr());
    match part.and_then(|start| text.get(start..start.checked_add(string.len())?)) {
        Some(part) => Cow::Borrowed(part),
        None => Cow::Owned(string.to_owned()),
    }
}

fn repeated<'m>(members: &'m Members<'_>) -> Option<&'m str> {
    const FEW: usize = 16;
    if members.len() <= FEW {
        let mut rest = members.as_slice();
        while let [(name, _), tail @ ..] = rest {
            if tail.iter().any(|(other, _)| other == name) {
                return Some(name);
            }
            rest = tail;
        }
        return None;
    }
    let mut seen = HashSet::with_capacity(members.len());
    members.iter().map(|(name, _)| name.as_ref()).find(|name| !seen.insert(*name))
}

fn short(text: &str) -> &str {
    text.get(..text.len().min(40)).unwrap_or(text)
}

fn malformed(message: String) -> StorageError {
    StorageError::new(ErrorKind::Malformed, StorageTier::Api, "read JSON", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arbitrary() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..20)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(value in arbitrary(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let parsed = Json::parse(&text).unwrap();
            let written = parsed.to_text();
            let back: serde_json::Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(&back, &serde_json::from_str::<serde_json::Value>(&text).unwrap());
            prop_assert!(parsed.same(&Json::parse(&written).unwrap()));
        }

        #[test]
        fn refuses_what_serde_json_refuses(text in "[\\[\\]{},:\"a0-9.eE+\\- \\\\ud8tnrlfs]{0,24}") {
            let ours = Json::parse(&text);
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(_) => if let Err(error) = ours {
                    prop_assert!(error.message().contains("twice"), "{} on {}", error, text);
                },
                Err(_) => prop_assert!(ours.is_err(), "accepted {}", text),
            }
        }
    }

    #[test]
    fn keeps_the_text_of_numbers() {
        let text = r#"{"a":1.0,"b":1e3,"c":9007199254740993,"d":-0,"e":10.50,"f":123456789012345678901234567890}"#;
        assert_eq!(Json::parse(text).unwrap().to_text(), text);
    }

    #[test]
    fn refuses_what_is_no_json() {
        for bad in [
            "",
            " ",
            "NaN",
            "Infinity",
            "-Infinity",
            "{\"a\":NaN}",
            "01",
            "1.",
            ".5",
            "+1",
            "{a:1}",
            "{\"a\":1,}",
            "[1,]",
            "'a'",
            "\"a",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"\t\"",
            "{} {}",
            "nul",
            "[1 2]",
            "{\"a\" 1}",
            "// x",
            "\u{feff}{}",
            "{\"a\":1,\"a\":2}",
            "1e",
            "-",
        ] {
            let error = Json::parse(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Malformed, "{bad}: {error}");
        }
        assert_eq!(Json::parse("1e400").unwrap_err().kind(), ErrorKind::Invalid);
        let long_number = "9".repeat(400);
        assert_eq!(Json::parse(&long_number).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        Json::parse(&nested(JSON_MAX_DEPTH)).unwrap();
        assert!(Json::parse(&nested(JSON_MAX_DEPTH + 1)).is_err());
        assert!(Json::parse(&nested(10_000)).is_err());
        assert!(Json::parse(&"{\"a\":".repeat(10_000)).is_err());
    }

    #[test]
    fn finds_a_repeated_name_among_many() {
        let many: Vec<String> = (0..100).map(|number| format!("\"k{number}\":0")).collect();
        Json::parse(&format!("{{{}}}", many.join(","))).unwrap();
        assert!(Json::parse(&format!("{{{},\"k7\":1}}", many.join(","))).is_err());
    }

    #[test]
    fn sameness_ignores_order_but_not_number_text() {
        let same = |left: &str, right: &str| Json::parse(left).unwrap().same(&Json::parse(right).unwrap());
        assert!(same(r#"{"a":1,"b":[true,null]}"#, r#"{"b":[true,null],"a":1}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1.0}"#));
        assert!(!same(r#"{"a":null}"#, r#"{}"#));
        assert!(same(r#""\u00e9\n""#, "\"é\\n\""));
    }
}
