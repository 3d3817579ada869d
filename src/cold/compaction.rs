//! Which small files of a change log are merged next (spec, "Snapshots", operation `replace`).
//!
//! Pure. Only neighbours of one month are merged, so that files of a log never overlap and stay in the order of their
//! sequences. Files are in classes by size, each reaching eight times as far as the one below. Where eight of one class are
//! neighbours but for smaller ones between them, they become one of the next class; so a log of n commits has some multiple
//! of log n files, and an event is written again once a class.

use super::data_file::DataFile;

/// Files of a class that are merged into one of the next.
const FAN_IN: usize = 8;
/// Files of one merge, at most.
const INPUTS_MAX: usize = 64;
/// Bytes of a merged file, at most: it is built in memory.
pub const MERGED_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The size below which files are of the least class.
const LEAST_CLASS_BYTES: u64 = 16 * 1024;
/// The class of files that are large enough: of half the greatest size.
const LARGE_CLASS: u32 = 4;

/// The files to be merged next, as a range of `files`, which are those of a change log in the order of their sequences;
/// `None` when none need be.
pub fn choose(files: &[&DataFile]) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    for month in files.chunk_by(|left, right| left.month == right.month) {
        if let Some(range) = of_month(month) {
            return Some(start + range.start..start + range.end);
        }
        start += month.len();
    }
    None
}

fn of_month(files: &[&DataFile]) -> Option<std::ops::Range<usize>> {
    (0..LARGE_CLASS).find_map(|most| {
        let mut start = 0;
        for run in files.chunk_by(|left, right| (class(left) <= most) == (class(right) <= most)) {
            if run.iter().filter(|file| class(file) == most).count() >= FAN_IN
                && let Some(count) = fitting(run)
            {
                return Some(start..start + count);
            }
            start += run.len();
        }
        None
    })
}

/// How many of these, from the first on, fit one file together; `None` when they are not worth it.
fn fitting(files: &[&DataFile]) -> Option<usize> {
    let (mut count, mut bytes) = (0, 0_u64);
    for file in files.iter().take(INPUTS_MAX) {
        let with = bytes.saturating_add(file.file_size);
        if with > MERGED_MAX_BYTES {
            break;
        }
        (count, bytes) = (count + 1, with);
    }
    (count >= FAN_IN || (count > 1 && class_of(bytes) >= LARGE_CLASS)).then_some(count)
}

fn class(file: &DataFile) -> u32 {
    class_of(file.file_size)
}

fn class_of(bytes: u64) -> u32 {
    (bytes / LEAST_CLASS_BYTES).checked_ilog(8).map_or(0, |class| class.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(month: i32, bytes: u64) -> DataFile {
        let text = format!(
            r#"{{"format":2,"key":"k","month":{month},"recordCount":1,"fileSize":{bytes},"checksum":1,"footerSize":1,"footerChecksum":1,"splitOffsets":[],"columns":[],"stray":[]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn chosen(files: &[DataFile]) -> Option<std::ops::Range<usize>> {
        choose(&files.iter().collect::<Vec<_>>())
    }

    #[test]
    fn neighbours_of_one_size_and_month_are_merged() {
        let few: Vec<_> = (0..7).map(|_| file(1, 4_000)).collect();
        assert_eq!(chosen(&few), None);
        let two_months: Vec<_> = (0..14).map(|n| file(n / 7, 4_000)).collect();
        assert_eq!(chosen(&two_months), None);
        let mut files = two_months;
        files.push(file(1, 5_000));
        assert_eq!(chosen(&files), Some(7..15));
        let large: Vec<_> = (0..20).map(|_| file(1, 9_000_000)).collect();
        assert_eq!(chosen(&large), None, "they would not fit one file");
    }

    #[test]
    fn a_log_of_many_commits_has_few_files_and_writes_events_few_times() {
        let (mut files, mut written, mut most) = (Vec::new(), 0_u64, 0);
        for commit in 0..10_000_u64 {
            files.push(file(1, 3_000 + commit * 7_919 % 30_000));
            while let Some(range) = chosen(&files) {
                let bytes = files[range.clone()].iter().map(|file| file.file_size).sum();
                assert!(bytes <= MERGED_MAX_BYTES);
                written += bytes;
                files.splice(range, [file(1, bytes)]);
            }
            most = most.max(files.len());
        }
        let bytes: u64 = files.iter().map(|file| file.file_size).sum();
        println!("{} files, {most} at most; each byte written again {} times", files.len(), written / bytes);
        assert!(most <= 70 && written / bytes <= 5, "{most} {}", written / bytes);
    }
}
