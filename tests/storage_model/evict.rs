//! Evict: a segment gives up its bytes where a committed cold file has the rows, and stays as a stub.
//!
//! The stub keeps the ids, the bitmap, and where the rows are. Nothing that the log refers to is evicted; a segment
//! that is already evicted when its collection is dropped stays so, and its file with it.

use crate::bug::Bug;
use crate::state::Segment;
use crate::step::{Effect, Pick, pick};
use crate::vocabulary::{SegmentId, TableName};
use crate::world::World;

impl World {
    pub fn evictable(&self) -> Vec<SegmentId> {
        let logged = self.state.logged_segments();
        let lives = self.state.lives.iter().filter(|(_, life)| !life.dropped);
        let mut found = Vec::new();
        for (life, collection) in lives.map(|(id, life)| (*id, life.collection)) {
            let table = self.state.committed(TableName::Documents(collection));
            let committed = |segment: &Segment| match segment.place {
                Some(place) => table.data.contains_key(&place.file),
                None => self.has(Bug::EvictBeforeCommit),
            };
            let visible = self.state.visible(life);
            found.extend(
                visible
                    .filter(|(id, segment)| segment.bytes.is_some() && committed(segment) && !logged.contains(id))
                    .map(|(id, _)| id),
            );
        }
        found
    }

    pub fn evict(&mut self, choice: Pick) -> Effect {
        let Some(id) = pick(self.evictable(), choice) else { return Effect::Idle };
        if let Some(segment) = self.state.segments.get_mut(&id) {
            segment.bytes = None;
        }
        Effect::Done
    }
}
