//! The index against a plain list, with room for all of it in memory, for the hashes alone, and for nothing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seed"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::PdqHash;
use super::packed::HASHES_PER_BLOCK;
use super::store::{HashChange, Held, Match, Reach, SimilarityStore, Wanted};
use crate::ports::native::{NativeSql, SplitMix64};
use crate::ports::{SqlStore, transact};
use crate::registry::records::StoredHash;
use crate::types::Sequence;

struct Numbers(RefCell<SplitMix64>);

impl Numbers {
    fn below(&self, bound: u64) -> u64 {
        self.0.borrow_mut().next_u64() % bound
    }

    /// Few hashes far apart, and many near to them: with copies.
    fn record(&self) -> StoredHash {
        let mut bytes = [0; 32];
        let seed = u8::try_from(self.below(5)).unwrap();
        bytes
            .iter_mut()
            .enumerate()
            .for_each(|(place, byte)| *byte = seed.wrapping_mul(u8::try_from(place * 7 + 1).unwrap()));
        for _ in 0..self.below(40) {
            let bit = usize::try_from(self.below(256)).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        StoredHash { hash: PdqHash::from_bytes(&bytes), quality: u8::try_from(self.below(101)).unwrap() }
    }
}

fn expected(model: &BTreeMap<String, StoredHash>, wanted: &Wanted) -> (Vec<Match>, usize) {
    let within = |distance: u32| match wanted.reach {
        Reach::Distance(most) => distance <= most,
        Reach::Nearest(_) => true,
    };
    let all = model.iter().filter(|(_, record)| record.quality >= wanted.min_quality);
    let mut found: Vec<Match> = all
        .map(|(id, record)| Match {
            distance: record.hash.distance(wanted.hash),
            asset_id: id.clone(),
            hash: record.hash,
            quality: record.quality,
        })
        .filter(|found| within(found.distance))
        .collect();
    found.sort();
    let total = found.len();
    found.truncate(match wanted.reach {
        Reach::Distance(_) => wanted.limit,
        Reach::Nearest(k) => k,
    });
    (found, total)
}

fn check(max_bytes: usize, seed: u64) {
    println!("seed {seed}, {max_bytes} bytes");
    let numbers = Numbers(RefCell::new(SplitMix64::new(seed)));
    let sql: Rc<dyn SqlStore> = Rc::new(NativeSql::in_memory().unwrap());
    let mut store = SimilarityStore::new(Rc::clone(&sql), max_bytes);
    let mut model: BTreeMap<String, StoredHash> = BTreeMap::new();
    store.begin();
    let (mut sequence, mut packed): (Sequence, Sequence) = (0, 0);
    let mut since: Vec<(Sequence, String, Option<StoredHash>, Option<StoredHash>)> = Vec::new();
    for _ in 0..6_000 {
        match numbers.below(100) {
            0..80 => {
                let id = format!("a{}", numbers.below(1_500));
                let after = (numbers.below(4) > 0).then(|| numbers.record());
                let before = model.get(&id).copied();
                match after {
                    Some(after) => drop(model.insert(id.clone(), after)),
                    None => drop(model.remove(&id)),
                }
                sequence += 1;
                store.take(sequence, Some(HashChange { asset_id: &id, before, after })).unwrap();
                since.push((sequence, id, before, after));
            }
            80..95 => {
                let hash = numbers.record().hash;
                let reach = match numbers.below(3) {
                    0 => Reach::Nearest(usize::try_from(1 + numbers.below(30)).unwrap()),
                    1 => Reach::Distance(u32::try_from(numbers.below(32)).unwrap()),
                    _ => Reach::Distance(u32::try_from(numbers.below(256)).unwrap()),
                };
                let limit = usize::try_from(1 + numbers.below(50)).unwrap();
                let limit = if let Reach::Nearest(k) = reach { k } else { limit };
                let min_quality = [0, 50, 100][usize::try_from(numbers.below(3)).unwrap()];
                let wanted = Wanted { hash, reach, limit, min_quality };
                let found = store.search(&[wanted]).unwrap().pop().unwrap();
                let (matches, total) = expected(&model, &wanted);
                assert_eq!(found.matches, matches, "{wanted:?}");
                if matches!(reach, Reach::Distance(_)) {
                    assert_eq!(found.total, total, "{wanted:?}");
                }
            }
            95..97 => {
                transact(sql.as_ref(), || store.pack()).unwrap();
                (packed, since) = (sequence, Vec::new());
            }
            97 => {
                transact(sql.as_ref(), || store.compact()).unwrap();
                (packed, since) = (sequence, Vec::new());
                assert!(store.load().unwrap());
                assert_eq!(store.figures().unwrap().removed, 0);
            }
            _ if packed > 0 => {
                store = SimilarityStore::new(Rc::clone(&sql), max_bytes);
                assert!(store.load().unwrap());
                assert_eq!(store.through().unwrap(), packed);
                for (sequence, id, before, after) in &since {
                    let (before, after) = (*before, *after);
                    store.take(*sequence, Some(HashChange { asset_id: id, before, after })).unwrap();
                }
            }
            _ => {}
        }
    }
    let figures = store.figures().unwrap();
    assert_eq!(figures.hashes, u64::try_from(model.len()).unwrap());
}

#[test]
fn searches_are_exact_over_changes_packing_compaction_and_wakes() {
    for (max_bytes, seed) in [(usize::MAX, 1), (34 * 700, 2), (0, 3)] {
        check(max_bytes, seed);
    }
}

#[test]
fn what_is_made_of_later_records_is_not_packed_as_if_it_were_of_earlier_ones() {
    let sql: Rc<dyn SqlStore> = Rc::new(NativeSql::in_memory().unwrap());
    let store = SimilarityStore::new(Rc::clone(&sql), usize::MAX);
    let record = StoredHash { hash: PdqHash::from_bytes(&[7; 32]), quality: 80 };
    // Begun after event 4; event 5 inserted the record before its page was read.
    let mut making = transact(sql.as_ref(), || store.make(4)).unwrap();
    store.add(&mut making, &[("a".to_owned(), record)]).unwrap();
    store.install(making, 5);
    transact(sql.as_ref(), || store.pack()).unwrap();
    assert!(!SimilarityStore::new(Rc::clone(&sql), usize::MAX).load().unwrap(), "a wake would take event 5 in again");
    store.take(5, Some(HashChange { asset_id: "a", before: None, after: Some(record) })).unwrap();
    transact(sql.as_ref(), || store.pack()).unwrap();
    let woken = SimilarityStore::new(Rc::clone(&sql), usize::MAX);
    assert!(woken.load().unwrap());
    assert_eq!((woken.through().unwrap(), woken.figures().unwrap().hashes), (5, 1));
}

#[test]
fn an_index_that_is_made_beside_one_that_somebody_else_packs_is_given_up() {
    let sql: Rc<dyn SqlStore> = Rc::new(NativeSql::in_memory().unwrap());
    let store = SimilarityStore::new(Rc::clone(&sql), usize::MAX);
    let numbers = Numbers(RefCell::new(SplitMix64::new(1)));
    let records: Vec<(String, StoredHash)> =
        (0..HASHES_PER_BLOCK).map(|number| (format!("a{number}"), numbers.record())).collect();
    let mut making = transact(sql.as_ref(), || store.make(4)).unwrap();
    transact(sql.as_ref(), || store.add(&mut making, &records)).unwrap();
    let other = SimilarityStore::new(Rc::clone(&sql), usize::MAX);
    other.begin();
    let change = HashChange { asset_id: "b", before: None, after: Some(numbers.record()) };
    other.take(1, Some(change)).unwrap();
    transact(sql.as_ref(), || other.pack()).unwrap();
    let refused = transact(sql.as_ref(), || store.add(&mut making, &records)).unwrap_err();
    assert!(refused.to_string().contains("expected to be the only one"), "{refused}");
    store.install(making, 4);
    transact(sql.as_ref(), || store.pack()).unwrap();
    assert!(!store.is_loaded(), "what is packed is the other's");
    assert!(store.load().unwrap());
    assert_eq!(store.figures().unwrap().hashes, 1);
}

/// How many names are read to find one of many copies, and how much memory a search among them takes.
#[test]
fn many_copies_of_one_hash_are_searched_and_changed_in_bounded_memory() {
    const COPIES: usize = 40_000;
    for max_bytes in [usize::MAX, 0] {
        let sql: Rc<dyn SqlStore> = Rc::new(NativeSql::in_memory().unwrap());
        let store = SimilarityStore::new(Rc::clone(&sql), max_bytes);
        store.begin();
        let record = StoredHash { hash: PdqHash::from_bytes(&[7; 32]), quality: 80 };
        let name = |number: usize| format!("a{number:05}");
        for number in 0..COPIES {
            // In another order than that of names.
            let asset_id = name(number * 7_919 % COPIES);
            let change = HashChange { asset_id: &asset_id, before: None, after: Some(record) };
            store.take(Sequence::try_from(number + 1).unwrap(), Some(change)).unwrap();
        }
        transact(sql.as_ref(), || store.pack()).unwrap();
        for number in 0..100 {
            let asset_id = name(number * 3);
            let change = HashChange { asset_id: &asset_id, before: Some(record), after: None };
            store.take(Sequence::try_from(COPIES + number + 1).unwrap(), Some(change)).unwrap();
        }
        for reach in [Reach::Distance(0), Reach::Distance(31), Reach::Nearest(50)] {
            let wanted = Wanted { hash: record.hash, reach, limit: 50, min_quality: 0 };
            let found = store.search(&[wanted]).unwrap().pop().unwrap();
            let names: Vec<&str> = found.matches.iter().map(|found| found.asset_id.as_str()).collect();
            let expected: Vec<String> = (0..COPIES).filter(|number| number % 3 > 0).take(50).map(name).collect();
            assert_eq!(names, expected, "{reach:?}, {max_bytes} bytes");
            assert_eq!(found.total, COPIES - 100);
        }
        let figures = store.figures().unwrap();
        assert_eq!(figures.hashes, u64::try_from(COPIES - 100).unwrap());
        assert_eq!(figures.held, if max_bytes > 0 { Held::Bands } else { Held::Blocks });
    }
}
