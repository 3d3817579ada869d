//! The keys of the cache: `https://thermocline.cache/{type}/{id}/{generation}/{class}/{key}`.
//!
//! Every key begins with its object. A generation is a number that the object counts up, after the moment at which the
//! object was made: an object that is made again under a name shares no key with the one before. Files of tables never
//! change, so their keys need no generation. Nothing decoded can leave its segment of the path.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::WarmConfig;
use crate::types::Timestamp;
use crate::types::names::ObjectName;

const ORIGIN: &str = "https://thermocline.cache";
/// What needs no encoding in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What lives equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheClass {
    /// Documents of collections.
    Document,
    /// Values that can be made again.
    Cache,
    /// Values of somebody's session.
    Session,
    /// Values that are needed for a short time.
    Temporary,
}

impl CacheClass {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Document, Self::Cache, Self::Session, Self::Temporary];

    /// Their names in keys.
    pub const NAMES: [&str; 4] = ["document", "cache", "session", "temporary"];

    /// Its name in keys.
    pub fn name(self) -> &'static str {
        let [document, cache, session, temporary] = Self::NAMES;
        match self {
            Self::Document => document,
            Self::Cache => cache,
            Self::Session => session,
            Self::Temporary => temporary,
        }
    }

    /// How long its values live.
    pub fn ttl_secs(self, config: &WarmConfig) -> u32 {
        match self {
            Self::Document => config.default_ttl_secs,
            Self::Cache => config.cache_ttl_secs,
            Self::Session => config.session_ttl_secs,
            Self::Temporary => config.temporary_ttl_secs,
        }
    }
}

/// The name in keys of an object's generation.
pub fn generation_name(created: Timestamp, generation: i64) -> String {
    format!("{created}-{generation}")
}

/// Whether a text may be the name of a generation.
pub fn is_generation_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 41 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// The key of an object's current generation.
pub fn generation_key(name: &ObjectName) -> String {
    format!("{ORIGIN}/{}/generation", name.path())
}

/// The key of a value of a class; `path` is what tells it from others of the class.
pub fn class_key(name: &ObjectName, generation: &str, class: CacheClass, path: &[&str]) -> String {
    let mut key = format!("{ORIGIN}/{}/{generation}/{}", name.path(), class.name());
    for segment in path {
        key.push('/');
        key.extend(utf8_percent_encode(segment, SEGMENT));
    }
    key
}

/// The key of a document of an object's generation.
pub fn document_key(name: &ObjectName, generation: &str, collection: &str, id: &str) -> String {
    class_key(name, generation, CacheClass::Document, &[collection, id])
}

/// The key of a range of an object's file, or of all of it.
pub fn file_key(name: &ObjectName, key: &str, range: Option<&Range<u64>>) -> String {
    let range = range.map_or_else(|| "whole".to_owned(), |range| format!("{}-{}", range.start, range.end));
    format!("{ORIGIN}/{}/file/{}/{range}", name.path(), utf8_percent_encode(key, SEGMENT))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_tell_objects_generations_classes_and_values_apart() {
        let name = ObjectName::new("demo", "1").unwrap();
        assert_eq!(
            document_key(&name, &generation_name(17, 3), "movies", "a/b?é"),
            "https://thermocline.cache/demo/1/17-3/document/movies/a%2Fb%3F%C3%A9"
        );
        assert_eq!(generation_key(&name), "https://thermocline.cache/demo/1/generation");
        assert_eq!(
            file_key(&name, "iceberg/demo/1/movies/data/a.parquet", Some(&(5..9))),
            "https://thermocline.cache/demo/1/file/iceberg%2Fdemo%2F1%2Fmovies%2Fdata%2Fa.parquet/5-9"
        );
        let mut keys = BTreeSet::new();
        for name in [("demo", "1"), ("demo", "11"), ("demo1", "1"), ("1", "demo")] {
            let name = ObjectName::new(name.0, name.1).unwrap();
            assert!(keys.insert(generation_key(&name)) && keys.insert(file_key(&name, "a", None)));
            assert!(keys.insert(file_key(&name, "a", Some(&(0..1)))) && keys.insert(file_key(&name, "a/whole", None)));
            for generation in ["1-1", "1-11", "11-1"] {
                for class in CacheClass::ALL {
                    for path in [&["a", "b"][..], &["a/b"], &["a", "b", ""], &["ab"], &["a%2Fb"], &[]] {
                        assert!(keys.insert(class_key(&name, generation, class, path)), "{path:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn classes_live_as_long_as_is_configured() {
        let config = WarmConfig::default();
        assert_eq!(CacheClass::ALL.map(|class| class.ttl_secs(&config)), [300, 3_600, 1_800, 300]);
    }

    #[test]
    fn generations_have_plain_names() {
        assert!(is_generation_name(&generation_name(i64::MIN, i64::MIN)));
        for other in ["", "a", "1/2", "1-1/../2", &"1".repeat(42)] {
            assert!(!is_generation_name(other), "{other}");
        }
    }
}
