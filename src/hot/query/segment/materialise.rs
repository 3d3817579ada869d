//! The rows of segments that are answered, as the text of the answer. Columns are read for these rows alone, some rows
//! at a time, so that a page of large documents takes no more memory than a page.

use std::collections::{BTreeMap, HashMap};

use super::super::Query;
use super::super::execution::project;
use super::super::meter::Meter;
use super::super::path::FieldPath;
use super::{
    DECODE_MAX_BYTES, EXTRA, ID, SEQUENCE, SegmentScan, Selected, TIMESTAMP, extra_position, field_position, missing,
};
use crate::error::Result;
use crate::types::Json;
use crate::vortex::blob::Budget as DecodeBudget;
use crate::vortex::{Bitmap, Column, Rebuilder, RebuiltColumn};

/// Reads rows of segments.
pub(in super::super) struct Materialiser<'m, 's> {
    pub query: &'m Query,
    pub scans: &'m mut [SegmentScan<'s>],
}

impl Materialiser<'_, '_> {
    /// The texts of some rows, each told by its segment and its position there.
    pub(in super::super) fn texts(
        &mut self,
        rows: &[(usize, usize)],
        meter: &mut Meter,
    ) -> Result<HashMap<(usize, usize), String>> {
        let mut by_segment: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (segment, row) in rows {
            by_segment.entry(*segment).or_default().push(*row);
        }
        let mut texts = HashMap::new();
        for (segment, mut rows) in by_segment {
            rows.sort_unstable();
            let scan = self.scans.get_mut(segment).ok_or_else(|| missing("a segment"))?;
            for (row, text) in rows.iter().zip(scan.documents(&rows, self.query.select.as_deref(), meter)?) {
                texts.insert((segment, *row), text);
            }
        }
        Ok(texts)
    }
}

impl SegmentScan<'_> {
    /// The rows at these positions, which ascend, as answered.
    fn documents(&mut self, rows: &[usize], select: Option<&[FieldPath]>, meter: &mut Meter) -> Result<Vec<String>> {
        self.budget = DecodeBudget::new(DECODE_MAX_BYTES);
        let source = self.source;
        let fields = self.field_positions(select);
        let required = [ID, SEQUENCE, TIMESTAMP]
            .map(|name| source.index().position(name).ok_or_else(|| missing("the columns that each segment has")));
        let [id, sequence, timestamp] = required;
        let required = [id?, sequence?, timestamp?];
        let extra = extra_position(source);
        self.load(fields.iter().copied().chain(required).chain(extra).collect::<Vec<_>>(), meter)?;
        let mut bits = Bitmap::repeated(false, source.index().rows());
        rows.iter().for_each(|row| bits.set(*row, true));
        let selected = Selected::new(bits);
        let [ids, sequences, timestamps] = required.map(|position| self.column(position, &selected));
        let (ids, sequences, timestamps) = (ids?, sequences?, timestamps?);
        let extra = extra.map(|position| self.column(position, &selected)).transpose()?;
        let mut columns: Vec<(&str, Column)> = Vec::with_capacity(fields.len());
        for position in fields {
            columns.push((&self.entry(position)?.name, self.column(position, &selected)?));
        }
        let wanted: Option<Vec<&str>> = select.map(|select| select.iter().flat_map(names).collect());
        let rebuilt = columns.iter().map(|(name, column)| RebuiltColumn { name, column });
        let mut rebuilder =
            Rebuilder::new([&ids, &sequences, &timestamps], rebuilt, extra.as_ref(), wanted.as_deref())?;
        let mut texts = Vec::with_capacity(rows.len());
        while let Some(document) = rebuilder.next_document()? {
            texts.push(match select {
                None => document.text,
                Some(_) => project(select, &document.text, &Json::parse(&document.text)?),
            });
        }
        Ok(texts)
    }

    /// The columns of the fields that are answered, in the order of the segment.
    fn field_positions(&self, select: Option<&[FieldPath]>) -> Vec<usize> {
        let own = [ID, SEQUENCE, TIMESTAMP, EXTRA];
        let Some(select) = select else {
            let columns = self.source.index().columns().iter().enumerate();
            return columns.filter(|(_, column)| !own.contains(&column.name.as_str())).map(|(at, _)| at).collect();
        };
        let positions = select.iter().flat_map(names).filter(|name| *name != ID);
        let mut positions: Vec<usize> = positions.filter_map(|name| field_position(self.source, name)).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }
}

/// The top-level fields that a path may lead through.
fn names(path: &FieldPath) -> impl Iterator<Item = &str> {
    let whole = path.as_str();
    [Some(whole), whole.split_once('.').map(|(first, _)| first)].into_iter().flatten()
}
