//! What a table keeps over thousands of commits: few snapshots, spaced by age, and exactly the objects they reach.

use std::collections::{BTreeMap, BTreeSet};

use thermocline::cold::{
    BuiltCommit, CommitOperation, DataFile, LiveFile, Retention, Schema, TableKind, TableState, plan_commit, retag,
};
use thermocline::ports::native::SplitMix64;
use thermocline::vortex::TableSchema;

use super::support::{FEBRUARY, Table, attempt, delete_file, document, document_file, learned};

const KEEP: usize = 20;
const DAY: i64 = 86_400_000;
const WEEK: i64 = 7 * DAY;

struct History {
    random: SplitMix64,
    table: Table,
    columns: TableSchema,
    data: DataFile,
    deletes: DataFile,
    now: i64,
    commits: u128,
    /// What the bucket holds.
    objects: BTreeSet<String>,
    /// What each snapshot reaches, by its id.
    reached: BTreeMap<i64, BTreeSet<String>>,
    /// When every commit was made.
    times: Vec<i64>,
}

impl History {
    fn new(seed: u64) -> Self {
        let documents = [document("a", 1, FEBRUARY, "\"n\":1")];
        let columns = learned(&documents);
        let (_, data) = document_file(&columns, &documents, "k");
        let (_, deletes) = delete_file("s3://cold", &[(&data, &[0])], "d");
        let table = Table::new("s3://cold", "things", TableKind::State);
        let (objects, reached, times) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let random = SplitMix64::new(seed);
        Self { random, table, columns, data, deletes, now: FEBRUARY, commits: 0, objects, reached, times }
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.random.below(usize::try_from(bound).unwrap())).unwrap()
    }

    /// Seconds while clients write, hours while they do not.
    fn pause(&mut self) -> i64 {
        match self.below(10) {
            0 => self.below(DAY / 4),
            1 | 2 => 0,
            _ => 1_000 + self.below(600_000),
        }
    }

    /// A commit after some milliseconds that adds a file of a month or replaces one, with deletes or without.
    fn commit(&mut self, after: i64) {
        self.commits += 1;
        self.now += after;
        let mut commit =
            self.table.commit(CommitOperation::Overwrite, self.commits, self.now, Schema::state(&self.columns));
        commit.keep_snapshots = KEEP;
        commit.keep_ms = WEEK;
        commit.live = Some(self.table.live.values().cloned().collect());
        let month = i32::try_from(self.below(6)).unwrap();
        let of_month: Vec<LiveFile> =
            self.table.live.values().filter(|live| live.file.month == month).cloned().collect();
        let number = self.commits;
        let named = |file: &DataFile, name: &str| DataFile { key: format!("{name}-{number}"), month, ..file.clone() };
        let (replaces, deletes) = (self.below(3) == 0, self.below(2) == 0);
        let mut added = vec![named(&self.data, "data")];
        if replaces {
            commit.removed = of_month;
        } else if deletes {
            commit.removed = of_month.into_iter().filter(|live| live.file.content == self.deletes.content).collect();
            added.push(named(&self.deletes, "deletes"));
        }
        commit.added = added;
        if self.below(40) == 0 {
            commit.tags = vec![format!("tag-{}", self.commits)];
        }
        let built = plan_commit(&self.table.state, &commit).unwrap();
        self.objects.extend(commit.added.iter().map(|file| file.key.clone()));
        for live in &commit.removed {
            self.table.live.remove(&live.file.key).unwrap();
        }
        self.table.live.extend(built.added.iter().map(|live| (live.file.key.clone(), live.clone())));
        let state = &built.state;
        let snapshot = state.current_snapshot().unwrap();
        let manifests = state.manifests.iter().map(|manifest| manifest.key.clone());
        let reached = manifests.chain([state.manifest_list_key(snapshot)]).chain(self.table.live.keys().cloned());
        self.reached.insert(snapshot.snapshot_id, reached.collect());
        self.times.push(state.last_updated_ms);
        self.publish(built);
    }

    fn publish(&mut self, built: BuiltCommit) {
        self.objects.extend(built.objects.iter().chain([&built.metadata]).map(|object| object.key.clone()));
        for key in &built.garbage {
            assert!(self.objects.remove(key), "{key} is garbage twice, or was never there");
        }
        self.table.state = built.state;
        self.check();
    }

    fn untag(&mut self) {
        let Some(name) = self.table.state.tags.keys().next().cloned() else { return };
        let retention = Retention { keep_snapshots: KEEP, keep_ms: WEEK };
        let built = retag(&self.table.state, &[], &[name], self.now, retention).unwrap();
        self.publish(built);
    }

    /// The bucket holds what the kept snapshots reach and nothing else.
    fn check(&self) {
        let state = &self.table.state;
        let mut expected: BTreeSet<String> =
            state.snapshots.iter().flat_map(|snapshot| self.reached[&snapshot.snapshot_id].iter().cloned()).collect();
        expected.insert(state.path.metadata(state.version));
        expected.extend(state.metadata_log.iter().map(|logged| state.path.metadata(logged.version)));
        assert_eq!(self.objects, expected, "after commit {}", self.commits);
        let unpinned =
            state.snapshots.iter().filter(|snapshot| !state.tags.values().any(|id| *id == snapshot.snapshot_id));
        assert!(unpinned.count() <= KEEP && state.snapshots.len() <= KEEP + state.tags.len());
        assert!(state.tags.values().all(|id| state.snapshots.iter().any(|snapshot| snapshot.snapshot_id == *id)));
    }

    /// For every moment of the week at which the state was another than that of the newest kept snapshot not after it:
    /// how much older that snapshot is than the moment, in relation to the age of the snapshot, at most.
    fn worst_miss(&self) -> f64 {
        let state = &self.table.state;
        let begin = (self.now - WEEK).max(self.times[0]);
        let kept: Vec<i64> = state.snapshots.iter().map(|snapshot| snapshot.timestamp_ms).collect();
        assert!(kept[0] <= begin, "the beginning of the week is reached");
        let miss = |moment: &i64| {
            let base = kept.iter().rev().find(|time| *time <= moment).unwrap();
            (moment - base) as f64 / (self.now - base).max(1) as f64
        };
        self.times.iter().filter(|time| **time >= begin).map(miss).fold(0.0, f64::max)
    }
}

/// A thousand commits `steps` apart; the worst miss on the way.
fn thousand_commits(seed: u64, steps: impl Fn(&mut History) -> i64) -> f64 {
    let mut worst: f64 = 0.0;
    let mut history = History::new(seed);
    let mut most = 0;
    for round in 0..1_000 {
        let step = steps(&mut history);
        history.commit(step);
        if history.table.state.tags.len() > 5 || round % 50 == 49 {
            history.untag();
        }
        most = most.max(serde_json::to_string(&history.table.state).unwrap().len());
        if round > 100 {
            worst = worst.max(history.worst_miss());
        }
    }
    let state = &history.table.state;
    let ages: Vec<i64> =
        state.snapshots.iter().map(|snapshot| (history.now - snapshot.timestamp_ms) / 60_000).collect();
    println!(
        "seed {seed}: ages in minutes {ages:?}, stored state at most {most} bytes, worst miss {worst:.3} of the age"
    );
    assert!(ages.iter().filter(|age| **age > WEEK / 60_000).count() <= 1 + state.tags.len());
    // Once all tags are gone and a week is over, only the last two are left.
    while !history.table.state.tags.is_empty() {
        history.untag();
    }
    for _ in 0..2 {
        history.commit(2 * WEEK);
    }
    assert_eq!(history.table.state.snapshots.len(), 2);
    worst
}

#[test]
fn a_thousand_commits_at_odd_times_keep_few_snapshots_and_what_they_reach() {
    let worst = thousand_commits(1, History::pause);
    assert!(worst < 0.6, "{worst}");
}

#[test]
fn a_thousand_commits_every_half_hour_keep_few_snapshots_and_what_they_reach() {
    let worst = thousand_commits(2, |_| DAY / 48);
    assert!(worst < 0.6, "{worst}");
}

#[test]
fn the_snapshot_log_has_no_gap() {
    let mut history = History::new(4);
    for _ in 0..60 {
        let step = history.pause();
        history.commit(step);
    }
    let state = &history.table.state;
    let numbers: Vec<i64> = state.snapshots.iter().map(|snapshot| snapshot.sequence_number).collect();
    let gap = numbers.windows(2).rposition(|pair| pair[1] != pair[0] + 1).unwrap();
    let metadata: serde_json::Value =
        serde_json::from_slice(&thermocline::cold::metadata::to_json(state).unwrap()).unwrap();
    let logged: Vec<i64> = metadata["snapshot-log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["snapshot-id"].as_i64().unwrap())
        .collect();
    let expected: Vec<i64> = state.snapshots[gap + 1..].iter().map(|snapshot| snapshot.snapshot_id).collect();
    assert_eq!(logged, expected);
    assert_eq!(metadata["snapshots"].as_array().unwrap().len(), numbers.len());
    assert_eq!(state.snapshots.last().unwrap().version, state.version);
    assert_eq!(attempt(60), state.snapshots.last().unwrap().attempt);
    let stored: TableState = serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
    assert_eq!(&stored, state);
}
