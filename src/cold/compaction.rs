//! Which small files of a table are merged next (spec, "Snapshots", operation `replace`).
//!
//! Pure. Only neighbours of one month are merged, so that files of a log never overlap and stay in the order of their
//! sequences; the files of a state table, which have no order, come by size. Files are in classes by size, each reaching
//! eight times as far as the one below. Where eight of one class are neighbours but for smaller ones between them, they
//! become one of the next class; so a table of n commits has some multiple of log n files, and a row is written again once a
//! class. A file that is mostly waste is written again by itself.

/// Files of a class that are merged into one of the next.
const FAN_IN: usize = 8;
/// Files of one merge, at most.
const INPUTS_MAX: usize = 64;
/// Bytes of a merged file, at most: it is built in memory.
pub const MERGED_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The size below which files are of the least class.
const LEAST_CLASS_BYTES: u64 = 16 * 1024;

/// What the choice looks at of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its month.
    pub month: i32,
    /// About how many bytes it adds to a merged file.
    pub bytes: u64,
    /// Whether half of it or more would be left out.
    pub is_waste: bool,
}

/// The files to be merged next, as a range of `files`, neighbours of which may be; `None` when none need be. Merged files
/// are to have `target_bytes`, and not more than can be built in memory.
pub fn choose(files: &[Candidate], target_bytes: u64) -> Option<std::ops::Range<usize>> {
    let most_bytes = target_bytes.min(MERGED_MAX_BYTES);
    let mut start = 0;
    for month in files.chunk_by(|left, right| left.month == right.month) {
        if let Some(range) = of_month(month, most_bytes) {
            return Some(start + range.start..start + range.end);
        }
        start += month.len();
    }
    let waste = files.iter().position(|file| file.is_waste)?;
    Some(waste..waste.saturating_add(1))
}

fn of_month(files: &[Candidate], most_bytes: u64) -> Option<std::ops::Range<usize>> {
    // Files of half the greatest size are large enough.
    let class = |file: &Candidate| if file.bytes < most_bytes / 2 { class_of(file.bytes) } else { u32::MAX };
    (0..=class_of(most_bytes / 2)).find_map(|most| {
        let mut start = 0;
        for run in files.chunk_by(|left, right| (class(left) <= most) == (class(right) <= most)) {
            if run.iter().filter(|file| class(file) == most).count() >= FAN_IN
                && let Some(count) = fitting(run, most_bytes)
            {
                return Some(start..start + count);
            }
            start += run.len();
        }
        None
    })
}

/// How many of these, from the first on, fit one file together; `None` when they are not worth it.
fn fitting(files: &[Candidate], most_bytes: u64) -> Option<usize> {
    let (mut count, mut bytes) = (0, 0_u64);
    for file in files.iter().take(INPUTS_MAX) {
        let with = bytes.saturating_add(file.bytes);
        if with > most_bytes {
            break;
        }
        (count, bytes) = (count + 1, with);
    }
    (count >= FAN_IN || (count > 1 && bytes >= most_bytes / 2)).then_some(count)
}

fn class_of(bytes: u64) -> u32 {
    (bytes / LEAST_CLASS_BYTES).checked_ilog(8).map_or(0, |class| class.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(month: i32, bytes: u64) -> Candidate {
        Candidate { month, bytes, is_waste: false }
    }

    fn chosen(files: &[Candidate]) -> Option<std::ops::Range<usize>> {
        choose(files, 128 * 1024 * 1024)
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
    fn files_of_the_target_are_large_enough() {
        let files: Vec<_> = (0..16).map(|_| file(1, 300_000)).collect();
        assert_eq!(chosen(&files), Some(0..16));
        assert_eq!(choose(&files, 1 << 20), Some(0..3), "as many as fit");
        assert_eq!(choose(&files, 1 << 19), None);
        assert_eq!(choose(&[file(1, 30_000), file(1, 30_000)], 0), None);
    }

    #[test]
    fn a_file_that_is_mostly_waste_is_written_again_alone() {
        let mut files = vec![file(1, 9_000_000); 3];
        files[1].is_waste = true;
        assert_eq!(chosen(&files), Some(1..2));
        files.extend(vec![file(2, 4_000); 8]);
        assert_eq!(chosen(&files), Some(3..11), "small ones go first");
    }

    #[test]
    fn a_log_of_many_commits_has_few_files_and_writes_events_few_times() {
        let (mut files, mut written, mut most) = (Vec::new(), 0_u64, 0);
        for commit in 0..10_000_u64 {
            files.push(file(1, 3_000 + commit * 7_919 % 30_000));
            while let Some(range) = chosen(&files) {
                let bytes = files[range.clone()].iter().map(|file| file.bytes).sum();
                assert!(bytes <= MERGED_MAX_BYTES);
                written += bytes;
                files.splice(range, [file(1, bytes)]);
            }
            most = most.max(files.len());
        }
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        println!("{} files, {most} at most; each byte written again {} times", files.len(), written / bytes);
        assert!(most <= 70 && written / bytes <= 5, "{most} {}", written / bytes);
    }
}
