//! What is read: columns that are not needed, and segments that statistics exclude, are not.

use std::rc::Rc;

use thermocline::error::ErrorKind;
use thermocline::hot::query::Budget;
use thermocline::types::Document;

use super::support::{BUDGET, Hot, MemoryRows, MemorySegment, document, learned, query};

const ROWS: usize = 1_000;

/// Ten segments of numbers that follow each other; the last one has a deleted row.
fn numbers() -> Hot {
    let mut hot = Hot::default();
    for segment in 0..10 {
        let all: Vec<Document> = (0..ROWS)
            .map(|row| {
                let number = segment * ROWS + row;
                let text = format!(
                    "{{\"id\":\"d{number:05}\",\"n\":{number},\"city\":\"c{}\",\"x\":{}.5}}",
                    number % 10,
                    number % 100
                );
                document(&format!("d{number:05}"), &text)
            })
            .collect();
        let dead = if segment == 9 { vec![0] } else { Vec::new() };
        hot.segments.push(Rc::new(MemorySegment::new(&learned(&all, &[]), &all, &dead)));
    }
    hot
}

fn loaded(hot: &Hot) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = hot.segments.iter().map(|segment| segment.loaded()).collect();
    all.iter_mut().for_each(|names| {
        names.sort();
        names.dedup();
    });
    all
}

#[test]
fn a_condition_reads_nothing_of_segments_that_it_excludes() {
    let hot = numbers();
    let answer = hot.run(&query(r#"{"select":["n"],"where":{"n":{"between":[3100,3101]}}}"#));
    assert_eq!(answer.rows, [r#"{"n":3100}"#, r#"{"n":3101}"#]);
    assert_eq!((answer.stats.segments_scanned, answer.stats.segments_pruned), (1, 9));
    let read = loaded(&hot);
    assert_eq!(read[3], ["_seq", "_ts", "id", "n"], "neither city nor x");
    assert!(read.iter().enumerate().all(|(at, names)| at == 3 || names.is_empty()));
    let nothing = numbers();
    let answer = nothing.run(&query(r#"{"where":{"or":[{"n":{"lt":0}},{"none":{"eq":1}}]}}"#));
    assert_eq!((answer.rows.len(), answer.stats.segments_pruned, answer.stats.bytes_decoded), (0, 10, 0));
}

#[test]
fn statistics_answer_for_segments_that_are_whole() {
    let hot = numbers();
    let json = r#"{"aggregates":[{"as":"n","fn":"count"},{"as":"c","fn":"count","column":"city"},{"as":"least","fn":"min","column":"n"},
        {"as":"most","fn":"max","column":"city"},{"as":"sum","fn":"sum","column":"n"}]}"#;
    let answer = hot.run(&query(json));
    // Without 9000, which is deleted.
    assert_eq!(answer.rows, [r#"{"n":9999,"c":9999,"least":0,"most":"c9","sum":49986000}"#]);
    let read = loaded(&hot);
    assert!(read[..9].iter().all(Vec::is_empty));
    assert_eq!(read[9], ["city", "n"]);
    assert_eq!((answer.stats.segments_scanned, answer.stats.segments_pruned), (1, 9));
    let narrowed = numbers();
    let answer =
        narrowed.run(&query(r#"{"where":{"n":{"gte":1000,"lt":5000}},"aggregates":[{"as":"n","fn":"count"}]}"#));
    assert_eq!(answer.rows, [r#"{"n":4000}"#]);
    assert_eq!(answer.stats.bytes_decoded, 0, "all of a segment or none of it");
}

#[test]
fn the_first_of_an_order_read_the_segments_that_have_them() {
    for (way, segments, first) in [("asc", 1, 0), ("desc", 1, 9_999)] {
        let hot = numbers();
        let answer = hot
            .run(&query(&format!(r#"{{"select":["n"],"orderBy":[{{"column":"n","direction":"{way}"}}],"limit":5}}"#)));
        assert_eq!(answer.rows[0], format!(r#"{{"n":{first}}}"#));
        assert_eq!(answer.stats.segments_scanned, segments, "{way}");
        assert!(answer.next.is_some());
    }
    let hot = numbers();
    let answer = hot.run(&query(r#"{"limit":5}"#));
    assert_eq!((answer.rows.len(), answer.stats.segments_scanned), (5, 1), "by id");
}

#[test]
fn a_page_goes_on_where_the_last_ended_without_reading_what_is_before() {
    let hot = numbers();
    let mut query = query(r#"{"select":["n"],"orderBy":[{"column":"n"}],"limit":5}"#);
    query.after = Some(vec![
        thermocline::hot::query::OrderKey::Integer(7_777),
        thermocline::hot::query::OrderKey::Text("d07777".to_owned()),
    ]);
    let answer = hot.run(&query);
    assert_eq!(answer.rows[0], r#"{"n":7778}"#);
    assert_eq!(answer.stats.segments_scanned, 1);
}

#[test]
fn a_budget_pauses_a_walk_by_id_and_ends_others() {
    let hot = numbers();
    let budget = Budget { max_rows: 1_500, ..BUDGET };
    let by_id = query(r#"{"select":["n"],"where":{"x":{"eq":5.5}},"limit":1000}"#);
    let rows = hot.walk(&by_id, budget).unwrap();
    assert_eq!(rows, hot.walk(&by_id, BUDGET).unwrap());
    assert_eq!(rows.len(), 100);
    let first = hot.try_run(&by_id, budget).unwrap();
    assert!(first.next.is_some() && first.stats.segments_scanned < 10);
    for json in [r#"{"where":{"x":{"eq":5.5}},"orderBy":[{"column":"x"}]}"#, r#"{"groupBy":["city"]}"#] {
        let error = hot.try_run(&query(json), budget).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("query.maxRows"), "{error}");
    }
    let bytes = Budget { max_bytes: 100, ..BUDGET };
    let error = hot.try_run(&query(r#"{"groupBy":["city"]}"#), bytes).unwrap_err();
    assert!(error.message().contains("query.maxDecodedBytes"), "{error}");
}

#[test]
fn segments_that_overlap_pause_at_an_id_or_not_at_all() {
    let all: Vec<Document> =
        (0..400).map(|n| document(&format!("d{n:03}"), &format!("{{\"id\":\"d{n:03}\",\"n\":{}}}", n % 10))).collect();
    let part = |keep: &dyn Fn(usize) -> bool| -> Vec<Document> {
        all.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, document)| document.clone()).collect()
    };
    let segment = |documents: Vec<Document>| Rc::new(MemorySegment::new(&learned(&all, &[]), &documents, &[]));
    let hot = Hot {
        segments: vec![
            segment(part(&|n| n % 3 == 0 && n < 200)),
            segment(part(&|n| n % 3 == 0 && n >= 200)),
            segment(part(&|n| n % 3 == 1 && n > 100)),
        ],
        rows: MemoryRows(part(&|n| n % 3 == 2 || n % 3 == 1 && n <= 100)),
    };
    let query = query(r#"{"where":{"n":{"eq":3}},"limit":1000}"#);
    let whole = hot.walk(&query, BUDGET).unwrap();
    assert_eq!(whole.len(), 40);
    let budget = Budget { max_rows: 60, ..BUDGET };
    let walked = hot.walk(&query, budget);
    assert!(
        walked.as_ref().is_ok_and(|rows| *rows == whole)
            || walked.is_err_and(|error| error.kind() == ErrorKind::Unavailable)
    );
}
