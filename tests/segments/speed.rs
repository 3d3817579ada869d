//! How fast a segment is built: `cargo test --release --test segments -- --ignored --nocapture speed`.

use std::time::Duration;

use serde_json::json;
use thermocline::hot::segment::{Origin, SegmentBuilder, read};
use thermocline::types::{Document, Json};

use crate::support::*;

const ROWS: u64 = 65_536;

#[allow(clippy::disallowed_methods, reason = "a measurement reads a clock")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Ten flat fields.
pub fn flights(rows: u64) -> Vec<Document> {
    let mut random = Random::new(11);
    let carriers = ["AA", "B6", "DL", "UA", "WN", "EV", "MQ"];
    let airports = ["JFK", "LGA", "EWR", "SFO", "LAX", "ORD", "ATL", "MIA", "BOS", "DEN", "SEA", "IAH"];
    let mut flight = |row: u64| {
        let delay = random.below(180) as i64 - 30;
        let members = json!({
            "date": format!("2013-{:02}-{:02}", row * 12 / rows + 1, row % 28 + 1),
            "carrier": carriers[random.below(7) as usize],
            "flight": random.below(5_000),
            "tail": format!("N{}{}", 100 + random.below(900), carriers[random.below(7) as usize]),
            "origin": airports[random.below(3) as usize],
            "destination": airports[random.below(12) as usize],
            "delay": if random.below(40) == 0 { serde_json::Value::Null } else { json!(delay) },
            "distance": 100 + random.below(2_500),
            "hours": (random.below(900) as f64) / 100.0,
            "cancelled": random.below(50) == 0,
        });
        document(&format!("flight-{row:08}"), row as i64, members.as_object().unwrap().clone())
    };
    (0..rows).map(&mut flight).collect()
}

/// Text, and arrays.
pub fn movies(rows: u64) -> Vec<Document> {
    let mut random = Random::new(12);
    let words = ["the", "river", "night", "of", "a", "stranger", "returns", "gold", "city", "silent", "last", "summer"];
    let mut movie = |row: u64| {
        let mut text = |count: u64| (0..count).map(|_| words[random.below(12) as usize]).collect::<Vec<_>>().join(" ");
        let (title, extract, cast) = (text(4), text(30), text(3));
        let members = json!({
            "title": title, "year": 1900 + row % 120, "cast": cast.split(' ').collect::<Vec<_>>(),
            "genres": [cast.split(' ').next()], "href": title.replace(' ', "_"), "extract": extract,
            "rating": (row % 100) as f64 / 10.0,
        });
        document(&format!("{row:08}"), row as i64, members.as_object().unwrap().clone())
    };
    (0..rows).map(&mut movie).collect()
}

#[test]
#[ignore = "a measurement, of a release build"]
fn speed() {
    for (name, documents, indexes) in [
        ("flights", flights(ROWS), fields(&[])),
        ("flights, indexed by 2", flights(ROWS), fields(&[&["carrier"], &["origin", "destination"]])),
        ("movies", movies(ROWS / 2), fields(&[])),
    ] {
        let rows = documents.len();
        let each = |time: Duration| time.as_nanos() as u64 / rows as u64;
        let text: usize = documents.iter().map(|document| document.text.len()).sum();
        for _ in 0..3 {
            let (_, parsing) =
                timed(|| documents.iter().map(|d| usize::from(Json::parse(&d.text).is_ok())).sum::<usize>());
            let mut builder = SegmentBuilder::new(&[], &indexes).unwrap();
            let (_, pushing) = timed(|| documents.iter().for_each(|document| builder.push(new_row(document)).unwrap()));
            let (built, finishing) = timed(|| builder.finish(Origin::Direct, vec![]).unwrap());
            let columns = columns(&built);
            let blob = columns.blob(&built.head.index);
            let (_, reading) = timed(|| read::documents(&built.head, &blob, 0..built.head.rows, &mut ample()).unwrap());
            let (_, finding) =
                timed(|| documents.iter().for_each(|d| assert!(read::find(&blob, &d.id).unwrap().is_some())));
            let (_, points) =
                timed(|| (0..1_000).for_each(|row| drop(read::document(&built.head, &blob, row % rows).unwrap())));
            let bytes: usize = built.groups.iter().map(Vec::len).sum();
            println!(
                "{name}: {text} bytes of text, {bytes} of columns, {} of head, {} in memory; ns a document: parse {}, \
                 push {} (less parse {}), finish {}, in all less parse {}: {} documents/s; read {}, find {}, one by points {}",
                built.head.to_bytes().unwrap().len(),
                built.head.memory_bytes(),
                each(parsing),
                each(pushing),
                each(pushing.saturating_sub(parsing)),
                each(finishing),
                each((pushing + finishing).saturating_sub(parsing)),
                1_000_000_000 / each(pushing + finishing),
                each(reading),
                each(finding),
                points.as_nanos() / 1_000,
            );
        }
    }
}
