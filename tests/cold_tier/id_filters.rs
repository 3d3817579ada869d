//! Bloom filters on ids: which files have them, and that they are true.

use parquet::bloom_filter::Sbbf;
use thermocline::cold::{DataFile, DocumentFileWriter};
use thermocline::ports::native::MemoryBucket;
use thermocline::types::Document;
use uuid::Uuid;

use super::support::{FEBRUARY, document, footer, learned, put, read};

/// Random ids, the same each time, ascending.
fn random_ids(count: usize, series: usize) -> Vec<String> {
    let id = |number: usize| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{series} {number}").as_bytes()).to_string();
    let mut ids: Vec<String> = (0..count).map(id).collect();
    ids.sort();
    ids
}

fn documents(ids: &[String]) -> Vec<Document> {
    ids.iter().map(|id| document(id, 1, FEBRUARY, "\"n\":1")).collect()
}

/// A file of parts of so many documents each.
fn file_of(documents: &[Document], part: usize) -> (Vec<u8>, DataFile) {
    let columns = learned(&documents[..1]);
    let mut writer = DocumentFileWriter::of_parts(&columns);
    for (number, part) in documents.chunks(part).enumerate() {
        part.iter().for_each(|document| writer.push(document).unwrap());
        writer.end_part(i64::try_from(number).unwrap());
    }
    writer.finish(|_| "k".to_owned()).unwrap()
}

/// The filters of a file's row groups; those of other columns than the first are none.
fn filters((bytes, file): &(Vec<u8>, DataFile)) -> Vec<Option<Sbbf>> {
    let metadata = footer(bytes, file);
    let of_group = |group: &parquet::file::metadata::RowGroupMetaData| {
        assert!(group.columns()[1..].iter().all(|chunk| chunk.bloom_filter_offset().is_none()));
        let chunk = group.column(0);
        let start = usize::try_from(chunk.bloom_filter_offset()?).unwrap();
        let length = usize::try_from(chunk.bloom_filter_length().unwrap()).unwrap();
        Some(Sbbf::from_bytes(&bytes[start..start + length]).unwrap())
    };
    metadata.row_groups().iter().map(of_group).collect()
}

#[test]
fn row_groups_of_random_ids_have_filters_that_are_true() {
    let ids = random_ids(45_000, 0);
    // Segments ascend each for itself, so that every row group has all of the ids' range.
    let documents: Vec<Document> = (0..9).flat_map(|nth| documents(&ids[nth..])).step_by(9).collect();
    let made = file_of(&documents, 1_000);
    assert!(made == file_of(&documents, 1_000), "the same again");
    let filters = filters(&made);
    assert_eq!(filters.len(), documents.len().div_ceil(20_000));
    let absent = random_ids(10_000, 1);
    for (filter, group) in filters.iter().zip(documents.chunks(20_000)) {
        let filter = filter.as_ref().expect("a filter");
        assert!(group.iter().all(|document| filter.check(document.id.as_str())));
        let taken = absent.iter().filter(|id| filter.check(id.as_str())).count();
        assert!(taken < absent.len() / 50, "{taken} of {} absent ids", absent.len());
        let bytes = filter.num_blocks() * 32;
        assert!(bytes <= group.len() * 5 / 2, "{bytes} bytes of {} ids", group.len());
    }
    let bucket = MemoryBucket::new();
    put(&bucket, "k", &made.0);
    let columns = learned(&documents[..1]);
    let (found, _) = read(&bucket, std::slice::from_ref(&made.1), &columns, None, &|_| false).unwrap();
    assert!(found == documents);
}

#[test]
fn files_whose_ranges_tell_ids_apart_have_no_filters() {
    let has_any = |ids: &[String]| filters(&file_of(&documents(ids), 5_000)).iter().any(Option::is_some);
    let numbered = |form: &dyn Fn(usize) -> String| (0..6_000).map(form).collect::<Vec<_>>();
    assert!(has_any(&random_ids(6_000, 0)), "many of them");
    assert!(!has_any(&random_ids(4_999, 0)), "few of them");
    assert!(!has_any(&numbered(&|number| format!("f-{number:06}"))), "numbers");
    // UUIDs of version 7, one each 100 ms.
    let by_time = |number: usize| {
        let random = Uuid::new_v5(&Uuid::NAMESPACE_URL, number.to_string().as_bytes()).as_u128();
        let millis = u128::try_from(FEBRUARY).unwrap() + u128::try_from(number).unwrap() * 100;
        Uuid::from_u128(millis << 80 | 7 << 76 | random >> 52).to_string()
    };
    assert!(!has_any(&numbered(&by_time)), "by time");
    // Ids that end in the middle of one another, and one that is empty, take no part in how this is decided wrongly.
    assert!(!has_any(&numbered(&|number| "a".repeat(number % 50 + 1) + &format!("{number:04}"))), "alike");
}
