//! Namespaces: an object's type, and below it the object. Names that no object can have are no namespaces.

use crate::cold::paths::ROOT;
use crate::types::names::{ObjectName, check_name};

/// A namespace that may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// All objects of a type. It has namespaces, and no tables.
    Type(String),
    /// One object, which has tables.
    Object(ObjectName),
}

impl Namespace {
    /// The namespace of one or two levels; `None` for what cannot be one.
    pub fn of_levels(levels: &[&str]) -> Option<Self> {
        match levels {
            [doc_type] => check_name("type", doc_type).is_ok().then(|| Self::Type((*doc_type).to_owned())),
            [doc_type, doc_id] => ObjectName::new(doc_type, doc_id).ok().map(Self::Object),
            _ => None,
        }
    }

    /// Its levels, the outermost first.
    pub fn levels(&self) -> Vec<&str> {
        match self {
            Self::Type(doc_type) => vec![doc_type],
            Self::Object(name) => vec![&name.doc_type, &name.doc_id],
        }
    }

    /// The folder that holds it, without a slash at the end.
    pub fn folder(&self) -> String {
        match self {
            Self::Type(doc_type) => format!("{ROOT}/{doc_type}"),
            Self::Object(name) => format!("{ROOT}/{}", name.path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_one_level_or_two() {
        let folder = |levels: &[&str]| Namespace::of_levels(levels).map(|namespace| namespace.folder());
        assert_eq!(folder(&["demo"]).as_deref(), Some("iceberg/demo"));
        assert_eq!(folder(&["demo", "1"]).as_deref(), Some("iceberg/demo/1"));
        for wrong in [&[][..], &[""], &[".."], &["a/b"], &["demo", ""], &["demo", ".."], &["demo", "1", "movies"]] {
            assert_eq!(folder(wrong), None, "{wrong:?}");
        }
        assert_eq!(Namespace::of_levels(&["demo", "1"]).unwrap().levels(), ["demo", "1"]);
    }
}
