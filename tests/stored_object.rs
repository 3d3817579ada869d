//! An object's storage as this version writes it, kept for ever: `tests/golden/object-v1.sqlite` and the bucket beside it
//! must stay readable by every later version. `THERMOCLINE_BLESS=1` writes them anew; do that only for a new format, into
//! new files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use support::Object;
use support::archive::{Model, alarms_for, check_whole, settle};
use thermocline::ports::native::{NativeSql, World, run};
use thermocline::ports::{Alarm, ObjectMetadata, ObjectStore, PutCondition};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn write_history(object: &Object) {
    object.ok(
        "PUT",
        "/collections/movies",
        r#"{"columns":[{"name":"year","type":"int"},{"name":"gross","type":"decimal(12,2)"}]}"#,
    );
    object.import(
        "movies",
        "{\"id\":\"a\",\"year\":1999,\"gross\":10.50}\n{\"id\":\"b\",\"title\":\"é\"}\n{\"id\":\"c\",\"n\":1.0}",
    );
    object.import("gone", "{\"id\":\"x\"}\n{\"id\":\"y\"}");
}

fn write_more(object: &Object) {
    object.ok("PATCH", "/collections/movies/docs/a", r#"{"year":null,"tags":[1,2.0]}"#);
    assert_eq!(object.json("DELETE", "/collections/movies/docs/b", "").0, 204);
    assert_eq!(object.json("DELETE", "/collections/gone", "").0, 204);
}

fn bless() {
    let world = new_object("object-v1");
    let object = Object::wake(&world);
    write_history(&object);
    settle(&world);
    write_more(&object);
    store_bucket(&world, "object-v1");
}

/// An object whose database is a golden file, made anew.
fn new_object(name: &str) -> World {
    let database = golden(&format!("{name}.sqlite"));
    let _ = fs::remove_file(&database);
    World::over(NativeSql::open(&database).unwrap(), 1)
}

/// Stores the bucket beside the database.
fn store_bucket(world: &World, name: &str) {
    let folder = golden(&format!("{name}.bucket"));
    let _ = fs::remove_dir_all(&folder);
    for key in world.bucket.keys() {
        let file = folder.join(&key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, world.bucket.object(&key).unwrap().bytes).unwrap();
    }
}

fn put_all(world: &World, root: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            put_all(world, root, &path);
        } else {
            let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            run(world.bucket.put(&key, &bytes, PutCondition::IfAbsent, &ObjectMetadata::default()))
                .done()
                .unwrap()
                .unwrap();
        }
    }
}

/// A copy of a stored object, to be removed in the end.
fn stored(name: &str) -> (World, PathBuf) {
    let copy = std::env::temp_dir().join(format!("thermocline-{name}-{}.sqlite", std::process::id()));
    fs::copy(golden(&format!("{name}.sqlite")), &copy).unwrap();
    let world = World::over(NativeSql::open(&copy).unwrap(), 2);
    let bucket = golden(&format!("{name}.bucket"));
    put_all(&world, &bucket, &bucket);
    (world, copy)
}

#[test]
fn an_object_of_version_1_is_read_and_goes_on() {
    if std::env::var_os("THERMOCLINE_BLESS").is_some() {
        bless();
    }
    let (world, copy) = stored("object-v1");

    let object = Object::wake(&world);
    assert_eq!(object.ok("GET", "/collections/movies/docs/a", ""), json!({"id":"a","gross":10.50,"tags":[1,2.0]}));
    assert_eq!(object.ok("GET", "/collections/movies/docs/b?tiers=cold", ""), json!({"id":"b","title":"é"}));
    let mut model = Model::default();
    model.follow(&object.feed(3));
    assert_eq!(model.history.len(), 9);
    check_whole(&world, &model, &["movies", "gone"]);
    object.ok("PUT", "/collections/movies/docs/d", r#"{"year":2001}"#);
    model.follow(&object.feed(100)[9..]);
    world.clock.advance(60_000);
    settle(&world);
    assert_eq!(check_whole(&world, &model, &["movies", "gone"]), 10);
    fs::remove_file(&copy).unwrap();
}

/// Segments are evicted as soon as the log lets go of them.
const EVICTING: &str = r#"{"hot":{"evictAboveBytes":1,"sealRows":10,"sealMinAgeMs":0}}"#;

/// An object with evicted segments, two named snapshots, and a restore of the second on its way.
fn bless_with_snapshots() {
    let world = new_object("object-v2");
    let object = Object::wake_with(&world, EVICTING);
    for n in 0..30 {
        object.ok("PUT", &format!("/collections/movies/docs/m{n:02}"), &json!({"n": n, "exact": 1.50}).to_string());
    }
    alarms_for(&world, EVICTING, 60_000);
    let object = Object::wake_with(&world, EVICTING);
    object.ok("POST", "/snapshots", r#"{"type":"full","label":"first"}"#);
    object.ok("PUT", "/collections/movies/docs/m03", r#"{"n":"three"}"#);
    assert_eq!(object.json("DELETE", "/collections/movies/docs/m04", "").0, 204);
    let second = object.ok("POST", "/snapshots", r#"{"type":"incremental"}"#);
    object.ok("PUT", "/collections/other/docs/x", "{}");
    assert_eq!(object.json("DELETE", "/collections/movies", "").0, 204);
    object.ok("POST", &format!("/snapshots/{}/restore", second["id"].as_str().unwrap()), "{}");
    store_bucket(&world, "object-v2");
}

#[test]
fn an_object_with_stubs_snapshots_and_a_restore_on_its_way_is_read_and_goes_on() {
    if std::env::var_os("THERMOCLINE_BLESS").is_some() {
        bless_with_snapshots();
    }
    let (world, copy) = stored("object-v2");
    world.clock.advance(3_600_000);
    let object = Object::wake_with(&world, EVICTING);
    let snapshots = object.ok("GET", "/snapshots", "")["items"].clone();
    assert_eq!((&snapshots[0]["label"], &snapshots[1]["metadata"]["type"]), (&json!("first"), &json!("incremental")));
    assert_eq!(object.json("PUT", "/collections/other/docs/y", "{}").0, 503, "the restore is known");
    // The alarm is no part of the files.
    run(world.alarm.set(world.ports().clock.now_ms())).done().unwrap().unwrap();
    alarms_for(&world, EVICTING, 60_000);
    let object = Object::wake_with(&world, EVICTING);
    let expected = |first: bool| -> Vec<serde_json::Value> {
        let document = |n: usize| match (n, first) {
            (3, false) => json!({"id": "m03", "n": "three"}),
            _ => json!({"id": format!("m{n:02}"), "n": n, "exact": 1.50}),
        };
        (0..30).filter(|n| first || *n != 4).map(document).collect()
    };
    assert_eq!(object.rows("movies", r#"{"limit":100}"#), expected(false));
    assert_eq!(object.json("GET", "/collections/other", "").0, 404);
    let first = json!({"asOf": snapshots[0]["id"], "limit": 100}).to_string();
    assert_eq!(object.rows("movies", &first), expected(true));
    fs::remove_file(&copy).unwrap();
}
