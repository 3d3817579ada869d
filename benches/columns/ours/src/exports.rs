//! The commands in wasm: bytes go in by [`allocate`], and each call leaves an answer of JSON to be read.

use std::cell::RefCell;

use serde_json::json;

use crate::{Bench, Failure};

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::default();
    static ANSWER: RefCell<String> = const { RefCell::new(String::new()) };
}

fn put_answer(result: Result<serde_json::Value, Failure>) {
    let answer = result.unwrap_or_else(|failure| json!({ "error": failure.to_string() }));
    ANSWER.with(|text| *text.borrow_mut() = answer.to_string());
}

/// Room for so many bytes, which the next call of [`load`] or [`run`] takes and frees.
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

/// Takes a table from the bytes that were put into what [`allocate`] gave.
#[unsafe(no_mangle)]
unsafe extern "C" fn load(start: *mut u8, length: usize, rows_of_a_blob: usize) {
    let bytes = unsafe { taken(start, length) };
    put_answer(Bench::load(&bytes, rows_of_a_blob).map(|bench| {
        BENCH.with(|place| *place.borrow_mut() = bench);
        json!({})
    }));
}

/// Runs a command, the text in what [`allocate`] gave.
#[unsafe(no_mangle)]
unsafe extern "C" fn run(start: *mut u8, length: usize) {
    let bytes = unsafe { taken(start, length) };
    put_answer(BENCH.with(|bench| bench.borrow_mut().run(std::str::from_utf8(&bytes)?)));
}

#[unsafe(no_mangle)]
extern "C" fn answer_start() -> *const u8 {
    ANSWER.with(|text| text.borrow().as_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn answer_length() -> usize {
    ANSWER.with(|text| text.borrow().len())
}
