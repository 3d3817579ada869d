//! What is there is found, what is not is told from it, and filters never deny what is there.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use thermocline::hot::query::{FieldPath, OrderKey};
use thermocline::hot::segment::key_filter::KEY_FILTERS_MAX_BYTES;
use thermocline::hot::segment::read;
use thermocline::types::Json;

use crate::support::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn ids_are_found_like_in_a_sorted_list(
        ids in prop::collection::btree_set(any_id(), 1..200),
        others in prop::collection::vec(any_id(), 1..50),
    ) {
        let ids: Vec<String> = ids.into_iter().collect();
        let documents: Vec<_> = ids.iter().map(|id| document(id, 1, serde_json::Map::new())).collect();
        let built = build(&documents);
        let columns = columns(&built);
        let blob = columns.blob(&built.head.index);
        prop_assert_eq!(read::first_after(&blob, None).unwrap(), 0);
        let sought: Vec<&str> = ids.iter().chain(&others).map(String::as_str).collect();
        let found = read::find_all(&blob, &sought, &mut ample()).unwrap();
        for (id, found) in sought.into_iter().zip(found) {
            let expected = ids.binary_search_by(|other| other.as_str().cmp(id)).ok();
            prop_assert_eq!(read::find(&blob, id).unwrap(), expected);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(read::first_after(&blob, Some(id)).unwrap(), ids.partition_point(|other| other.as_str() <= id));
            prop_assert!(expected.is_none() || built.head.may_have_id(id));
        }
    }

    #[test]
    fn filters_have_what_documents_have(documents in any_documents(1..30)) {
        let indexes = fields(&[&["a"], &["a", "b"], &["b", "a", "c.d"], &["a.b"], &["_seq"], &["a", "a"]]);
        let head = reopened(&build_with(&documents, &[], &indexes));
        prop_assert_eq!(head.key_filters.len(), 8);
        for document in &documents {
            let parsed = Json::parse(&document.text).unwrap();
            let names = ["c.d", "a.b", "b", "a", "_seq", "other"];
            let keys = names.map(|name| OrderKey::of(FieldPath::new(name).find(&parsed)));
            let values: Vec<_> = names.into_iter().zip(&keys).collect();
            for length in 0..=values.len() {
                prop_assert!(head.may_have(&values[..length]), "{:?}", &values[..length]);
            }
        }
    }
}

fn flight(row: u64, carrier: &str, number: &str) -> thermocline::types::Document {
    let mut flight = document(&format!("{row:05}"), row as i64, serde_json::Map::new());
    flight.text = format!(r#"{{"id":"{row:05}","carrier":"{carrier}","of":{{"number":{number}}}}}"#);
    flight
}

#[test]
fn values_that_no_document_has_are_excluded_by_the_fields_that_are_given() {
    let documents: Vec<_> =
        (0..500).map(|row| flight(row, ["AA", "UA"][row as usize % 2], &(row * 2).to_string())).collect();
    let built = build_with(&documents, &[], &fields(&[&["carrier", "of.number"]]));
    let carrier = |name: &str| OrderKey::Text(name.to_owned());
    let head = &built.head;
    assert!(head.may_have(&[("carrier", &carrier("AA"))]));
    assert!(!head.may_have(&[("carrier", &carrier("ZZ"))]));
    assert!(!head.may_have(&[("carrier", &OrderKey::Null)]));
    assert!(head.may_have(&[("of.number", &OrderKey::Integer(3))]), "no filter begins with it");
    assert!(head.may_have(&[("of.number", &OrderKey::Integer(4)), ("carrier", &carrier("AA"))]));
    assert!(head.may_have(&[("of.number", &OrderKey::Double(4.0)), ("carrier", &carrier("AA"))]));
    assert!(head.may_have(&[("other", &OrderKey::Null)]));
    let absent =
        |row: &i128| head.may_have(&[("carrier", &carrier("AA")), ("of.number", &OrderKey::Integer(row * 2 + 1))]);
    let wrong = (0..10_000).filter(absent).count();
    assert!(wrong <= 20, "{wrong} of 10,000");
}

#[test]
fn filters_of_few_values_are_small_and_those_without_room_are_left_out() {
    let documents: Vec<_> =
        (0..1_500).map(|row| flight(row, ["AA", "UA"][row as usize % 2], &row.to_string())).collect();
    let indexes: Vec<Vec<String>> =
        (0..400).map(|number| vec!["carrier".to_owned(), "of.number".to_owned(), format!("x{number}")]).collect();
    let built = build_with(&documents, &[], &indexes);
    let bytes: usize = built.head.key_filters.iter().map(|filter| filter.filter.byte_size()).sum();
    assert_eq!(built.head.key_filters[0].filter.byte_size(), 32);
    assert!(bytes <= KEY_FILTERS_MAX_BYTES && built.head.key_filters.len() < 400, "{bytes}");
    let x7 = [("carrier", &OrderKey::Null), ("of.number", &OrderKey::Null), ("x399", &OrderKey::Null)];
    assert!(!built.head.may_have(&x7), "those that are there still exclude");
    reopened(&built);
}

#[test]
fn ids_that_are_not_there_are_rarely_looked_for() {
    let documents: Vec<_> = (0..20_000)
        .map(|row| document(&format!("id-{:06}", row * 2), row, json!({"n": row}).as_object().unwrap().clone()))
        .collect();
    let head = build(&documents).head;
    assert!(documents.iter().all(|document| head.may_have_id(&document.id)));
    assert!(!head.may_have_id("id-") && !head.may_have_id("ie") && !head.may_have_id(""));
    let wrong = (0..20_000).filter(|row| head.may_have_id(&format!("id-{:06}", row * 2 + 1))).count();
    println!("{wrong} of 20,000 ids within the range are looked for in vain");
    assert!(wrong <= 40, "{wrong} of 20,000");
    let unique: BTreeSet<&str> = documents.iter().map(|document| document.id.as_str()).collect();
    assert_eq!(unique.len(), documents.len());
}
