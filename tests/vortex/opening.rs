//! A blob opens from its end, and a column is read without the others.

use thermocline::error::ErrorKind;
use thermocline::vortex::Scalar;
use thermocline::vortex::blob::{Blob, BlobIndex, BlobWriter, Budget, EncodeOptions, Opened};

use crate::support::*;

fn three_columns() -> Vec<u8> {
    let mut random = Random::new(51);
    let mut writer = BlobWriter::new(EncodeOptions::default());
    writer.push("a", &longs((0..5_000).map(|_| random.below(1_000) as i64))).unwrap();
    writer.push("b", &texts((0..5_000).map(|row| format!("row {row}")))).unwrap();
    writer.push("c", &doubles((0..5_000).map(|row| f64::from(row) / 4.0))).unwrap();
    writer.finish().unwrap()
}

#[test]
fn the_end_of_a_blob_says_how_much_of_it_opens_it() {
    let bytes = three_columns();
    let Opened::From(offset) = BlobIndex::open(&bytes[bytes.len() - 8..], bytes.len()).unwrap() else {
        panic!("8 bytes hold no index")
    };
    for start in offset + 1..bytes.len() - 8 {
        assert_eq!(BlobIndex::open(&bytes[start..], bytes.len()).unwrap(), Opened::From(offset));
    }
    for start in [offset, offset - 1, 0] {
        let Opened::Index(index) = BlobIndex::open(&bytes[start..], bytes.len()).unwrap() else {
            panic!("the index is there")
        };
        assert_eq!((index.rows(), index.columns().len()), (5_000, 3));
        assert_eq!(&index, Blob::open(&bytes).unwrap().index());
    }
    assert_eq!(BlobIndex::open(&bytes[bytes.len() - 7..], bytes.len()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_column_is_read_though_its_neighbours_are_damaged() {
    let mut bytes = three_columns();
    let ranges: Vec<_> = Blob::open(&bytes).unwrap().columns().iter().map(|column| column.range()).collect();
    for damaged in [0, 2] {
        bytes[ranges[damaged].clone()].fill(0xa5);
    }
    let blob = Blob::open(&bytes).unwrap();
    let budget = || Budget::new(AMPLE_BYTES);
    assert_eq!(blob.decode(1, 0..5_000, &mut budget()).unwrap().get(4_321), Some(Scalar::Text("row 4321".into())));
    assert_eq!(blob.value(1, 17).unwrap().value, Some(Scalar::Text("row 17".into())));
    for damaged in [0, 2] {
        assert_eq!(blob.decode(damaged, 0..5_000, &mut budget()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn statistics_tell_of_the_values() {
    let bytes = three_columns();
    let blob = Blob::open(&bytes).unwrap();
    let [a, b, c] = blob.columns() else { panic!("three columns") };
    let column = blob.decode(0, 0..5_000, &mut Budget::new(AMPLE_BYTES)).unwrap();
    let mut values: Vec<i64> = (0..5_000)
        .filter_map(|row| column.get(row))
        .map(|value| if let Scalar::Long(value) = value { value } else { panic!() })
        .collect();
    assert_eq!(a.statistics.sum, Some(values.iter().copied().map(i128::from).sum()));
    values.sort_unstable();
    let bound =
        |bound: &Option<thermocline::vortex::blob::Bound>| bound.clone().map(|bound| (bound.value, bound.exact));
    assert_eq!(bound(&a.statistics.least), Some((Scalar::Long(values[0]), true)));
    assert_eq!(bound(&a.statistics.greatest), Some((Scalar::Long(values[4_999]), true)));
    values.dedup();
    assert!(a.statistics.distinct_estimate.abs_diff(values.len()) < values.len() / 10);
    assert_eq!(bound(&b.statistics.least), Some((Scalar::Binary(b"row 0".as_slice().into()), true)));
    assert_eq!(bound(&b.statistics.greatest), Some((Scalar::Binary(b"row 999".as_slice().into()), true)));
    assert_eq!((b.statistics.sum, c.statistics.sum, c.statistics.has_nan), (None, None, false));
    assert_eq!(bound(&c.statistics.greatest), Some((Scalar::Double(1_249.75), true)));
}

#[test]
fn a_sum_that_does_not_fit_is_left_out() {
    let decimal = thermocline::vortex::ColumnType::Decimal { precision: 38, scale: 0 };
    let blob_of = |values: [i128; 2]| blob(&column(decimal, values.map(|value| Some(Scalar::Decimal(value)))));
    let sum = |bytes: &[u8]| Blob::open(bytes).unwrap().columns()[0].statistics.sum;
    assert_eq!(sum(&blob_of([i128::MAX, 1])), None);
    assert_eq!(sum(&blob_of([i128::MAX, -1])), Some(i128::MAX - 1));
    assert_eq!(sum(&blob(&longs([i64::MAX, i64::MAX]))), Some(i128::from(i64::MAX) * 2));
}

#[test]
fn a_newer_version_is_named_whatever_its_checksum() {
    let bytes = three_columns();
    let index = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap()) as usize;
    for (at, value, message) in
        [(4, 2, "version 2 with flags 0"), (6, 1, "version 1 with flags 1"), (0, b'X', "begins with VRTX")]
    {
        let mut newer = bytes.clone();
        (newer[at], newer[index + at]) = (value, value);
        let error = Blob::open(&newer).unwrap_err();
        assert!(error.message().contains(message), "{}", error.message());
    }
    let mut differing = bytes;
    differing[12] ^= 1;
    assert!(Blob::open(&differing).unwrap_err().message().contains("header"));
    assert!(Blob::open(b"").is_err() && Blob::open(b"VRTX").is_err());
}

#[test]
fn what_a_later_version_adds_to_the_index_is_skipped() {
    let bytes = blob(&longs([1, 2, 3]));
    let index = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap()) as usize;
    let footer = bytes.len() - 8;
    // The two last bytes of the index are the empty parts of its one entry and of itself.
    assert_eq!(bytes[footer - 2..footer], [0, 0]);
    let mut longer = bytes[..footer - 2].to_vec();
    longer.extend(b"\x03new\x05newer");
    let sum = xxhash_rust::xxh64::xxh64(&longer[index..], 0) as u32;
    longer.extend(sum.to_le_bytes());
    longer.extend(&bytes[bytes.len() - 4..]);
    assert_same(&longs([1, 2, 3]), &decoded(&longer).unwrap());
}

#[test]
fn a_column_is_decoded_from_its_own_bytes() {
    let bytes = three_columns();
    let Opened::Index(index) = BlobIndex::open(&bytes, bytes.len()).unwrap() else { panic!("the index is there") };
    let column = index.position("b").unwrap();
    let own = bytes[index.columns()[column].range()].to_vec();
    let rows = index.decode(column, &own, 10..12, &mut Budget::new(AMPLE_BYTES)).unwrap();
    assert_same(&texts(["row 10", "row 11"]), &rows);
    assert_eq!(index.decode(0, &own, 0..1, &mut Budget::new(AMPLE_BYTES)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn columns_brought_alone_are_read_and_others_are_not() {
    let bytes = three_columns();
    let whole = Blob::open(&bytes).unwrap();
    let index = whole.index();
    let range = index.columns()[1].range();
    let some = Blob::of_columns(index, vec![None, Some(&bytes[range.clone()])]);
    let budget = || Budget::new(AMPLE_BYTES);
    assert_eq!(some.decode(1, 0..5_000, &mut budget()).unwrap(), whole.decode(1, 0..5_000, &mut budget()).unwrap());
    assert_eq!(some.value(1, 9).unwrap(), whole.value(1, 9).unwrap());
    for absent in [0, 2, 3] {
        assert_eq!(some.decode(absent, 0..5_000, &mut budget()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let short = Blob::of_columns(index, vec![None, Some(&bytes[range.start..range.end - 1])]);
    assert_eq!(short.value(1, 9).unwrap_err().kind(), ErrorKind::Corrupt);
}
