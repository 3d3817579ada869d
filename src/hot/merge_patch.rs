//! RFC 7396 merge patch over [`Json`], which keeps the text of numbers.
//!
//! The recursion is bounded, because a parsed value's nesting is.

use std::collections::HashMap;

use crate::types::Json;

/// Applies `patch` to `target`.
pub fn merge_patch<'a>(target: Json<'a>, patch: Json<'a>) -> Json<'a> {
    let Json::Object(changes) = patch else { return patch };
    let members = match target {
        Json::Object(members) => members,
        _ => Vec::new(),
    };
    let places: HashMap<String, usize> =
        members.iter().enumerate().map(|(place, (name, _))| (name.to_string(), place)).collect();
    let mut slots: Vec<Option<_>> = members.into_iter().map(Some).collect();
    for (name, change) in changes {
        let slot = places.get(name.as_ref()).and_then(|place| slots.get_mut(*place));
        match (change, slot) {
            (Json::Null, Some(slot)) => *slot = None,
            (Json::Null, None) => {}
            (change, Some(slot)) => {
                let before = slot.take().map_or(Json::Null, |(_, value)| value);
                *slot = Some((name, merge_patch(before, change)));
            }
            (change, None) => slots.push(Some((name, merge_patch(Json::Null, change)))),
        }
    }
    Json::Object(slots.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test cases of RFC 7396, appendix A.
    #[test]
    fn the_cases_of_the_rfc() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let merged = merge_patch(Json::parse(target).unwrap(), Json::parse(patch).unwrap());
            assert_eq!(merged.to_text(), result, "{target} patched with {patch}");
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        let merged = merge_patch(
            Json::parse(r#"{"a":1.0,"n":{"x":1e2}}"#).unwrap(),
            Json::parse(r#"{"n":{"y":10.50}}"#).unwrap(),
        );
        assert_eq!(merged.to_text(), r#"{"a":1.0,"n":{"x":1e2,"y":10.50}}"#);
    }
}
