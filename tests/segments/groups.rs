//! Columns are cut into groups that storage can keep.

use thermocline::hot::segment::{GROUP_MAX_BYTES, read};
use thermocline::types::Document;

use crate::support::*;

/// Text that no encoding makes much smaller.
fn noise(random: &mut Random, length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..length).map(|_| char::from(ALPHABET[random.below(64) as usize])).collect()
}

fn check(lengths: &[usize], groups: usize) {
    let mut random = Random::new(3);
    let document = |row: usize| {
        let members: Vec<String> = lengths
            .iter()
            .enumerate()
            .map(|(field, length)| format!(r#","f{field}":"{}""#, noise(&mut random, *length)))
            .collect();
        let text = format!(r#"{{"id":"{row:06}"{}}}"#, members.concat());
        Document { id: format!("{row:06}"), sequence: row as i64, timestamp: NOW, text }
    };
    let documents: Vec<Document> = (0..1_000).map(document).collect();
    let built = build(&documents);
    let head = reopened(&built);
    assert_eq!(built.groups.len(), groups, "{lengths:?}: {:?}", head.groups());
    let sizes: Vec<usize> = built.groups.iter().map(Vec::len).collect();
    assert_eq!(sizes, head.groups().iter().map(ExactSizeIterator::len).collect::<Vec<_>>());
    assert!(built.groups[0].starts_with(b"VRTX"), "the header belongs to the first group");

    let placed: Vec<_> = (0..head.index.columns().len()).map(|position| head.group_of(position).unwrap()).collect();
    assert_eq!(head.group_of(placed.len()), None);
    for (position, (group, range)) in placed.iter().enumerate() {
        assert_eq!(head.groups()[*group].start + range.start, head.index.columns()[position].range().start);
        assert!(range.end <= built.groups[*group].len());
        let next = placed.get(position + 1);
        let together = next.is_some_and(|(other, _)| other == group);
        let length = next.map_or(0, |(_, range)| range.len());
        let room = range.end + length <= GROUP_MAX_BYTES;
        assert!(next.is_none() || together == room, "column {position} of {placed:?}");
    }
    let columns = columns(&built);
    let blob = columns.blob(&head.index);
    blob.verify(&mut ample()).unwrap();
    assert_all_same(&documents, &read::documents(&head, &blob, 0..head.rows, &mut ample()).unwrap());
}

#[test]
fn a_small_segment_is_one_group() {
    check(&[10, 20], 1);
}

#[test]
fn columns_that_fit_are_put_together() {
    check(&[900, 900, 900, 900, 900], 3);
}

#[test]
fn a_column_that_is_too_large_is_a_group_of_its_own() {
    check(&[5_000, 10], 3);
    check(&[10, 5_000, 10, 5_000], 4);
}

#[test]
fn the_first_column_may_be_too_large() {
    let mut random = Random::new(4);
    let mut ids: Vec<String> = (0..5_000).map(|_| noise(&mut random, 510)).collect();
    ids.sort();
    let documents: Vec<_> = ids.iter().map(|id| document(id, 1, serde_json::Map::new())).collect();
    let built = build(&documents);
    assert!(built.groups[0].len() > GROUP_MAX_BYTES && built.groups.len() == 2);
    assert_eq!(built.head.group_of(0), Some((0, 16..built.groups[0].len())));
    let columns = columns(&built);
    let blob = columns.blob(&built.head.index);
    assert_all_same(&documents, &read::documents(&built.head, &blob, 0..5_000, &mut ample()).unwrap());
}
