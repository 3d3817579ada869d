//! A change of a table's schema alone (spec, "Schema Evolution"): the next version of the metadata, without a snapshot.

use super::commit::{BuiltCommit, next_version, of_metadata, set_schema, trim_schemas};
use super::invariants::check_evolution;
use super::retention::{Retention, expire};
use super::schema::Schema;
use super::table::TableState;
use crate::error::Result;
use crate::types::Timestamp;

/// Makes `schema` the current one at `now` (Unix ms); its number does not matter. `None` when it is so already, or when the
/// table has no snapshot yet. An error of kind `Corrupt` means that a field would get another meaning; nothing has happened
/// then.
pub fn evolve(
    state: &TableState,
    schema: &Schema,
    now: Timestamp,
    retention: Retention,
) -> Result<Option<BuiltCommit>> {
    let is_current = state.current_schema().is_some_and(|current| current.same_fields(schema));
    if is_current || state.current_snapshot().is_none() {
        return Ok(None);
    }
    let mut next = next_version(state, now);
    set_schema(&mut next, schema);
    let garbage = expire(&mut next, state, retention);
    trim_schemas(&mut next);
    check_evolution(state, &next, &garbage)?;
    of_metadata(next, garbage).map(Some)
}
