//! Damaged bytes: an error that says so, whatever is damaged; never a panic, never another answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use thermocline::cold::DataFile;
use thermocline::error::{ErrorKind, Result};
use thermocline::ports::native::MemoryBucket;
use thermocline::types::{Document, StorageTier};
use thermocline::vortex::TableSchema;

use super::support::{FEBRUARY, declare, document, document_file, learned, read};

fn damaged(bytes: &[u8], file: &DataFile, columns: &TableSchema) -> Result<Vec<Document>> {
    let bucket = MemoryBucket::new();
    bucket.overwrite("k", bytes);
    read(&bucket, std::slice::from_ref(file), columns, None, &|_| false).map(|(found, _)| found)
}

fn assert_corrupt(bytes: &[u8], file: &DataFile, columns: &TableSchema, what: &str) {
    let error = damaged(bytes, file, columns).expect_err(what);
    assert_eq!((error.kind(), error.tier()), (ErrorKind::Corrupt, StorageTier::Cold), "{what}: {error}");
}

fn small() -> (Vec<u8>, DataFile, TableSchema) {
    let mut columns = TableSchema::default();
    declare(&mut columns, &[("u", "uuid"), ("m", "decimal(20,2)"), ("x", "binary"), ("at", "timestamp")], true);
    let row = |number: i64| {
        let fields = format!(
            r#""u":"0192d3f0-0000-7000-8000-00000000000{number}","m":{number}.50,"x":"AP8=","at":"2024-02-29T12:00:0{number}.000Z","n":{number},"t":"t{}","e":1.0"#,
            number % 2
        );
        document(&format!("k{number}"), number + 1, FEBRUARY, &fields)
    };
    let documents: Vec<Document> = (0..10).map(row).collect();
    documents.iter().for_each(|document| {
        thermocline::vortex::infer::observe(&mut columns, &thermocline::types::Json::parse(&document.text).unwrap());
    });
    let (bytes, file) = document_file(&columns, &documents, "k");
    (bytes, file, columns)
}

#[test]
fn every_truncation_and_every_flipped_bit_is_told() {
    let (bytes, file, columns) = small();
    assert_eq!(damaged(&bytes, &file, &columns).unwrap().len(), 10);
    for length in 0..bytes.len() {
        assert_corrupt(&bytes[..length], &file, &columns, &format!("cut at {length}"));
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_corrupt(&longer, &file, &columns, "a byte too many");
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_corrupt(&flipped, &file, &columns, &format!("bit {bit} flipped"));
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn damage_to_a_file_that_is_read_in_parts_is_told_where_it_is_read() {
    let row = |number: usize| {
        let noise: String = (0..8)
            .map(|part| format!("{:016x}", (number * 8 + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        document(&format!("{number:08}"), 1, FEBRUARY, &format!("\"noise\":\"{noise}\""))
    };
    let documents: Vec<Document> = (0..25_000).map(row).collect();
    let columns = learned(documents.iter().take(2));
    let (bytes, file) = document_file(&columns, &documents, "k");
    assert!(file.file_size > 1024 * 1024);
    let footer = bytes.len() - usize::try_from(file.footer_size).unwrap();
    let (mut told, mut unread) = (0, 0);
    let places = (0..60)
        .map(|step| 4 + step * (bytes.len() - 4) / 60)
        .chain(footer..footer + 40)
        .chain(bytes.len() - 8..bytes.len());
    for place in places {
        let mut flipped = bytes.clone();
        flipped[place] ^= 0x10;
        match damaged(&flipped, &file, &columns) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                told += 1;
            }
            // The page indexes between the last chunk and the footer are for other readers.
            Ok(found) => {
                assert!(place < footer && found == documents, "byte {place} was taken for another");
                unread += 1;
            }
        }
    }
    assert!(told > 100 && unread < 5, "{told} {unread}");
    for length in [0, 1, 8, footer, bytes.len() / 2, bytes.len() - 1] {
        assert_corrupt(&bytes[..length], &file, &columns, &format!("cut at {length}"));
    }
}

/// What a writer of the bucket who also forges the checksum on record could do to a footer.
fn forged(bytes: &[u8], file: &DataFile) -> DataFile {
    let checksum = |bytes: &[u8]| xxhash_rust::xxh64::xxh64(bytes, 0);
    let footer = &bytes[bytes.len() - usize::try_from(file.footer_size).unwrap()..];
    DataFile { checksum: checksum(bytes), footer_checksum: checksum(footer), ..file.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn forged_footers_are_refused_or_read(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (mut bytes, file, columns) = small();
        let footer = bytes.len() - usize::try_from(file.footer_size).unwrap();
        for (index, value) in &changes {
            let place = footer + index.index(bytes.len() - 8 - footer);
            bytes[place] = *value;
        }
        let file = forged(&bytes, &file);
        let outcome = catch_unwind(AssertUnwindSafe(|| damaged(&bytes, &file, &columns)));
        match outcome {
            Ok(Ok(found)) => prop_assert!(found.len() <= 10),
            Ok(Err(error)) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
            Err(_) => prop_assert!(false, "a panic on {:?}", changes),
        }
    }
}
