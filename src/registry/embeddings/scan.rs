//! Looking at every code: which vectors may be near.
//!
//! The inner product of a query, less what it has of the centre, with the signs of a code is a sum of what each four signs make of four
//! components: sixteen values, a table of sixteen bytes for each four bits of a code. Codes are in groups of sixteen, whose bytes are
//! looked up at once ([`lanes`](super::lanes)), as in André, Kermarrec and Le Scouarnec, "Cache Locality Is Not Enough:
//! High-Performance Nearest Neighbor Search with Product Quantization Fast Scan", 2015.
//!
//! An estimate is greater for what is nearer, whatever the metric. Its error is a standard deviation, that of the tables'
//! rounding included. The kernels are short functions called a group at a time: runtimes compile such ones best.

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use super::codes::{Centre, CodeBlock};
use super::lanes::{self, GROUP, TABLE, Table, look_up};
use super::vector::{Metric, dot, squared_distance};

/// The greatest value in a table: eight of them are summed in a byte.
const TABLE_MAX: f32 = 31.0;
/// Added to a float that is not negative and less than that, it leaves the nearest integer in the lowest bits.
const TO_INTEGER: f32 = 8_388_608.0;

/// A centre whose squared length is less is as good as none: its inner products with vectors are mostly rounding.
const CENTRE_MIN: f32 = 1e-30;

/// What may be near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// How near it is about; greater is nearer.
    pub estimate: f32,
    /// How far off that is, as a standard deviation.
    pub error: f32,
    /// Where it is.
    pub position: u32,
}

impl Candidate {
    /// The nearest first, and of equals the one of the least position.
    fn order(&self, other: &Self) -> Ordering {
        let estimates = other.estimate.total_cmp(&self.estimate);
        estimates.then(other.error.total_cmp(&self.error)).then(self.position.cmp(&other.position))
    }
}

/// The best of what was seen.
pub struct Candidates {
    kept: Vec<Candidate>,
    wanted: usize,
    /// Of those that look all the same so many are enough.
    same_max: usize,
    /// What is less is not among the best.
    least: f32,
}

impl Candidates {
    /// None yet, of `wanted` at most, of which `same_max` at most may be of equal vectors.
    pub fn new(wanted: usize, same_max: usize) -> Self {
        let kept = Vec::with_capacity(wanted.saturating_mul(2));
        Self { kept, wanted, same_max: same_max.max(1), least: f32::NEG_INFINITY }
    }

    fn push(&mut self, candidate: Candidate) {
        if self.kept.len() >= self.wanted.saturating_mul(2) {
            self.cut();
        }
        self.kept.push(candidate);
    }

    fn cut(&mut self) {
        self.kept.sort_unstable_by(Candidate::order);
        let mut last: Option<(f32, f32)> = None;
        let (same_max, mut same) = (self.same_max, 0_usize);
        self.kept.retain(|candidate| {
            let this = (candidate.estimate, candidate.error);
            same = if last == Some(this) { same.saturating_add(1) } else { 0 };
            last = Some(this);
            same < same_max
        });
        self.kept.truncate(self.wanted);
        if let Some(last) = self.kept.get(self.wanted.saturating_sub(1)) {
            self.least = last.estimate;
        }
    }

    /// The best, the nearest first.
    pub fn into_sorted(mut self) -> Vec<Candidate> {
        self.cut();
        self.kept
    }
}

/// A query as codes around one centre see it.
pub struct CentredQuery {
    metric: Metric,
    /// For each byte of a code what its lower and its upper four bits stand for.
    tables: Vec<[Table; 2]>,
    /// The inner product with the signs is so much for each unit of a sum of the tables, less `offset`.
    step: f32,
    offset: f32,
    /// The inner product of the query with the centre.
    base: f32,
    /// How much of the centre the query has, whose inner products with vectors are known: for distances less one.
    share: f32,
    /// What cosines are to be multiplied by.
    unit: f32,
    /// Squared distance of the query from the centre.
    squared_distance: f32,
    /// The length of the rest of the query.
    length: f32,
    centre_squared_length: f32,
    /// Standard deviation of what the rounding of the tables does to the inner product with the signs.
    rounding: f32,
    root: f32,
}

impl CentredQuery {
    /// A rotated query.
    pub fn new(rotated: &[f32], centre: &Centre, metric: Metric) -> Self {
        let root = f32::from(u16::try_from(rotated.len()).unwrap_or(u16::MAX)).sqrt();
        let base = dot(rotated, &centre.values);
        let share = if centre.squared_length > CENTRE_MIN { base / centre.squared_length } else { 0.0 };
        let away: Vec<f32> = rotated.iter().zip(&centre.values).map(|(value, centre)| value - share * centre).collect();
        let quads = away.as_chunks::<4>().0;
        let reach = |quad: &[f32; 4]| quad.iter().map(|value| value.abs()).sum::<f32>();
        // No quad makes more of a code than its reach, nor less than that below zero.
        let step = quads.iter().map(reach).fold(f32::MIN_POSITIVE, f32::max) * 2.0 / TABLE_MAX;
        let table = |quad: &[f32; 4]| lanes::table(table(quad, reach(quad), step));
        let length = dot(rotated, rotated).sqrt();
        Self {
            metric,
            tables: quads.as_chunks::<2>().0.iter().map(|[lower, upper]| [table(lower), table(upper)]).collect(),
            step: step / root,
            offset: quads.iter().map(reach).sum::<f32>() / root,
            base,
            share: if metric == Metric::L2 { share - 1.0 } else { share },
            unit: if metric == Metric::Cosine { 1.0 / length } else { 1.0 },
            squared_distance: squared_distance(rotated, &centre.values),
            length: dot(&away, &away).sqrt(),
            centre_squared_length: centre.squared_length,
            // Each of a quarter as many values as there are bits is off by up to half a step.
            rounding: step / 48.0_f32.sqrt(),
            root,
        }
    }

    /// Adds what of a block may be among the best.
    pub fn scan(&self, block: &CodeBlock, removed: &RoaringBitmap, candidates: &mut Candidates) {
        let [scales, shifts, lengths] = block.factors().map(|numbers| numbers.chunks(GROUP));
        let mut first = block.first;
        let (mut sums, mut estimates) = ([0; GROUP], [0.0; GROUP]);
        for (((codes, scales), shifts), lengths) in block.groups().zip(scales).zip(shifts).zip(lengths) {
            look_up(&codes, &self.tables, &mut sums);
            self.estimate(&sums, [scales, shifts, lengths], &mut estimates);
            for (lane, (position, estimate)) in (first..).zip(&estimates).take(scales.len()).enumerate() {
                if *estimate > candidates.least && !removed.contains(position) {
                    let number = |of: &[f32]| of.get(lane).copied().unwrap_or(0.0);
                    let error = self.error(number(scales), number(shifts), number(lengths));
                    candidates.push(Candidate { estimate: *estimate, error, position });
                }
            }
            first = first.saturating_add(u32::try_from(GROUP).unwrap_or(0));
        }
    }

    /// How near each of a group is about.
    fn estimate(&self, sums: &[u16; GROUP], [scales, shifts, lengths]: [&[f32]; 3], estimates: &mut [f32; GROUP]) {
        let products = sums.map(|sum| f32::from(sum) * self.step - self.offset);
        let all = estimates.iter_mut().zip(products).zip(scales).zip(shifts).zip(lengths);
        match self.metric {
            Metric::Dot => all.for_each(|((((estimate, product), scale), shift), _)| {
                *estimate = product * scale + shift * self.share + self.base;
            }),
            Metric::Cosine => all.for_each(|((((estimate, product), scale), shift), length)| {
                let product = product * scale + shift * self.share + self.base;
                *estimate = product * self.unit / self.vector_length(*shift, *length);
            }),
            Metric::L2 => all.for_each(|((((estimate, product), scale), shift), length)| {
                let product = product * scale + shift * self.share;
                *estimate = 2.0 * product - length * length - self.squared_distance;
            }),
        }
    }

    #[inline(always)]
    fn vector_length(&self, shift: f32, length: f32) -> f32 {
        (length * length + 2.0 * shift + self.centre_squared_length).max(f32::MIN_POSITIVE).sqrt()
    }

    fn error(&self, scale: f32, shift: f32, length: f32) -> f32 {
        let missed = (scale * scale - length * length).max(0.0).sqrt();
        let of_signs = missed * self.length / self.root;
        let error = of_signs.hypot(scale * self.rounding);
        match self.metric {
            Metric::Dot => error,
            Metric::Cosine => error * self.unit / self.vector_length(shift, length),
            Metric::L2 => 2.0 * error,
        }
    }
}

/// For each four signs, the lowest bit that of the first, what they make of four values: from none, where each is turned to its
/// negative, on.
fn table(values: &[f32; 4], reach: f32, step: f32) -> [u8; TABLE] {
    let mut table = [0; TABLE];
    for (signs, entry) in (0_u8..).zip(&mut table) {
        let signed = |(bit, value): (u32, &f32)| if (signs >> bit) & 1 == 1 { *value } else { -*value };
        let sum: f32 = (0..).zip(values).map(signed).sum();
        let integer = ((sum + reach) / step + TO_INTEGER).to_bits() & 0xff;
        *entry = u8::try_from(integer).unwrap_or(0).min(31);
    }
    table
}
