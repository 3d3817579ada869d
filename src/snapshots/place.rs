//! Where the rows of an evicted segment are: stored with its stub as versioned JSON.

use serde::{Deserialize, Serialize};

use crate::cold::DataFile;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

const FORMAT: u32 = 1;

/// Rows of a data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    format: u32,
    /// The position of the segment's first row.
    pub first_row: u32,
    /// The file, without what is told of its columns: the stub knows better.
    pub file: DataFile,
}

impl Place {
    /// Where part `number` of a file is.
    pub fn of(file: &DataFile, number: i64) -> Option<Self> {
        let before = file.parts.iter().take_while(|part| part.number != number).map(|part| part.rows);
        let first_row = u32::try_from(before.fold(0, i64::saturating_add)).ok()?;
        file.parts.iter().any(|part| part.number == number).then(|| {
            let file = DataFile { columns: Vec::new(), parts: Vec::new(), split_offsets: Vec::new(), ..file.clone() };
            Self { format: FORMAT, first_row, file }
        })
    }

    /// Its stored form.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            let message = "expected a place that can be written";
            StorageError::new(ErrorKind::Internal, StorageTier::Cold, "evict segment", message).caused_by(error)
        })
    }

    /// Reads a stored form.
    pub fn from_text(text: &str) -> Result<Self> {
        let corrupt =
            |message: &'static str| StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "read stub", message);
        let place: Self = serde_json::from_str(text)
            .map_err(|error| corrupt("expected a place of rows, got other text").caused_by(error))?;
        match place.format {
            FORMAT => Ok(place),
            _ => Err(corrupt("expected a place of format 1; a newer program wrote this object")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_of_version_1_is_read() {
        let text = r#"{"format":1,"firstRow":70,"file":{"format":2,"key":"k","month":650,"recordCount":100,"fileSize":500,"checksum":1,"footerSize":100,"footerChecksum":2,"splitOffsets":[],"columns":[],"stray":[]}}"#;
        let place = Place::from_text(text).unwrap();
        assert_eq!((place.first_row, place.file.key.as_str()), (70, "k"));
        assert_eq!(place.to_text().unwrap(), text);
        assert!(Place::from_text(&text.replace("{\"format\":1", "{\"format\":2")).is_err());
        assert!(Place::from_text("{}").is_err());
    }

    #[test]
    fn a_part_begins_where_those_before_it_end() {
        let text = r#"{"format":2,"parts":[{"number":5,"rows":10},{"number":3,"rows":7}],"key":"k","month":650,"recordCount":17,"fileSize":500,"checksum":1,"footerSize":100,"footerChecksum":2,"splitOffsets":[],"columns":[],"stray":[]}"#;
        let file: DataFile = serde_json::from_str(text).unwrap();
        assert_eq!(Place::of(&file, 5).unwrap().first_row, 0);
        assert_eq!(Place::of(&file, 3).unwrap().first_row, 10);
        assert_eq!(Place::of(&file, 4), None);
    }
}
