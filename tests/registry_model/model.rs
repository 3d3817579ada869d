//! What a registry holds, as a map, and what a search in it finds.

use std::collections::BTreeMap;

use super::hashes::{Hash, distance, hex};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashed {
    pub hash: Hash,
    pub quality: u8,
    pub issuer: String,
}

/// Assets, each with its hash if it has one.
#[derive(Default)]
pub struct Model {
    pub assets: BTreeMap<String, Option<Hashed>>,
    pub collisions: usize,
}

/// What is wanted of a search.
pub struct Wanted {
    pub hash: Hash,
    pub reach: u32,
    pub limit: usize,
    pub min_quality: u8,
}

/// A match: distance, asset, hash, quality.
pub type Match = (u32, String, String, u8);

impl Model {
    pub fn hashed(&self) -> impl Iterator<Item = (&String, &Hashed)> {
        self.assets.iter().filter_map(|(id, hashed)| Some((id, hashed.as_ref()?)))
    }

    /// The matches up to the limit, and how many there are.
    pub fn search(&self, wanted: &Wanted) -> (Vec<Match>, usize) {
        let mut found: Vec<Match> = self
            .hashed()
            .filter(|(_, hashed)| hashed.quality >= wanted.min_quality)
            .map(|(id, hashed)| (distance(&hashed.hash, &wanted.hash), id.clone(), hex(&hashed.hash), hashed.quality))
            .filter(|(distance, ..)| *distance <= wanted.reach)
            .collect();
        found.sort();
        let total = found.len();
        found.truncate(wanted.limit);
        (found, total)
    }

    /// How many there are that a new hash collides with by the rules of a tenant that has set none.
    pub fn collides(&self, new: &Hashed) -> usize {
        if new.quality < 50 {
            return 0;
        }
        let near = |hashed: &Hashed| hashed.quality >= 50 && distance(&hashed.hash, &new.hash) <= 31;
        self.hashed().filter(|(_, hashed)| near(hashed) && hashed.issuer != new.issuer).count()
    }
}
