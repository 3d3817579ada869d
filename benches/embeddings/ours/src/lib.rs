//! The index of embeddings behind numbers: bytes go in by [`allocate`], and [`search`] leaves its answers to be read. The rows of
//! vectors, which the worker has in SQLite, are kept here.

use std::cell::RefCell;

use thermocline::registry::embeddings::{EmbeddingIndex, Metric, SearchOptions, SearchStats, vectors_per_row, write_row};

#[derive(Default)]
struct Bench {
    index: Option<EmbeddingIndex>,
    rows: Vec<Vec<u8>>,
    stats: SearchStats,
    /// Positions that the last searches found, `k` each.
    answer: Vec<u32>,
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
unsafe fn taken(start: *mut u8, length: usize) -> Vec<f32> {
    let bytes = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, length)) };
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

/// Begins with no vector of these many components.
#[unsafe(no_mangle)]
extern "C" fn begin(dimension: usize) {
    with(|bench| *bench = Bench { index: EmbeddingIndex::new(dimension).ok(), ..Bench::default() });
}

/// Adds the vectors of some whole rows.
#[unsafe(no_mangle)]
unsafe extern "C" fn add(start: *mut u8, length: usize) {
    let numbers = unsafe { taken(start, length) };
    with(|bench| {
        let index = bench.index.as_mut().expect("it was begun");
        let dimension = index.dimension();
        let per_row = vectors_per_row(dimension);
        let vectors: Vec<&[f32]> = numbers.chunks(dimension).collect();
        for row in vectors.chunks(per_row as usize) {
            let first = index.len();
            row.iter().for_each(|vector| assert!(index.add(vector).is_ok()));
            bench.rows.push(write_row(first, dimension, row).expect("whole rows are added"));
        }
    });
}

/// Bytes that the index says it takes, without the rows of vectors.
#[unsafe(no_mangle)]
extern "C" fn index_bytes() -> usize {
    with(|bench| bench.index.as_ref().map_or(0, EmbeddingIndex::bytes))
}

/// Searches for the `k` nearest of each of some vectors, by cosine.
#[unsafe(no_mangle)]
unsafe extern "C" fn search(start: *mut u8, length: usize, k: usize) {
    let numbers = unsafe { taken(start, length) };
    with(|bench| {
        bench.answer.clear();
        bench.stats = SearchStats::default();
        let index = bench.index.as_ref().expect("it was begun");
        for query in numbers.chunks(index.dimension()) {
            let options = SearchOptions::default();
            let mut search = index.search(query, k, Metric::Cosine, options).expect("it can be searched for");
            loop {
                let rows = search.next_rows();
                if rows.is_empty() {
                    break;
                }
                rows.iter().for_each(|row| search.rescore(*row, &bench.rows[*row as usize]).expect("its row"));
            }
            let (found, stats) = search.finish().expect("all rows were given");
            bench.answer.extend(found.iter().map(|found| found.position));
            bench.stats.rescored += stats.rescored;
            bench.stats.rows_read += stats.rows_read;
        }
    });
}

/// Where the answers of the last search are.
#[unsafe(no_mangle)]
extern "C" fn answer_start() -> *const u32 {
    with(|bench| bench.answer.as_ptr())
}

/// Vectors that were looked at in the last search.
#[unsafe(no_mangle)]
extern "C" fn rescored() -> f64 {
    with(|bench| bench.stats.rescored as f64)
}

/// Rows of vectors that were read in the last search.
#[unsafe(no_mangle)]
extern "C" fn rows_read() -> f64 {
    with(|bench| bench.stats.rows_read as f64)
}
