//! The index against brute force, on vectors of every kind.

use super::numbers::SplitMix;
use super::*;
use crate::error::ErrorKind;

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

/// Vectors as real ones are, and as they are not.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Every component by itself.
    Random,
    /// Around a few hundred centres, these around a common mean.
    Clustered,
    /// Of few true dimensions, with a common mean and a little noise.
    Correlated,
    /// Each many times.
    Copies,
    /// Of lengths that differ by a factor of a hundred.
    Uneven,
}

const KINDS: [Kind; 5] = [Kind::Random, Kind::Clustered, Kind::Correlated, Kind::Copies, Kind::Uneven];

fn gaussian(numbers: &mut SplitMix, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|_| numbers.centred()).collect()
}

fn sum(left: &[f32], right: &[f32], weight: f32) -> Vec<f32> {
    left.iter().zip(right).map(|(left, right)| left + right * weight).collect()
}

/// Vectors of a kind, the last of which are for queries.
fn vectors(kind: Kind, numbers: &mut SplitMix, count: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mean = gaussian(numbers, dimension);
    let bases: Vec<Vec<f32>> = (0..match kind {
        Kind::Random | Kind::Uneven => 1,
        Kind::Clustered => 200,
        Kind::Correlated => 24,
        Kind::Copies => count / 20,
    })
        .map(|_| gaussian(numbers, dimension))
        .collect();
    let one = |numbers: &mut SplitMix| match kind {
        Kind::Random => gaussian(numbers, dimension),
        Kind::Clustered => {
            let base = sum(&mean, &bases[numbers.below(bases.len())], 1.0);
            sum(&base, &gaussian(numbers, dimension), 0.4)
        }
        Kind::Correlated => {
            let noise = gaussian(numbers, dimension);
            let start = sum(&mean, &noise, 0.2);
            bases.iter().fold(start, |vector, base| sum(&vector, base, numbers.centred() * 0.2))
        }
        Kind::Copies => bases[numbers.below(bases.len())].clone(),
        Kind::Uneven => {
            let scale = 10_f32.powf(numbers.centred().clamp(-2.0, 2.0) * 0.5);
            gaussian(numbers, dimension).iter().map(|component| component * scale).collect()
        }
    };
    (0..count).map(|_| one(numbers)).collect()
}

/// An index with all that it is of.
struct Model {
    index: EmbeddingIndex,
    vectors: Vec<Vec<f32>>,
    removed: Vec<bool>,
}

impl Model {
    fn new(dimension: usize) -> Self {
        Self { index: EmbeddingIndex::new(dimension).unwrap(), vectors: Vec::new(), removed: Vec::new() }
    }

    fn add(&mut self, vector: &[f32]) {
        let position = self.index.add(vector).unwrap();
        assert_eq!(position, u32::try_from(self.vectors.len()).unwrap());
        self.vectors.push(vector.to_vec());
        self.removed.push(false);
    }

    fn remove(&mut self, place: usize) {
        self.index.remove(u32::try_from(place).unwrap());
        self.removed[place] = true;
    }

    fn row(&self, number: u32) -> Vec<u8> {
        let room = vectors_per_row(self.index.dimension());
        let first = number * room;
        let of_row = self.vectors.chunks(usize::try_from(room).unwrap()).nth(usize::try_from(number).unwrap()).unwrap();
        let vectors: Vec<&[f32]> = of_row.iter().map(Vec::as_slice).collect();
        write_row(first, self.index.dimension(), &vectors).unwrap()
    }

    fn search(&self, query: &[f32], k: usize, metric: Metric) -> (Vec<Found>, SearchStats) {
        let mut search = self.index.search(query, k, metric, SearchOptions::default()).unwrap();
        let mut read = Vec::new();
        loop {
            let rows = search.next_rows();
            if rows.is_empty() {
                break;
            }
            assert!(rows.is_sorted() && rows.iter().all(|row| !read.contains(row)), "no row is read twice");
            rows.iter().for_each(|row| search.rescore(*row, &self.row(*row)).unwrap());
            read.extend(rows);
        }
        let (found, stats) = search.finish().unwrap();
        assert_eq!(stats.rows_read, u64::try_from(read.len()).unwrap());
        assert!(stats.rescored <= stats.candidates);
        (found, stats)
    }

    /// Scores of all that was not removed, the nearest first; in double precision.
    fn by_brute_force(&self, query: &[f32], metric: Metric) -> Vec<(f64, u32)> {
        let live = (0_u32..).zip(self.vectors.iter().zip(&self.removed)).filter(|(_, (_, removed))| !**removed);
        let mut all: Vec<(f64, u32)> =
            live.map(|(position, (vector, _))| (exactly(query, vector, metric), position)).collect();
        let sign = if metric == Metric::L2 { 1.0 } else { -1.0 };
        all.sort_by(|left, right| (sign * left.0).total_cmp(&(sign * right.0)).then(left.1.cmp(&right.1)));
        all
    }

    /// How many of the nearest `k` a search finds, others just as near as the last of them included.
    fn hits(&self, query: &[f32], k: usize, metric: Metric) -> (usize, SearchStats) {
        let expected = self.by_brute_force(query, metric);
        let (found, stats) = self.search(query, k, metric);
        assert_eq!(found.len(), k.min(expected.len()));
        let mut positions: Vec<u32> = found.iter().map(|found| found.position).collect();
        positions.sort_unstable();
        positions.dedup();
        assert_eq!(positions.len(), found.len(), "none is found twice");
        let tolerance = |score: f64| 1e-5 * score.abs().max(scale_of(query, metric));
        for found in &found {
            let place = usize::try_from(found.position).unwrap();
            assert!(!self.removed[place], "what was removed is not found");
            let score = exactly(query, &self.vectors[place], metric);
            assert!((f64::from(found.score) - score).abs() <= tolerance(score), "{} is {score}", found.score);
        }
        let in_order = |pair: &[Found]| match metric {
            Metric::L2 => pair[0].score <= pair[1].score,
            Metric::Cosine | Metric::Dot => pair[0].score >= pair[1].score,
        };
        assert!(found.windows(2).all(in_order));
        let Some((last, _)) = expected.get(found.len().saturating_sub(1)) else { return (0, stats) };
        let is_near = |found: &&Found| match metric {
            Metric::L2 => f64::from(found.score) <= last + tolerance(*last),
            Metric::Cosine | Metric::Dot => f64::from(found.score) >= last - tolerance(*last),
        };
        (found.iter().filter(is_near).count(), stats)
    }
}

/// What rounding of a score is about a share of.
fn scale_of(query: &[f32], metric: Metric) -> f64 {
    if metric == Metric::Cosine { 1.0 } else { f64::from(vector::dot(query, query)).sqrt() }
}

fn exactly(query: &[f32], vector: &[f32], metric: Metric) -> f64 {
    let pairs = || query.iter().zip(vector).map(|(left, right)| (f64::from(*left), f64::from(*right)));
    let length = |of: &[f32]| of.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    match metric {
        Metric::Dot => pairs().map(|(left, right)| left * right).sum(),
        Metric::Cosine => pairs().map(|(left, right)| left * right).sum::<f64>() / length(query) / length(vector),
        Metric::L2 => pairs().map(|(left, right)| (left - right).powi(2)).sum::<f64>().sqrt(),
    }
}

/// Recall at `k` of some queries, which are of no stored vector, and how many vectors were looked at for each.
fn recall(kind: Kind, seed: u64, (count, dimension): (usize, usize), k: usize, metrics: &[Metric], queries: usize) {
    let mut numbers = SplitMix(seed);
    let all = vectors(kind, &mut numbers, count + queries, dimension);
    let mut model = Model::new(dimension);
    all.iter().take(count).for_each(|vector| model.add(vector));
    for metric in metrics {
        let (mut hits, mut rescored) = (0, 0);
        for query in all.iter().skip(count) {
            let (found, stats) = model.hits(query, k, *metric);
            assert_eq!(stats.scanned, u64::try_from(count).unwrap());
            hits += found;
            rescored += stats.rescored;
        }
        let number = |count: usize| f64::from(u32::try_from(count).unwrap());
        let share = number(hits) / number(queries * k);
        let each = rescored / u64::try_from(queries).unwrap();
        let what =
            format!("{kind:?} {metric:?} {count} x {dimension}, seed {seed}: recall@{k} {share}, rescored {each}");
        println!("{what}");
        assert!(share >= 0.98, "{what}");
    }
}

#[test]
fn ten_of_the_nearest_ten_are_found_but_for_one_in_fifty() {
    for (seed, kind) in (0..).zip(KINDS) {
        recall(kind, seed, (2_300, 128), 10, &METRICS, 12);
    }
}

#[test]
fn vectors_as_long_as_usual_are_found() {
    recall(Kind::Correlated, 12, (2_100, 768), 10, &[Metric::Cosine], 5);
}

#[test]
fn one_and_many_are_found_too() {
    for k in [1, 100, K_MAX] {
        recall(Kind::Clustered, 21, (2_200, 100), k, &[Metric::Cosine], 4);
    }
}

#[test]
fn vectors_of_few_components_are_found() {
    for dimension in [3, 24] {
        recall(Kind::Random, 31, (2_300, dimension), 10, &[Metric::L2], 10);
    }
}

#[test]
fn copies_of_one_vector_do_not_hide_what_is_nearer() {
    let mut numbers = SplitMix(41);
    let mut model = Model::new(64);
    let near = gaussian(&mut numbers, 64);
    // Of cosine 0.7 with the query; the nearer ones of 0.8.
    let copied = sum(&near, &gaussian(&mut numbers, 64), 1.0);
    for number in 0..2_400 {
        let noise = gaussian(&mut numbers, 64);
        match number % 300 {
            299 => model.add(&sum(&near, &noise, 0.75)),
            _ => model.add(&copied),
        }
    }
    let (hits, stats) = model.hits(&near, 10, Metric::Cosine);
    assert_eq!(hits, 10);
    assert!(stats.candidates <= 400 && stats.rescored < 200, "{stats:?}");
}

#[test]
fn few_vectors_are_all_looked_at() {
    let mut numbers = SplitMix(51);
    for (count, dimension) in [(0, 4), (1, 1), (5, 2), (40, 700), (300, 17), (2_048, 5)] {
        let mut model = Model::new(dimension);
        vectors(Kind::Random, &mut numbers, count, dimension).iter().for_each(|vector| model.add(vector));
        for metric in METRICS {
            let query = gaussian(&mut numbers, dimension);
            let (hits, stats) = model.hits(&query, 10, metric);
            assert_eq!(hits, count.min(10));
            assert_eq!((stats.scanned, stats.rescored), (0, u64::try_from(count).unwrap()));
        }
    }
}

#[test]
fn adds_and_removes_are_seen_at_once() {
    for seed in 0..2 {
        let mut numbers = SplitMix(seed);
        let mut model = Model::new(48);
        let pool = vectors(Kind::Clustered, &mut numbers, 2_900, 48);
        for (number, vector) in pool.iter().enumerate() {
            model.add(vector);
            if numbers.below(20) == 0 {
                model.remove(numbers.below(number + 1));
            }
            if number % 290 == 289 {
                let query = &pool[numbers.below(number + 1)];
                let (found, _) = model.search(vector, 1, Metric::L2);
                assert!(model.removed[number] || found[0].score == 0.0, "its own write, seed {seed}");
                for metric in METRICS {
                    let (hits, _) = model.hits(query, 10, metric);
                    assert!(hits >= 9, "seed {seed}, {number}, {metric:?}: {hits}");
                }
            }
        }
        assert_eq!(
            usize::try_from(model.index.removed().len()).unwrap(),
            model.removed.iter().filter(|is| **is).count()
        );
        // Nothing is left of a whole cluster's worth.
        (0..2_900).for_each(|place| model.remove(place));
        assert!(model.search(&pool[0], 10, Metric::Dot).0.is_empty());
    }
}

#[test]
fn blocks_that_were_kept_make_the_same_index() {
    let mut numbers = SplitMix(61);
    let pool = vectors(Kind::Correlated, &mut numbers, 4_500, 32);
    let mut model = Model::new(32);
    let mut kept = Vec::new();
    for vector in pool.iter().take(4_300) {
        model.add(vector);
        if model.index.is_full() {
            kept.push(model.index.last_block().unwrap());
        }
    }
    kept.push(model.index.last_block().unwrap());
    assert_eq!(kept.len(), model.index.blocks());
    let mut loaded = EmbeddingIndex::new(32).unwrap();
    kept.iter().for_each(|bytes| loaded.load_block(bytes).unwrap());
    assert_eq!((loaded.len(), loaded.bytes()), (4_300, model.index.bytes()));
    assert!(loaded.load_block(&kept[0]).is_err(), "the last block is not full");
    let mut again = Model { index: loaded, vectors: model.vectors.clone(), removed: model.removed.clone() };
    for vector in pool.iter().skip(4_300) {
        model.add(vector);
        again.add(vector);
    }
    assert_eq!(model.index.last_block(), again.index.last_block());
    for query in pool.iter().step_by(500) {
        for metric in METRICS {
            assert_eq!(model.search(query, 10, metric), again.search(query, 10, metric));
        }
    }
    let mut other = EmbeddingIndex::new(33).unwrap();
    assert_eq!(other.load_block(&kept[0]).unwrap_err().kind(), ErrorKind::Corrupt);
    let mut other = EmbeddingIndex::new(32).unwrap();
    assert_eq!(other.load_block(&kept[1]).unwrap_err().kind(), ErrorKind::Corrupt, "not the first");
}

#[test]
fn vectors_take_as_little_memory_as_is_said() {
    let mut index = EmbeddingIndex::new(768).unwrap();
    let mut vector = vec![0.0; 768];
    for number in 0..2_048_u16 {
        vector[usize::from(number % 768)] = f32::from(number) + 1.0;
        index.add(&vector).unwrap();
    }
    let floor = 2_048 * (96 + 12);
    println!("{} bytes for 2,048 vectors", index.bytes());
    assert!((floor..floor + 30_000).contains(&index.bytes()));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let mut index = EmbeddingIndex::new(3).unwrap();
    assert!(EmbeddingIndex::new(0).is_err() && EmbeddingIndex::new(DIMENSION_MAX + 1).is_err());
    assert!(index.add(&[1.0, 2.0]).is_err() && index.add(&[f32::NAN; 3]).is_err() && index.add(&[0.0; 3]).is_err());
    assert!(index.is_empty(), "nothing was added");
    index.remove(7);
    assert_eq!(index.removed().len(), 0);
    let options = SearchOptions::default();
    assert!(index.search(&[1.0; 4], 1, Metric::Dot, options).is_err());
    assert!(index.search(&[0.0; 3], 1, Metric::Dot, options).is_err());
    assert!(index.search(&[1.0; 3], 0, Metric::Dot, options).is_err());
    assert!(index.search(&[1.0; 3], K_MAX + 1, Metric::Dot, options).is_err());
}

#[test]
fn extreme_lengths_neither_overflow_nor_vanish() {
    let mut numbers = SplitMix(71);
    for scale in [2e-15_f32, 5e13] {
        let mut model = Model::new(12);
        let make = |numbers: &mut SplitMix| -> Vec<f32> {
            gaussian(numbers, 12).iter().map(|component| component * scale).collect()
        };
        (0..2_500).for_each(|_| model.add(&make(&mut numbers)));
        for metric in METRICS {
            let (found, _) = model.search(&make(&mut numbers), 10, metric);
            assert!(found.iter().all(|found| found.score.is_finite()) && found.len() == 10, "{scale}, {metric:?}");
        }
    }
}

#[test]
fn wrong_rows_are_refused() {
    let mut model = Model::new(100);
    let mut numbers = SplitMix(81);
    vectors(Kind::Random, &mut numbers, 70, 100).iter().for_each(|vector| model.add(vector));
    let begin = || model.index.search(&model.vectors[3], 2, Metric::Dot, SearchOptions::default()).unwrap();
    let mut search = begin();
    assert_eq!(search.next_rows(), [0, 1, 2]);
    assert_eq!(search.rescore(1, &model.row(2)).unwrap_err().kind(), ErrorKind::Corrupt, "another row");
    let other = write_row(0, 99, &[&[1.0; 99]]).unwrap();
    assert_eq!(search.rescore(0, &other).unwrap_err().kind(), ErrorKind::Corrupt, "another dimension");
    let short = write_row(0, 100, &[&model.vectors[0]]).unwrap();
    assert_eq!(search.rescore(0, &short).unwrap_err().kind(), ErrorKind::Corrupt, "less than was written");
    assert_eq!(search.finish().unwrap_err().kind(), ErrorKind::Internal, "rows are missing");
    let mut search = begin();
    assert!(search.finish().is_err(), "none was asked for");
    search = begin();
    for row in search.next_rows() {
        search.rescore(row, &model.row(row)).unwrap();
    }
    assert_eq!(search.finish().unwrap().0[0].position, 3);
}
