//! Which files leave a change log, and up to where the log was told when they have left.
//!
//! Pure. Whole files leave, when their last event is old enough: so what is left begins with a whole file. Commit times
//! never decrease along the log, so that these are the first files.

use super::data_file::DataFile;
use super::schema::change_fields;
use crate::types::time::MICROS_PER_MILLI;
use crate::types::{Sequence, Timestamp, sorting};

/// Files that leave a table in one commit, at most.
const FILES_MAX: usize = 1_000;

/// Up to where events have left the archived change log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiredEvents {
    /// The last sequence that is not told any more; 0 when all are.
    pub through: Sequence,
    /// When that event was committed.
    pub timestamp: Timestamp,
}

/// When the last event of a file was committed; `None` where that is not known, as of a file of an early version.
pub fn last_event_ms(file: &DataFile) -> Option<Timestamp> {
    Some(file.last_of(change_fields::TIMESTAMP)?.div_euclid(MICROS_PER_MILLI))
}

/// The positions in `files`, those of a change log, of the files whose events were all committed before a moment.
pub fn choose(files: &[&DataFile], before: Timestamp) -> Vec<usize> {
    let mut found: Vec<(Timestamp, usize)> = Vec::new();
    for (position, file) in files.iter().enumerate() {
        match last_event_ms(file) {
            Some(last) if last < before => found.push((last, position)),
            Some(_) | None => {}
        }
    }
    sorting::sort_by(&mut found, Ord::cmp);
    found.truncate(FILES_MAX);
    found.into_iter().map(|(_, position)| position).collect()
}

/// Up to where events are gone once these files are.
pub fn through<'f>(files: impl IntoIterator<Item = &'f DataFile>) -> ExpiredEvents {
    let mut gone = ExpiredEvents::default();
    for file in files {
        gone.through = gone.through.max(file.last_of(change_fields::SEQUENCE).unwrap_or(0));
        gone.timestamp = gone.timestamp.max(last_event_ms(file).unwrap_or(0));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(last: i64, timestamp_ms: i64) -> DataFile {
        let bound = |id: i32, value: i64| {
            let bytes = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value.to_le_bytes());
            format!(r#"{{"id":{id},"size":1,"nulls":0,"lower":"{bytes}","upper":"{bytes}"}}"#)
        };
        let columns = format!(
            "{},{}",
            bound(change_fields::SEQUENCE, last),
            bound(change_fields::TIMESTAMP, timestamp_ms * 1_000)
        );
        let text = format!(
            r#"{{"format":2,"key":"k{last}","month":1,"recordCount":1,"fileSize":1,"checksum":1,"footerSize":1,"footerChecksum":1,"splitOffsets":[],"columns":[{columns}],"stray":[]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn chosen(files: &[DataFile], before: i64) -> Vec<usize> {
        choose(&files.iter().collect::<Vec<_>>(), before)
    }

    #[test]
    fn files_leave_when_their_last_event_is_old_enough() {
        let files = [file(9, 30), file(3, 10), file(6, 20)];
        assert_eq!(chosen(&files, 10), [0; 0]);
        assert_eq!(chosen(&files, 11), [1]);
        assert_eq!(chosen(&files, 30), [1, 2]);
        assert_eq!(chosen(&files, i64::MAX), [1, 2, 0]);
        let gone = through([&files[1], &files[2]]);
        assert_eq!(gone, ExpiredEvents { through: 6, timestamp: 20 });
        assert_eq!(through([]), ExpiredEvents::default());
    }

    #[test]
    fn a_file_of_which_it_is_not_known_stays() {
        let mut unknown = file(3, 10);
        unknown.columns.clear();
        assert_eq!(chosen(&[unknown, file(6, 20)], 100), [1]);
    }

    #[test]
    fn the_oldest_leave_first_when_there_are_many() {
        let files: Vec<DataFile> = (0..1_500).rev().map(|n| file(n, n)).collect();
        let chosen = chosen(&files, 2_000);
        assert_eq!((chosen.len(), chosen[0], chosen[999]), (1_000, 1_499, 500));
    }
}
