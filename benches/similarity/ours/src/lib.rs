//! The index of perceptual hashes behind numbers: bytes go in by [`allocate`], and [`search`] leaves its answers to be read.

use std::cell::RefCell;

use thermocline::registry::similarity::hash::HASH_BYTES;
use thermocline::registry::similarity::{HashIndex, PdqHash, SearchStats};

#[derive(Default)]
struct Bench {
    index: HashIndex,
    stats: SearchStats,
    /// Of each match of the last search the number of its query, its position and its distance.
    answer: Vec<[u32; 3]>,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut Bench) -> T) -> T {
    BENCH.with(|bench| work(&mut bench.borrow_mut()))
}

/// Room for so many bytes, which the next call that is given it takes and frees.
#[unsafe(no_mangle)]
extern "C" fn allocate(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// # Safety
/// `start` is of a call of [`allocate`] with this `length`, and given once.
unsafe fn taken(start: *mut u8, length: usize) -> Box<[u8]> {
    let bytes = std::ptr::slice_from_raw_parts_mut(start, length);
    unsafe { Box::from_raw(bytes) }
}

fn hashes(bytes: &[u8]) -> impl Iterator<Item = PdqHash> {
    bytes.as_chunks::<HASH_BYTES>().0.iter().map(PdqHash::from_bytes)
}

/// Begins with no hash, and with room for some.
#[unsafe(no_mangle)]
extern "C" fn begin(capacity: usize) {
    with(|bench| bench.index = HashIndex::with_capacity(capacity));
}

/// Adds hashes.
#[unsafe(no_mangle)]
unsafe extern "C" fn add(start: *mut u8, length: usize) {
    let bytes = unsafe { taken(start, length) };
    with(|bench| hashes(&bytes).for_each(|hash| assert!(bench.index.add(hash).is_some())));
}

/// Indexes all that were added.
#[unsafe(no_mangle)]
extern "C" fn index_all() {
    with(|bench| bench.index.index_all());
}

/// Bytes that the index says it takes.
#[unsafe(no_mangle)]
extern "C" fn index_bytes() -> usize {
    with(|bench| bench.index.bytes())
}

/// Searches for each of some hashes all within a distance. Answers how many there are.
#[unsafe(no_mangle)]
unsafe extern "C" fn search(start: *mut u8, length: usize, max_distance: u32) -> usize {
    let bytes = unsafe { taken(start, length) };
    with(|bench| {
        bench.answer.clear();
        bench.stats = SearchStats::default();
        for (query, hash) in (0..).zip(hashes(&bytes)) {
            let found = bench.index.within(hash, max_distance, &mut bench.stats);
            bench.answer.extend(found.iter().map(|found| [query, found.position, found.distance]));
        }
        bench.answer.len()
    })
}

/// Where the answers of the last search are: three numbers each.
#[unsafe(no_mangle)]
extern "C" fn answer_start() -> *const u32 {
    with(|bench| bench.answer.as_flattened().as_ptr())
}

/// Positions that bands named in the last search.
#[unsafe(no_mangle)]
extern "C" fn candidates() -> f64 {
    with(|bench| bench.stats.candidates as f64)
}

/// Distances computed in the last search.
#[unsafe(no_mangle)]
extern "C" fn distances() -> f64 {
    with(|bench| bench.stats.distances as f64)
}
