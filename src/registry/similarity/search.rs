//! How the hashes near to one are found: in memory by bands and by scanning, and in blocks where they are not in memory.

use super::block_io::each_block;
use super::collector::{Collector, Near};
use super::state::State;
use super::store::{Matches, Reach, Wanted};
use super::{Found, bands};
use crate::error::Result;
use crate::ports::SqlStore;

/// Hashes that are scanned before it is looked at what was found, at first and at most.
const STEPS: [usize; 2] = [1_024, 65_536];

impl State {
    /// Finds for each what is near to it. What is not in memory is read once for all of them.
    pub(super) fn search(&self, sql: &dyn SqlStore, wanted: &[Wanted]) -> Result<Vec<Matches>> {
        let mut found = Vec::with_capacity(wanted.len());
        if self.base == 0 {
            for wanted in wanted {
                let mut collector = Collector::new(wanted);
                self.search_held(sql, &mut collector)?;
                found.push(self.finish(sql, collector)?);
            }
            return Ok(found);
        }
        let mut collectors: Vec<Collector<'_>> = wanted.iter().map(Collector::new).collect();
        self.search_blocks(sql, &mut collectors)?;
        for mut collector in collectors {
            self.scan(sql, &mut collector, 0, u32::MAX)?;
            found.push(self.finish(sql, collector)?);
        }
        Ok(found)
    }

    fn finish(&self, sql: &dyn SqlStore, collector: Collector<'_>) -> Result<Matches> {
        collector.finish(&mut |position| self.name(sql, position))
    }

    fn search_held(&self, sql: &dyn SqlStore, collector: &mut Collector<'_>) -> Result<()> {
        let reach = match collector.wanted.reach {
            Reach::Distance(distance) => distance,
            Reach::Nearest(_) => bands::MAX_DISTANCE,
        };
        let mut found = Vec::new();
        let from = self.index.look_up(collector.wanted.hash, reach, &mut collector.stats, &mut found);
        if from > 0 {
            self.offer(sql, collector, &found)?;
            self.scan(sql, collector, from, reach)?;
            if collector.is_full() || matches!(collector.wanted.reach, Reach::Distance(_)) {
                return Ok(());
            }
            // Some of the nearest are farther than was looked.
            collector.clear();
        }
        self.scan(sql, collector, 0, u32::MAX)
    }

    /// Scans the hashes in memory from one on, as far as the collector reaches and no farther than `most`.
    fn scan(&self, sql: &dyn SqlStore, collector: &mut Collector<'_>, from: usize, most: u32) -> Result<()> {
        let (mut at, mut found) = (from, Vec::new());
        let [mut step, most_at_once] = STEPS;
        while at < self.index.len() {
            let until = at.saturating_add(step).min(self.index.len());
            let reach = collector.reach().min(most);
            self.index.scan(at..until, collector.wanted.hash, reach, &mut collector.stats, &mut found);
            self.offer(sql, collector, &found)?;
            found.clear();
            (at, step) = (until, step.saturating_mul(2).min(most_at_once));
        }
        Ok(())
    }

    fn offer(&self, sql: &dyn SqlStore, collector: &mut Collector<'_>, found: &[Found]) -> Result<()> {
        for near in found {
            let quality = self.quality(near.position);
            if let Some(hash) = self.index.get(near.position).filter(|_| collector.is_wanted(quality)) {
                let position = self.base.saturating_add(near.position);
                let near = Near::new(near.distance, position, hash, quality);
                collector.offer(near, &mut |position| self.name(sql, position))?;
            }
        }
        Ok(())
    }

    /// Looks at all hashes that are not in memory.
    fn search_blocks(&self, sql: &dyn SqlStore, collectors: &mut [Collector<'_>]) -> Result<()> {
        each_block(sql, self.base, &mut |first, hashes| {
            for collector in &mut *collectors {
                let looked = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
                collector.stats.distances = collector.stats.distances.saturating_add(looked);
                for (position, (hash, quality)) in (first..).zip(hashes) {
                    let distance = collector.wanted.hash.distance(*hash);
                    if distance <= collector.reach()
                        && collector.is_wanted(*quality)
                        && !self.removed.contains(position)
                    {
                        let near = Near::new(distance, position, *hash, *quality);
                        collector.offer(near, &mut |position| self.name(sql, position))?;
                    }
                }
            }
            Ok(())
        })
    }
}
