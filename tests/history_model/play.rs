//! A history as it goes: each step is taken by the object and by the plain map, and both answer the same.

use std::rc::Rc;

use serde_json::{Value, json};
use thermocline::cold::catalog::ColdCatalog;
use thermocline::ports::native::{SplitMix64, World, run};

use crate::config::objects;
use crate::model::{Model, Refusal};
use crate::reads::{Reader, document_path};
use crate::support::archive::{self, check_whole, settle_with};
use crate::support::{Object, next_alarm, parsed};
use crate::tally::Tally;
use crate::vocabulary::{COLLECTIONS, Change, Declared, Flaw, Op, Step, id_of};

/// An id that no document ever has.
const ABSENT: &str = "absent";

pub struct Play<'t> {
    pub world: World,
    /// What all configurations of the history have.
    base: Value,
    config: String,
    pub object: Object,
    model: Model,
    tally: &'t Tally,
}

fn send(object: &Object, change: &Change) -> (u16, Value) {
    let path = document_path(change.collection, &id_of(change.id));
    match change.op {
        Op::Insert => {
            let path = format!("/collections/{}/docs", COLLECTIONS[change.collection]);
            object.json("POST", &path, &change.document().to_string())
        }
        Op::Upsert => object.json("PUT", &path, &change.fields.to_string()),
        Op::Patch => object.json("PATCH", &path, &change.fields.to_string()),
        Op::Delete => object.json("DELETE", &path, ""),
    }
}

/// A configuration with the keys of another.
fn with(base: &Value, config: &str) -> String {
    let mut all: Value = serde_json::from_str(config).unwrap();
    for (section, keys) in base.as_object().unwrap() {
        for (key, value) in keys.as_object().unwrap() {
            all[section][key] = value.clone();
        }
    }
    all.to_string()
}

impl<'t> Play<'t> {
    pub fn new(seed: u64, config: String, tally: &'t Tally) -> Self {
        Self::under(seed, &config, tally, json!({}))
    }

    /// A history whose configurations all have the keys of `base`.
    pub fn under(seed: u64, config: &str, tally: &'t Tally, mut base: Value) -> Self {
        let world = World::new(seed).unwrap();
        base["objects"] = objects();
        let config = with(&base, config);
        let object = Object::wake_with(&world, &config);
        Self { world, base, config, object, model: Model::default(), tally }
    }

    fn settle(&self) {
        settle_with(&self.world, &self.base.to_string());
    }

    fn reader<'r>(&'r self, between: &'r dyn Fn()) -> Reader<'r> {
        Reader { object: &self.object, model: &self.model, tally: self.tally, between }
    }

    pub fn read(&self, seed: u64) {
        self.reader(&|| ()).read(&mut SplitMix64::new(seed));
    }

    fn judge(&self, expected: &Result<(), Refusal>, status: u16, what: &dyn Fn() -> String) {
        self.tally.refused.add(usize::from(expected.is_err()));
        let right = match expected {
            Ok(()) => (200..300).contains(&status),
            Err(refusal) => refusal.contains(&status),
        };
        assert!(right, "{status}, expected {expected:?}: {}", what());
    }

    pub fn take(&mut self, step: &Step) {
        let before = self.model.events.len();
        match step {
            Step::One(change) => {
                self.tally.operations.add(1);
                let (status, answer) = send(&self.object, change);
                let expected = self.model.apply(change);
                self.judge(&expected, status, &|| format!("{change:?}: {answer}"));
            }
            Step::Batch(changes) => self.batch(changes),
            Step::Mended(changes) => self.batch(&self.model.mended(changes)),
            Step::Flawed(changes, place, flaw) => self.flawed(changes, *place, *flaw),
            Step::Import(collection, upsert, lines) => self.import(*collection, *upsert, lines),
            Step::Declare(collection, declared) => self.declare(*collection, declared),
            Step::Drop(collection) => self.drop(*collection),
            Step::Restart(config) => {
                if let Some(config) = config {
                    self.config = with(&self.base, config);
                }
                self.object = Object::wake_with(&self.world, &self.config);
            }
            Step::Alarm(times) => (0..*times).for_each(|_| self.alarm()),
            Step::Sync => {
                self.tally.operations.add(1);
                let answer = self.object.ok("POST", "/sync", "");
                assert_eq!(answer["newCursor"], json!(self.model.events.len()), "{answer}");
            }
            Step::Walk(seed) => self.reader(&|| self.alarm()).read(&mut SplitMix64::new(u64::from(*seed))),
            Step::Wait(duration_ms) => self.world.clock.advance(*duration_ms),
            Step::Settle => {
                self.settle();
                self.check_archive();
                self.object = Object::wake_with(&self.world, &self.config);
            }
        }
        self.tally.steps.add(1);
        self.tally.events.add(self.model.events.len() - before);
    }

    fn alarm(&self) {
        let Some(due) = next_alarm(&self.world) else { return };
        self.world.clock.set(due.max(self.world.ports().clock.now_ms()));
        self.world.alarm.take_due(due);
        run(self.object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
    }

    fn batch(&mut self, changes: &[Change]) {
        self.tally.operations.add(changes.len());
        let body = json!({"operations": changes.iter().map(Change::operation).collect::<Vec<_>>()});
        let (status, answer) = self.object.json("POST", "/batch", &body.to_string());
        let first = self.model.events.len() + 1;
        let expected = self.model.apply_all(changes);
        self.judge(&expected, status, &|| format!("{changes:?}: {answer}"));
        if expected.is_ok() {
            let results = answer["results"].as_array().unwrap();
            assert_eq!(results.len(), changes.len(), "{answer}");
            for (position, (result, event)) in results.iter().zip(&self.model.events[first - 1..]).enumerate() {
                let wanted = json!({"id": event.id, "operation": event.operation, "sequence": first + position});
                assert_eq!(*result, wanted, "{answer}");
            }
        }
    }

    fn flawed(&self, changes: &[Change], place: usize, flaw: Flaw) {
        let changes = self.model.mended(changes);
        let mut operations: Vec<Value> = changes.iter().map(Change::operation).collect();
        let collection = COLLECTIONS[changes.first().map_or(0, |change| change.collection)];
        let (bad, refusal) = match flaw {
            Flaw::DeleteAbsent => (json!({"op": "delete", "collection": collection, "id": ABSENT}), [404, 404]),
            Flaw::PatchAbsent => {
                (json!({"op": "update", "collection": collection, "id": ABSENT, "doc": {"a": 1}}), [404, 404])
            }
            Flaw::WrongVersion => {
                let version = self.model.events.len() + 1_000_000;
                (
                    json!({"op": "upsert", "collection": collection, "id": ABSENT, "doc": {}, "ifVersion": version}),
                    [412, 412],
                )
            }
            Flaw::NoObject => (json!({"op": "upsert", "collection": collection, "id": ABSENT, "doc": [1]}), [400, 422]),
        };
        operations.insert(place.min(operations.len()), bad);
        self.tally.operations.add(operations.len());
        let (status, answer) = self.object.json("POST", "/batch", &json!({ "operations": operations }).to_string());
        self.judge(&Err(refusal.to_vec()), status, &|| format!("{operations:?}: {answer}"));
    }

    fn import(&mut self, collection: usize, upsert: bool, lines: &[(u8, Value)]) {
        self.tally.operations.add(lines.len());
        let op = if upsert { Op::Upsert } else { Op::Insert };
        let change = |(id, fields): &(u8, Value)| Change { op, collection, id: *id, fields: fields.clone() };
        let changes: Vec<Change> = lines.iter().map(change).collect();
        let body: Vec<String> = changes.iter().map(|change| change.document().to_string()).collect();
        let mode = if upsert { "upsert" } else { "insert" };
        let path = format!("/collections/{}/import?mode={mode}", COLLECTIONS[collection]);
        let headers = [("content-type", "application/x-ndjson")];
        let response = self.object.send("POST", &path, &headers, body.join("\n"));
        assert_eq!(response.status, 200, "{response:?}");
        let report = parsed(&response);
        let failed: Vec<usize> =
            (1..).zip(&changes).filter(|(_, change)| self.model.apply(change).is_err()).map(|(line, _)| line).collect();
        self.tally.refused.add(failed.len());
        let told = (&report["imported"], &report["failed"]);
        assert_eq!(told, (&json!(lines.len() - failed.len()), &json!(failed.len())), "{report}");
        let errors = report["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap() as usize);
        assert!(errors.clone().eq(failed.iter().copied().take(errors.len())), "failed {failed:?}: {report}");
    }

    fn declare(&mut self, collection: usize, declared: &Declared) {
        self.tally.operations.add(1);
        let path = format!("/collections/{}", COLLECTIONS[collection]);
        let before = self.object.get(&path);
        let field = |column: &Value| column.get("field").unwrap_or(&column["name"]).clone();
        let mut known: Vec<Value> = before.1["columns"].as_array().into_iter().flatten().map(field).collect();
        known.extend(before.1["dropColumns"].as_array().into_iter().flatten().cloned());
        let of_column = |((field, column_type), name): (&(&str, &str), Option<&str>)| json!({"name": name.unwrap_or(field), "field": field, "type": column_type});
        let names = declared.names.iter().copied().chain(std::iter::repeat(None));
        let columns: Vec<Value> = declared.columns.iter().zip(names).map(of_column).collect();
        let mut dropped = declared.dropped.clone();
        dropped
            .retain(|field| known.contains(&json!(field)) && declared.columns.iter().all(|(other, _)| other != field));
        let mut body = json!({"columns": columns, "indexes": declared.indexes, "dropColumns": dropped});
        if let Some(rows) = declared.threshold {
            body["columnar"]["threshold"] = json!(rows);
        }
        if let Some(age_ms) = declared.min_age_ms {
            body["columnar"]["minAgeMs"] = json!(age_ms);
        }
        let names: Vec<String> = columns.iter().map(|column| column["name"].as_str().unwrap().to_lowercase()).collect();
        let twice = (0..names.len()).any(|place| names[..place].contains(&names[place]));
        let (status, answer) = self.object.json("PUT", &path, &body.to_string());
        // Whether a type may become another, and a name another column's, depends on what was archived: then it conflicts.
        let right = if twice { status == 422 } else { [200, 201, 409].contains(&status) };
        assert!(right, "{body}: {status} {answer}");
        if status >= 400 {
            self.tally.refused.add(1);
            assert_eq!(self.object.get(&path), before, "what is refused changes nothing: {body}");
        } else {
            self.tally.renamed.add(columns.iter().filter(|column| column["name"] != column["field"]).count());
            self.tally.dropped.add(dropped.len());
            self.model.columns[collection].clone_from(&declared.columns);
            let last = self.model.events.len();
            self.model.dropped[collection].extend(dropped.into_iter().map(|field| (field, last)));
        }
    }

    /// The fields of a collection that were dropped, and after which sequence each was for the last time.
    pub fn dropped(&self, collection: &str) -> Value {
        let place = COLLECTIONS.iter().position(|name| *name == collection);
        json!(place.map(|place| &self.model.dropped[place]))
    }

    fn drop(&mut self, collection: usize) {
        let (status, _) = self.object.json("DELETE", &format!("/collections/{}", COLLECTIONS[collection]), "");
        let there = !self.model.documents[collection].is_empty();
        assert!(status == 204 || (status == 404 && !there), "{status}");
        self.tally.operations.add(1);
        self.model.drop(collection);
    }

    /// Everything is archived, and that is what was acknowledged.
    fn check_archive(&self) {
        let progress = ColdCatalog::new(Rc::clone(&self.world.ports().sql)).progress().unwrap();
        let archived = usize::try_from(progress.archived).unwrap();
        let object = Object::wake(&self.world);
        let published = object.ok("GET", "/sync", "")["lastColdSequence"].as_u64().unwrap() as usize;
        let last = self.model.events.len();
        let mut states = self.model.at(&[archived, published, last]);
        // Only these are asked for, and each of all the others would be a copy of everything.
        let mut whole = archive::Model { state: states.pop().unwrap(), history: vec![archive::State::new(); last] };
        for (sequence, state) in [archived, published].into_iter().zip(states) {
            if sequence > 0 {
                whole.history[sequence - 1] = state;
            }
        }
        check_whole(&self.world, &whole, &COLLECTIONS);
        self.tally.reads.add(1);
    }

    /// The whole feed leads to the same documents, and the archive is them.
    pub fn end(&self) {
        let reader = self.reader(&|| ());
        let events = self.object.feed(97);
        assert_eq!(events.len(), self.model.events.len(), "the feed has each event once");
        events.iter().enumerate().for_each(|(position, event)| reader.event(event, position, true));
        let [replayed] = <[archive::State; 1]>::try_from(self.model.at(&[self.model.events.len()])).unwrap();
        for (collection, name) in COLLECTIONS.iter().enumerate() {
            let documents = self.model.documents[collection].iter();
            let held = documents.map(|(id, kept)| (id.clone(), kept.value.as_ref().clone())).collect();
            assert_eq!(replayed.get(*name).cloned().unwrap_or_default(), held, "the feed leads to the same state");
        }
        self.settle();
        self.check_archive();
    }
}
