//! Files of every codec that is offered: each is read whatever is configured, because nobody asks.

use parquet::basic::Compression as Codec;
use roaring::RoaringBitmap;
use thermocline::cold::{
    ChangesFileWriter, ChangesRange, DataFile, DocumentFileWriter, PositionDeletesWriter, ScanStats,
    read_position_deletes,
};
use thermocline::config::Compression;
use thermocline::ports::native::{MemoryBucket, run};
use thermocline::types::Document;

use super::support::{FEBRUARY, change_record, document, footer, learned, put, read, read_changes};

const CODECS: [(Compression, Codec); 2] =
    [(Compression::Snappy, Codec::SNAPPY), (Compression::None, Codec::UNCOMPRESSED)];
/// More than a row group, so that several pages of each column are decoded, and those that compress and do not.
const ROWS: usize = 21_000;

fn documents() -> Vec<Document> {
    let row = |number: usize| {
        let noise = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let fields = format!("\"n\":{number},\"city\":\"city {}\",\"noise\":\"{noise:016x}\"", number % 7);
        document(&format!("{number:08}"), i64::try_from(number).unwrap() + 1, FEBRUARY, &fields)
    };
    (0..ROWS).map(row).collect()
}

/// Puts a file, and checks that each of its column chunks has the codec.
fn stored(bucket: &MemoryBucket, (bytes, file): (Vec<u8>, DataFile), codec: Codec) -> DataFile {
    put(bucket, &file.key, &bytes);
    let metadata = footer(&bytes, &file);
    let chunks: Vec<Codec> =
        metadata.row_groups().iter().flat_map(|group| group.columns()).map(|chunk| chunk.compression()).collect();
    assert!(!chunks.is_empty() && chunks.iter().all(|chunk| *chunk == codec), "{chunks:?}");
    file
}

#[test]
fn documents_of_every_codec_are_read() {
    let (bucket, documents) = (MemoryBucket::new(), documents());
    let columns = learned(&documents);
    let mut sizes = Vec::new();
    let mut files = Vec::new();
    for (compression, codec) in CODECS {
        let mut writer = DocumentFileWriter::new(&columns).compressed_by(compression);
        documents.iter().for_each(|document| writer.push(document).unwrap());
        files.push(stored(&bucket, writer.finish(|_| compression.to_string()).unwrap(), codec));
        let file = files.last().unwrap();
        sizes.push(file.file_size);
        let (found, _) = read(&bucket, std::slice::from_ref(file), &columns, None, &|_| false).unwrap();
        assert!(found == documents, "{compression}");
    }
    assert!(sizes[0] < sizes[1], "it does compress: {sizes:?}");
    // What is the default is what was written before there was a choice.
    let mut writer = DocumentFileWriter::new(&columns);
    documents.iter().for_each(|document| writer.push(document).unwrap());
    let (_, file) = writer.finish(|_| "default".to_owned()).unwrap();
    assert_eq!(file.checksum, files[0].checksum);
    // And one table may have files of both.
    let (found, _) = read(&bucket, &files, &columns, None, &|_| false).unwrap();
    assert_eq!(found.len(), CODECS.len() * ROWS);
}

#[test]
fn changes_and_deletes_of_every_codec_are_read() {
    for (compression, codec) in CODECS {
        let bucket = MemoryBucket::new();
        let mut writer = ChangesFileWriter::new().compressed_by(compression);
        let record = |sequence: i64| {
            let after = document("a", sequence, FEBRUARY, &format!("\"n\":{sequence}"));
            change_record("a", sequence, FEBRUARY, None, Some(&after))
        };
        let records: Vec<_> = (1..=5_000).map(record).collect();
        records.iter().for_each(|record| writer.push(record).unwrap());
        let file = stored(&bucket, writer.finish(|_| "changes".to_owned()).unwrap(), codec);
        let range = ChangesRange { after: 0, until: i64::MAX, images: true };
        assert!(read_changes(&bucket, &[file], range).unwrap().0 == records);

        let positions: RoaringBitmap = (0..30_000).filter(|position| position % 3 != 1).collect();
        let mut writer = PositionDeletesWriter::new("s3://cold").compressed_by(compression);
        writer.push("data.parquet", 649, &positions).unwrap();
        let file = stored(&bucket, writer.finish(|_| "deletes".to_owned()).unwrap(), codec);
        let told = run(read_position_deletes(&bucket, &file, "s3://cold", &mut ScanStats::default()));
        assert_eq!(told.done().unwrap().unwrap()["data.parquet"], positions);
    }
}
