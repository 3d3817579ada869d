//! Which files have Bloom filters on their ids, for engines that look up one id: this program keeps its ids elsewhere.
//!
//! Where ids ascend with time the ranges of row groups tell them apart. Ids that are scattered, such as random UUIDs, are in
//! the range of every row group, of which each would be read; a filter is a twentieth of what it saves. The first row
//! group decides for the file, as it does on encodings, so that the bytes depend on the columns alone.

use parquet::file::properties::{BloomFilterPosition, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::vortex::{Scalar, Values};

/// Ids of a first row group from which on a filter is worth the request for it.
const MIN_ROWS: usize = 5_000;
/// Ids looked at to see whether they are scattered.
const SAMPLE: usize = 1_024;
/// Neighbours of scattered ids share less than one part in so many of their bytes.
const SHARED_PART: usize = 4;
/// The share of absent ids that a filter takes for present, at most.
const FALSE_POSITIVES: f64 = 0.01;
/// Ids that a filter is made for; it is folded to the size that those of its row group need.
const GROUP_MAX_ROWS: u64 = 20_000;

/// Has row groups filters on the column of ids at `path`.
pub(super) fn enable(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder
        .set_column_bloom_filter_enabled(path.clone(), true)
        .set_column_bloom_filter_fpp(path.clone(), FALSE_POSITIVES)
        .set_column_bloom_filter_max_ndv(path, GROUP_MAX_ROWS)
        // Beside the footer: who reads it has them with one request more, and column chunks stay neighbours.
        .set_bloom_filter_position(BloomFilterPosition::End)
}

/// Whether the ids of a first row group, ascending for long stretches, are many and scattered.
pub(super) fn is_worth_it(ids: &Values) -> bool {
    if ids.len() < MIN_ROWS {
        return false;
    }
    let (mut shared, mut bytes, mut last) = (0_usize, 0_usize, "");
    for position in 0..SAMPLE {
        let id = match ids.get(position) {
            Some(Scalar::Text(std::borrow::Cow::Borrowed(id))) => id,
            _ => return false,
        };
        let common = last.bytes().zip(id.bytes()).take_while(|(left, right)| left == right).count();
        shared = shared.saturating_add(common);
        bytes = bytes.saturating_add(id.len());
        last = id;
    }
    shared.saturating_mul(SHARED_PART) < bytes
}
