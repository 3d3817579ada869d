//! Each type of column, declared: the same documents in a segment and in row form answer the same.

use thermocline::types::{Document, Json};

use super::support::{Hot, document, query};

/// A type, values that it holds, and values to compare with beside these.
const TYPES: [(&str, &[&str], &[&str]); 15] = [
    ("bool", &["true", "false"], &["1", "\"true\""]),
    ("int", &["1", "-5", "2147483647", "7.0", "1e2"], &["0.5", "-5.5", "3e9", "-3e9", "1e300", "\"1\""]),
    (
        "long",
        &["1", "9007199254740993", "-9223372036854775808", "9223372036854775807"],
        &["9007199254740992.5", "9223372036854775808", "1e19"],
    ),
    ("float", &["0.1", "16777216", "-2.5", "1e10", "3.4e38", "0.30000001"], &["0.10000000149", "0.3", "1e39", "2"]),
    (
        "double",
        &["0.1", "9007199254740992", "1e23", "-1e300", "2.50", "1152921504606847000", "-0"],
        &["100000000000000000000000", "1152921504606846976", "0.10", "0"],
    ),
    ("decimal(9,2)", &["10.5", "10.50", "-0.01", "9999999.99", "3"], &["10.501", "1e7", "-1e7", "\"10.5\""]),
    ("decimal(15,5)", &["0.1", "0.10001", "-9999999999.99999"], &["0.100001", "10000000000"]),
    (
        "decimal(38,2)",
        &["12345678901234567890", "12345678901234567890.00", "12345678901234567890.01", "0.5"],
        &["12345678901234567889", "1.2345678901234567e19"],
    ),
    ("decimal(38,0)", &["99999999999999999999999999999999999999", "-1", "1e20"], &["1e38", "0.5"]),
    (
        "date",
        &["\"2024-02-29\"", "\"0001-01-01\"", "\"9999-12-31\""],
        &["\"2024\"", "\"2024-02-30\"", "\"x\"", "\"\"", "\"2024-02-29T\""],
    ),
    (
        "timestamp",
        &["\"2024-02-29T23:59:59.999Z\"", "\"0001-01-01T00:00:00.000Z\"", "\"9999-12-31T23:59:59.999Z\""],
        &["\"2024-02-29T23:59:59Z\"", "\"2024-02-29\"", "\"2024-02-29T23:59:59.9990Z\""],
    ),
    (
        "timestamp",
        &["\"2024-02-29T23:59:59Z\"", "\"2024-02-29T23:59:59.000Z\"", "\"2024-02-29T23:59:59.000001Z\""],
        &["\"2024-02-29T23:59:58.999Z\""],
    ),
    (
        "uuid",
        &[
            "\"0192d3f0-0000-7000-8000-00000000000a\"",
            "\"ffffffff-ffff-ffff-ffff-ffffffffffff\"",
            "\"00000000-0000-0000-0000-000000000000\"",
        ],
        &["\"0192D3F0-0000-7000-8000-00000000000A\"", "\"0192d\"", "\"~\""],
    ),
    ("binary", &["\"AA==\"", "\"YWJj\"", "\"\"", "\"/+8=\"", "\"zzzz\""], &["\"AB==\"", "\"Y\"", "\"YWJ\""]),
    ("string", &["\"é\"", "\"a\"", "\"\"", "\"zz\""], &["1", "\"z\""]),
];
const JSON: (&str, &[&str], &[&str]) =
    ("json", &["[1]", "{\"k\":1.50}", "\"a\"", "1.0", "true", "{\"k\":{\"z\":2}}"], &["1", "\"a\"", "false"]);

fn documents_of(values: &[&str]) -> Vec<Document> {
    let of = |number: usize| {
        let value = values.get(number % (values.len() + 1)).map_or(String::new(), |value| format!(",\"v\":{value}"));
        let value = if number % 11 == 10 { ",\"v\":null".to_owned() } else { value };
        document(&format!("d{number:02}"), &format!("{{\"id\":\"d{number:02}\"{value},\"g\":{}}}", number % 3))
    };
    (0..40).map(of).collect()
}

fn queries(values: &[&str], others: &[&str]) -> Vec<String> {
    let all: Vec<&str> = values.iter().chain(others).copied().filter(|value| !value.starts_with(['[', '{'])).collect();
    let mut conditions = vec!["{}".to_owned()];
    for value in &all {
        for operator in ["eq", "ne", "lt", "lte", "gt", "gte"] {
            conditions.push(format!("{{\"v\":{{\"{operator}\":{value}}}}}"));
        }
        conditions.push(format!("{{\"not\":{{\"v\":{{\"in\":[{value},{}]}}}}}}", all[0]));
        conditions.push(format!("{{\"v\":{{\"between\":[{value},{}]}}}}", all[all.len() / 2]));
        if value.starts_with('"') {
            for length in [0, 2, 4, 11, 30] {
                let prefix: String = value.trim_matches('"').chars().take(length).collect();
                conditions.push(format!("{{\"v\":{{\"prefix\":\"{prefix}\"}}}}"));
            }
        }
    }
    conditions.push("{\"v\":{\"isNull\":true}}".to_owned());
    conditions.push(format!("{{\"v\":{{\"in\":[{}]}}}}", all.join(",")));
    conditions.push("{\"v.k\":{\"gt\":0}}".to_owned());
    let aggregates: Vec<String> = ["count", "min", "max", "countDistinct", "avg"]
        .iter()
        .map(|function| format!("{{\"as\":\"{function}\",\"fn\":\"{function}\",\"column\":\"v\"}}"))
        .collect();
    let aggregates = aggregates.join(",");
    let mut queries = Vec::new();
    for condition in &conditions {
        queries.push(format!("{{\"where\":{condition},\"limit\":9}}"));
        queries.push(format!("{{\"where\":{condition},\"aggregates\":[{aggregates}]}}"));
    }
    queries.push(format!("{{\"groupBy\":[\"v\"],\"aggregates\":[{aggregates}],\"limit\":2}}"));
    queries.push(format!("{{\"groupBy\":[\"g\",\"v\"],\"aggregates\":[{aggregates}]}}"));
    queries.push("{\"aggregates\":[{\"as\":\"s\",\"fn\":\"sum\",\"column\":\"v\"}]}".to_owned());
    for way in ["asc", "desc"] {
        for limit in [3, 1_000] {
            queries.push(format!("{{\"orderBy\":[{{\"column\":\"v\",\"direction\":\"{way}\"}}],\"limit\":{limit}}}"));
        }
    }
    queries.push("{\"select\":[\"v\",\"v.k\",\"none\"]}".to_owned());
    queries
}

#[test]
fn every_type_of_column_answers_like_rows() {
    let mut count = 0;
    for (column_type, values, others) in TYPES.into_iter().chain([JSON]) {
        let all = documents_of(values);
        let rows = Hot::rows(&all);
        let segment = Hot::segment(&all, &[("v", column_type)]);
        for json in queries(values, others) {
            count += 1;
            let query = query(&json);
            let (left, right) =
                match (rows.walk(&query, super::support::BUDGET), segment.walk(&query, super::support::BUDGET)) {
                    (Ok(left), Ok(right)) => (left, right),
                    (Err(left), Err(right)) => {
                        assert_eq!(left.kind(), right.kind(), "{column_type} {json}");
                        continue;
                    }
                    other => panic!("{column_type} {json}: {other:?}"),
                };
            let same =
                |(left, right): (&String, &String)| Json::parse(left).unwrap().same(&Json::parse(right).unwrap());
            let agree = left.len() == right.len() && left.iter().zip(&right).all(same);
            assert!(agree, "{column_type} {json}:\nrows {left:#?}\nsegment {right:#?}");
        }
    }
    println!("types: {count} queries");
}
