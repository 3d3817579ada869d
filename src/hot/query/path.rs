//! The name of a field, perhaps inside others: `city`, `address.zip`.

use crate::types::Json;

/// A dotted path into a document.
///
/// A field whose own name has dots is found before one inside others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(String);

impl FieldPath {
    /// A path as it was written.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value at this path; `None` when there is none or when it is null.
    pub fn find<'v, 'j>(&self, document: &'v Json<'j>) -> Option<&'v Json<'j>> {
        find(document, &self.0).filter(|value| !matches!(value, Json::Null))
    }
}

fn find<'v, 'j>(value: &'v Json<'j>, path: &str) -> Option<&'v Json<'j>> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    let (name, rest) = path.split_once('.')?;
    find(value.get(name)?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_nested_and_dotted_names() {
        let document = Json::parse(r#"{"a":{"b":{"c":1},"b.c":2},"a.b":3,"n":null,"l":[1]}"#).unwrap();
        let find = |path: &str| FieldPath::new(path).find(&document).map(Json::to_text);
        assert_eq!(find("a.b").as_deref(), Some("3"));
        assert_eq!(find("a.b.c").as_deref(), Some("2"));
        assert_eq!(find("n"), None);
        assert_eq!(find("l.0"), None);
        assert_eq!(find("a.x"), None);
        assert_eq!(find(""), None);
    }
}
