//! The routes of the catalogue, and namespaces as paths spell them.

use matchit::{Params, Router};
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use crate::catalog::Namespace;
use crate::error::Result;
use crate::http::routes::router;

/// Between the levels of a namespace.
const LEVEL_SEPARATOR: char = '\u{1f}';

/// A route with its parameters, decoded and not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// What this catalogue can do.
    Config,
    /// All namespaces.
    Namespaces,
    /// One of them.
    Namespace(String),
    /// Its tables.
    Tables(String),
    /// One of those.
    Table(String, String),
}

#[derive(Clone, Copy)]
enum Pattern {
    Config,
    Namespaces,
    Namespace,
    Tables,
    Table,
}

const PATTERNS: [(&str, Pattern); 5] = [
    ("/iceberg/v1/config", Pattern::Config),
    ("/iceberg/v1/namespaces", Pattern::Namespaces),
    ("/iceberg/v1/namespaces/{namespace}", Pattern::Namespace),
    ("/iceberg/v1/namespaces/{namespace}/tables", Pattern::Tables),
    ("/iceberg/v1/namespaces/{namespace}/tables/{table}", Pattern::Table),
];

impl Pattern {
    fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Namespace | Self::Table => &["GET", "HEAD"],
            Self::Config | Self::Namespaces | Self::Tables => &["GET"],
        }
    }
}

/// All paths of the catalogue, with the names of their parameters in braces, and their methods.
pub fn paths() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    PATTERNS.iter().map(|(path, pattern)| (*path, pattern.methods()))
}

/// Finds routes.
pub struct Routes(Router<(&'static str, Pattern)>);

impl Routes {
    /// All routes of the catalogue.
    pub fn new() -> Result<Self> {
        router(&PATTERNS).map(Self)
    }

    /// The pattern of an encoded path, for the log.
    pub fn pattern(&self, path: &str) -> Option<&'static str> {
        self.0.at(path).ok().map(|found| found.value.0)
    }

    /// The route of an encoded path, which must be one that this method reads.
    pub fn find(&self, path: &str, method: &str) -> std::result::Result<Route, Refusal> {
        let reads = matches!(method, "GET" | "HEAD");
        let Ok(found) = self.0.at(path) else {
            // Views, transactions, renames: whatever it was to be, it was not reading a table.
            return Err(if reads { Refusal::no_route() } else { Refusal::read_only("GET, HEAD") });
        };
        let pattern = found.value.1;
        let allowed = pattern.methods();
        if !allowed.contains(&method) {
            return Err(Refusal::read_only(&allowed.join(", ")));
        }
        Ok(match pattern {
            Pattern::Config => Route::Config,
            Pattern::Namespaces => Route::Namespaces,
            Pattern::Namespace => Route::Namespace(decoded(&found.params, "namespace")?),
            Pattern::Tables => Route::Tables(decoded(&found.params, "namespace")?),
            Pattern::Table => Route::Table(decoded(&found.params, "namespace")?, decoded(&found.params, "table")?),
        })
    }
}

/// The namespace of a decoded path segment.
pub fn namespace_of(text: &str) -> Option<Namespace> {
    let levels: Vec<&str> = text.split(LEVEL_SEPARATOR).take(3).collect();
    Namespace::of_levels(&levels)
}

fn decoded(params: &Params<'_, '_>, name: &str) -> std::result::Result<String, Refusal> {
    let text = percent_decode_str(params.get(name).unwrap_or_default()).decode_utf8();
    text.map(std::borrow::Cow::into_owned)
        .map_err(|_| Refusal::malformed("expected the path to be percent-encoded UTF-8, got other bytes"))
}
