//! Values as queries order and tell them: null, booleans, numbers by value, strings, and JSON by its text.

use std::cmp::Ordering;

use serde_json::Value;

#[derive(Clone, Debug)]
pub enum Key {
    Null,
    Bool(bool),
    Integer(i128),
    /// No integer of 128 bits.
    Double(f64),
    Text(String),
    Json(String),
}

impl Key {
    pub fn of(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Null,
            Some(Value::Bool(value)) => Self::Bool(*value),
            Some(Value::Number(number)) => match number.as_i64() {
                Some(integer) => Self::Integer(i128::from(integer)),
                None => Self::of_double(number.as_f64().unwrap()),
            },
            Some(Value::String(text)) => Self::Text(text.clone()),
            Some(other) => Self::Json(other.to_string()),
        }
    }

    pub fn of_double(value: f64) -> Self {
        if value.fract() == 0.0 && value.abs() < 1e38 { Self::Integer(value as i128) } else { Self::Double(value) }
    }

    /// Whether an answer tells it: a double by any text that says it.
    pub fn is_told_by(&self, value: &Value) -> bool {
        match self {
            Self::Double(double) => value.as_f64() == Some(*double),
            other => Self::of(Some(value)) == *other,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Integer(_) | Self::Double(_) => 2,
            Self::Text(_) => 3,
            Self::Json(_) => 4,
        }
    }

    /// The order of two values of one kind.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        (self.rank() == other.rank()).then(|| self.cmp(other))
    }
}

fn mixed(integer: i128, double: f64) -> Ordering {
    match Key::of_double(double) {
        Key::Integer(whole) => integer.cmp(&whole),
        // With a fraction, or beyond all integers: the integer may be rounded to compare it.
        _ => (integer as f64).total_cmp(&double),
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            (Self::Double(left), Self::Double(right)) => left.total_cmp(right),
            (Self::Integer(left), Self::Double(right)) => mixed(*left, *right),
            (Self::Double(left), Self::Integer(right)) => mixed(*right, *left).reverse(),
            (Self::Text(left), Self::Text(right)) | (Self::Json(left), Self::Json(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

/// The value at a path: of its whole name, else inside others.
fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    let (name, rest) = path.split_once('.')?;
    find(value.get(name)?, rest)
}

pub fn key_at(document: &Value, path: &str) -> Key {
    Key::of(find(document, path))
}
