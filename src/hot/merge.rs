//! Many small or much-deleted segments become few.
//!
//! Which are merged is decided by [`choose`] alone. A merge reads its inputs, which never change, in steps between which
//! anything may be written; the transaction that puts its result in their place looks up what was deleted meanwhile.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use roaring::RoaringBitmap;

use super::directory::{Forms, LifeKey, Segment};
use super::segment::build::{BuiltSegment, NewRow, SegmentBuilder};
use super::segment::{Origin, SEGMENT_MAX_ROWS, SEGMENT_MAX_TEXT_BYTES};
use super::{Collection, HotStore};
use crate::config::HotConfig;
use crate::error::Result;
use crate::types::{CollectionId, Document, sorting};
use crate::vortex::Bitmap;

/// Segments of about one size that are merged into one.
const FAN_IN: usize = 8;
/// Segments of one merge, at most.
const INPUTS_MAX: usize = 32;
/// Documents that one step takes, and bytes of their text.
const STEP_ROWS: usize = 1_024;
const STEP_BYTES: usize = 512 * 1024;
/// Rows of an input that are read at once.
const WINDOW_ROWS: usize = 256;
/// A segment with fewer rows is not rewritten for its deleted ones alone.
const REWRITE_MIN_ROWS: usize = 1_024;

/// What the choice looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The segment's number.
    pub number: i64,
    /// Its month.
    pub month: i32,
    /// Its rows.
    pub rows: usize,
    /// Those that are current.
    pub live_rows: usize,
    /// Bytes of text of the current ones.
    pub live_bytes: u64,
}

impl Candidate {
    fn of(segment: &Segment) -> Self {
        Self {
            number: segment.number,
            month: segment.month,
            rows: segment.rows,
            live_rows: segment.live_rows(),
            live_bytes: segment.live_bytes(),
        }
    }

    /// How many halvings below the largest segment it is: 0 is not merged for its size.
    fn tier(&self, config: &HotConfig) -> u32 {
        let rows = max_rows(config).checked_div(self.live_rows.max(1)).unwrap_or(0);
        let bytes =
            u64::try_from(max_bytes(config)).unwrap_or(u64::MAX).checked_div(self.live_bytes.max(1)).unwrap_or(0);
        u64::try_from(rows).unwrap_or(u64::MAX).min(bytes).checked_ilog2().unwrap_or(0)
    }

    fn is_small(&self, config: &HotConfig) -> bool {
        self.tier(config) > 0
    }

    fn is_much_deleted(&self) -> bool {
        self.live_rows > 0 && self.rows >= REWRITE_MIN_ROWS && self.live_rows.saturating_mul(2) <= self.rows
    }
}

fn max_rows(config: &HotConfig) -> usize {
    config.segment_max_rows.min(SEGMENT_MAX_ROWS)
}

fn max_bytes(config: &HotConfig) -> usize {
    config.segment_max_bytes.min(SEGMENT_MAX_TEXT_BYTES)
}

/// The numbers of the segments to be merged next; `None` when none need be.
///
/// Segments of one month are merged when [`FAN_IN`] of them are within a factor of eight in size, when one is half deleted,
/// or when the collection has more small ones than configured.
pub fn choose(segments: &[Candidate], config: &HotConfig) -> Option<Vec<i64>> {
    let mut small: Vec<&Candidate> =
        segments.iter().filter(|segment| segment.live_rows > 0 && segment.is_small(config)).collect();
    sorting::sort_by_key(&mut small, |segment| (segment.month, segment.live_rows, segment.number));
    let months = || small.chunk_by(|left, right| left.month == right.month);
    for month in months() {
        // The size of a class is told by its smallest member.
        let mut rest = month;
        while let Some(least) = rest.first() {
            let class = rest.partition_point(|other| other.live_rows <= least.live_rows.saturating_mul(8));
            let (same, larger) = rest.split_at(class);
            if same.len() >= FAN_IN
                && let Some(chosen) = fitting(same, config)
            {
                return Some(chosen);
            }
            rest = larger;
        }
    }
    if let Some(wasted) = segments.iter().find(|segment| segment.is_much_deleted()) {
        return Some(vec![wasted.number]);
    }
    if small.len() > config.max_unmerged_segments {
        let largest = months().max_by_key(|month| month.len())?;
        return fitting(largest, config);
    }
    None
}

/// The first of these that fit one segment together; `None` when not even two do.
fn fitting(segments: &[&Candidate], config: &HotConfig) -> Option<Vec<i64>> {
    let (mut rows, mut bytes) = (0usize, 0u64);
    let most = u64::try_from(max_bytes(config)).unwrap_or(u64::MAX);
    let fit = segments.iter().take(INPUTS_MAX).take_while(|segment| {
        rows = rows.saturating_add(segment.live_rows);
        bytes = bytes.saturating_add(segment.live_bytes);
        rows <= max_rows(config) && bytes <= most
    });
    let numbers: Vec<i64> = fit.map(|segment| segment.number).collect();
    (numbers.len() > 1).then_some(numbers)
}

/// The segments of a life to be merged next. Those that come from before a bound are not merged with others.
fn chosen_of(forms: &Forms, config: &HotConfig, bounds: &[i64]) -> Option<Vec<i64>> {
    let mut by_age: BTreeMap<usize, Vec<Candidate>> = BTreeMap::new();
    for segment in forms.segments.iter().filter(|segment| segment.place.is_none()) {
        let later_bounds = bounds.iter().filter(|bound| segment.comes_from_before(**bound)).count();
        by_age.entry(later_bounds).or_default().push(Candidate::of(segment));
    }
    by_age.into_values().rev().find_map(|candidates| choose(&candidates, config))
}

/// A merge on its way.
pub(super) struct Merge {
    collection: Collection,
    inputs: Vec<Input>,
    /// What is full already: more than one segment where the inputs had more bytes than was thought.
    full: Vec<BuiltSegment>,
    builder: SegmentBuilder,
}

/// A row of one of the segments made.
#[derive(Clone, Copy)]
struct Output {
    segment: usize,
    row: u32,
}

struct Input {
    /// The segment as it was when the merge began.
    segment: Rc<Segment>,
    /// Its documents that are read and not taken yet, with their rows.
    window: VecDeque<(usize, Document)>,
    /// The next row to be read.
    next: usize,
    /// The rows taken, ascending, with where they are now.
    taken: Vec<(u32, Output)>,
}

impl Merge {
    /// Begins a merge of a collection's segments, if one is due.
    pub fn begin(store: &HotStore, collection: &Collection) -> Result<Option<Self>> {
        let forms = store.directory.forms(collection.life())?;
        let Some(numbers) = chosen_of(&forms, &store.config, &store.merge_bounds()?) else { return Ok(None) };
        let inputs = numbers.iter().filter_map(|number| forms.visible(*number)).map(|segment| Input {
            segment: Rc::clone(segment),
            window: VecDeque::new(),
            next: 0,
            taken: Vec::new(),
        });
        let builder = collection.segment_builder()?;
        Ok(Some(Self { collection: collection.clone(), inputs: inputs.collect(), full: Vec::new(), builder }))
    }

    /// Whether a life has segments to be merged.
    pub fn is_due(store: &HotStore, life: LifeKey) -> Result<bool> {
        let forms = store.directory.forms(life)?;
        if forms.segments.is_empty() {
            return Ok(false);
        }
        Ok(chosen_of(&forms, &store.config, &store.merge_bounds()?).is_some())
    }

    /// Whether it reads a segment.
    pub fn reads(&self, number: i64) -> bool {
        self.inputs.iter().any(|input| input.segment.number == number)
    }

    /// The collection that is merged.
    pub fn collection_id(&self) -> CollectionId {
        self.collection.id
    }

    /// Takes the next documents; `true` when all are taken.
    pub fn step(&mut self, store: &HotStore) -> Result<bool> {
        let mut bytes = 0usize;
        for _ in 0..STEP_ROWS {
            for input in &mut self.inputs {
                input.fill(store)?;
            }
            let heads = self.inputs.iter_mut().filter(|input| !input.window.is_empty());
            let least = heads.min_by(|left, right| left.head().cmp(&right.head()));
            let Some(least) = least else { return Ok(true) };
            let Some((row, document)) = least.window.pop_front() else { return Ok(true) };
            let Document { id, sequence, timestamp, text } = &document;
            if is_full(&self.builder, text.len()) {
                let next = self.collection.segment_builder()?;
                let full = std::mem::replace(&mut self.builder, next);
                self.full.push(full.finish(Origin::Merged, Vec::new())?);
            }
            let place = u32::try_from(self.builder.rows()).unwrap_or(u32::MAX);
            let output = Output { segment: self.full.len(), row: place };
            least.taken.push((u32::try_from(row).unwrap_or(u32::MAX), output));
            self.builder.push(NewRow { id, sequence: *sequence, timestamp: *timestamp, text })?;
            bytes = bytes.saturating_add(text.len());
            if bytes >= STEP_BYTES {
                break;
            }
        }
        Ok(false)
    }

    /// Puts the result in the place of the inputs, in one transaction; without effect when they are not there any more.
    pub fn finish(self, store: &HotStore) -> Result<()> {
        let Self { collection, inputs, full, builder } = self;
        let life = collection.life();
        store.transaction(|| {
            let forms = store.directory.forms(life)?;
            let is_current = store.catalog()?.live(&collection.name).is_some_and(|known| known.life() == life);
            let visible = |input: &Input| forms.visible(input.segment.number).map(Rc::clone);
            let Some(now) = inputs.iter().map(visible).collect::<Option<Vec<_>>>().filter(|_| is_current) else {
                return Ok(());
            };
            let supersedes = store.supersede(life, &now)?;
            let deleted = deleted_meanwhile(&inputs, &now);
            let last = builder.finish(Origin::Merged, Vec::new())?;
            for (output, mut built) in full.into_iter().chain([last]).enumerate() {
                // Each hides the inputs that stay, and tells that it comes from them.
                built.head.supersedes.clone_from(&supersedes);
                let number = store.directory.next_number()?;
                store.directory.add_segment(life, number, built)?;
                if let Some(rows) = deleted.get(&output) {
                    store.directory.delete_rows(life, number, rows)?;
                }
            }
            Ok(())
        })
    }
}

impl HotStore {
    /// Lets go of visible segments, in whose place others come within this transaction: those that somebody else needs
    /// stay, and are what the others hide, with what they hid themselves.
    pub(super) fn supersede(&self, life: LifeKey, now: &[Rc<Segment>]) -> Result<Vec<i64>> {
        let forms = self.directory.forms(life)?;
        let (first, planned) = (self.log.first_sequence()?, self.planned_before()?);
        let (pinned, free): (Vec<&Rc<Segment>>, Vec<&Rc<Segment>>) =
            now.iter().partition(|segment| self.stays(segment, first, planned));
        let hidden = |number: &i64| forms.superseded.iter().any(|segment| segment.number == *number);
        let inherited = now.iter().flat_map(|segment| segment.supersedes.iter().copied()).filter(hidden);
        let supersedes = pinned.iter().map(|segment| segment.number).chain(inherited).collect();
        let free: Vec<i64> = free.iter().map(|segment| segment.number).collect();
        self.directory.remove_segments(life, &free)?;
        Ok(supersedes)
    }

    /// Whether a segment is in the object, and small or so much deleted that it will be merged there.
    pub fn will_be_merged(&self, segment: &Segment) -> bool {
        let candidate = Candidate::of(segment);
        segment.place.is_none() && (candidate.is_small(&self.config) || candidate.is_much_deleted())
    }
}

impl Input {
    fn head(&self) -> Option<&str> {
        self.window.front().map(|(_, document)| document.id.as_str())
    }

    fn fill(&mut self, store: &HotStore) -> Result<()> {
        while self.window.is_empty() && self.next < self.segment.rows {
            let mut rows = Bitmap::repeated(false, self.segment.rows);
            let mut wanted = Vec::new();
            let window = STEP_BYTES.checked_div(self.segment.average_bytes().max(1)).unwrap_or(1).clamp(1, WINDOW_ROWS);
            while wanted.len() < window && self.next < self.segment.rows {
                if self.segment.is_live(self.next) {
                    rows.set(self.next, true);
                    wanted.push(self.next);
                }
                self.next += 1;
            }
            if !wanted.is_empty() {
                let documents = store.segment_documents(&self.segment, &rows)?;
                self.window = wanted.into_iter().zip(documents).collect();
            }
        }
        Ok(())
    }
}

/// Whether a document of so many bytes no longer fits.
fn is_full(builder: &SegmentBuilder, bytes: usize) -> bool {
    let text = usize::try_from(builder.text_bytes()).unwrap_or(usize::MAX);
    builder.rows() > 0 && (builder.rows() >= SEGMENT_MAX_ROWS || text.saturating_add(bytes) > SEGMENT_MAX_TEXT_BYTES)
}

/// The rows of each output whose documents were replaced or deleted since the merge began.
fn deleted_meanwhile(inputs: &[Input], now: &[Rc<Segment>]) -> HashMap<usize, RoaringBitmap> {
    let mut deleted: HashMap<usize, RoaringBitmap> = HashMap::new();
    for (input, now) in inputs.iter().zip(now) {
        for row in &now.deleted - &input.segment.deleted {
            if let Ok(at) = input.taken.binary_search_by_key(&row, |(row, _)| *row) {
                let output = input.taken.get(at).map(|(_, output)| *output);
                output.map(|Output { segment, row }| deleted.entry(segment).or_default().insert(row));
            }
        }
    }
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: i64, month: i32, rows: usize, live_rows: usize) -> Candidate {
        Candidate { number, month, rows, live_rows, live_bytes: u64::try_from(live_rows).unwrap() * 100 }
    }

    fn chosen(segments: &[Candidate]) -> Option<Vec<i64>> {
        choose(segments, &HotConfig::default())
    }

    #[test]
    fn segments_of_a_month_are_merged_when_many_are_of_about_one_size() {
        let batches: Vec<_> = (0..8).map(|n| segment(n, 5, 100, 100)).collect();
        assert_eq!(chosen(&batches), Some((0..8).collect()));
        assert_eq!(chosen(&batches[..7]), None);
        let mixed: Vec<_> = (0..8).map(|n| segment(n, i32::from(n % 2 == 0), 100, 100)).collect();
        assert_eq!(chosen(&mixed), None, "months are never mixed");
        let sizes: Vec<_> = (0..8).map(|n| segment(n, 5, 100, 100 << (n % 2 * 8))).collect();
        assert_eq!(chosen(&sizes), None, "a small one is not worth rewriting a large one");
    }

    #[test]
    fn what_is_merged_fits_one_segment() {
        let large: Vec<_> = (0..12).map(|n| segment(n, 5, 20_000, 20_000)).collect();
        assert_eq!(chosen(&large), Some(vec![0, 1, 2]));
        let full: Vec<_> = (0..100).map(|n| segment(n, 5, 40_000, 40_000)).collect();
        assert_eq!(chosen(&full), None);
    }

    #[test]
    fn a_half_deleted_segment_is_rewritten() {
        assert_eq!(chosen(&[segment(3, 5, 60_000, 30_000)]), Some(vec![3]));
        assert_eq!(chosen(&[segment(3, 5, 60_000, 30_001)]), None);
        assert_eq!(chosen(&[segment(3, 5, 60_000, 0)]), None, "one without documents is removed, not merged");
    }

    #[test]
    fn at_most_so_many_small_segments_are_left() {
        // Sizes so far apart that none are of one class, in few months.
        let spread: Vec<_> =
            (0..40).map(|n| segment(n, i32::try_from(n % 6).unwrap(), 1 << (n / 6 * 2), 1 << (n / 6 * 2))).collect();
        let numbers = chosen(&spread).unwrap();
        assert!(numbers.len() > 1);
        let months: std::collections::BTreeSet<i64> = numbers.iter().map(|number| number % 6).collect();
        assert_eq!(months.len(), 1);
    }
}
