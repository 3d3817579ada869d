//! The real reader and the naive decoder are of one mind: on what is written, and on what is broken.

mod composed;
mod mutation;
mod pieces;
mod verdict;
mod written;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use composed::composed;
use mutation::mutated;
use pieces::{Pieces, put_together, take_apart};
use proptest::prelude::*;
use thermocline::vortex::Column;
use thermocline::vortex::blob::{BlobWriter, EncodeOptions, Encoding};
use verdict::{Verdict, read, read_in_parts, selected_rightly, verdict};

use crate::naive;
use crate::support::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

/// What is written is decoded alike, and its statistics are true.
fn agree(columns: &[(String, Column)], bytes: &[u8]) {
    let naively = naive::decode(bytes).unwrap_or_else(|refusal| panic!("{refusal:?}: {bytes:?}"));
    assert_eq!(columns.len(), naively.len());
    let (_, entries) = naive::entries(bytes).unwrap();
    for (position, (name, column)) in columns.iter().enumerate() {
        assert_eq!(name, &naively[position].0);
        assert_same(column, &naively[position].1);
        assert_eq!(naive::untrue(&entries[position].statistics, column), Vec::<&str>::new(), "{column:?}");
    }
    assert_eq!(verdict(bytes), Ok(Verdict::Accepted));
}

/// As many rows as `rows`, the column's own again and again.
fn stretched(column: &Column, rows: usize) -> Column {
    let (mut stretched, mut cursor) = (Column::new(column.column_type()), column.cursor());
    for row in 0..rows {
        if row % column.rows().max(1) == 0 {
            cursor = column.cursor();
        }
        stretched.push_option(cursor.next_value()).unwrap();
    }
    stretched
}

/// Blobs of several columns, each in an encoding that it can have, in pieces.
fn several() -> impl Strategy<Value = Pieces> {
    let column = (any_column(), prop::option::of(prop::sample::select(Encoding::ALL.to_vec())));
    prop::collection::vec(column, 1..4).prop_map(|columns| {
        let rows = columns[0].0.rows();
        let mut all = Pieces { rows: rows as u32, more: vec![0], columns: Vec::new() };
        for (number, (column, force)) in columns.into_iter().enumerate() {
            let column = stretched(&column, rows);
            let bytes = encoded(&column, force).unwrap_or_else(|_| blob(&column));
            let mut pieces = take_apart(&bytes);
            pieces.columns[0].name = format!("column {number}").into_bytes();
            all.columns.append(&mut pieces.columns);
        }
        all
    })
}

proptest! {
    #![proptest_config(config(100))]
    #[test]
    fn a_column_is_decoded_alike_in_every_encoding(column in any_column()) {
        let columns = [("c".to_owned(), column)];
        agree(&columns, &blob(&columns[0].1));
        for encoding in Encoding::ALL {
            if let Ok(bytes) = encoded(&columns[0].1, Some(encoding)) {
                agree(&columns, &bytes);
            }
        }
    }

    #[test]
    fn several_columns_are_decoded_alike(columns in prop::collection::vec(any_column(), 0..6)) {
        let rows = columns.first().map_or(0, Column::rows);
        let name = |(number, column): (usize, &Column)| (format!("{number} é"), stretched(column, rows));
        let columns: Vec<(String, Column)> = columns.iter().enumerate().map(name).collect();
        let mut writer = BlobWriter::new(EncodeOptions::default());
        for (name, column) in &columns {
            writer.push(name, column).unwrap();
        }
        let bytes = writer.finish().unwrap();
        agree(&columns, &bytes);
        prop_assert_eq!(&put_together(&take_apart(&bytes)), &bytes);
    }
}

/// Judges bytes, whole and in parts; what is judged differently is kept for the corpus where `KEEP_DIFFERENCES` says.
fn judge(bytes: &[u8], random: &mut Random) -> Verdict {
    let verdict = verdict(bytes).unwrap_or_else(|difference| {
        if let Ok(folder) = std::env::var("KEEP_DIFFERENCES") {
            let words: String = difference.chars().take(60).filter(|c| c.is_alphanumeric() || *c == ' ').collect();
            fs::write(format!("{folder}/{}", words.replace(' ', "-")), bytes).unwrap();
        }
        panic!("{difference}: {bytes:?}")
    });
    read_in_parts(bytes, random);
    verdict
}

proptest! {
    #![proptest_config(config(150))]
    #[test]
    fn mutated_bytes_are_judged_alike(pieces in several(), seed in any::<u64>()) {
        let mut random = Random::new(seed);
        for _ in 0..8 {
            judge(&mutated(&pieces, &mut random), &mut random);
        }
    }
}

proptest! {
    #![proptest_config(config(400))]
    #[test]
    fn composed_bytes_are_judged_alike(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let pieces = composed(&mut random);
        let bytes = put_together(&pieces);
        if judge(&bytes, &mut random) == Verdict::Accepted {
            selected_rightly(&bytes, &mut random);
        }
        for _ in 0..3 {
            judge(&mutated(&pieces, &mut random), &mut random);
        }
    }
}

/// A few small blobs.
fn small() -> Vec<Vec<u8>> {
    let mut random = Random::new(11);
    let mut blobs = Vec::new();
    let words = texts((0..40).map(|_| ["user-1", "user-22", "", "\u{e9}t\u{e9}"][random.below(4) as usize]));
    let numbers = longs((0..40).map(|row| row * 7 + random.below(3) as i64));
    let prices = doubles((0..40).map(|_| random.below(1_000) as f64 / 100.0));
    for column in [&words, &numbers, &prices] {
        blobs.extend([None].into_iter().chain(Encoding::ALL.map(Some)).filter_map(|force| encoded(column, force).ok()));
    }
    let mut writer = BlobWriter::new(EncodeOptions::default());
    for (name, column) in [("words", &words), ("numbers", &numbers), ("prices", &prices)] {
        writer.push(name, column).unwrap();
    }
    blobs.push(writer.finish().unwrap());
    blobs.push(BlobWriter::new(EncodeOptions::default()).finish().unwrap());
    blobs
}

#[test]
fn every_bit_flip_and_every_truncation_is_found() {
    let mut changes = 0;
    for blob in small() {
        assert_eq!(verdict(&blob), Ok(Verdict::Accepted));
        let mut changed = blob.clone();
        for bit in 0..blob.len() * 8 {
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&changed).err(), Some(Verdict::Refused), "bit {bit} of {blob:?}");
            changed[bit / 8] = blob[bit / 8];
        }
        for length in 0..blob.len() {
            assert_eq!(read(&blob[..length]).err(), Some(Verdict::Refused), "{length} bytes of {blob:?}");
        }
        changes += blob.len() * 9;
    }
    println!("{changes} changes");
}

/// What the real reader and the naive one once judged differently, by the defect's name.
fn corpus() -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vortex/corpus");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn the_corpus_is_judged_alike() {
    let judged = corpus().into_iter().filter_map(|(path, bytes)| match verdict(&bytes) {
        Ok(verdict) => {
            read_in_parts(&bytes, &mut Random::new(1));
            if verdict == Verdict::Accepted {
                selected_rightly(&bytes, &mut Random::new(1));
            }
            None
        }
        Err(difference) => Some(format!("{}: {difference}", path.file_name()?.display())),
    });
    let different: Vec<String> = judged.collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}
