//! Position delete files: what is written, that scans see no deleted row, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use parquet::basic::Encoding;
use proptest::prelude::*;
use roaring::RoaringBitmap;
use thermocline::cold::parquet_write::ROW_GROUP_MAX_ROWS;
use thermocline::cold::{DataFile, FileContent, PositionDeletesWriter, ScanStats, Schema, read_position_deletes};
use thermocline::error::{ErrorKind, Result};
use thermocline::ports::native::{MemoryBucket, run};
use thermocline::types::Document;
use thermocline::types::statistics::{Bound, ColumnStatistics};
use thermocline::vortex::TableSchema;

use super::support::{FEBRUARY, MARCH, delete_file, document, document_file, footer, learned, parts_file, put, read};

const BASE: &str = "s3://cold";
const PATH: i32 = 2_147_483_546;
const POS: i32 = 2_147_483_545;

fn rows(range: std::ops::Range<usize>, timestamp: i64) -> Vec<Document> {
    let row = |number: usize| {
        // Texts that do not compress keep large files above the size that is fetched whole.
        let noise: String = (0..8)
            .map(|part| format!("{:016x}", (number * 8 + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        document(&format!("{number:08}"), 1, timestamp, &format!("\"n\":{number},\"noise\":\"{noise}\""))
    };
    range.map(row).collect()
}

fn stored(bucket: &MemoryBucket, columns: &TableSchema, documents: &[Document], key: &str) -> DataFile {
    let (bytes, file) = document_file(columns, documents, key);
    put(bucket, key, &bytes);
    file
}

fn deletes(bucket: &MemoryBucket, deleted: &[(&DataFile, &[u32])], key: &str) -> DataFile {
    let (bytes, file) = delete_file(BASE, deleted, key);
    put(bucket, key, &bytes);
    file
}

fn told(bucket: &MemoryBucket, file: &DataFile) -> Result<BTreeMap<String, RoaringBitmap>> {
    run(read_position_deletes(bucket, file, BASE, &mut ScanStats::default())).done().unwrap()
}

fn ids(found: &[Document]) -> Vec<&str> {
    found.iter().map(|document| document.id.as_str()).collect()
}

#[test]
fn a_delete_file_is_what_the_spec_asks() {
    let key = "iceberg/demo/one/things/data/year=2024/month=02/0192d3f0-0000-7000-8000-000000000001-0.parquet";
    let columns = learned(&rows(0..1, FEBRUARY));
    let (_, data) = document_file(&columns, &rows(0..10, FEBRUARY), key);
    let (bytes, file) = delete_file(BASE, &[(&data, &[0, 3, 9])], "d");
    assert_eq!((bytes.clone(), file.clone()), delete_file("s3://cold/", &[(&data, &[9, 3, 0])], "d"));
    assert_eq!((file.content, file.month, file.record_count), (FileContent::PositionDeletes, 649, 3));
    let path = format!("{BASE}/{key}");
    assert!(!file.loses_values_under(&Schema::state(&columns)), "its columns are no columns of the table");
    let bounds = file.column(PATH).unwrap();
    assert_eq!(bounds.lower.as_deref(), Some(path.as_bytes()), "the whole path");
    assert_eq!(bounds.upper.as_deref(), Some(path.as_bytes()), "the whole path");
    let bounds = file.column(POS).unwrap();
    assert_eq!(bounds.lower.as_deref(), Some(0_i64.to_le_bytes().as_slice()));
    assert_eq!(bounds.upper.as_deref(), Some(9_i64.to_le_bytes().as_slice()));
    let metadata = footer(&bytes, &file);
    let described: Vec<String> = metadata
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|column| {
            let basic = column.self_type().get_basic_info();
            let levels = column.max_def_level();
            format!("{} {} {} {levels}", basic.id(), column.name(), column.physical_type())
        })
        .collect();
    assert_eq!(described, ["2147483546 file_path BYTE_ARRAY 0", "2147483545 pos INT64 0"]);
    let group = metadata.row_group(0);
    assert!(group.column(0).dictionary_page_offset().is_some());
    assert!(group.column(1).encodings().any(|encoding| encoding == Encoding::DELTA_BINARY_PACKED));
    assert_eq!(group.sorting_columns().map(Vec::len), Some(2));
    assert_eq!(group.column(0).statistics().unwrap().max_bytes_opt(), Some(path.as_bytes()));
}

#[test]
fn what_is_written_is_read_back() {
    let bucket = MemoryBucket::new();
    let many: RoaringBitmap = (0..100_000).filter(|number| number % 3 == 0).chain([u32::MAX]).collect();
    let mut writer = PositionDeletesWriter::new(BASE);
    writer.push("a", 649, &many).unwrap();
    writer.push("b", 649, &RoaringBitmap::new()).unwrap();
    writer.push("b/c", 649, &RoaringBitmap::from([7])).unwrap();
    assert_eq!(writer.rows(), 33_336);
    let (bytes, file) = writer.finish(|month| format!("{}-{}", month.year, month.month)).unwrap();
    assert_eq!((file.key.as_str(), file.record_count, file.split_offsets.len()), ("2024-2", 33_336, 2));
    assert!(bytes.len() < 60_000, "{}", bytes.len());
    put(&bucket, &file.key, &bytes);
    let expected = BTreeMap::from([("a".to_owned(), many), ("b/c".to_owned(), RoaringBitmap::from([7]))]);
    assert_eq!(told(&bucket, &file).unwrap(), expected);
    let other = run(read_position_deletes(&bucket, &file, "s3://other", &mut ScanStats::default())).done().unwrap();
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn what_is_no_delete_file_is_not_written() {
    let some = RoaringBitmap::from([1]);
    let mut writer = PositionDeletesWriter::new(BASE);
    writer.push("b", 649, &some).unwrap();
    for (key, month, what) in [("b", 649, "twice"), ("a", 649, "not ascending"), ("c", 650, "another month")] {
        assert_eq!(writer.push(key, month, &some).expect_err(what).kind(), ErrorKind::Internal, "{what}");
    }
    let empty = |month: Option<i32>| {
        let mut writer = PositionDeletesWriter::new(BASE);
        if let Some(month) = month {
            writer.push("a", month, &RoaringBitmap::new()).unwrap();
        }
        writer.finish(|_| String::new()).unwrap_err().kind()
    };
    assert_eq!(
        (empty(None), empty(Some(649)), empty(Some(i32::MAX))),
        (ErrorKind::Internal, ErrorKind::Internal, ErrorKind::Internal)
    );
}

#[test]
fn deleted_rows_are_not_seen() {
    let bucket = MemoryBucket::new();
    let (first, second) = (rows(20..30, FEBRUARY), rows(0..10, FEBRUARY));
    let columns = learned(&first);
    let (bytes, parts) = parts_file(&columns, &[(1, &first), (2, &second)], "a");
    put(&bucket, "a", &bytes);
    let tail = stored(&bucket, &columns, &rows(40..43, FEBRUARY), "b");
    let gone = stored(&bucket, &columns, &rows(50..52, FEBRUARY), "c");
    let march = stored(&bucket, &columns, &rows(60..62, MARCH), "m");
    let delete = deletes(&bucket, &[(&parts, &[0, 9, 10, 19]), (&gone, &[0, 1])], "d");
    let files = [delete, parts, tail, gone, march];
    let (found, stats) = read(&bucket, &files, &columns, None, &|_| false).unwrap();
    let expected: Vec<String> =
        (21..29).chain(1..9).chain(40..43).chain(60..62).map(|number| format!("{number:08}")).collect();
    assert_eq!(ids(&found), expected);
    assert_eq!((stats.rows_read, stats.files_scanned, stats.files_pruned, stats.delete_files_read), (21, 3, 1, 1));
    assert_eq!(stats.requests, 4, "a file without a row left is not fetched");
    let (projected, _) = read(&bucket, &files, &columns, Some(&["n"]), &|_| false).unwrap();
    assert_eq!((projected[0].text.as_str(), ids(&projected)), (r#"{"id":"00000021","n":21}"#, ids(&found)));
}

#[test]
fn delete_files_are_read_only_for_data_files_that_are() {
    let bucket = MemoryBucket::new();
    let columns = learned(&rows(0..1, FEBRUARY));
    let february = stored(&bucket, &columns, &rows(0..10, FEBRUARY), "f");
    let march = stored(&bucket, &columns, &rows(10..20, MARCH), "m");
    let of_february = deletes(&bucket, &[(&february, &[1])], "fd");
    let of_march = deletes(&bucket, &[(&march, &[1])], "md");
    let files = [february, march, of_february, of_march];
    let above = |least: &'static str| {
        move |statistics: &dyn ColumnStatistics| {
            let upper = statistics.bounds("id").and_then(|bounds| bounds.upper);
            matches!(upper, Some(Bound::Text(upper)) if upper.as_str() < least)
        }
    };
    let (found, stats) = read(&bucket, &files, &columns, None, &above("00000015")).unwrap();
    assert_eq!((found.len(), stats.requests, stats.delete_files_read), (9, 2, 1));
    let (found, stats) = read(&bucket, &files, &columns, None, &above("zzz")).unwrap();
    assert_eq!((found.len(), stats.requests, stats.delete_files_read), (0, 0, 0));
}

#[test]
fn a_row_group_without_a_row_left_is_not_fetched() {
    let bucket = MemoryBucket::new();
    let all = rows(0..50_000, FEBRUARY);
    let columns = learned(&all[..3]);
    let data = stored(&bucket, &columns, &all, "a");
    assert!(data.file_size > 4 * 1024 * 1024 && data.split_offsets.len() == 3);
    let group = u32::try_from(ROW_GROUP_MAX_ROWS).unwrap();
    let positions: Vec<u32> = (group - 1..2 * group + 1).collect();
    let delete = deletes(&bucket, &[(&data, &positions)], "d");
    let (found, stats) = read(&bucket, &[data, delete], &columns, None, &|_| false).unwrap();
    assert_eq!((stats.row_groups_scanned, stats.row_groups_pruned, stats.rows_read), (2, 1, 29_998));
    assert_eq!(found.len(), 29_998);
    assert_eq!((ids(&found)[19_998], ids(&found)[19_999]), ("00019998", "00040001"));
    // The footer, two row groups, and the delete file.
    assert_eq!(stats.requests, 4);
}

#[test]
fn deletes_that_do_not_fit_are_told() {
    let bucket = MemoryBucket::new();
    let columns = learned(&rows(0..1, FEBRUARY));
    let data = stored(&bucket, &columns, &rows(0..10, FEBRUARY), "a");
    let other = stored(&bucket, &columns, &rows(0..20, FEBRUARY), "b");
    let refused = |files: &[DataFile], what: &str| {
        let error = read(&bucket, files, &columns, None, &|_| false).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        error.message().to_owned()
    };
    let beyond = deletes(&bucket, &[(&data, &[0, 10])], "beyond");
    let message = refused(&[data.clone(), beyond], "a position beyond the file");
    assert!(message.starts_with("a: expected deleted positions inside the data file"), "{message}");
    // Of files that are not scanned: as when one file of a table is read alone.
    let elsewhere = deletes(&bucket, &[(&data, &[1]), (&other, &[15])], "elsewhere");
    let (found, _) = read(&bucket, &[data.clone(), elsewhere.clone()], &columns, None, &|_| false).unwrap();
    assert_eq!(found.len(), 9);
    let missing = DataFile { key: "missing".to_owned(), ..elsewhere.clone() };
    refused(&[data.clone(), missing], "a delete file that is gone");
    let no_deletes = DataFile { content: FileContent::PositionDeletes, ..other.clone() };
    refused(&[data.clone(), no_deletes], "a data file on record as a delete file");
    let no_data = DataFile { content: FileContent::Data, ..elsewhere };
    assert!(read(&bucket, &[no_data], &columns, None, &|_| false).is_err(), "a delete file on record as a data file");
    assert_eq!(told(&bucket, &data).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn every_truncation_and_every_flipped_bit_of_a_delete_file_is_told() {
    let columns = learned(&rows(0..1, FEBRUARY));
    let (data_bytes, data) = document_file(&columns, &rows(0..10, FEBRUARY), "a");
    let (bytes, file) = delete_file(BASE, &[(&data, &[1, 2, 7])], "d");
    let damaged = |bytes: &[u8]| {
        let bucket = MemoryBucket::new();
        put(&bucket, "a", &data_bytes);
        bucket.overwrite("d", bytes);
        let direct = told(&bucket, &file).map(|_| ());
        let scanned = read(&bucket, &[data.clone(), file.clone()], &columns, None, &|_| false).map(|_| ());
        assert_eq!(direct.is_ok(), scanned.is_ok());
        direct.and(scanned)
    };
    damaged(&bytes).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        let error = damaged(bytes).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    };
    (0..bytes.len()).for_each(|length| refused(&bytes[..length], &format!("cut at {length}")));
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&flipped, &format!("bit {bit} flipped"));
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A file of the delete file's form with any rows: what only a wrong writer, or a forger of the checksums, makes.
#[test]
fn rows_that_are_no_deletes_are_told() {
    // Names that differ so early that the compressed dictionary has both as they are.
    let key = "first-x";
    let columns = learned(&rows(0..1, FEBRUARY));
    let (_, data) = document_file(&columns, &rows(0..10, FEBRUARY), key);
    let other = DataFile { key: "other-y".to_owned(), ..data.clone() };
    let (bytes, file) = delete_file(BASE, &[(&data, &[1, 2]), (&other, &[3])], "d");
    let forge = |from: &[u8], to: &[u8]| {
        let mut forged = bytes.clone();
        let mut places = Vec::new();
        for start in 0..bytes.len() - from.len() {
            if &bytes[start..start + from.len()] == from {
                forged[start..start + from.len()].copy_from_slice(to);
                places.push(start);
            }
        }
        assert!(!places.is_empty());
        // The chunk checksums stand in the footer as text.
        let metadata = footer(&bytes, &file);
        for chunk in metadata.row_group(0).columns() {
            let (start, length) = chunk.byte_range();
            let range = usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
            let sum = |bytes: &[u8]| format!("{:016x}", xxhash_rust::xxh64::xxh64(bytes, 0));
            let (old, new) = (sum(&bytes[range.clone()]), sum(&forged[range]));
            let place = forged.windows(16).position(|window| window == old.as_bytes()).unwrap();
            forged[place..place + 16].copy_from_slice(new.as_bytes());
        }
        let footer = &forged[forged.len() - usize::try_from(file.footer_size).unwrap()..];
        let sum = |bytes: &[u8]| xxhash_rust::xxh64::xxh64(bytes, 0);
        let record = DataFile { checksum: sum(&forged), footer_checksum: sum(footer), ..file.clone() };
        let bucket = MemoryBucket::new();
        put(&bucket, "d", &forged);
        told(&bucket, &record)
    };
    let forged = forge(b"other-y", b"third-z").unwrap();
    assert_eq!(forged.keys().map(String::as_str).collect::<Vec<_>>(), ["first-x", "third-z"], "the forging itself");
    let refused = |from: &[u8], to: &[u8], what: &str| {
        assert_eq!(forge(from, to).expect_err(what).kind(), ErrorKind::Corrupt, "{what}");
    };
    refused(b"other-y", b"a-ether", "paths descend");
    refused(b"s3://cold/first-x", b"s3://warm/first-x", "another base URI");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_scan_sees_what_is_not_deleted(
        sizes in prop::collection::vec(1_usize..30, 1..6),
        deleted in prop::collection::btree_set((0_usize..6, 0_u32..30), 0..80),
    ) {
        let bucket = MemoryBucket::new();
        let columns = learned(&rows(0..1, FEBRUARY));
        let mut files = Vec::new();
        let mut expected = Vec::new();
        let mut by_file: Vec<(usize, Vec<u32>)> = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let documents = rows(number * 100..number * 100 + size, FEBRUARY);
            files.push(stored(&bucket, &columns, &documents, &format!("k{number}")));
            let gone: BTreeSet<u32> = deleted.iter().filter(|(file, row)| *file == number && usize::try_from(*row).unwrap() < *size).map(|(_, row)| *row).collect();
            let stays = (0..).zip(&documents).filter(|(row, _)| !gone.contains(row));
            expected.extend(stays.map(|(_, document)| document.id.clone()));
            if !gone.is_empty() {
                by_file.push((number, gone.into_iter().collect()));
            }
        }
        let deleted: Vec<(&DataFile, &[u32])> = by_file.iter().map(|(number, rows)| (&files[*number], rows.as_slice())).collect();
        let delete = (!deleted.is_empty()).then(|| deletes(&bucket, &deleted, "d"));
        let files: Vec<DataFile> = files.iter().cloned().chain(delete).collect();
        let (found, _) = read(&bucket, &files, &columns, None, &|_| false).unwrap();
        prop_assert_eq!(found.into_iter().map(|document| document.id).collect::<Vec<_>>(), expected);
    }
}
