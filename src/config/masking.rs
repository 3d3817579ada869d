//! The rules of `security.dataMasking`: which fields are hidden, from whom, and what stands in their place.
//!
//! `{"rules": [{"collection": "users", "path": "contact.email", "show": ["admin"], "with": "redacted"}]}`; `false` is no
//! rule. Invariant: a rule that is accepted hides something: nothing of it is ignored.

use serde_json::value::RawValue;

use super::read::{members, told};

/// Roles by name, in the order of their bits.
pub const ROLE_NAMES: [&str; 5] = ["reader", "writer", "reviewer", "auditor", "admin"];
/// Rules at most: each looks at every document that goes out.
const RULES_MAX: usize = 100;
const PATH_MAX_BYTES: usize = 512;
const COLLECTION_MAX_BYTES: usize = 63;
/// Who sees what no rule shows to anybody in particular.
const SHOWN_TO: u8 = 1 << 4;

/// What stands in place of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MaskWith {
    /// The text `[redacted]`.
    #[default]
    Redacted,
    /// `null`.
    Null,
    /// `****` and the last four characters of a text of at least nine; `[redacted]` for everything else.
    Last4,
}

impl MaskWith {
    const NAMED: [(&'static str, Self); 3] =
        [("redacted", Self::Redacted), ("null", Self::Null), ("last4", Self::Last4)];
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MaskRule {
    /// In this collection; `None` in all.
    pub collection: Option<String>,
    /// What is hidden, as queries name fields.
    pub path: String,
    /// The roles that see it all the same, a bit each.
    pub show: u8,
    /// What stands in its place.
    pub with: MaskWith,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masking(pub Vec<MaskRule>);

impl Masking {
    /// Reads the JSON object of the rules; an error is what was expected of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (name, value) in parts(text)? {
            if name != "rules" {
                return Err(format!("no key but rules, not {}", told(&name)));
            }
            let items: Vec<&RawValue> =
                serde_json::from_str(value.get()).map_err(|_| "rules to be a list".to_owned())?;
            for (position, item) in items.iter().enumerate().take(RULES_MAX.saturating_add(1)) {
                let rule = MaskRule::parse(item.get()).map_err(|expected| format!("rules[{position}] with {expected}"));
                rules.push(rule?);
            }
        }
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(format!("1 to {RULES_MAX} rules, or false"));
        }
        Ok(Self(rules))
    }

    /// The same as JSON.
    pub(super) fn json(&self) -> String {
        let rules = self.0.iter().map(MaskRule::json).collect::<Vec<_>>();
        format!("{{\"rules\":[{}]}}", rules.join(","))
    }
}

impl MaskRule {
    fn parse(text: &str) -> Result<Self, String> {
        let (mut collection, mut path, mut show, mut with) = (None, None, SHOWN_TO, MaskWith::default());
        for (name, value) in parts(text)? {
            let value = value.get();
            match name.as_str() {
                "collection" => collection = Some(read::<String>(value).filter(|name| is_collection(name))),
                "path" => path = read::<String>(value).filter(|path| is_path(path)),
                "show" => {
                    show = read::<Vec<String>>(value).and_then(|names| roles(&names)).ok_or_else(roles_expected)?
                }
                "with" => {
                    let named = read::<String>(value).unwrap_or_default();
                    let found = MaskWith::NAMED.into_iter().find(|(name, _)| *name == named);
                    with = found.ok_or_else(|| "\"with\": redacted, null or last4".to_owned())?.1;
                }
                other => return Err(format!("no keys but collection, path, show, with, not {}", told(other))),
            }
        }
        let collection = collection.flatten().ok_or_else(|| "\"collection\": a collection's name or *".to_owned())?;
        let path = path.ok_or_else(|| {
            format!("\"path\": a field's path of 1 to {PATH_MAX_BYTES} bytes, and not id, by which documents are found")
        })?;
        Ok(Self { collection: Some(collection).filter(|name| name != "*"), path, show, with })
    }

    fn json(&self) -> String {
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let shown = (0_u8..).zip(ROLE_NAMES).filter(|(bit, _)| self.show >> bit & 1 == 1);
        let shown = shown.map(|(_, name)| text(name)).collect::<Vec<_>>().join(",");
        let with = MaskWith::NAMED.into_iter().find(|(_, with)| *with == self.with).map_or("", |(name, _)| name);
        let (collection, path) = (text(self.collection.as_deref().unwrap_or("*")), text(&self.path));
        format!("{{\"collection\":{collection},\"path\":{path},\"show\":[{shown}],\"with\":{}}}", text(with))
    }
}

fn parts(text: &str) -> Result<Vec<(String, &RawValue)>, String> {
    members("", text).map_err(|error| match error.path.as_str() {
        "" => "an object of rules".to_owned(),
        path => format!("each key once, not {path} twice"),
    })
}

fn read<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn is_collection(name: &str) -> bool {
    let mut bytes = name.bytes();
    let is_name = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    name == "*" || (is_name && name.len() <= COLLECTION_MAX_BYTES)
}

fn is_path(path: &str) -> bool {
    (1..=PATH_MAX_BYTES).contains(&path.len()) && path != "id"
}

fn roles(names: &[String]) -> Option<u8> {
    names.iter().try_fold(0, |bits, name| {
        let (bit, _) = (0_u8..).zip(ROLE_NAMES).find(|(_, role)| role == name)?;
        Some(bits | 1 << bit)
    })
}

fn roles_expected() -> String {
    format!("\"show\": a list out of {}", ROLE_NAMES.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_told() {
        let text =
            r#"{"rules":[{"collection":"*","path":"a.b"},{"path":"c","with":"last4","show":[],"collection":"users"}]}"#;
        let masking = Masking::parse(text).unwrap();
        assert_eq!((masking.0[0].show, masking.0[1].show), (16, 0), "those who may do everything, and nobody");
        assert_eq!(Masking::parse(&masking.json()).unwrap(), masking);
    }

    #[test]
    fn what_is_no_rule_is_refused_by_its_place() {
        let rule = |text: &str| format!("{{\"rules\":[{{\"collection\":\"a\",\"path\":\"x\"}},{text}]}}");
        for (text, about) in [
            ("{}".to_owned(), "1 to 100"),
            ("[]".to_owned(), "object"),
            (r#"{"rules":[]}"#.to_owned(), "1 to 100"),
            (r#"{"rules":{}}"#.to_owned(), "list"),
            (r#"{"rule":[]}"#.to_owned(), "rule"),
            (r#"{"rules":[],"rules":[]}"#.to_owned(), "rules twice"),
            (rule("7"), "rules[1]"),
            (rule("{}"), "collection"),
            (rule(r#"{"collection":"A","path":"x"}"#), "collection"),
            (rule(r#"{"collection":"a"}"#), "path"),
            (rule(r#"{"collection":"a","path":""}"#), "path"),
            (rule(r#"{"collection":"a","path":"id"}"#), "id"),
            (rule(r#"{"collection":"a","path":1}"#), "path"),
            (rule(r#"{"collection":"a","path":"x","show":"admin"}"#), "show"),
            (rule(r#"{"collection":"a","path":"x","show":["king"]}"#), "show"),
            (rule(r#"{"collection":"a","path":"x","with":"md5"}"#), "with"),
            (rule(r#"{"collection":"a","path":"x","pth":"y"}"#), "pth"),
            (rule(r#"{"collection":"a","path":"x","path":"y"}"#), "path twice"),
        ] {
            let error = Masking::parse(&text).unwrap_err();
            assert!(error.contains(about), "{text}: {error}");
        }
        let many = vec![r#"{"collection":"a","path":"x"}"#; 101].join(",");
        assert!(Masking::parse(&format!("{{\"rules\":[{many}]}}")).is_err());
    }
}
