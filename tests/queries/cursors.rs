//! Pages under writes: rows that are there throughout are seen exactly once, whatever else comes, goes, and moves
//! between rows and segments.

use std::collections::BTreeMap;

use super::documents::split;
use super::random::{Random, plan};
use super::support::{BUDGET, document, query};
use thermocline::types::{Document, Json};

const WALKS: usize = 120;

fn of(number: usize, group: usize) -> Document {
    let id = format!("d{number:03}");
    document(&id, &format!("{{\"id\":\"{id}\",\"s\":\"g{}\",\"a\":{group},\"b\":{}}}", group % 3, number % 2))
}

#[test]
fn rows_that_stay_are_seen_exactly_once() {
    let (seed, _) = plan("cursors", WALKS);
    for walk in 0..WALKS {
        let mut random = Random::new(seed.wrapping_add(walk as u64));
        // Even numbers stay, odd ones come and go.
        let mut now: BTreeMap<usize, Document> =
            (0..60).step_by(2).map(|number| (number, of(number, number % 7))).collect();
        let order = *random.pick(&[
            "",
            "{\"column\":\"a\",\"direction\":\"desc\"}",
            "{\"column\":\"s\",\"direction\":\"asc\"},{\"column\":\"a\",\"direction\":\"desc\"}",
            "{\"column\":\"none\",\"direction\":\"desc\"},{\"column\":\"id\",\"direction\":\"desc\"}",
        ]);
        let limit = 1 + random.below(7);
        let filter = if random.chance(50) { "{}" } else { "{\"b\":{\"eq\":0}}" };
        let mut query = query(&format!("{{\"where\":{filter},\"orderBy\":[{order}],\"limit\":{limit}}}"));
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let all: Vec<Document> = now.values().cloned().collect();
            let answer = split(&mut random, &all).try_run(&query, BUDGET).unwrap();
            for row in &answer.rows {
                let Some(Json::String(id)) = Json::parse(row).unwrap().get("id").cloned() else { panic!("{row}") };
                *seen.entry(id.into_owned()).or_default() += 1;
            }
            let Some(next) = answer.next else { break };
            query.after = Some(next);
            for _ in 0..random.below(6) {
                let number = random.below(30) * 2 + 1;
                match now.remove(&number) {
                    Some(_) => {}
                    None => {
                        now.insert(number, of(number, random.below(7)));
                    }
                }
            }
        }
        for number in (0..60).step_by(2) {
            let id = format!("d{number:03}");
            assert_eq!(seen.get(&id), Some(&1), "QUERY_SEED={} {id}: {query:?}", seed.wrapping_add(walk as u64));
        }
    }
}
