//! What queries say, by example; over rows, over a segment and over both alike.

use std::rc::Rc;

use thermocline::error::ErrorKind;

use super::support::{BUDGET, Hot, MemoryRows, MemorySegment, documents, learned, query};

fn people() -> Vec<Hot> {
    let all = documents(&[
        r#"{"id":"ann","age":30,"city":"Oslo","pay":10.5,"address":{"zip":"0150"}}"#,
        r#"{"id":"bob","age":25.0,"city":"Bergen","pay":0.1}"#,
        r#"{"id":"cat","city":"Oslo","pay":0.2,"address":{"zip":"5003"}}"#,
        r#"{"id":"dan","age":25,"city":null,"pay":0.3,"address.zip":"dotted"}"#,
        r#"{"id":"eve","age":"old","city":"Bergen","pay":-10.5}"#,
    ]);
    let (first, rest) = all.split_at(3);
    let both = Hot {
        segments: vec![Rc::new(MemorySegment::new(&learned(first, &[]), first, &[]))],
        rows: MemoryRows(rest.to_vec()),
    };
    vec![Hot::rows(&all), Hot::segment(&all, &[]), both]
}

fn answers(json: &str, expected: &[&str]) {
    for hot in people() {
        assert_eq!(hot.walk(&query(json), BUDGET).unwrap(), expected, "{json}");
    }
}

#[test]
fn groups_are_told_with_their_keys_and_aggregates() {
    answers(
        r#"{"groupBy":["city"],"aggregates":[{"as":"n","fn":"count"},{"as":"oldest","fn":"max","column":"age"}]}"#,
        &[
            r#"{"city":null,"n":1,"oldest":25}"#,
            r#"{"city":"Bergen","n":2,"oldest":"old"}"#,
            r#"{"city":"Oslo","n":2,"oldest":30}"#,
        ],
    );
}

#[test]
fn groups_come_in_the_order_of_their_aggregates() {
    answers(
        r#"{"groupBy":["city"],"aggregates":[{"as":"n","fn":"count"}],"orderBy":[{"column":"n","direction":"desc"},{"column":"city","direction":"desc"}],"limit":1}"#,
        &[r#"{"city":"Oslo","n":2}"#, r#"{"city":"Bergen","n":2}"#, r#"{"city":null,"n":1}"#],
    );
}

#[test]
fn one_and_one_point_zero_are_one_group_in_canonical_text() {
    answers(
        r#"{"groupBy":["age"],"aggregates":[{"as":"n","fn":"count"}]}"#,
        &[r#"{"age":null,"n":1}"#, r#"{"age":25,"n":2}"#, r#"{"age":30,"n":1}"#, r#"{"age":"old","n":1}"#],
    );
}

#[test]
fn groups_without_aggregates_are_distinct_values() {
    answers(
        r#"{"groupBy":["city"],"where":{"city":{"isNull":false}}}"#,
        &[r#"{"city":"Bergen"}"#, r#"{"city":"Oslo"}"#],
    );
    answers(
        r#"{"groupBy":["address.zip"]}"#,
        &[
            r#"{"address.zip":null}"#,
            r#"{"address.zip":"0150"}"#,
            r#"{"address.zip":"5003"}"#,
            r#"{"address.zip":"dotted"}"#,
        ],
    );
}

#[test]
fn aggregates_without_keys_are_one_row() {
    answers(
        r#"{"aggregates":[{"as":"n","fn":"count"},{"as":"ages","fn":"count","column":"age"},{"as":"different","fn":"countDistinct","column":"age"},
            {"as":"sum","fn":"sum","column":"age"},{"as":"avg","fn":"avg","column":"age"},{"as":"least","fn":"min","column":"age"}]}"#,
        &[r#"{"n":5,"ages":4,"different":3,"sum":80,"avg":26.666666666666668,"least":25}"#],
    );
    answers(
        r#"{"where":{"city":{"eq":"nowhere"}},"aggregates":[{"as":"n","fn":"count"},{"as":"sum","fn":"sum","column":"age"},{"as":"max","fn":"max","column":"age"}]}"#,
        &[r#"{"n":0,"sum":null,"max":null}"#],
    );
}

#[test]
fn sums_are_the_nearest_to_the_exact_ones() {
    // 10.5 + 0.1 + 0.2 + 0.3 - 10.5, added up in doubles, is 0.5999999999999996.
    answers(r#"{"aggregates":[{"as":"sum","fn":"sum","column":"pay"}]}"#, &[r#"{"sum":0.6}"#]);
}

#[test]
fn a_sum_beyond_64_bits_is_refused_by_name() {
    let all = documents(&[
        r#"{"id":"a","n":9223372036854775807,"g":1}"#,
        r#"{"id":"b","n":1,"g":1}"#,
        r#"{"id":"c","n":-1,"g":2}"#,
    ]);
    for hot in [Hot::rows(&all), Hot::segment(&all, &[])] {
        let total = query(r#"{"aggregates":[{"as":"total","fn":"sum","column":"n"}]}"#);
        assert_eq!(hot.run(&total).rows, [r#"{"total":9223372036854775807}"#], "what is exact in between is kept");
        let grouped = query(r#"{"groupBy":["g"],"aggregates":[{"as":"total","fn":"sum","column":"n"}]}"#);
        let error = hot.try_run(&grouped, BUDGET).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("\"total\""), "{error}");
    }
}

#[test]
fn documents_are_answered_whole_or_in_part() {
    let select = r#"{"select":["address.zip","age"],"orderBy":[{"column":"pay","direction":"desc"}],"limit":2}"#;
    answers(
        select,
        &[
            r#"{"address.zip":"0150","age":30}"#,
            r#"{"address.zip":"dotted","age":25}"#,
            r#"{"address.zip":"5003","age":null}"#,
            r#"{"address.zip":null,"age":25.0}"#,
            r#"{"address.zip":null,"age":"old"}"#,
        ],
    );
}

#[test]
fn a_null_under_a_dotted_name_hides_what_is_inside_the_first() {
    let all = documents(&[r#"{"id":"a","o":{"d":1},"o.d":null}"#, r#"{"id":"b","o":{"d":2}}"#]);
    for hot in [Hot::rows(&all), Hot::segment(&all, &[])] {
        let rows = hot.run(&query(r#"{"select":["o.d"],"where":{"o.d":{"isNull":true}}}"#)).rows;
        assert_eq!(rows, [r#"{"o.d":null}"#]);
        assert_eq!(hot.run(&query(r#"{"groupBy":["o.d"]}"#)).rows, [r#"{"o.d":null}"#, r#"{"o.d":2}"#]);
    }
}
