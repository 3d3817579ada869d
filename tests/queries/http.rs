//! Groups and bad queries over HTTP, hot and cold.

use serde_json::{Value, json};
use thermocline::ports::native::World;

use super::object::Object;

const QUERY: &str = "/collections/people/query";

fn people(world: &World) -> Object {
    let object = Object::wake(world);
    let line = |n: usize| {
        let city = ["Oslo", "Bergen", "Moss"][n % 3];
        json!({"id": format!("p{n:02}"), "age": n, "city": city, "half": n as f64 / 2.0}).to_string()
    };
    let lines: Vec<String> = (0..30).map(line).collect();
    object.import("people", &lines.join("\n"));
    object
}

fn refused(object: &Object, body: &str, status: u16) -> Value {
    let (found, problem) = object.json("POST", QUERY, body);
    assert_eq!(found, status, "{problem}");
    problem
}

#[test]
fn groups_are_paged_and_the_same_cold() {
    let world = World::new(1).unwrap();
    let object = people(&world);
    object.ok("POST", "/sync", "");
    let query = json!({"groupBy": ["city"], "aggregates": [{"as": "n", "fn": "count"}, {"as": "sum", "fn": "sum", "column": "half"}],
        "orderBy": [{"column": "sum", "direction": "desc"}], "limit": 2});
    for tiers in [json!(["hot", "cold"]), json!(["cold"])] {
        let mut asked = query.clone();
        asked["tiers"] = tiers;
        let first = object.ok("POST", QUERY, &asked.to_string());
        assert_eq!(
            first["rows"],
            json!([{"city": "Moss", "n": 10, "sum": 77.5}, {"city": "Bergen", "n": 10, "sum": 72.5}])
        );
        asked["cursor"] = first["cursor"].clone();
        let second = object.ok("POST", QUERY, &asked.to_string());
        assert_eq!(second["rows"], json!([{"city": "Oslo", "n": 10, "sum": 67.5}]));
        assert_eq!(second.get("cursor"), None);
        asked["groupBy"] = json!(["city", "age"]);
        let problem = refused(&object, &asked.to_string(), 422);
        assert_eq!(problem["errors"][0]["pointer"], "/cursor");
    }
    let one =
        object.ok("POST", QUERY, r#"{"aggregates":[{"as":"n","fn":"count"},{"as":"avg","fn":"avg","column":"age"}]}"#);
    assert_eq!(one["rows"], json!([{"n": 30, "avg": 14.5}]));
}

#[test]
fn what_is_no_query_is_refused_in_bounds() {
    let world = World::new(1).unwrap();
    let object = people(&world);
    let deep = format!("{{\"where\":{}{{}}{}}}", "{\"not\":".repeat(10_000), "}".repeat(10_000));
    refused(&object, &deep, 400);
    let many = format!("{{\"where\":{{\"age\":{{\"in\":[{}]}}}}}}", vec!["1"; 100_000].join(","));
    assert_eq!(refused(&object, &many, 422)["errors"][0]["pointer"], "/where/age/in");
    assert_eq!(refused(&object, r#"{"limit":-1}"#, 422)["errors"][0]["pointer"], "/limit");
    assert_eq!(refused(&object, r#"{"groupBy":["a"],"select":["a"]}"#, 422)["errors"][0]["pointer"], "/select");
    let sum = r#"{"aggregates":[{"as":"total","fn":"sum","column":"big"}]}"#;
    object.import("people", "{\"id\":\"x\",\"big\":9223372036854775807}\n{\"id\":\"y\",\"big\":1}");
    let problem = refused(&object, sum, 422);
    assert!(problem["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains("\"total\"")), "{problem}");
    assert_eq!(object.ok("POST", QUERY, r#"{"where":{"nothing":{"eq":1}}}"#)["rows"], json!([]));
}
