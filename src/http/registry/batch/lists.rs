//! Lines that are hashes: records as JSON, one hash a line, or a table of comma-separated values.
//!
//! A hash that comes without an asset gets one of its own, named by the hash, so that a list that is sent again finds what it
//! has made.

use super::csv::CsvReader;
use crate::engine::Engine;
use crate::engine::registry::schema::{ASSETS, HASHES};
use crate::engine::registry::{HashBody, HashFields, asset_id_of_hash, asset_of_hash, inserting, invalid, read_hash};
use crate::error::{ErrorKind, Result, StorageError};
use crate::http::body::parse;
use crate::http::import::stream::{Entry, Line, ReadLines, line_text};
use crate::types::StorageTier;
use crate::types::names::{check_document_id, quoted};

/// Names that the column of hashes has, the first that is there: our own, those of `threatexchange dataset --csv`, of
/// ThreatExchange's API and its interface, and common ones.
const HASH_COLUMNS: [&str; 8] =
    ["pdq_hash", "pdqhash", "signal_str", "raw_indicator", "td_raw_indicator", "indicator", "hash", "value"];
const TYPE_COLUMNS: [&str; 3] = ["signal_type", "type", "indicator_type"];
const QUALITY_COLUMNS: [&str; 3] = ["pdq_quality", "pdqquality", "quality"];
const ASSET_COLUMNS: [&str; 2] = ["asset_id", "assetid"];
/// What a kind of hash is called that is a PDQ hash.
const PDQ_TYPES: [&str; 3] = ["", "pdq", "hash_pdq"];

/// Lines of which each is the body of an insert.
pub struct JsonLines<'e>(pub &'e Engine);

impl ReadLines for JsonLines<'_> {
    fn read(&mut self, line: &[u8]) -> Result<Line> {
        let text = line_text(line)?;
        if text.trim().is_empty() {
            return Ok(Line::Nothing);
        }
        let hash: HashBody<'_> = parse(text, "insert hash")?;
        let record = hash.record(None, &self.0.new_id()?, self.0.now_ms())?;
        let bytes = record.document.text.len();
        Ok(Line::Entry(Box::new(Entry { owner: None, write: inserting(HASHES, record.document), bytes })))
    }
}

/// Lines of which each is a hash.
pub struct PlainLines<'e> {
    /// Where they go.
    pub engine: &'e Engine,
    /// The quality of all.
    pub quality: u8,
}

impl ReadLines for PlainLines<'_> {
    fn read(&mut self, line: &[u8]) -> Result<Line> {
        let text = line_text(line)?.trim_start_matches('\u{feff}').trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(Line::Nothing);
        }
        let hash = match text.split_once(char::is_whitespace) {
            Some((kind, hash)) if kind.eq_ignore_ascii_case("pdq") => hash.trim(),
            _ => text,
        };
        entry(self.engine, hash, self.quality, None)
    }
}

/// A table of comma-separated values.
pub struct Table<'e> {
    engine: &'e Engine,
    quality: u8,
    csv: CsvReader,
    columns: Option<Columns>,
}

/// Where in a record is what.
struct Columns {
    hash: usize,
    kind: Option<usize>,
    quality: Option<usize>,
    asset: Option<usize>,
}

impl Columns {
    fn of(header: &[String]) -> Result<Self> {
        let names: Vec<String> = header.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
        let place =
            |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name.as_str() == *known));
        let hash = place(&HASH_COLUMNS).ok_or_else(|| {
            let (names, got) = (HASH_COLUMNS.join(", "), quoted(&header.join(",")));
            unreadable(format!("expected a first line that names one of the columns {names}, got {got}"))
        })?;
        let (kind, quality, asset) = (place(&TYPE_COLUMNS), place(&QUALITY_COLUMNS), place(&ASSET_COLUMNS));
        Ok(Self { hash, kind, quality, asset })
    }
}

impl<'e> Table<'e> {
    /// A table of which nothing is read yet; `quality` is that of hashes which have none of their own.
    pub fn new(engine: &'e Engine, quality: u8) -> Self {
        Self { engine, quality, csv: CsvReader::default(), columns: None }
    }
}

impl ReadLines for Table<'_> {
    fn read(&mut self, line: &[u8]) -> Result<Line> {
        let text = line_text(line)?;
        let text = if self.columns.is_none() { text.trim_start_matches('\u{feff}') } else { text };
        if text.trim().is_empty() && !self.csv.is_within_record() {
            return Ok(Line::Nothing);
        }
        let Some(fields) = self.csv.read(text)? else { return Ok(Line::Nothing) };
        let Some(columns) = &self.columns else {
            return Ok(match Columns::of(&fields) {
                Ok(columns) => {
                    self.columns = Some(columns);
                    Line::Nothing
                }
                Err(error) => Line::Unreadable(error),
            });
        };
        let field = |place: Option<usize>| place.and_then(|place| fields.get(place)).map_or("", |field| field.trim());
        if !PDQ_TYPES.iter().any(|known| field(columns.kind).eq_ignore_ascii_case(known)) {
            return Ok(Line::Skipped);
        }
        let quality = match field(columns.quality) {
            "" => self.quality,
            text => text.parse().ok().filter(|quality| *quality <= 100).ok_or_else(|| {
                invalid("/quality", format!("expected an integer from 0 to 100, got {}", quoted(text)))
            })?,
        };
        let asset = Some(field(columns.asset)).filter(|asset| !asset.is_empty());
        entry(self.engine, field(Some(columns.hash)), quality, asset)
    }

    fn wants_all(&self) -> bool {
        self.columns.is_none()
    }

    fn end(&mut self) -> Result<()> {
        if self.csv.is_within_record() {
            return Err(unreadable("expected a quoted field to end, got the end of the body".to_owned()));
        }
        Ok(())
    }
}

fn unreadable(message: String) -> StorageError {
    StorageError::new(ErrorKind::Invalid, StorageTier::Api, "read table", message)
}

/// A hash of an asset that is there, or of one of its own.
fn entry(engine: &Engine, hash: &str, quality: u8, asset: Option<&str>) -> Result<Line> {
    let (hash, now) = (read_hash("/pdqHash", hash)?, engine.now_ms());
    let asset_id = match asset {
        Some(asset) => {
            check_document_id(asset)?;
            asset.to_owned()
        }
        None => asset_id_of_hash(hash),
    };
    let owner = match asset {
        Some(_) => None,
        None => Some(asset_of_hash(hash, &engine.new_id()?, now)?),
    };
    let record = HashFields { asset_id, hash, quality }.record(&engine.new_id()?, now)?;
    let bytes = owner.as_ref().map_or(0, |owner| owner.text.len()).saturating_add(record.document.text.len());
    let owner = owner.map(|owner| inserting(ASSETS, owner));
    Ok(Line::Entry(Box::new(Entry { owner, write: inserting(HASHES, record.document), bytes })))
}
