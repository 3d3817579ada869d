//! Seal: the rows of a closed generation become a segment a month, and the generation is gone, in one transaction.

use std::collections::BTreeMap;

use crate::bug::Bug;
use crate::step::{Effect, Pick, pick};
use crate::vocabulary::{CLOSED_MAX, GenerationId, Id, LifeId, Month, Version, month_of};
use crate::world::World;

impl World {
    /// The closed generations that can be sealed, the oldest first. Those of a dropped life are the log's.
    pub fn closed(&self) -> Vec<(GenerationId, LifeId)> {
        let generations = self.state.generations.iter();
        generations
            .filter(|(_, generation)| generation.closed && !self.state.is_dropped(generation.life))
            .map(|(&id, generation)| (id, generation.life))
            .collect()
    }

    pub fn seal_one(&mut self, choice: Pick) -> Effect {
        let Some((generation, _)) = pick(self.closed(), choice) else { return Effect::Idle };
        self.seal(generation);
        Effect::Done
    }

    /// Seals the oldest closed generations while too many are closed.
    pub fn seal_inline(&mut self, life: LifeId) {
        let closed: Vec<_> = self.closed().into_iter().filter(|(_, of)| *of == life).collect();
        let too_many = if self.has(Bug::NoInlineSeal) { 0 } else { closed.len().saturating_sub(CLOSED_MAX) };
        for (oldest, _) in closed.into_iter().take(too_many) {
            self.seal(oldest);
        }
    }

    fn seal(&mut self, id: GenerationId) {
        let Some(generation) = self.state.generations.remove(&id) else { return };
        let mut months: BTreeMap<Month, Vec<(Id, Version)>> = BTreeMap::new();
        for (&id, &version) in &generation.rows {
            months.entry(month_of(version.time)).or_default().push((id, version));
        }
        for (month, rows) in months {
            self.add_segment(generation.life, month, rows);
        }
        if self.has(Bug::SealKeepsRows) {
            self.state.generations.insert(id, generation);
        }
    }
}
