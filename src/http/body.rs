//! Request bodies that are JSON.

use serde::Deserialize;
use serde_path_to_error::Segment;

use super::message::Request;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::types::json::pointer_token;
use crate::types::names::quoted;

/// Reads a body of JSON text, `limit` bytes at most. A request that names another media type is refused.
pub async fn json_text(request: &mut Request, limit: usize, media_types: &[&str]) -> Result<String> {
    if let Some(media_type) = request.media_type()
        && !media_types.contains(&media_type.as_str())
    {
        return Err(StorageError::new(
            ErrorKind::UnsupportedMedia,
            StorageTier::Api,
            "read body",
            format!("expected content type {}, got {}", media_types.join(" or "), quoted(&media_type)),
        ));
    }
    String::from_utf8(request.read_body(limit).await?).map_err(|error| {
        let position = error.utf8_error().valid_up_to();
        StorageError::new(
            ErrorKind::Malformed,
            StorageTier::Api,
            "read body",
            format!("expected UTF-8, got other bytes at offset {position}"),
        )
        .caused_by(error)
    })
}

/// Reads a body of a known shape. A body that is no JSON is malformed; one of another shape is invalid, and the place is
/// named.
pub fn parse<'b, T: Deserialize<'b>>(text: &'b str, operation: &'static str) -> Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let MapOnly(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = error.path().iter().fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } => format!("{pointer}/{}", pointer_token(key)),
            Segment::Enum { .. } | Segment::Unknown => pointer,
        });
        let inner = error.into_inner();
        if inner.is_data() { invalid(operation).at(pointer, inner.to_string()) } else { malformed(operation, &inner) }
    })?;
    json.end().map_err(|error| malformed(operation, &error))?;
    Ok(value)
}

/// A value that must come as a JSON object: serde's derived structs take arrays, too.
#[derive(Default)]
pub struct MapOnly<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for MapOnly<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = MapOnly<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(MapOnly)
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

/// A request that is well-formed but not valid; the places are to be added.
pub fn invalid(operation: &'static str) -> StorageError {
    StorageError::new(
        ErrorKind::Invalid,
        StorageTier::Api,
        operation,
        "the request is well-formed but not valid; see errors",
    )
}

fn malformed(operation: &'static str, error: &serde_json::Error) -> StorageError {
    StorageError::new(
        ErrorKind::Malformed,
        StorageTier::Api,
        operation,
        format!("expected JSON, got an error: {error}"),
    )
}

/// A value as JSON bytes.
pub fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        StorageError::new(
            ErrorKind::Internal,
            StorageTier::Api,
            "render response",
            "expected the response to become JSON",
        )
        .caused_by(error)
    })
}
