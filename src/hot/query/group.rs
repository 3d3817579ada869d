//! Groups of rows and what is known of each. Bounded: more groups, or more bytes of keys, values and distinct values
//! than a query may keep, end it.

use std::collections::HashMap;

use super::Query;
use super::aggregate::{AggregatePlan, ColumnState, Sum};
use super::order::{KeyRef, OrderKey};
use super::path::FieldPath;
use super::top::{Candidate, RowAt, TopRows};
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;
use crate::types::json::write_string;

/// Groups of one query, at most.
pub const GROUPS_MAX: usize = 100_000;
/// Bytes that the groups of one query take, about, at most: keys, least and greatest values, sums, distinct values.
pub const GROUP_STATE_MAX_BYTES: usize = 32 * 1024 * 1024;
/// What an entry of a hash table takes beside its bytes, about.
const ENTRY_BYTES: usize = 48;

struct Group {
    keys: Vec<OrderKey>,
    rows: u64,
    columns: Vec<ColumnState>,
}

/// The groups of a query.
pub(super) struct Groups<'q> {
    query: &'q Query,
    pub plan: AggregatePlan,
    by_identity: HashMap<Box<[u8]>, usize>,
    groups: Vec<Group>,
    bytes: usize,
    /// Room for an identity.
    identity: Vec<u8>,
}

impl<'q> Groups<'q> {
    pub(super) fn new(query: &'q Query) -> Self {
        let plan = AggregatePlan::new(&query.aggregates);
        let mut groups = Vec::new();
        if query.group_by.is_empty() {
            // Without keys there is one group, of no rows perhaps.
            groups.push(Group { keys: Vec::new(), rows: 0, columns: vec![ColumnState::default(); plan.columns.len()] });
        }
        Self { query, plan, by_identity: HashMap::new(), groups, bytes: 0, identity: Vec::new() }
    }

    pub(super) fn keys(&self) -> &'q [FieldPath] {
        &self.query.group_by
    }

    /// The group of these keys, made where it is new.
    pub(super) fn group<'k>(&mut self, keys: impl Iterator<Item = KeyRef<'k>> + Clone) -> Result<usize> {
        if self.query.group_by.is_empty() {
            return Ok(0);
        }
        self.identity.clear();
        for key in keys.clone() {
            key.put_identity(&mut self.identity);
        }
        if let Some(group) = self.by_identity.get(self.identity.as_slice()) {
            return Ok(*group);
        }
        let group = self.groups.len();
        if group >= GROUPS_MAX {
            return Err(exceeded(&format!("{GROUPS_MAX} groups")));
        }
        let keys: Vec<OrderKey> = keys.map(|key| key.canonical().into_owned()).collect();
        let columns = self.plan.columns.len();
        let states = columns.saturating_mul(size_of::<ColumnState>());
        let keys_bytes = keys.iter().map(OrderKey::size).fold(0, usize::saturating_add);
        let bytes = self.identity.len().saturating_add(keys_bytes).saturating_add(states).saturating_add(ENTRY_BYTES);
        self.grow(bytes)?;
        self.by_identity.insert(self.identity.as_slice().into(), group);
        self.groups.push(Group { keys, rows: 0, columns: vec![ColumnState::default(); columns] });
        Ok(group)
    }

    /// Counts rows of a group.
    pub(super) fn add_rows(&mut self, group: usize, rows: u64) {
        if let Some(group) = self.groups.get_mut(group) {
            group.rows = group.rows.saturating_add(rows);
        }
    }

    /// Counts rows of a group that have a value of a column.
    pub(super) fn add_present(&mut self, group: usize, column: usize, rows: u64) {
        if let Some(state) = self.state(group, column) {
            state.present = state.present.saturating_add(rows);
        }
    }

    /// Takes one value of a column, for all that is to be known of it.
    pub(super) fn add(&mut self, group: usize, column: usize, value: &KeyRef<'_>) -> Result<()> {
        let Some(wanted) = self.plan.columns.get(column).filter(|_| !value.is_null()) else { return Ok(()) };
        let (sum, distinct) = (wanted.sum, wanted.distinct);
        self.add_present(group, column, 1);
        if let Some(state) = self.state(group, column).filter(|_| sum) {
            let before = state.sum.heap_bytes();
            state.sum.add(value);
            let grown = state.sum.heap_bytes().saturating_sub(before);
            self.grow(grown)?;
        }
        self.add_extremes(group, column, value)?;
        if distinct { self.add_distinct(group, column, value) } else { Ok(()) }
    }

    /// Takes a value for the least and the greatest of a column, where these are wanted.
    pub(super) fn add_extremes(&mut self, group: usize, column: usize, value: &KeyRef<'_>) -> Result<()> {
        let Some(wanted) = self.plan.columns.get(column) else { return Ok(()) };
        let (least, greatest) = (wanted.least, wanted.greatest);
        let Some(state) = self.state(group, column) else { return Ok(()) };
        let grown = if least { state.offer_least(value) } else { 0 };
        let grown = grown.saturating_add(if greatest { state.offer_greatest(value) } else { 0 });
        self.grow(grown)
    }

    /// Takes one of the distinct values of a column.
    pub(super) fn add_distinct(&mut self, group: usize, column: usize, value: &KeyRef<'_>) -> Result<()> {
        if value.is_null() {
            return Ok(());
        }
        let mut identity = std::mem::take(&mut self.identity);
        identity.clear();
        value.put_identity(&mut identity);
        let is_new = match self.state(group, column) {
            Some(state) => {
                !state.distinct.contains(identity.as_slice()) && state.distinct.insert(identity.as_slice().into())
            }
            None => false,
        };
        let bytes = identity.len().saturating_add(ENTRY_BYTES);
        self.identity = identity;
        if is_new { self.grow(bytes) } else { Ok(()) }
    }

    /// Adds a sum of numbers of a column.
    pub(super) fn add_sum(&mut self, group: usize, column: usize, sum: &Sum) -> Result<()> {
        let Some(state) = self.state(group, column) else { return Ok(()) };
        let before = state.sum.heap_bytes();
        state.sum.merge(sum);
        let grown = state.sum.heap_bytes().saturating_sub(before);
        self.grow(grown)
    }

    fn state(&mut self, group: usize, column: usize) -> Option<&mut ColumnState> {
        self.groups.get_mut(group)?.columns.get_mut(column)
    }

    fn grow(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= GROUP_STATE_MAX_BYTES {
            return Ok(());
        }
        Err(exceeded(&format!("{GROUP_STATE_MAX_BYTES} bytes of groups and distinct values")))
    }

    /// The groups as rows, the first of the order.
    pub(super) fn finish(self) -> Result<(Vec<Candidate>, bool)> {
        let query = self.query;
        let mut top = TopRows::new(query);
        let sources: Vec<Option<Source>> = query.order_by.iter().map(|order| source(query, &order.path)).collect();
        for group in self.groups {
            let results = self.plan.results(group.rows, &group.columns, &query.aggregates)?;
            let ordered = sources.iter().map(|source| match source {
                Some(Source::Key(position)) => group.keys.get(*position).cloned(),
                Some(Source::Aggregate(position)) => results.get(*position).cloned(),
                None => None,
            });
            let ordered = ordered.map(|key| key.unwrap_or(OrderKey::Null));
            let keys: Vec<OrderKey> = ordered.chain(group.keys.iter().cloned()).collect();
            if top.wants(&keys) {
                top.push(Candidate { keys, row: RowAt::Text(row(query, &group.keys, &results)) });
            }
        }
        Ok(top.finish())
    }
}

/// What a name in the order of groups stands for.
enum Source {
    Key(usize),
    Aggregate(usize),
}

fn source(query: &Query, name: &FieldPath) -> Option<Source> {
    let key = query.group_by.iter().position(|key| key == name).map(Source::Key);
    key.or_else(|| query.aggregates.iter().position(|other| other.name == name.as_str()).map(Source::Aggregate))
}

fn row(query: &Query, keys: &[OrderKey], results: &[OrderKey]) -> String {
    let names = query.group_by.iter().map(FieldPath::as_str);
    let names = names.chain(query.aggregates.iter().map(|aggregate| aggregate.name.as_str()));
    let mut row = String::from("{");
    for (position, (name, value)) in names.zip(keys.iter().chain(results)).enumerate() {
        if position > 0 {
            row.push(',');
        }
        write_string(name, &mut row);
        row.push(':');
        value.write(&mut row);
    }
    row.push('}');
    row
}

fn exceeded(limit: &str) -> StorageError {
    let message = format!("expected a query to keep at most {limit}, got more; narrow its condition, or group by less");
    StorageError::new(ErrorKind::Unavailable, StorageTier::Hot, "query", message)
}
