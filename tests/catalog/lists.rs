//! What there is: namespaces of two levels and their tables, whole or by page.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::json;

use super::support::{Front, ask};

fn filled() -> Front {
    let front = Front::new("");
    for table in ["demo/1/movies", "demo/1/movies__changes", "demo/2/flights", "shop/berlin/teas"] {
        front.publish(table, 1);
    }
    // Not yet published, and what no object has.
    front.put_metadata("demo/1/staged", 1);
    for stray in
        ["iceberg/README", "iceberg/de mo/x/y", "iceberg/demo/note", "iceberg/demo/1/Movies/data/x", "other/a/b/c"]
    {
        front.bucket.overwrite(stray, "x");
    }
    front
}

#[test]
fn the_configuration_names_what_can_be_read_and_nothing_that_writes() {
    let answer = filled().get("/iceberg/v1/config?warehouse=any");
    assert_eq!(answer.status(), 200);
    let endpoints = answer.json()["endpoints"].clone();
    assert!(endpoints.as_array().unwrap().contains(&json!("GET /v1/{prefix}/namespaces/{namespace}/tables/{table}")));
    assert!(endpoints.as_array().unwrap().iter().all(|endpoint| {
        endpoint.as_str().is_some_and(|endpoint| endpoint.starts_with("GET ") || endpoint.starts_with("HEAD "))
    }));
}

#[test]
fn namespaces_are_types_and_below_them_objects() {
    let front = filled();
    let listed = |query: &str| front.get(&format!("/iceberg/v1/namespaces{query}")).json();
    assert_eq!(listed(""), json!({"namespaces": [["demo"], ["shop"]], "next-page-token": null}));
    assert_eq!(listed("?parent="), listed(""));
    assert_eq!(listed("?parent=demo"), json!({"namespaces": [["demo", "1"], ["demo", "2"]], "next-page-token": null}));
    assert_eq!(listed("?parent=demo%1F1"), json!({"namespaces": [], "next-page-token": null}));
    for parent in ["none", "demo%1Fnone", "demo%1F1%1Fmovies", "..", "%1F", "demo%2F1"] {
        front.get(&format!("/iceberg/v1/namespaces?parent={parent}")).refused(404, "NoSuchNamespaceException");
    }
    front.get("/iceberg/v1/namespaces?parent=%ff").refused(400, "BadRequestException");
}

#[test]
fn a_namespace_exists_when_there_is_anything_in_it() {
    let front = filled();
    let (of_type, of_object) = (front.get("/iceberg/v1/namespaces/demo"), front.get("/iceberg/v1/namespaces/demo%1F1"));
    assert_eq!(of_type.json(), json!({"namespace": ["demo"], "properties": {"location": "s3://cold/iceberg/demo"}}));
    assert_eq!(of_object.json()["namespace"], json!(["demo", "1"]));
    assert_eq!(front.send("HEAD", "/iceberg/v1/namespaces/demo%1f1", &[]).status(), 204);
    for missing in ["none", "demo%1F3", "demo%1F1%1Fmovies", "%2E%2E", "demo%1F", "de%20mo"] {
        front.get(&format!("/iceberg/v1/namespaces/{missing}")).refused(404, "NoSuchNamespaceException");
        let head = front.send("HEAD", &format!("/iceberg/v1/namespaces/{missing}"), &[]);
        assert_eq!((head.status(), head.text()), (404, ""));
    }
}

#[test]
fn tables_are_those_with_a_version_hint() {
    let front = filled();
    let tables = |namespace: &str| front.get(&format!("/iceberg/v1/namespaces/{namespace}/tables"));
    assert_eq!(
        tables("demo%1F1").json(),
        json!({"identifiers": [
            {"namespace": ["demo", "1"], "name": "movies"},
            {"namespace": ["demo", "1"], "name": "movies__changes"}
        ], "next-page-token": null})
    );
    assert_eq!(tables("demo").json(), json!({"identifiers": [], "next-page-token": null}));
    tables("none").refused(404, "NoSuchNamespaceException");
    tables("demo%1F3").refused(404, "NoSuchNamespaceException");
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let front = Front::new("");
    for number in 0..25 {
        front.publish(&format!("demo/{number:02}/t"), 1);
        front.publish(&format!("demo/00/t{number:02}"), 1);
    }
    let pages = |path: &str, first: &str, list: &str| {
        let (mut names, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let query = if pages == 0 { first.to_owned() } else { format!("pageToken={token}&pageSize=7") };
            let answer = front.get(&format!("{path}{query}")).json();
            names.extend(answer[list].as_array().unwrap().clone());
            pages += 1;
            match answer["next-page-token"].as_str() {
                Some(next) => token = next.to_owned(),
                None => return (names, pages),
            }
        }
    };
    for first in ["pageSize=7", "pageToken=&pageSize=7"] {
        let (names, count) = pages("/iceberg/v1/namespaces?parent=demo&", first, "namespaces");
        assert_eq!((names.len(), count), (25, 4));
        assert_eq!(names[24], json!(["demo", "24"]));
        let (names, count) = pages("/iceberg/v1/namespaces/demo%1F00/tables?", first, "identifiers");
        assert_eq!((names.len(), count), (26, 4));
    }
    let other = front.get("/iceberg/v1/namespaces?pageSize=1&parent=demo").json()["next-page-token"].to_string();
    let other = format!("pageToken={}", other.trim_matches('"'));
    for wrong in [
        "pageToken=x",
        "pageToken=0123456789abcdefx",
        "pageToken=%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9",
        &other,
        "pageSize=0",
        "pageSize=-1",
        "pageSize=x",
        &format!("pageToken={}", "x".repeat(5_000)),
    ] {
        front.get(&format!("/iceberg/v1/namespaces?{wrong}")).refused(400, "BadRequestException");
    }
}

#[test]
fn what_is_asked_for_whole_is_whole_up_to_a_bound() {
    let front = Front::new("");
    for number in 0..600 {
        front.publish(&format!("demo/1/t{number:03}"), 1);
    }
    let first = front.get("/iceberg/v1/namespaces/demo%1F1/tables").json();
    assert_eq!(first["identifiers"].as_array().unwrap().len(), 500);
    let token = first["next-page-token"].as_str().unwrap();
    let rest = front.get(&format!("/iceberg/v1/namespaces/demo%1F1/tables?pageToken={token}")).json();
    assert_eq!(rest["identifiers"].as_array().unwrap().len(), 100);
}

#[test]
fn reads_of_the_bucket_that_fail_are_tried_again_as_often_as_is_configured() {
    let front = Front::new("");
    front.publish("demo/1/movies", 1);
    let failing = Rc::new(Cell::new(0));
    let lists = "/iceberg/v1/namespaces";
    let tables = "/iceberg/v1/namespaces/demo%1F1/tables";
    let table = "/iceberg/v1/namespaces/demo%1F1/tables/movies";
    for (retries, answered) in [(3, 3), (1, 1), (0, 0)] {
        let edge = front.flaky(&format!("{{\"timeouts\":{{\"retries\":{retries}}}}}"), &failing);
        for target in [lists, tables, table] {
            failing.set(answered);
            assert_eq!(ask(&edge, &front.bucket, "GET", target, &[]).status(), 200, "{target}");
            assert_eq!(failing.get(), 0);
            failing.set(answered + 1);
            ask(&edge, &front.bucket, "GET", target, &[]).refused(503, "ServiceUnavailableException");
            assert_eq!(failing.get(), 0, "and no oftener: {target}");
        }
    }
}
