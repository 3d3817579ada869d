//! The base of all locations (`cold.baseUri`) as an S3 address: what engines call the bucket, and what they put before a key.

/// A base that engines reach by S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Base {
    bucket: String,
    /// What keys begin with there and not here: empty, or with a slash at the end.
    prefix: String,
}

impl S3Base {
    /// The base of a URI; `None` when it is no address of S3.
    pub fn parse(base_uri: &str) -> Option<Self> {
        let (scheme, rest) = base_uri.split_once("://")?;
        if !["s3", "s3a", "s3n"].contains(&scheme) {
            return None;
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        (!bucket.is_empty()).then(|| Self { bucket: bucket.to_owned(), prefix })
    }

    /// The key in our bucket of what engines ask for; `None` outside the base.
    pub fn key<'k>(&self, bucket: &str, key: &'k str) -> Option<&'k str> {
        if bucket != self.bucket {
            return None;
        }
        key.strip_prefix(self.prefix.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_below_the_base() {
        let plain = S3Base::parse("s3://cold").unwrap();
        assert_eq!(plain.key("cold", "iceberg/x"), Some("iceberg/x"));
        assert_eq!(plain.key("other", "iceberg/x"), None);
        let prefixed = S3Base::parse("s3a://b/p/q").unwrap();
        assert_eq!(prefixed.key("b", "p/q/iceberg/x"), Some("iceberg/x"));
        assert_eq!(prefixed.key("b", "iceberg/x"), None);
        assert_eq!(prefixed.key("b", "p/qiceberg/x"), None);
    }

    #[test]
    fn other_bases_are_not_of_s3() {
        for other in ["file:///tmp/x", "cold", "s3://", "s3:///p", "https://host/cold", ""] {
            assert_eq!(S3Base::parse(other), None, "{other}");
        }
    }
}
