//! Reading bytes that nobody wrote: an error or values, no panic, and no more memory than the bytes and the budget
//! justify. Blobs are damaged with their checksums repaired, so that the damage reaches the decoders.
//!
//! `HOSTILE_EXECUTIONS` runs more, `HOSTILE_SEED` replays: `HOSTILE_EXECUTIONS=10000000 cargo test --release --test
//! hostile_blobs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use thermocline::error::ErrorKind;
use thermocline::vortex::blob::{Blob, BlobWriter, Budget, EncodeOptions, Encoding, Predicate};
use thermocline::vortex::{Bitmap, Column, Scalar};
use xxhash_rust::xxh64::xxh64;

#[path = "vortex/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the format")]
mod support;

use support::*;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static TURN: Mutex<()> = Mutex::new(());

/// Counts what is allocated.
struct Counting;

#[allow(unsafe_code, reason = "the only way to count allocations; each call is handed on as it is")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was allocated at once while `run` ran, over what there was.
fn peak_of(run: impl FnOnce()) -> usize {
    // One at a time: what others allocate meanwhile would be counted too.
    let _turn = TURN.lock().unwrap();
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run();
    PEAK.load(Ordering::Relaxed).saturating_sub(before)
}

/// Blobs of one column each, in every encoding there is.
fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::new(61);
    let mut next = |limit: u64| random.below(limit) as i64;
    let columns: Vec<Column> = vec![
        longs((0..2_100).map(|row| row / 30 * 1_000)),
        longs((0..1_300).map(|_| if next(60) == 0 { i64::MIN } else { next(500) })),
        doubles((0..1_100).map(|_| if next(30) == 0 { 1.0 / 3.0 } else { next(9_999) as f64 / 100.0 })),
        texts((0..1_100).map(|row| format!("https://example.com/{}/{row}", next(9)))),
        texts((0..1_500_usize).map(|row| ["Oslo", "Bergen", "a name that is longer than sixteen bytes"][row / 20 % 3])),
        column(
            thermocline::vortex::ColumnType::Long,
            (0..9_000).map(|row| (row % 3 > 0).then_some(Scalar::Long(row % 7))),
        ),
        column(
            thermocline::vortex::ColumnType::Boolean,
            (0..6_000).map(|row| (row % 500 > 0).then_some(Scalar::Boolean(row / 100 % 2 == 0))),
        ),
        column(
            thermocline::vortex::ColumnType::Decimal { precision: 38, scale: 2 },
            (0..300).map(|_| Some(Scalar::Decimal(i128::from(next(99))))),
        ),
    ];
    let forces = [None].into_iter().chain(Encoding::ALL.map(Some));
    let blobs = forces.flat_map(|force| columns.iter().filter_map(move |column| encoded(column, force).ok()));
    let mut blobs: Vec<Vec<u8>> = blobs.collect();
    let mut all = BlobWriter::new(EncodeOptions::default());
    for number in 0..3 {
        all.push(&format!("c{number}"), &longs((0..70).map(|row| row * number))).unwrap();
    }
    blobs.push(all.finish().unwrap());
    blobs
}

/// Damages a few bytes, mostly of columns, and repairs the checksums where the index is still there.
fn damaged(blob: &[u8], random: &mut Random) -> Vec<u8> {
    let columns: Vec<_> =
        Blob::open(blob).unwrap().columns().iter().map(|column| (column.name.len(), column.range())).collect();
    let mut bytes = blob.to_vec();
    let index_at = columns.last().map_or(16, |(_, range)| range.end);
    for _ in 0..=random.below(3) {
        let whole = random.below(8) == 0;
        // The beginning of a column is where its counts and lengths are.
        let limit = if whole {
            bytes.len()
        } else if random.below(2) == 0 {
            index_at
        } else {
            index_at.min(80)
        };
        let at = if whole {
            random.below(limit as u64) as usize
        } else {
            16 + random.below((limit - 16).max(1) as u64) as usize
        };
        bytes[at] = match random.below(4) {
            0 => bytes[at] ^ 1 << random.below(8),
            1 => [0, 1, 2, 0x7f, 0x80, 0xff][random.below(6) as usize],
            2 => bytes[at].wrapping_add(1),
            _ => random.next() as u8,
        };
    }
    let mut entry = index_at + 16;
    for (name, range) in columns {
        let sum = (xxh64(&bytes[range], 0) as u32).to_le_bytes();
        bytes[entry + 2 + name + 8..entry + 2 + name + 12].copy_from_slice(&sum);
        entry = next_entry(&bytes, entry).unwrap_or(entry);
    }
    let footer = bytes.len() - 8;
    let sum = (xxh64(&bytes[index_at..footer], 0) as u32).to_le_bytes();
    bytes[footer..footer + 4].copy_from_slice(&sum);
    bytes
}

/// Where the entry after this one is: only columns of integers share a blob here, so its size is known.
fn next_entry(bytes: &[u8], entry: usize) -> Option<usize> {
    let name = usize::from(u16::from_le_bytes(bytes.get(entry..entry + 2)?.try_into().ok()?));
    let next = entry + 2 + name + 12 + 3 + 1 + 9 + 16 + 16 + 1;
    (next + 40 < bytes.len()).then_some(next)
}

/// Reads all there is in every way.
fn read(bytes: &[u8], random: &mut Random) -> bool {
    let Ok(blob) = Blob::open(bytes) else { return false };
    let limit = bytes.len() * 3 + 300_000;
    let mut good = true;
    for position in 0..blob.columns().len() {
        let rows = blob.rows();
        let start = random.below(rows as u64 + 1) as usize;
        match blob.decode(position, 0..rows, &mut Budget::new(limit)) {
            Ok(column) => assert_eq!(column.rows(), rows),
            Err(error) => {
                assert!([ErrorKind::Corrupt, ErrorKind::Unavailable].contains(&error.kind()), "{error:?}");
                good = false;
            }
        }
        drop(blob.decode(position, start..rows, &mut Budget::new(limit)));
        drop(blob.value(position, start));
        drop(blob.select(position, &Predicate::Equal(Scalar::Long(60)), &mut Budget::new(limit)));
        if rows < 20_000 {
            let selected: Bitmap = (0..rows).map(|_| random.below(9) == 0).collect();
            drop(blob.gather(position, &selected, &mut Budget::new(limit)));
        }
    }
    good
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// Held while allocations are counted: they are counted for all threads.
static COUNTING: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn damaged_blobs_are_read_within_bounds() {
    let _alone = COUNTING.lock();
    let seed = setting("HOSTILE_SEED", 71);
    let executions = setting("HOSTILE_EXECUTIONS", 4_000);
    println!("seed {seed}, {executions} executions");
    let seeds = seeds();
    let (mut read_all, mut most) = (0, 0.0_f64);
    for execution in 0..executions {
        let mut random = Random::new(seed.wrapping_add(execution));
        let bytes = damaged(&seeds[random.below(seeds.len() as u64) as usize], &mut random);
        let allowed = bytes.len() * 8 + (1 << 20);
        let peak = peak_of(|| read_all += u64::from(read(&bytes, &mut random)));
        most = most.max(peak as f64 / allowed as f64);
        assert!(peak <= allowed, "execution {execution}: {peak} bytes for a blob of {}", bytes.len());
    }
    println!("{read_all} read in spite of it; at most {:.0} % of the memory allowed", most * 100.0);
}

#[test]
fn noise_is_no_blob() {
    let _alone = COUNTING.lock();
    let mut random = Random::new(setting("HOSTILE_SEED", 72));
    for _ in 0..setting("HOSTILE_EXECUTIONS", 4_000) {
        let length = random.below(200) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        if random.below(2) == 0 {
            let header = b"VRTX\x01\0\0\0\x01\0\0\0\x05\0\0\0";
            bytes.splice(0..0, header.iter().copied());
        }
        assert!(peak_of(|| assert!(!read(&bytes, &mut random))) <= bytes.len() * 8 + (1 << 20));
    }
}
