//! Records of comma-separated values (RFC 4180), read line by line.
//!
//! A quoted field may have line ends in it: then a record is several lines. A quote within a field that did not begin with one
//! is a character like any other.

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::DOCUMENT_MAX_BYTES;
use crate::types::StorageTier;

/// Where in a record the reader is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before the first character of a field.
    #[default]
    Begin,
    /// In a field without quotes, or behind the last quote of one.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes: the last one, or one that is doubled.
    Quote,
}

/// A record that is read.
#[derive(Default)]
pub struct CsvReader {
    fields: Vec<String>,
    field: String,
    state: State,
    bytes: usize,
}

impl CsvReader {
    /// Reads a line without its end; the record, when it ends there.
    pub fn read(&mut self, line: &str) -> Result<Option<Vec<String>>> {
        self.bytes = self.bytes.saturating_add(line.len()).saturating_add(1);
        if self.bytes > DOCUMENT_MAX_BYTES {
            *self = Self::default();
            let message = format!("expected a record of at most {DOCUMENT_MAX_BYTES} bytes, got more");
            return Err(StorageError::new(ErrorKind::TooLarge, StorageTier::Api, "import", message));
        }
        for character in line.strip_suffix('\r').unwrap_or(line).chars() {
            self.take(character);
        }
        if self.state == State::Quoted {
            self.field.push('\n');
            return Ok(None);
        }
        self.end_field();
        self.bytes = 0;
        Ok(Some(std::mem::take(&mut self.fields)))
    }

    /// Whether a record has begun that has not ended.
    pub fn is_within_record(&self) -> bool {
        self.state == State::Quoted
    }

    fn take(&mut self, character: char) {
        self.state = match (self.state, character) {
            (State::Begin, '"') => State::Quoted,
            (State::Quoted, '"') => State::Quote,
            (State::Begin | State::Plain | State::Quote, ',') => return self.end_field(),
            (State::Quote, '"') | (State::Quoted, _) => {
                self.field.push(character);
                State::Quoted
            }
            (State::Begin | State::Plain | State::Quote, _) => {
                self.field.push(character);
                State::Plain
            }
        };
    }

    fn end_field(&mut self) {
        self.fields.push(std::mem::take(&mut self.field));
        self.state = State::Begin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<Vec<String>> {
        let mut reader = CsvReader::default();
        let found = text.split('\n').filter_map(|line| reader.read(line).unwrap()).collect();
        assert!(!reader.is_within_record(), "{text}");
        found
    }

    #[test]
    fn records_are_read_as_rfc_4180_has_them() {
        for (text, expected) in [
            ("a,b,c", vec![vec!["a", "b", "c"]]),
            ("a,b\r\nc,d\r", vec![vec!["a", "b"], vec!["c", "d"]]),
            ("\"a,b\",\"c\"\"d\"", vec![vec!["a,b", "c\"d"]]),
            ("\"a\nb\",c\nd,e", vec![vec!["a\nb", "c"], vec!["d", "e"]]),
            (",,", vec![vec!["", "", ""]]),
            ("\"\",x", vec![vec!["", "x"]]),
            ("a\"b,c", vec![vec!["a\"b", "c"]]),
            ("\"a\"b,c", vec![vec!["ab", "c"]]),
            ("ä,\"ö,ü\"", vec![vec!["ä", "ö,ü"]]),
        ] {
            assert_eq!(records(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_quote_that_never_ends_is_known_and_bounded() {
        let mut reader = CsvReader::default();
        assert_eq!(reader.read("a,\"b").unwrap(), None);
        assert!(reader.is_within_record());
        let line = "x".repeat(64 * 1_024);
        let refused = (0..20).find_map(|_| reader.read(&line).err()).unwrap();
        assert_eq!(refused.kind(), ErrorKind::TooLarge);
        assert_eq!(reader.read("a,b").unwrap().unwrap(), ["a", "b"], "it begins anew");
    }
}
