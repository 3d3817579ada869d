//! Which small files of a change log are merged next (spec, "Snapshots", operation `replace`).
//!
//! Pure. Only neighbours of one month are merged, so that files of a log never overlap and stay in the order of their
//! sequences. Files of about one size are merged when they are many, each into one of the next size, so that a log of n
//! commits has some multiple of log n files and an event is written again log n times.

use super::data_file::DataFile;

/// Files of about one size that are merged into one.
const FAN_IN: usize = 8;
/// Files of one merge, at most.
const INPUTS_MAX: usize = 64;
/// Bytes of a merged file, at most: it is built in memory.
pub const MERGED_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The size below which files are of the least class; each class above reaches eight times as far.
const LEAST_CLASS_BYTES: u64 = 16 * 1024;
/// Small files of a month, whatever their sizes: with more, neighbours of different sizes are merged too.
const SMALL_FILES_MAX: usize = 48;

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
    let mut start = 0;
    for run in files.chunk_by(|left, right| class(left) == class(right)) {
        if run.len() >= FAN_IN
            && let Some(count) = fitting(run)
        {
            return Some(start..start + count);
        }
        start += run.len();
    }
    let small = files.iter().filter(|file| is_small(file)).count();
    if small <= SMALL_FILES_MAX {
        return None;
    }
    // The neighbours that are cheapest to write again.
    let bytes = |window: &[&DataFile]| window.iter().map(|file| file.file_size).fold(0, u64::saturating_add);
    let windows = files.windows(FAN_IN).enumerate().map(|(start, window)| (bytes(window), start));
    let (bytes, start) = windows.min()?;
    (bytes <= MERGED_MAX_BYTES).then_some(start..start + FAN_IN)
}

/// How many of these, from the first on, fit one file together; `None` when not enough do.
fn fitting(files: &[&DataFile]) -> Option<usize> {
    let mut bytes = 0_u64;
    let fit = files.iter().take(INPUTS_MAX).take_while(|file| {
        bytes = bytes.saturating_add(file.file_size);
        bytes <= MERGED_MAX_BYTES
    });
    Some(fit.count()).filter(|count| *count >= FAN_IN)
}

fn is_small(file: &DataFile) -> bool {
    file.file_size < MERGED_MAX_BYTES / 2
}

fn class(file: &DataFile) -> u32 {
    (file.file_size / LEAST_CLASS_BYTES).checked_ilog(8).map_or(0, |class| class.saturating_add(1))
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
        assert!(most <= 70 && written / bytes <= 5);
    }
}
