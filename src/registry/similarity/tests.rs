//! The index against looking at everything, on hashes of every kind.

use super::*;
use crate::registry::similarity::hash::HASH_BYTES;

/// Numbers that repeat with their seed (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn hash(&mut self) -> PdqHash {
        PdqHash::of_halves([self.next(), self.next()], [self.next(), self.next()])
    }

    /// The same hash with some bits turned.
    fn near(&mut self, hash: PdqHash, bits: u64) -> PdqHash {
        let mut bytes = hash.to_bytes();
        for _ in 0..bits {
            let bit = usize::try_from(self.below(256)).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        PdqHash::from_bytes(&bytes)
    }
}

/// Hashes that a registry really has: copies, near copies, images of one colour, and bands that few values fill.
fn hashes(numbers: &mut Numbers, count: usize) -> Vec<PdqHash> {
    let mut made: Vec<PdqHash> = Vec::new();
    while made.len() < count {
        let any = made.get(usize::try_from(numbers.below(made.len().max(1) as u64)).unwrap()).copied();
        let hash = match (numbers.below(8), any) {
            (0 | 1, Some(known)) => known,
            (2 | 3, Some(known)) => {
                let bits = numbers.below(40);
                numbers.near(known, bits)
            }
            (4, _) => PdqHash::from_bytes(&[0; HASH_BYTES]),
            (5, _) => {
                let mut bytes = numbers.hash().to_bytes();
                bytes[..20].fill(0xaa);
                PdqHash::from_bytes(&bytes)
            }
            _ => numbers.hash(),
        };
        made.push(hash);
    }
    made
}

fn by_looking(hashes: &[PdqHash], removed: &[u32], query: PdqHash, max_distance: u32) -> Vec<Found> {
    let all = (0_u32..).zip(hashes).map(|(position, hash)| Found { distance: query.distance(*hash), position });
    let mut found: Vec<Found> =
        all.filter(|found| found.distance <= max_distance && !removed.contains(&found.position)).collect();
    found.sort_unstable();
    found
}

#[test]
fn every_search_finds_what_looking_at_everything_finds() {
    for seed in 0..6 {
        let mut numbers = Numbers(seed);
        let known = hashes(&mut numbers, 3_000);
        let mut index = HashIndex::with_capacity(known.len());
        let mut removed = Vec::new();
        for (number, hash) in known.iter().enumerate() {
            assert_eq!(index.add(*hash), u32::try_from(number).ok());
            if number == 2_500 {
                index.index_all();
            }
            if numbers.below(20) == 0 {
                removed.push(u32::try_from(numbers.below(number as u64 + 1)).unwrap());
                index.remove(*removed.last().unwrap());
            }
        }
        for _ in 0..30 {
            let query = match numbers.below(3) {
                0 => numbers.hash(),
                1 => known[usize::try_from(numbers.below(3_000)).unwrap()],
                _ => {
                    let (from, bits) = (usize::try_from(numbers.below(3_000)).unwrap(), numbers.below(34));
                    numbers.near(known[from], bits)
                }
            };
            for max_distance in [0, 1, 7, 14, 15, 16, 17, 24, 30, 31, 32, 40, 47, 48, 60, 63, 64, 100, 255] {
                let mut stats = SearchStats::default();
                let found = index.within(query, max_distance, &mut stats);
                assert_eq!(found, by_looking(&known, &removed, query, max_distance), "seed {seed}, {max_distance}");
            }
        }
    }
}

#[test]
fn bands_alone_find_everything_within_their_distance() {
    // The plan is followed whatever it costs.
    for seed in 0..10 {
        let mut numbers = Numbers(seed);
        let known = hashes(&mut numbers, 1_000);
        let mut halves = Halves::default();
        known.iter().for_each(|hash| halves.push(*hash));
        let bands = Bands::build(&halves);
        for _ in 0..100 {
            let (from, bits) = (usize::try_from(numbers.below(1_000)).unwrap(), numbers.below(66));
            let query = numbers.near(known[from], bits);
            let max_distance = u32::try_from(numbers.below(64)).unwrap();
            let mut found = Vec::new();
            bands.look_up(&bands.plan(query, max_distance).unwrap(), &halves, query, max_distance, &mut found);
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, by_looking(&known, &[], query, max_distance), "seed {seed}, {max_distance}");
        }
        assert!(bands.plan(known[0], 64).is_none(), "beyond what they find");
    }
}

#[test]
fn few_hashes_are_looked_at_and_never_more_than_a_scan_would() {
    let mut numbers = Numbers(7);
    let mut index = HashIndex::with_capacity(200_000);
    (0..200_000).for_each(|_| assert!(index.add(numbers.hash()).is_some()));
    assert!(index.is_indexing_due());
    index.index_all();
    assert!(!index.is_indexing_due());
    let query = numbers.hash();
    let looked = |max_distance| {
        let mut stats = SearchStats::default();
        index.within(query, max_distance, &mut stats);
        stats.distances
    };
    let by_distance = [0, 10, 15, 20, 31, 32, 47, 64].map(looked);
    println!("distances computed at 0, 10, 15, 20, 31, 32, 47, 64: {by_distance:?}");
    assert!(by_distance.is_sorted());
    assert!(by_distance[2] < 150 && by_distance[4] < 2_000, "{by_distance:?}");
    assert!(by_distance[5] < 2_500 && by_distance[6] < 10_000, "{by_distance:?}");
    assert_eq!(by_distance[7], 200_000);

    let mut copies = HashIndex::with_capacity(100_000);
    (0..100_000).for_each(|_| assert!(copies.add(query).is_some()));
    copies.index_all();
    let mut stats = SearchStats::default();
    assert_eq!(copies.within(query, 31, &mut stats).len(), 100_000);
    assert_eq!(stats.distances, 100_000, "a scan");
}

#[test]
fn a_million_hashes_take_eighty_bytes_each() {
    let mut numbers = Numbers(1);
    let mut index = HashIndex::with_capacity(1_000_000);
    (0..1_000_000).for_each(|_| assert!(index.add(numbers.hash()).is_some()));
    index.index_all();
    println!("{} bytes for a million hashes", index.bytes());
    assert!(index.bytes() <= 80_000_000);
}
