//! Input that no client means: answered or refused, and bounded.

use thermocline::error::ErrorKind;
use thermocline::hot::query::{GROUPS_MAX, Query};
use thermocline::types::{Document, Json};

use super::support::{BUDGET, Hot, document, query};

fn mixed() -> Vec<Hot> {
    let values = ["1", "\"1\"", "true", "[1]", "{\"a\":1}", "null", "1.5", "\"x\"", "1e300", "{}"];
    let all: Vec<Document> = (0..100)
        .map(|n| document(&format!("d{n:02}"), &format!("{{\"id\":\"d{n:02}\",\"v\":{}}}", values[n % values.len()])))
        .collect();
    vec![Hot::rows(&all), Hot::segment(&all, &[]), Hot::segment(&all, &[("v", "long")])]
}

#[test]
fn a_column_that_is_missing_is_null() {
    for hot in mixed() {
        assert_eq!(hot.run(&query(r#"{"where":{"nothing":{"ne":1}}}"#)).rows.len(), 0);
        assert_eq!(hot.run(&query(r#"{"where":{"nothing.at.all":{"isNull":true}}}"#)).rows.len(), 100);
        assert_eq!(hot.run(&query(r#"{"groupBy":["nothing"]}"#)).rows, [r#"{"nothing":null}"#]);
        let ordered = hot.run(&query(r#"{"orderBy":[{"column":"nothing","direction":"desc"}],"limit":1}"#));
        assert!(ordered.rows[0].contains("d00"));
    }
}

#[test]
fn kinds_in_one_column_keep_apart() {
    for hot in mixed() {
        let found = |json: &str| hot.run(&query(json)).rows.len();
        assert_eq!(found(r#"{"where":{"v":{"eq":1}}}"#), 10);
        assert_eq!(found(r#"{"where":{"v":{"eq":"1"}}}"#), 10);
        assert_eq!(found(r#"{"where":{"v":{"gte":1}}}"#), 30);
        assert_eq!(found(r#"{"where":{"v":{"ne":1}}}"#), 80);
        assert_eq!(found(r#"{"where":{"v.a":{"eq":1}}}"#), 10);
        let one = hot.run(&query(
            r#"{"aggregates":[{"as":"least","fn":"min","column":"v"},{"as":"most","fn":"max","column":"v"},{"as":"d","fn":"countDistinct","column":"v"}]}"#,
        ));
        assert_eq!(one.rows, [r#"{"least":true,"most":{},"d":9}"#]);
    }
}

#[test]
fn very_many_constants_are_looked_up() {
    let values: Vec<String> =
        (0..100_000).map(|n| if n % 2 == 0 { n.to_string() } else { format!("\"{n}\"") }).collect();
    let json = format!(r#"{{"where":{{"v":{{"in":[{}]}}}}}}"#, values.join(","));
    let query = query(&json);
    for hot in mixed() {
        assert_eq!(hot.run(&query).rows.len(), 10, "\"1\"; 1 is odd and so not among the numbers");
    }
}

#[test]
fn deep_conditions_are_refused_before_they_are_a_query() {
    let deep = format!("{}{{\"a\":{{\"eq\":1}}}}{}", "{\"not\":".repeat(10_000), "}".repeat(10_000));
    assert!(Json::parse(&deep).is_err());
    let most = format!("{{\"where\":{}{{\"v\":{{\"eq\":1}}}}{}}}", "{\"not\":".repeat(120), "}".repeat(120));
    for hot in mixed() {
        assert_eq!(hot.run(&query(&most)).rows.len(), 10);
    }
}

#[test]
fn no_rows_wanted_are_none() {
    for hot in mixed() {
        for mut query in [query("{}"), query(r#"{"orderBy":[{"column":"v"}]}"#), query(r#"{"groupBy":["v"]}"#)] {
            query.limit = 0;
            assert_eq!(hot.run(&query).rows.len(), 0);
        }
        assert_eq!(hot.run(&Query::default()).rows.len(), 0);
    }
}

#[test]
fn groups_and_distinct_values_are_bounded() {
    let all: Vec<Document> =
        (0..=GROUPS_MAX).map(|n| document(&format!("d{n:06}"), &format!("{{\"id\":\"d{n:06}\",\"v\":{n}}}"))).collect();
    let hot = Hot::segment(&all, &[]);
    let error = hot.try_run(&query(r#"{"groupBy":["v"]}"#), BUDGET).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&format!("{GROUPS_MAX} groups")), "{error}");
    let distinct = query(r#"{"aggregates":[{"as":"d","fn":"countDistinct","column":"v"}]}"#);
    assert_eq!(hot.run(&distinct).rows, [format!("{{\"d\":{}}}", GROUPS_MAX + 1)]);
    let many: Vec<String> = (0..20)
        .map(|n| format!(r#"{{"as":"d{n}","fn":"countDistinct","column":"{}"}}"#, if n == 0 { "v" } else { "id" }))
        .collect();
    let grouped = query(&format!(r#"{{"groupBy":["none"],"aggregates":[{}]}}"#, many.join(",")));
    assert!(hot.try_run(&grouped, BUDGET).is_ok(), "a column is counted once");
}
