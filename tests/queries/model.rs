//! Random queries over random documents, in any split: SQLite answers the same.

use thermocline::error::ErrorKind;
use thermocline::hot::query::Query;
use thermocline::types::{Document, Json};

use super::documents::{PATHS, documents, filter, split};
use super::oracle::{Oracle, Told};
use super::random::{Random, plan};
use super::support::{BUDGET, Hot, query};

const QUERIES: usize = 2_000;
const QUERIES_OF_A_COLLECTION: usize = 40;

/// Whether an answer's value is SQLite's; sums of many doubles differ in their last digits.
fn is(told: &Told, value: &Json<'_>) -> bool {
    match (told, value) {
        (Told::Null, Json::Null) => true,
        (Told::Boolean(left), Json::Bool(right)) => left == right,
        (Told::Integer(left), Json::Number(right)) => {
            right.parse() == Ok(*left)
                || right.parse::<f64>().is_ok_and(|right| (right - *left as f64).abs() <= 1e-9 * (*left as f64).abs())
        }
        (Told::Double(left), Json::Number(right)) => {
            right.parse::<f64>().is_ok_and(|right| (right - left).abs() <= 1e-9 * left.abs().max(1e-6))
        }
        (Told::Text(left), Json::String(right)) => left == right,
        (Told::Json(left), right @ (Json::Array(_) | Json::Object(_))) => *left == right.to_text(),
        _ => false,
    }
}

pub fn rows_query(random: &mut Random) -> String {
    let mut order = Vec::new();
    for _ in 0..random.below(3) {
        order.push(format!(
            "{{\"column\":\"{}\",\"direction\":\"{}\"}}",
            random.pick(&PATHS),
            random.pick(&["asc", "desc"])
        ));
    }
    let limit = *random.pick(&[1, 2, 3, 10, 1_000]);
    format!("{{\"where\":{},\"orderBy\":[{}],\"limit\":{limit}}}", filter(random), order.join(","))
}

/// Of groups; sums only of fields whose sums are told by both, unless `any`.
pub fn groups_query(random: &mut Random, any: bool) -> String {
    let mut keys: Vec<&str> = (0..random.below(3)).map(|_| *random.pick(&PATHS)).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut aggregates = vec!["{\"as\":\"n\",\"fn\":\"count\"}".to_owned()];
    for number in 0..random.below(4) {
        let function = *random.pick(&["count", "sum", "avg", "min", "max", "countDistinct"]);
        let summed = !any && ["sum", "avg"].contains(&function);
        let column = if summed { *random.pick(&["a", "b", "s"]) } else { *random.pick(&PATHS) };
        aggregates.push(format!("{{\"as\":\"x{number}\",\"fn\":\"{function}\",\"column\":\"{column}\"}}"));
    }
    let mut order = Vec::new();
    if !keys.is_empty() && random.chance(60) {
        let name = if random.chance(50) { "n" } else { *random.pick(&keys) };
        order.push(format!("{{\"column\":\"{name}\",\"direction\":\"{}\"}}", random.pick(&["asc", "desc"])));
    }
    let quoted: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    let limit = *random.pick(&[1, 3, 10, 1_000]);
    format!(
        "{{\"where\":{},\"groupBy\":[{}],\"aggregates\":[{}],\"orderBy\":[{}],\"limit\":{limit}}}",
        filter(random),
        quoted.join(","),
        aggregates.join(","),
        order.join(",")
    )
}

fn check_rows(query: &Query, hot: &Hot, oracle: &Oracle, all: &[Document], context: &str) {
    let expected = oracle.ids(query);
    let rows = hot.walk(query, BUDGET).unwrap();
    let parsed: Vec<Json<'_>> = rows.iter().map(|row| Json::parse(row).unwrap()).collect();
    let ids: Vec<&str> = parsed
        .iter()
        .map(|row| match row.get("id") {
            Some(Json::String(id)) => id.as_ref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, expected, "{context}");
    for (row, id) in parsed.iter().zip(ids) {
        let document = all.iter().find(|document| document.id == id).unwrap();
        assert!(
            Json::parse(&document.text).unwrap().same(row),
            "{context}: {} came as {}",
            document.text,
            row.to_text()
        );
    }
}

fn check_groups(query: &Query, hot: &Hot, oracle: &Oracle, context: &str) {
    let expected = oracle.groups(query);
    let rows = hot.walk(query, BUDGET).unwrap();
    let show = || format!("{context}\n got {rows:#?}\n expected {expected:#?}");
    assert_eq!(rows.len(), expected.len(), "{}", show());
    for (row, expected) in rows.iter().zip(&expected) {
        let parsed = Json::parse(row).unwrap();
        let Json::Object(members) = &parsed else { panic!("{row}") };
        assert_eq!(members.len(), expected.len(), "{}", show());
        for ((name, value), told) in members.iter().zip(expected) {
            assert!(is(told, value), "{name}: {} is not {told:?}: {}", value.to_text(), show());
        }
    }
}

#[test]
fn sqlite_answers_the_same() {
    let (seed, cases) = plan("model", QUERIES);
    let (mut done, mut collections, mut segments, mut found) = (0, 0, 0, 0);
    while done < cases {
        let collection_seed = seed.wrapping_add(collections);
        let mut random = Random::new(collection_seed);
        collections += 1;
        let count = random.below(90);
        let all = documents(&mut random, count);
        let oracle = Oracle::new(&all);
        let hot = split(&mut random, &all);
        segments += hot.segments.len();
        for _ in 0..QUERIES_OF_A_COLLECTION.min(cases - done) {
            done += 1;
            let grouped = random.chance(45);
            let json = if grouped { groups_query(&mut random, false) } else { rows_query(&mut random) };
            let context = format!("QUERY_SEED={collection_seed} {json}");
            let query = query(&json);
            if grouped {
                check_groups(&query, &hot, &oracle, &context);
            } else {
                check_rows(&query, &hot, &oracle, &all, &context);
                found += oracle.ids(&query).len();
            }
        }
    }
    println!("model: {done} queries over {collections} collections in {segments} segments, {found} rows found");
}

/// The same over one split and another, with what SQLite tells otherwise: integers beyond 64 bits, sums of all.
#[test]
fn splits_answer_the_same() {
    let (seed, cases) = plan("splits", QUERIES / 2);
    let (mut done, mut collections, mut refused) = (0, 0, 0);
    while done < cases {
        let collection_seed = seed.wrapping_add(collections);
        let mut random = Random::new(collection_seed);
        collections += 1;
        let count = random.below(60);
        let all = documents(&mut random, count);
        let rows = Hot::rows(&all);
        let hot = split(&mut random, &all);
        for _ in 0..20.min(cases - done) {
            done += 1;
            let json = if random.chance(50) { groups_query(&mut random, true) } else { rows_query(&mut random) };
            let query = query(&json);
            let context = format!("QUERY_SEED={collection_seed} {json}");
            match (rows.walk(&query, BUDGET), hot.walk(&query, BUDGET)) {
                (Ok(left), Ok(right)) => {
                    assert_eq!(left.len(), right.len(), "{context}");
                    for (left, right) in left.iter().zip(&right) {
                        let same = Json::parse(left).unwrap().same(&Json::parse(right).unwrap());
                        assert!(same, "{context}: {left} is not {right}");
                    }
                }
                (Err(left), Err(right)) => {
                    assert_eq!((left.kind(), right.kind()), (ErrorKind::Invalid, ErrorKind::Invalid), "{context}");
                    refused += 1;
                }
                (left, right) => panic!("{context}: {left:?} is not {right:?}"),
            }
        }
    }
    println!("splits: {done} queries over {collections} collections, {refused} refused by both");
}
