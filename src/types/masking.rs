//! Fields that are hidden from those who may not see them.
//!
//! Invariants: what a rule hides is hidden wherever its path leads, by members whose own names have dots and through arrays
//! too; what is not hidden keeps its place and the text of its numbers; what is absent or null stays so; nothing here
//! changes what is stored.

use std::rc::Rc;

use super::Json;
use crate::config::{MaskRule, MaskWith, Masking};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

const REDACTED: &str = "[redacted]";
/// Texts that are shorter show nothing: their last characters would be much of them.
const LAST4_MIN_CHARACTERS: usize = 9;

/// Fields of a collection, and where another one shows what they have: a registry's log tells of hashes that are near and of
/// lineages that differ.
pub const SHOWN_AGAIN: [(&str, &str, &str, &str); 4] = [
    ("hash_records", "manifestLineage", "collision_log", "lineageDiff"),
    ("hash_records", "manifestLineage", "collision_log", "conflictType.differs"),
    ("hash_records", "pdqHash", "collision_log", "similarityScores"),
    ("hash_records", "pdqHash", "collision_log", "conflictType.kind"),
];

/// Whose eyes: the roles that somebody holds, a bit each in the order of their names in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Viewer(u8);

impl Viewer {
    /// Somebody without any role.
    pub const NOBODY: Self = Self(0);
    /// Where everyone may do everything, and the program itself.
    pub const EVERYTHING: Self = Self(u8::MAX);

    /// Somebody who holds these roles.
    pub fn of_roles(bits: u8) -> Self {
        Self(bits)
    }

    /// The number by which a viewer is stored.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// What is hidden from one viewer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Masks(Rc<[MaskRule]>);

impl Default for Masks {
    fn default() -> Self {
        Self(Rc::from([]))
    }
}

impl Masks {
    /// The rules that hide something from a viewer.
    pub fn of(masking: &Masking, viewer: Viewer) -> Self {
        if viewer == Viewer::EVERYTHING {
            return Self::default();
        }
        let hiding = || masking.0.iter().filter(|rule| rule.show & viewer.0 == 0);
        let again = hiding().flat_map(|rule| {
            SHOWN_AGAIN.iter().filter(|(from, field, ..)| hides_some_of(rule, from, field)).map(|(.., to, path)| {
                MaskRule { collection: Some((*to).to_owned()), path: (*path).to_owned(), ..rule.clone() }
            })
        });
        Self(hiding().cloned().chain(again).collect())
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of_collection<'m>(&'m self, collection: &str) -> impl Iterator<Item = &'m MaskRule> {
        self.0.iter().filter(move |rule| rule.collection.as_deref().is_none_or(|name| name == collection))
    }

    /// Whether something of a collection's documents is hidden.
    pub fn hide_some_of(&self, collection: &str) -> bool {
        self.of_collection(collection).next().is_some()
    }

    /// A document, or a row of one, as the viewer may see it.
    pub fn apply(&self, collection: &str, text: String) -> Result<String> {
        self.apply_as(collection, text, &[])
    }

    /// The same of what shows some fields elsewhere than a document has them.
    pub fn apply_as(&self, collection: &str, text: String, shown_as: &[(&str, &[&str])]) -> Result<String> {
        if !self.hide_some_of(collection) {
            return Ok(text);
        }
        let mut document = Json::parse(&text)?;
        let mut changed = false;
        for rule in self.of_collection(collection) {
            let elsewhere = shown_as.iter().find(|(field, _)| *field == rule.path).map(|(_, paths)| *paths);
            for path in elsewhere.unwrap_or(&[rule.path.as_str()]) {
                changed |= hide(&mut document, path, rule.with);
            }
        }
        let masked = changed.then(|| document.to_text());
        Ok(masked.unwrap_or(text))
    }

    /// Refuses to look for documents by a field that is hidden, or that has or is part of one: what cannot be read could be
    /// found out by asking.
    pub fn check_path(&self, collection: &str, path: &str) -> Result<()> {
        let reaches = |rule: &&MaskRule| {
            rule.path == path || below(path, &rule.path).is_some() || below(&rule.path, path).is_some()
        };
        if self.of_collection(collection).any(|rule| reaches(&rule)) {
            let message = format!(
                "expected conditions, orders, groups and aggregates by fields that your roles may see, got {}, which is masked",
                super::names::quoted(path)
            );
            return Err(StorageError::new(ErrorKind::Forbidden, StorageTier::Api, "read query", message));
        }
        Ok(())
    }
}

/// Whether a rule hides a field of a collection, or something inside.
fn hides_some_of(rule: &MaskRule, collection: &str, field: &str) -> bool {
    rule.collection.as_deref().is_none_or(|name| name == collection)
        && (rule.path == field || below(&rule.path, field).is_some())
}

/// Hides what is at a path; whether there was something.
fn hide(value: &mut Json<'_>, path: &str, with: MaskWith) -> bool {
    match value {
        Json::Array(items) => items.iter_mut().fold(false, |changed, item| hide(item, path, with) | changed),
        Json::Object(members) => members.iter_mut().fold(false, |changed, (name, value)| {
            // A row of a query has members that are called by the path asked for, which may lead on into what is hidden.
            let here = if name == path || below(name, path).is_some() {
                replace(value, with)
            } else if let Some(rest) = below(path, name) {
                hide(value, rest, with)
            } else {
                false
            };
            here | changed
        }),
        _ => false,
    }
}

/// What of a path leads on below another.
fn below<'p>(path: &'p str, above: &str) -> Option<&'p str> {
    path.strip_prefix(above)?.strip_prefix('.')
}

fn replace(value: &mut Json<'_>, with: MaskWith) -> bool {
    let shown = match (&*value, with) {
        (Json::Null, _) => return false,
        (_, MaskWith::Null) => Json::Null,
        (Json::String(text), MaskWith::Last4) => Json::String(last4(text).into()),
        _ => Json::String(REDACTED.into()),
    };
    *value = shown;
    true
}

fn last4(text: &str) -> String {
    let length = text.chars().count();
    if length < LAST4_MIN_CHARACTERS {
        return REDACTED.to_owned();
    }
    text.chars().skip(length.saturating_sub(4)).fold("****".to_owned(), |mut shown, character| {
        shown.push(character);
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(path: &str, with: MaskWith) -> Masks {
        Masks(Rc::from([MaskRule { collection: Some("users".to_owned()), path: path.to_owned(), show: 16, with }]))
    }

    fn masked(path: &str, with: MaskWith, text: &str) -> String {
        masks(path, with).apply("users", text.to_owned()).unwrap()
    }

    #[test]
    fn a_value_is_hidden_wherever_its_path_leads_and_the_rest_is_kept() {
        let text = r#"{"id":"a","n":1.0,"c":{"e":"x@y","big":9007199254740993},"c.e":[1],"z":1e3}"#;
        let hidden = r#"{"id":"a","n":1.0,"c":{"e":"[redacted]","big":9007199254740993},"c.e":"[redacted]","z":1e3}"#;
        assert_eq!(masked("c.e", MaskWith::Redacted, text), hidden);
        assert_eq!(masked("c", MaskWith::Null, r#"{"c":{"e":1}}"#), r#"{"c":null}"#);
        assert_eq!(
            masked("l.e", MaskWith::Null, r#"{"l":[{"e":1},[{"e":2}],3]}"#),
            r#"{"l":[{"e":null},[{"e":null}],3]}"#
        );
        assert_eq!(masked("c.e", MaskWith::Null, r#"{"c.e.f":1,"c.ex":2}"#), r#"{"c.e.f":null,"c.ex":2}"#);
        for kept in [r#"{"id":"a" , "e":1}"#, r#"{"c":7}"#, r#"{"c":{"e":null}}"#, r#"{"c":{}}"#] {
            assert_eq!(masked("c.e", MaskWith::Redacted, kept), kept, "what is absent or null stays as it is");
        }
        let other = masks("c", MaskWith::Null).apply("films", r#"{"c":1}"#.to_owned()).unwrap();
        assert_eq!(other, r#"{"c":1}"#);
    }

    #[test]
    fn the_last_four_characters_are_those_of_a_longer_text() {
        let last = |value: &str| masked("c", MaskWith::Last4, &format!("{{\"c\":{value}}}"));
        assert_eq!(last(r#""4111111111111234""#), r#"{"c":"****1234"}"#);
        assert_eq!(last(r#""éééééüüüü""#), r#"{"c":"****üüüü"}"#);
        for short in [r#""12345678""#, "4111111111111234", "true", "{}", r#"["411111111111"]"#] {
            assert_eq!(last(short), r#"{"c":"[redacted]"}"#, "{short}");
        }
    }

    #[test]
    fn a_field_is_not_looked_for_by_those_who_may_not_see_it() {
        let masks = masks("c.e", MaskWith::Redacted);
        for hidden in ["c.e", "c", "c.e.f"] {
            assert_eq!(masks.check_path("users", hidden).unwrap_err().kind(), ErrorKind::Forbidden, "{hidden}");
            masks.check_path("films", hidden).unwrap();
        }
        for shown in ["c.ex", "ce", "e", "c.d", "id", ""] {
            masks.check_path("users", shown).unwrap();
        }
    }

    #[test]
    fn a_rule_is_of_those_who_hold_none_of_its_roles() {
        let rule = |show| MaskRule { collection: None, path: "x".to_owned(), show, with: MaskWith::Null };
        let masking = Masking(vec![rule(16), rule(0), rule(3)]);
        let count = |viewer| Masks::of(&masking, viewer).0.len();
        assert_eq!(count(Viewer::NOBODY), 3);
        assert_eq!(count(Viewer::of_roles(1)), 2);
        assert_eq!(count(Viewer::of_roles(31)), 1);
        assert_eq!(count(Viewer::EVERYTHING), 0);
    }
}
