//! The pages of a file, compressed by each codec in turn: all else of a file is the same whatever the codec.

use std::time::Instant;

use parquet::column::page::Page;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::Failure;
use crate::codec::{CODECS, Codec};
use crate::files::Written;

/// The best of so many runs counts.
const RUNS: usize = 3;

/// What a codec made of pages.
struct Figure {
    bytes: usize,
    compress_ms: f64,
    decompress_ms: f64,
}

/// Prints what each codec makes of a file's pages.
pub fn print(name: &str, rows: usize, written: &Written) -> Result<(), Failure> {
    let (pages, stored) = pages(&written.bytes)?;
    let around = written.bytes.len() - stored;
    println!("\n{name}: {rows} rows, {} pages, written in {:.0} ms", pages.len(), written.ms);
    println!("{:<12}{:>12}{:>10}{:>14}{:>16}", "codec", "bytes", "a row", "compress ms", "decompress ms");
    for (name, codec) in CODECS {
        let figure = measure(&pages, codec)?;
        let bytes = around + figure.bytes;
        let a_row = bytes as f64 / rows as f64;
        println!("{name:<12}{bytes:>12}{a_row:>10.2}{:>14.1}{:>16.1}", figure.compress_ms, figure.decompress_ms);
    }
    Ok(())
}

/// The pages of a file without compression, and the bytes that they take in it.
fn pages(file: &[u8]) -> Result<(Vec<Vec<u8>>, usize), Failure> {
    let reader = SerializedFileReader::new(parquet_bytes(file))?;
    let mut pages = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        for column in 0..group.num_columns() {
            let mut chunk = group.get_column_page_reader(column)?;
            while let Some(page) = chunk.get_next_page()? {
                pages.push(page.buffer().to_vec());
            }
        }
    }
    let stored = measure(&pages, Codec::Snappy)?;
    Ok((pages, stored.bytes))
}

/// `bytes::Bytes` by way of a page: so this needs no more crates.
pub fn parquet_bytes(bytes: &[u8]) -> impl parquet::file::reader::ChunkReader + use<> {
    let page = Page::DictionaryPage {
        buf: bytes.to_vec().into(),
        num_values: 0,
        encoding: parquet::basic::Encoding::PLAIN,
        is_sorted: false,
    };
    page.buffer().clone()
}

fn measure(pages: &[Vec<u8>], codec: Codec) -> Result<Figure, Failure> {
    let mut best = Figure { bytes: 0, compress_ms: f64::MAX, decompress_ms: f64::MAX };
    for _ in 0..RUNS {
        let started = Instant::now();
        let compressed: Vec<Vec<u8>> = pages.iter().map(|page| codec.compress(page)).collect::<Result<_, _>>()?;
        best.compress_ms = best.compress_ms.min(started.elapsed().as_secs_f64() * 1_000.0);
        best.bytes = compressed.iter().map(Vec::len).sum();
        let started = Instant::now();
        let back = pages.iter().zip(&compressed).map(|(page, bytes)| codec.decompress(bytes, page.len()));
        let back: Vec<Vec<u8>> = back.collect::<Result<_, _>>()?;
        best.decompress_ms = best.decompress_ms.min(started.elapsed().as_secs_f64() * 1_000.0);
        if back != pages {
            return Err("expected the pages that were compressed, got others".into());
        }
    }
    Ok(best)
}
