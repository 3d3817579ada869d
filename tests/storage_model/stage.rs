//! Stage: the files and tables of a plan, made from the plan and from what can not change.
//!
//! The result is the same at every moment between plan and commit, whatever is written, sealed, merged, evicted or
//! dropped meanwhile. Segments give their immutable rows; the plan's copies of the bitmaps say which are deleted. What
//! was in row form at the plan's sequence is what is now in no segment of the plan and not newer than the plan, and
//! the images before the changes that came after it.

use std::collections::{BTreeMap, BTreeSet};

use crate::bug::Bug;
use crate::state::{Contents, Place, Plan, State, Table};
use crate::vocabulary::{
    COLLECTIONS, Collection, FileKey, Found, Id, Month, Part, Row, SegmentId, TableName, Version, missing, month_of,
};

#[derive(Debug, Default)]
pub struct Staged {
    pub files: BTreeMap<FileKey, Contents>,
    pub tables: BTreeMap<TableName, Table>,
    pub places: BTreeMap<SegmentId, Place>,
}

pub fn staged(state: &State, plan: &Plan, bug: Option<Bug>) -> Found<Staged> {
    let mut staged = Staged::default();
    for collection in COLLECTIONS {
        stage_documents(state, plan, bug, collection, &mut staged)?;
    }
    let key = FileKey { attempt: plan.attempt, table: TableName::Changes, part: Part::Changes };
    let mut events = state.feed(plan.after)?;
    events.retain(|event| event.sequence <= plan.sequence);
    let mut table = state.committed(TableName::Changes).clone();
    table.sequence = plan.sequence;
    if !events.is_empty() {
        table.data.insert(key, events.len());
        staged.files.insert(key, Contents::Events(events));
    }
    staged.tables.insert(TableName::Changes, table);
    Ok(staged)
}

fn stage_documents(
    state: &State,
    plan: &Plan,
    bug: Option<Bug>,
    collection: Collection,
    staged: &mut Staged,
) -> Found<()> {
    let name = TableName::Documents(collection);
    let key = |part| FileKey { attempt: plan.attempt, table: name, part };
    let mut table = Table { sequence: plan.sequence, ..Table::default() };
    let mut data: BTreeMap<Month, Vec<Row>> = BTreeMap::new();
    // The positions that hold a document at the plan's sequence, of every data file.
    let mut live: BTreeMap<FileKey, BTreeSet<usize>> = BTreeMap::new();
    let mut in_segments = BTreeSet::new();
    for planned in plan.segments.iter().filter(|planned| planned.collection == collection) {
        let segment = state.segment(planned.segment)?;
        let place = match planned.place {
            Some(place) => place,
            None => {
                let rows = data.entry(planned.month).or_default();
                let place = Place { file: key(Part::Data(planned.month)), first: rows.len() };
                let Some(own) = segment.own_rows() else {
                    return missing(format!("{:?} has no bytes for the plan", planned.segment));
                };
                rows.extend(own);
                staged.places.insert(planned.segment, place);
                place
            }
        };
        let later = bug == Some(Bug::StageWithLaterBitmaps);
        let deleted = if later { &segment.deleted } else { &planned.deleted };
        for (position, id) in segment.ids.iter().enumerate().filter(|(position, _)| !deleted.contains(position)) {
            in_segments.insert(*id);
            live.entry(place.file).or_default().insert(place.first + position);
        }
    }
    let kept = plan.files.iter().filter(|(file, _)| file.table == name).map(|(&file, &rows)| (file, rows));
    let made = data.iter().map(|(&month, rows)| (key(Part::Data(month)), rows.len()));
    let mut deletes = BTreeMap::new();
    for (file, rows) in kept.chain(made) {
        let Some(live) = live.get(&file) else { continue };
        table.data.insert(file, rows);
        let gone: BTreeSet<usize> = (0..rows).filter(|position| !live.contains(position)).collect();
        if !gone.is_empty() {
            deletes.insert(file, gone);
        }
    }
    if !deletes.is_empty() {
        table.deletes = Some(key(Part::Deletes));
        staged.files.insert(key(Part::Deletes), Contents::Deletes(deletes));
    }
    let mut tails: BTreeMap<Month, Vec<Row>> = BTreeMap::new();
    for (id, version) in row_form_at(state, plan, bug, collection, &in_segments)? {
        tails.entry(month_of(version.time)).or_default().push(Row { id, version });
    }
    for (month, rows) in tails {
        table.tails.insert(key(Part::Tail(month)));
        staged.files.insert(key(Part::Tail(month)), Contents::Rows(rows));
    }
    for (month, rows) in data {
        staged.files.insert(key(Part::Data(month)), Contents::Rows(rows));
    }
    staged.tables.insert(name, table);
    Ok(())
}

/// What was in row form at the plan's sequence, which may by now be changed, deleted, sealed, merged or dropped.
fn row_form_at(
    state: &State,
    plan: &Plan,
    bug: Option<Bug>,
    collection: Collection,
    in_segments: &BTreeSet<Id>,
) -> Found<BTreeMap<Id, Version>> {
    let undo = bug != Some(Bug::StageWithoutUndo);
    let mut found = BTreeMap::new();
    let mut take = |id: Id, version: Version| {
        if !in_segments.contains(&id) && (version.sequence <= plan.sequence || !undo) {
            found.insert(id, version);
        }
    };
    if let Some(life) = state.live_life(collection) {
        for generation in state.generations.values().filter(|generation| generation.life == life) {
            generation.rows.iter().for_each(|(&id, &version)| take(id, version));
        }
        // A stub was archived before the plan was made, so the plan has its documents.
        for (_, segment) in state.visible(life) {
            let rows = segment.own_rows().unwrap_or_default();
            segment.live_positions().filter_map(|(at, _)| rows.get(at)).for_each(|row| take(row.id, row.version));
        }
    }
    if undo {
        for event in state.feed(plan.sequence)?.into_iter().filter(|event| event.collection == collection) {
            if let Some(before) = event.before {
                take(event.id, before);
            }
        }
    }
    Ok(found)
}
