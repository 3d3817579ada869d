//! How long it takes; by hand: `cargo test --release --test queries -- --ignored --nocapture`.

use std::rc::Rc;
use std::time::Instant;

use super::random::Random;
use super::support::{Hot, MemorySegment, document, learned, query};
use thermocline::types::Document;

const SEGMENTS: usize = 16;
const ROWS: usize = 62_500;

#[test]
#[ignore = "takes long to prepare and tells times only"]
fn a_million_rows() {
    let mut random = Random::new(1);
    let mut hot = Hot::default();
    for segment in 0..SEGMENTS {
        let all: Vec<Document> = (0..ROWS)
            .map(|row| {
                let id = format!("d{:08}", segment * ROWS + row);
                let text = format!(
                    "{{\"id\":\"{id}\",\"city\":\"city-{}\",\"n\":{},\"price\":{}.{:02},\"name\":\"name {}\"}}",
                    random.below(10),
                    random.below(100_000),
                    random.below(1_000),
                    random.below(100),
                    random.below(1_000_000)
                );
                document(&id, &text)
            })
            .collect();
        hot.segments.push(Rc::new(MemorySegment::new(&learned(&all, &[]), &all, &[])));
    }
    for (what, json) in [
        (
            "group by 10 values, sum and avg of a double, count",
            r#"{"groupBy":["city"],"aggregates":[{"as":"s","fn":"sum","column":"price"},{"as":"a","fn":"avg","column":"price"},{"as":"n","fn":"count"}]}"#,
        ),
        (
            "group by 10 values, sum and avg of an integer, count",
            r#"{"groupBy":["city"],"aggregates":[{"as":"s","fn":"sum","column":"n"},{"as":"a","fn":"avg","column":"n"},{"as":"n","fn":"count"}]}"#,
        ),
        (
            "the same of a tenth of the rows",
            r#"{"where":{"n":{"lt":10000}},"groupBy":["city"],"aggregates":[{"as":"s","fn":"sum","column":"price"},{"as":"n","fn":"count"}]}"#,
        ),
        ("group by 100,000 values, count", r#"{"groupBy":["n"],"aggregates":[{"as":"c","fn":"count"}],"limit":10}"#),
        ("count distinct of 100,000", r#"{"aggregates":[{"as":"d","fn":"countDistinct","column":"n"}]}"#),
        (
            "min and max of a double by city",
            r#"{"groupBy":["city"],"aggregates":[{"as":"a","fn":"min","column":"price"},{"as":"b","fn":"max","column":"price"}]}"#,
        ),
        (
            "count and max, by statistics",
            r#"{"aggregates":[{"as":"n","fn":"count"},{"as":"m","fn":"max","column":"n"}]}"#,
        ),
        ("the first 100 by an integer", r#"{"orderBy":[{"column":"n","direction":"desc"}],"limit":100}"#),
        ("the first 100 by text", r#"{"orderBy":[{"column":"name"}],"limit":100}"#),
        ("100 by id", r#"{"limit":100}"#),
        ("a thousandth of the rows, whole", r#"{"where":{"n":{"lt":100}},"limit":1000}"#),
    ] {
        let query = query(json);
        let best = (0..7)
            .map(|_| {
                let start = Instant::now();
                let answer = hot.run(&query);
                (start.elapsed(), answer.stats)
            })
            .min_by_key(|(elapsed, _)| *elapsed)
            .unwrap();
        println!("{:9.2} ms  {what}  {:?}", best.0.as_secs_f64() * 1e3, best.1);
    }
}
