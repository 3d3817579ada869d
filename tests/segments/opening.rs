//! Heads that no writer made are refused or read, within memory in proportion to them, and never with a panic.

use std::rc::Rc;

use proptest::prelude::*;
use thermocline::hot::query::OrderKey;
use thermocline::hot::segment::{ColumnBytes, SegmentHead, read};
use thermocline::vortex::Bitmap;
use thermocline::vortex::blob::Budget;
use xxhash_rust::xxh64::xxh64;

use crate::golden::{cases, golden};
use crate::support::*;

/// Makes the checksum hold again, so that what is behind it is read.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 16 {
        let sum = xxh64(&bytes[16..], 0);
        bytes[8..16].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// Everything that can be asked of a head and its columns. Whether the head was read.
fn exercise(bytes: &[u8], group: &Rc<[u8]>) -> bool {
    let Ok(head) = SegmentHead::read(bytes) else { return false };
    assert!(head.memory_bytes() <= bytes.len() * 32 + 4_096, "{} of {}", head.memory_bytes(), bytes.len());
    assert_eq!(head.to_bytes().unwrap(), bytes, "what is read is what would be written");
    head.may_have_id("größe-001");
    head.may_have(&[("s", &OrderKey::Null), ("i", &OrderKey::Integer(1)), ("d", &OrderKey::Null)]);
    let mut columns = ColumnBytes::default();
    for position in 0..head.index.columns().len() {
        let (number, range) = head.group_of(position).unwrap();
        assert!(range.end <= head.groups()[number].len());
        columns.insert(position, Rc::clone(group), range);
    }
    let blob = columns.blob(&head.index);
    let budget = || Budget::new(4 << 20);
    drop(read::find(&blob, "größe-001"));
    drop(read::first_after(&blob, Some("größe-001")));
    drop(read::find_all(&blob, &["größe-001", "x"], &mut budget()));
    drop(read::document(&head, &blob, 0));
    drop(read::documents(&head, &blob, 0..head.rows, &mut budget()));
    drop(read::documents(&head, &blob, 3..usize::MAX, &mut budget()));
    drop(read::documents(&head, &blob, &Bitmap::repeated(true, 2), &mut budget()));
    drop(read::ids(&blob, 0..head.rows, &mut budget()));
    drop(read::rows_by_sequence(&head, &blob, 0..=i64::MAX, usize::MAX, &mut budget()));
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), seal: bool) {
        let group: Rc<[u8]> = Rc::from([]);
        prop_assert!(!exercise(&bytes, &group));
        let headed = [&b"TCSG\x01\0\0\0\0\0\0\0\0\0\0\0"[..], &bytes].concat();
        exercise(&if seal { sealed(headed) } else { headed }, &group);
    }

    #[test]
    fn changed_heads_are_refused_or_read(
        case in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        grown in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let name = cases()[case].name;
        let mut bytes = golden(name, "head");
        for (at, byte) in changes {
            // Half of the changes are to the numbers at the beginning.
            let at = if byte % 2 == 0 { at.index(120.min(bytes.len())) } else { at.index(bytes.len()) };
            bytes[at.max(16)] = byte;
        }
        if let Some(cut) = cut.filter(|_| grown.len() == 1) {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(grown);
        exercise(&sealed(bytes), &golden(name, "group").into());
    }

    #[test]
    fn changed_columns_are_refused_or_read(
        case in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let name = cases()[case].name;
        let mut group = golden(name, "group");
        for (at, byte) in changes {
            let at = at.index(group.len());
            group[at] = byte;
        }
        prop_assert!(exercise(&golden(name, "head"), &group.into()));
    }
}

/// Each byte of each golden head in turn, its checksum made to hold.
#[test]
fn each_byte_changed_is_refused_or_read() {
    let mut random = Random::new(5);
    let mut read = 0;
    for case in cases() {
        let bytes = golden(case.name, "head");
        let group: Rc<[u8]> = golden(case.name, "group").into();
        for at in 16..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << random.below(8);
            read += usize::from(exercise(&sealed(changed), &group));
        }
    }
    assert!(read > 100, "some changes, such as to a filter, are no error: {read}");
}

/// A count that says more than there is must not be believed.
#[test]
fn lengths_beyond_the_bytes_are_refused() {
    let bytes = golden("one-row", "head");
    for at in 16..bytes.len() - 4 {
        for length in [u32::MAX, 0x7fff_ffff, 100_000] {
            let mut changed = bytes.clone();
            changed[at..at + 4].copy_from_slice(&length.to_le_bytes());
            exercise(&sealed(changed), &golden("one-row", "group").into());
        }
    }
}
