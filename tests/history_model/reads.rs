//! What a reader sees, compared with the plain map.

use serde_json::{Value, json};
use thermocline::ports::native::SplitMix64;

use crate::answer::{Expected, expected};
use crate::key::Key;
use crate::model::{Documents, Model};
use crate::query::query;
use crate::support::{Object, header, parsed};
use crate::tally::Tally;
use crate::values::{chance, pick};
use crate::vocabulary::{COLLECTIONS, IDS, id_of};

/// Pages that one walk may take, so that a walk with pages of one row ends.
const PAGES: usize = 12;

pub struct Reader<'r> {
    pub object: &'r Object,
    pub model: &'r Model,
    pub tally: &'r Tally,
    /// What happens between two pages; no document changes by it.
    pub between: &'r dyn Fn(),
}

pub fn document_path(collection: usize, id: &str) -> String {
    let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
    format!("/collections/{}/docs/{id}", COLLECTIONS[collection])
}

impl Reader<'_> {
    /// Some of everything that can be read.
    pub fn read(&self, random: &mut SplitMix64) {
        let sync = self.object.ok("GET", "/sync", "");
        self.tally.reads.add(1);
        assert_eq!(sync["lastHotSequence"], json!(self.model.events.len()), "{sync}");
        for _ in 0..4 {
            self.document(random.below(COLLECTIONS.len()), &id_of(random.below(usize::from(IDS)) as u8));
        }
        for collection in 0..COLLECTIONS.len() {
            // What is there is found more often than what is not.
            let documents = &self.model.documents[collection];
            if let Some(id) = documents.keys().nth(random.below(documents.len())) {
                self.document(collection, id);
            }
            if chance(random, 40) {
                self.forms(collection);
            }
            if chance(random, 40) {
                self.scan(random, collection);
            }
            (0..2).for_each(|_| self.query(random, collection));
        }
        self.feed(random);
    }

    fn document(&self, collection: usize, id: &str) {
        let response = self.object.send("GET", &document_path(collection, id), &[], "");
        self.tally.reads.add(1);
        match self.model.documents[collection].get(id) {
            None => assert_eq!(response.status, 404, "{} {id:?} is absent", COLLECTIONS[collection]),
            Some(kept) => {
                assert_eq!(response.status, 200, "{} {id:?}: {response:?}", COLLECTIONS[collection]);
                assert_eq!(parsed(&response), *kept.value, "{} {id:?}", COLLECTIONS[collection]);
                assert_eq!(header(&response, "etag"), format!("\"{}\"", kept.version), "{id:?}");
            }
        }
    }

    /// Each document is in one form.
    fn forms(&self, collection: usize) {
        let documents = &self.model.documents[collection];
        let (status, told) = self.object.get(&format!("/collections/{}", COLLECTIONS[collection]));
        self.tally.reads.add(1);
        if status == 404 {
            assert!(documents.is_empty(), "{} is not there, its documents are", COLLECTIONS[collection]);
            return;
        }
        let of = |form: &str| told["forms"][form].as_u64().unwrap() as usize;
        assert_eq!(of("row") + of("segment") + of("cold"), documents.len(), "{told}");
        self.tally.sealed.add(of("segment"));
    }

    /// All documents, in the order of their ids.
    pub fn scan(&self, random: &mut SplitMix64, collection: usize) {
        let all = &self.model.documents[collection];
        let rows = self.walk(random, collection, &json!({}), all.len()).unwrap();
        assert!(rows.iter().eq(all.values().map(|kept| kept.value.as_ref())), "{}", different(&rows, all));
    }

    /// The rows of all pages, each of as many as chance says; the status of a refusal.
    fn walk(&self, random: &mut SplitMix64, collection: usize, query: &Value, about: usize) -> Result<Vec<Value>, u16> {
        let mut query = query.clone();
        let mut rows = Vec::new();
        loop {
            let limit = (*pick(random, &[1, 2, 3, 7, 50, 1_000])).max(about.div_ceil(PAGES));
            query["limit"] = json!(limit);
            let path = format!("/collections/{}/query", COLLECTIONS[collection]);
            let (status, mut page) = self.object.json("POST", &path, &query.to_string());
            self.tally.reads.add(1);
            if status != 200 {
                assert!(rows.is_empty() && status == 422, "{query}: {status} {page}");
                return Err(status);
            }
            let Value::Array(found) = page["rows"].take() else { panic!("{page}") };
            assert!(found.len() <= limit, "{query}: a page of {} rows", found.len());
            rows.extend(found);
            (self.between)();
            match page.get("cursor") {
                Some(cursor) => query["cursor"] = cursor.clone(),
                None => return Ok(rows),
            }
            assert!(rows.len() <= about, "{query}: {} rows and more, expected {about}", rows.len());
        }
    }

    fn query(&self, random: &mut SplitMix64, collection: usize) {
        let documents = &self.model.documents[collection];
        let query = query(random, documents);
        self.tally.queries.add(1);
        match expected(&query, documents) {
            Expected::Refused => {
                assert_eq!(self.walk(random, collection, &query, 1), Err(422), "{query}");
            }
            Expected::Documents(expected) => {
                let rows = self.walk(random, collection, &query, expected.len());
                self.tally.rows.add(expected.len());
                assert_eq!(rows, Ok(expected), "{query}");
            }
            Expected::Groups(expected) => {
                let rows = self.walk(random, collection, &query, expected.len());
                self.tally.rows.add(expected.len());
                let rows = rows.unwrap_or_else(|status| panic!("{query}: {status}, expected {expected:?}"));
                let same = |(row, expected): (&Value, &std::collections::BTreeMap<String, Key>)| {
                    let row = row.as_object().unwrap();
                    row.len() == expected.len() && row.iter().all(|(name, value)| expected[name].is_told_by(value))
                };
                let all = rows.len() == expected.len() && rows.iter().zip(&expected).all(same);
                assert!(all, "{query}\n got {rows:?}\n expected {expected:?}");
            }
        }
    }

    /// Pages of the feed from some position on.
    fn feed(&self, random: &mut SplitMix64) {
        let from = random.below(self.model.events.len() + 1);
        let images = chance(random, 80);
        let collection = chance(random, 15).then(|| random.below(COLLECTIONS.len()));
        let operation = chance(random, 15).then(|| *pick(random, &["INSERT", "UPDATE", "DELETE"]));
        let mut filter = format!("&documents={images}");
        if let Some(collection) = collection {
            filter.push_str(&format!("&collections={}", COLLECTIONS[collection]));
        }
        if let Some(operation) = operation {
            filter.push_str(&format!("&operations={operation}"));
        }
        let mut after = from;
        for _ in 0..3 {
            let limit = *pick(random, &[1, 2, 7, 100, 1_000]);
            let page = self.object.ok("GET", &format!("/cdc?after={after}&limit={limit}{filter}"), "");
            self.tally.reads.add(1);
            let until = page["cursor"]["sequence"].as_u64().unwrap() as usize;
            let events = page["events"].as_array().unwrap();
            assert!(events.len() <= limit && (after..=self.model.events.len()).contains(&until), "{after} to {until}");
            let wanted = (after..until).filter(|position| {
                let event = &self.model.events[*position];
                collection.is_none_or(|wanted| wanted == event.collection)
                    && operation.is_none_or(|wanted| wanted == event.operation)
            });
            let wanted: Vec<usize> = wanted.collect();
            assert_eq!(events.len(), wanted.len(), "events from {after} to {until}{filter}");
            for (event, position) in events.iter().zip(wanted) {
                self.event(event, position, images);
            }
            assert_eq!(page["hasMore"], until < self.model.events.len(), "from {after} to {until}{filter}");
            if until == self.model.events.len() {
                break;
            }
            assert!(until > after, "a page goes on from {after}{filter}");
            (self.between)();
            after = until;
        }
    }

    pub fn event(&self, event: &Value, position: usize, images: bool) {
        let expected = &self.model.events[position];
        let told = (&event["sequence"], &event["operation"], &event["collection"], &event["documentId"]);
        let wanted = (
            &json!(position + 1),
            &json!(expected.operation),
            &json!(COLLECTIONS[expected.collection]),
            &json!(expected.id),
        );
        assert_eq!(told, wanted, "{event}");
        let before = expected.before.as_deref().filter(|_| images);
        let after = expected.after.as_deref().filter(|_| images);
        assert_eq!(event.get("before"), before, "the image before: {event}");
        assert_eq!(event.get("after"), after, "the image after: {event}");
        self.tally.rows.add(1);
    }
}

/// Where rows and documents are not the same, in short.
fn different(rows: &[Value], documents: &Documents) -> String {
    let expected: Vec<&Value> = documents.values().map(|kept| kept.value.as_ref()).collect();
    let at = rows.iter().zip(&expected).position(|(row, expected)| row != *expected);
    let at = at.unwrap_or_else(|| rows.len().min(expected.len()));
    let of = (rows.len(), expected.len());
    format!("row {at} of {of:?}: {:?}, expected {:?}", rows.get(at), expected.get(at))
}
