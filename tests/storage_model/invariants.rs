//! What holds after every step. The names are the specification.
//!
//! Two more are not in this list, because they are about steps and not about states: `every_step_finds_what_it_needs`
//! (nothing that a step refers to is gone, `world.rs`), and `maintenance_leaves_no_garbage` (what is not needed goes,
//! `maintenance.rs`).

use std::collections::BTreeSet;
use std::fmt;

use crate::oracle::rows_of;
use crate::read::{Objects, Spot, table_events, table_rows};
use crate::stage::staged;
use crate::state::Table;
use crate::vocabulary::{CLOSED_MAX, COLLECTIONS, Event, FileKey, Missing, Row, TABLES, TableName, month_of};
use crate::world::World;

/// An invariant that does not hold, and how.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

type Holds = Result<(), String>;

impl From<Missing> for String {
    fn from(missing: Missing) -> Self {
        missing.0
    }
}

macro_rules! invariants {
    ($($name:ident),* $(,)?) => {
        pub const INVARIANTS: &[(&str, fn(&World) -> Holds)] = &[$((stringify!($name), $name)),*];
    };
}

invariants! {
    segments_never_change,
    files_never_change,
    months_are_not_mixed,
    few_generations_are_closed,
    pinned_segments_keep_their_bytes,
    files_in_use_exist,
    stubs_point_at_their_rows,
    each_document_is_in_one_place,
    reads_by_id_equal_the_oracle,
    scans_equal_the_oracle,
    the_feed_equals_the_oracle,
    the_log_keeps_what_is_not_published,
    what_a_plan_stages_equals_the_oracle,
    staging_again_makes_the_same,
    committed_tables_equal_the_oracle,
    published_tables_equal_the_oracle,
}

pub fn check(world: &World) -> Result<(), Violation> {
    INVARIANTS.iter().try_for_each(|&(invariant, holds)| holds(world).map_err(|what| Violation { invariant, what }))
}

fn equal<T: PartialEq + fmt::Debug>(what: impl fmt::Debug, found: &T, expected: &T) -> Holds {
    if found == expected { Ok(()) } else { Err(format!("{what:?}: found {found:?}, expected {expected:?}")) }
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Holds {
    if holds { Ok(()) } else { Err(what()) }
}

/// The rows of a segment are in the order of ids, one for each id, and the same for ever; its bitmap is within them.
fn segments_never_change(world: &World) -> Holds {
    for (id, segment) in &world.state.segments {
        require(segment.ids.is_sorted_by(|a, b| a < b), || format!("{id:?} is not in order"))?;
        require(segment.deleted.iter().all(|at| *at < segment.ids.len()), || format!("{id:?}: bitmap"))?;
        if let (Some(rows), Some(seen)) = (segment.own_rows(), world.seen.segments.get(id)) {
            equal(id, &rows, seen)?;
        }
    }
    Ok(())
}

/// An object of the bucket is never overwritten.
fn files_never_change(world: &World) -> Holds {
    let mut files = world.state.bucket.files.iter();
    files.try_for_each(|(key, contents)| world.seen.files.get(key).map_or(Ok(()), |seen| equal(key, contents, seen)))
}

/// The rows of a segment were committed in the segment's month.
fn months_are_not_mixed(world: &World) -> Holds {
    world.state.segments.iter().try_for_each(|(id, segment)| {
        let rows = segment.own_rows().unwrap_or_default();
        require(rows.iter().all(|row| month_of(row.version.time) == segment.month), || format!("{id:?}: {rows:?}"))
    })
}

/// A life has at most one open generation of rows, and at most so many closed ones wait to be sealed.
fn few_generations_are_closed(world: &World) -> Holds {
    world.state.lives.keys().try_for_each(|life| {
        let of_life = || world.state.generations.values().filter(|generation| generation.life == *life);
        let closed = of_life().filter(|generation| generation.closed).count();
        let open = of_life().count() - closed;
        require(closed <= CLOSED_MAX && open <= 1, || format!("{life:?}: {closed} closed, {open} open"))
    })
}

/// What live log records and the plan refer to is there: the bytes of segments that a batch made, the segments of a
/// plan with the bytes of those that have no cold file, and the life of each record of a drop.
fn pinned_segments_keep_their_bytes(world: &World) -> Holds {
    let state = &world.state;
    for id in state.logged_segments() {
        require(state.segment(id)?.bytes.is_some(), || format!("{id:?} of the log"))?;
    }
    for planned in state.plan.iter().flat_map(|plan| &plan.segments) {
        let bytes = state.segment(planned.segment)?.bytes.is_some();
        require(bytes || planned.place.is_some(), || format!("{:?} of the plan", planned.segment))?;
    }
    state.logged_lives().iter().try_for_each(|life| require(state.lives.contains_key(life), || format!("{life:?}")))
}

/// Every object that a committed or published table lists is in the bucket, and so is that of each stub in use.
fn files_in_use_exist(world: &World) -> Holds {
    let state = &world.state;
    let tables = TABLES.into_iter().flat_map(|name| [state.committed(name), state.published(name)]);
    let mut used: BTreeSet<_> = tables.flat_map(|table| table.files()).collect();
    used.extend(state.files_of_stubs());
    used.iter().try_for_each(|key| require(state.bucket.files.contains_key(key), || format!("{key:?}")))
}

/// A visible segment that names a cold file has there, from the row it names, exactly its own rows; one of a present
/// life that has documents names a file that the committed table lists.
fn stubs_point_at_their_rows(world: &World) -> Holds {
    let state = &world.state;
    for (life, of) in &state.lives {
        let table = state.committed(TableName::Documents(of.collection));
        for (id, segment) in state.visible(*life).filter(|(_, segment)| !segment.spent()) {
            let Some(place) = segment.place else { continue };
            if !of.dropped {
                require(table.data.contains_key(&place.file), || format!("{id:?} names {place:?}"))?;
            }
            if !of.dropped || segment.bytes.is_none() {
                equal(id, &state.fetch(place, segment.ids.len())?, &world.seen.segments[&id].as_slice())?;
            }
        }
    }
    Ok(())
}

/// A document is one row of one generation, or one undeleted position of one visible segment; an absent one is nowhere.
fn each_document_is_in_one_place(world: &World) -> Holds {
    for collection in COLLECTIONS {
        let Some(life) = world.state.live_life(collection) else { continue };
        let mut found: Vec<(u8, Spot)> = Vec::new();
        for (&name, generation) in world.state.generations.iter().filter(|(_, generation)| generation.life == life) {
            found.extend(generation.rows.keys().map(|id| (*id, Spot::Row(name))));
        }
        for (name, segment) in world.state.visible(life) {
            found.extend(segment.live_positions().map(|(position, id)| (id, Spot::Position(name, position))));
        }
        found.sort_by_key(|(id, _)| *id);
        let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
        let expected = rows_of(&world.oracle.documents, collection);
        equal(&found, &ids, &expected.iter().map(|row| row.id).collect())?;
    }
    Ok(())
}

/// A read by id answers the document's present version, or that it is absent.
fn reads_by_id_equal_the_oracle(world: &World) -> Holds {
    COLLECTIONS.into_iter().try_for_each(|collection| {
        let mut ids: BTreeSet<_> = world.oracle.documents.keys().map(|(_, id)| *id).collect();
        ids.extend(world.state.segments.values().flat_map(|segment| &segment.ids));
        ids.into_iter().try_for_each(|id| {
            let expected = world.oracle.documents.get(&(collection, id)).copied();
            equal((collection, id), &world.state.get(collection, id)?, &expected)
        })
    })
}

/// A whole scan answers every document once, in order.
fn scans_equal_the_oracle(world: &World) -> Holds {
    COLLECTIONS.into_iter().try_for_each(|collection| {
        let found = world.state.live_life(collection).map(|life| world.state.scan(life)).transpose()?;
        equal(collection, &found.unwrap_or_default(), &rows_of(&world.oracle.documents, collection))
    })
}

/// The feed gives every event that is not trimmed, with the images before and after.
fn the_feed_equals_the_oracle(world: &World) -> Holds {
    let log = &world.state.log;
    equal("head", &log.head, &world.oracle.head())?;
    let expected: Vec<Event> = world.oracle.events_between(log.trimmed, log.head).cloned().collect();
    equal("feed", &world.state.feed(log.trimmed)?, &expected)
}

/// What is trimmed is in every published table.
fn the_log_keeps_what_is_not_published(world: &World) -> Holds {
    let trimmed = world.state.log.trimmed;
    TABLES.into_iter().try_for_each(|name| {
        let published = world.state.published(name).sequence;
        require(trimmed <= published, || format!("trimmed to {trimmed}, {name:?} is at {published}"))
    })
}

fn equals_the_oracle(world: &World, name: TableName, table: &Table, objects: Objects<'_, '_>) -> Holds {
    match name {
        TableName::Documents(collection) => {
            let expected: Vec<Row> = world.oracle.rows_at(collection, table.sequence);
            equal((name, table.sequence), &table_rows(objects, table)?, &expected)
        }
        TableName::Changes => {
            let expected: Vec<&Event> = world.oracle.events_between(0, table.sequence).collect();
            equal((name, table.sequence), &table_events(objects, table)?, &expected)
        }
    }
}

/// At every moment until the commit, the tables that a plan would stage are the documents as of the plan's sequence.
fn what_a_plan_stages_equals_the_oracle(world: &World) -> Holds {
    let Some(plan) = &world.state.plan else { return Ok(()) };
    let staged = staged(&world.state, plan, world.bug)?;
    let objects = |key: &FileKey| staged.files.get(key).or_else(|| world.state.bucket.files.get(key));
    staged.tables.iter().try_for_each(|(name, table)| equals_the_oracle(world, *name, table, &objects))
}

/// A file of the plan that is in the bucket is what staging it again would make.
fn staging_again_makes_the_same(world: &World) -> Holds {
    let Some(plan) = &world.state.plan else { return Ok(()) };
    let staged = staged(&world.state, plan, world.bug)?;
    let mut found = world.state.bucket.files.iter().filter(|(key, _)| key.attempt == plan.attempt);
    found.try_for_each(|(key, contents)| equal(key, &Some(contents), &staged.files.get(key)))
}

/// The committed tables are the documents, and all events, as of their sequence.
fn committed_tables_equal_the_oracle(world: &World) -> Holds {
    let state = &world.state;
    let objects = |key: &FileKey| state.bucket.files.get(key);
    TABLES.into_iter().try_for_each(|name| equals_the_oracle(world, name, state.committed(name), &objects))
}

/// What a foreign reader sees is the documents, and all events, as of the published sequence.
fn published_tables_equal_the_oracle(world: &World) -> Holds {
    let state = &world.state;
    let objects = |key: &FileKey| state.bucket.files.get(key);
    let mut unlike = TABLES.into_iter().filter(|name| state.published(*name) != state.committed(*name));
    unlike.try_for_each(|name| equals_the_oracle(world, name, state.published(name), &objects))
}

#[test]
fn the_page_names_every_invariant() {
    let page = include_str!("../../docs/STORAGE.md");
    let others = ["every_step_finds_what_it_needs", "maintenance_leaves_no_garbage"];
    for name in INVARIANTS.iter().map(|(name, _)| *name).chain(others) {
        assert!(page.contains(&format!("`{name}`")), "docs/STORAGE.md does not name {name}");
    }
}
