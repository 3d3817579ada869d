//! Entity tags of documents: `"<version>"`, and the conditions made of them (RFC 9110, section 13).

use super::message::Request;
use crate::engine::{Condition, Versions};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::{Sequence, StorageTier};

/// The tag of a version.
pub fn etag(version: Sequence) -> String {
    format!("\"{version}\"")
}

/// The conditions of a request that changes a document. Weak tags never match here (strong comparison).
pub fn write_condition(request: &Request) -> Result<Condition> {
    let read = |name| request.header(name).map(|value| versions(name, value, false)).transpose();
    Ok(Condition { if_match: read("if-match")?, if_none_match: read("if-none-match")? })
}

/// What `If-None-Match` of a read names (weak comparison).
pub fn known_versions(request: &Request) -> Result<Option<Versions>> {
    request.header("if-none-match").map(|value| versions("if-none-match", value, true)).transpose()
}

fn versions(header: &str, value: &str, weak: bool) -> Result<Versions> {
    if value.trim() == "*" {
        return Ok(Versions::Any);
    }
    let mut listed = Vec::new();
    for tag in value.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        let (is_weak, opaque) = tag.strip_prefix("W/").map_or((false, tag), |rest| (true, rest));
        let Some(opaque) = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Err(StorageError::new(
                ErrorKind::Malformed,
                StorageTier::Api,
                "read condition",
                format!(
                    "expected {header} to be * or entity tags in double quotes, got {}",
                    crate::types::names::quoted(tag)
                ),
            ));
        };
        // A tag that is no version is a tag that no document has.
        if let (Ok(version), true) = (opaque.parse(), weak || !is_weak) {
            listed.push(version);
        }
    }
    Ok(Versions::Listed(listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read() {
        assert_eq!(versions("if-match", "*", false).unwrap(), Versions::Any);
        assert_eq!(versions("if-match", "\"5\", \"7\"", false).unwrap(), Versions::Listed(vec![5, 7]));
        assert_eq!(versions("if-match", "W/\"5\"", false).unwrap(), Versions::Listed(vec![]));
        assert_eq!(versions("if-none-match", "W/\"5\"", true).unwrap(), Versions::Listed(vec![5]));
        assert_eq!(versions("if-match", "\"abc\"", false).unwrap(), Versions::Listed(vec![]));
        assert!(versions("if-match", "5", false).is_err());
        assert!(versions("if-match", "\"5", false).is_err());
    }
}
