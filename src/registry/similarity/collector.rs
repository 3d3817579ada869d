//! The nearest of the hashes that a search comes upon, in memory by how many are wanted and not by how many there are.
//!
//! Of hashes at one distance the first by the names of their assets are wanted. Names are read only where there is no more room
//! for all of them, and of those that are told.
//!
//! Invariants: what is dropped is not among the wanted; every hash within reach is counted.

use super::PdqHash;
use super::SearchStats;
use super::store::{Match, Matches, Reach, Wanted};
use crate::error::Result;
use crate::types::sorting;

/// Distances that there are: 0 to 256.
const DISTANCES: usize = 257;
/// The largest of them.
const FARTHEST: u32 = 256;
/// Hashes that are kept before it is looked which can be dropped: so many more than are wanted, at least.
const ROOM: usize = 256;

/// What tells the name of a position's asset.
pub(super) type NameOf<'n> = &'n mut dyn FnMut(u32) -> Result<Box<str>>;

/// A hash that a search came upon.
pub(super) struct Near {
    pub(super) distance: u32,
    pub(super) position: u32,
    pub(super) hash: PdqHash,
    pub(super) quality: u8,
    name: Option<Box<str>>,
}

impl Near {
    pub(super) fn new(distance: u32, position: u32, hash: PdqHash, quality: u8) -> Self {
        Self { distance, position, hash, quality, name: None }
    }

    fn name(&mut self, name_of: NameOf<'_>) -> Result<()> {
        if self.name.is_none() {
            self.name = Some(name_of(self.position)?);
        }
        Ok(())
    }
}

/// What a search has come upon so far.
pub(super) struct Collector<'w> {
    pub(super) wanted: &'w Wanted,
    pub(super) stats: SearchStats,
    kept: Vec<Near>,
    /// How many there are, by distance.
    counts: [usize; DISTANCES],
    /// What is farther is not wanted.
    bound: u32,
}

impl<'w> Collector<'w> {
    pub(super) fn new(wanted: &'w Wanted) -> Self {
        let bound = match wanted.reach {
            Reach::Distance(distance) => distance,
            Reach::Nearest(_) => FARTHEST,
        };
        Self { wanted, stats: SearchStats::default(), kept: Vec::new(), counts: [0; DISTANCES], bound }
    }

    /// Begins again: what it has come upon comes again.
    pub(super) fn clear(&mut self) {
        let stats = self.stats;
        *self = Self { stats, ..Self::new(self.wanted) };
    }

    fn limit(&self) -> usize {
        match self.wanted.reach {
            Reach::Distance(_) => self.wanted.limit,
            Reach::Nearest(k) => k.min(self.wanted.limit),
        }
    }

    /// Hashes that are farther need not be offered.
    pub(super) fn reach(&self) -> u32 {
        match self.wanted.reach {
            Reach::Distance(distance) => distance,
            Reach::Nearest(_) => self.bound,
        }
    }

    pub(super) fn is_wanted(&self, quality: u8) -> bool {
        quality >= self.wanted.min_quality
    }

    /// Whether there are as many as are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= self.limit()
    }

    /// Takes a hash of a wanted quality; each position once.
    pub(super) fn offer(&mut self, near: Near, name_of: NameOf<'_>) -> Result<()> {
        if let Some(count) = usize::try_from(near.distance).ok().and_then(|place| self.counts.get_mut(place)) {
            *count = count.saturating_add(1);
        }
        if near.distance > self.bound {
            return Ok(());
        }
        self.kept.push(near);
        if self.kept.len() < self.limit().saturating_add(ROOM).max(self.limit().saturating_mul(2)) {
            return Ok(());
        }
        self.drop_unwanted(name_of)
    }

    /// Drops all beyond the limit, and knows from then on how near a hash has to be.
    fn drop_unwanted(&mut self, name_of: NameOf<'_>) -> Result<()> {
        sorting::sort_by(&mut self.kept, |one, other| one.distance.cmp(&other.distance));
        let limit = self.limit();
        let Some(bound) = limit.checked_sub(1).and_then(|last| self.kept.get(last)).map(|near| near.distance) else {
            return Ok(());
        };
        self.bound = bound;
        self.kept.truncate(self.kept.partition_point(|near| near.distance <= bound));
        if self.kept.len() > limit {
            let nearer = self.kept.partition_point(|near| near.distance < bound);
            let last = self.kept.get_mut(nearer..).unwrap_or_default();
            last.iter_mut().try_for_each(|near| near.name(&mut *name_of))?;
            sorting::sort_by(last, |one, other| one.name.cmp(&other.name));
            self.kept.truncate(limit);
        }
        Ok(())
    }

    /// What it has come upon, by distance and then by name.
    pub(super) fn finish(mut self, name_of: NameOf<'_>) -> Result<Matches> {
        self.drop_unwanted(&mut *name_of)?;
        let reach = match self.wanted.reach {
            Reach::Distance(distance) => distance,
            Reach::Nearest(_) => self.kept.last().map_or(0, |near| near.distance),
        };
        let within = usize::try_from(reach).unwrap_or(usize::MAX).saturating_add(1);
        let total = self.counts.iter().take(within).sum();
        let mut matches = Vec::with_capacity(self.kept.len());
        for mut near in self.kept {
            near.name(&mut *name_of)?;
            let Near { distance, hash, quality, name, .. } = near;
            matches.push(Match { distance, asset_id: name.unwrap_or_default().into_string(), hash, quality });
        }
        sorting::sort_by(&mut matches, Ord::cmp);
        Ok(Matches { matches, total, stats: self.stats })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_kept_as_is_wanted_whatever_it_comes_upon() {
        let hash = PdqHash::from_bytes(&[3; 32]);
        for (reach, limit) in [(Reach::Distance(31), 10), (Reach::Nearest(10), 10), (Reach::Distance(0), 1_000)] {
            let wanted = Wanted { hash, reach, limit, min_quality: 50 };
            let mut collector = Collector::new(&wanted);
            let mut name_of = |position: u32| Ok(format!("{:06}", 100_000 - position).into());
            // From far to near, all that are equally near last.
            for position in 0..100_000 {
                let distance = if position < 50_000 { 31 - position / 2_000 } else { 0 };
                let near = Near::new(distance, position, hash, 60);
                if distance <= collector.reach() {
                    collector.offer(near, &mut name_of).unwrap();
                }
                assert!(collector.kept.len() <= (limit + ROOM).max(limit * 2), "{} are kept", collector.kept.len());
            }
            assert!(collector.is_full() && collector.is_wanted(50) && !collector.is_wanted(49));
            let found = collector.finish(&mut name_of).unwrap();
            let names: Vec<String> = (1..=limit).map(|number| format!("{number:06}")).collect();
            assert!(found.matches.iter().map(|found| &found.asset_id).eq(&names), "the first by name");
            assert_eq!(found.total, if reach == Reach::Distance(31) { 100_000 } else { 50_000 });
        }
    }
}
