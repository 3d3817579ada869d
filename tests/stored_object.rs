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
use support::archive::{Model, check_whole, settle};
use thermocline::ports::native::{NativeSql, World, run};
use thermocline::ports::{ObjectMetadata, ObjectStore, PutCondition};

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
    let database = golden("object-v1.sqlite");
    let _ = fs::remove_file(&database);
    let world = World::over(NativeSql::open(&database).unwrap(), 1);
    let object = Object::wake(&world);
    write_history(&object);
    settle(&world);
    write_more(&object);
    let folder = golden("object-v1.bucket");
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

#[test]
fn an_object_of_version_1_is_read_and_goes_on() {
    if std::env::var_os("THERMOCLINE_BLESS").is_some() {
        bless();
    }
    let copy = std::env::temp_dir().join(format!("thermocline-object-v1-{}.sqlite", std::process::id()));
    fs::copy(golden("object-v1.sqlite"), &copy).unwrap();
    let world = World::over(NativeSql::open(&copy).unwrap(), 2);
    let bucket = golden("object-v1.bucket");
    put_all(&world, &bucket, &bucket);

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
