//! Loading a table, and what is refused.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;
use thermocline::catalog::{TablePath, Tables};
use thermocline::error::{ErrorKind, Result};
use thermocline::http::access::AccessVariables;
use thermocline::ports::native::{MemoryBucket, run};
use thermocline::ports::{
    FolderPage, ObjectFolders, ObjectMetadata, ObjectStore, PutCondition, PutOutcome, StoredObject,
};
use thermocline::types::names::ObjectName;

use super::support::{Front, open};

const MOVIES: &str = "/iceberg/v1/namespaces/demo%1F1/tables/movies";

fn filled(config: &str) -> Front {
    let front = Front::new(config);
    front.publish("demo/1/movies", 3);
    front.publish("demo/1/movies__changes", 1);
    front
}

#[test]
fn a_loaded_table_is_its_metadata_as_written_and_a_way_to_its_files() {
    let front = filled("");
    let answer = front.get(MOVIES);
    assert_eq!(answer.status(), 200);
    assert!(answer.text().contains("\"current-snapshot-id\":9007199254740993,\"x\":1.0"), "numbers keep their text");
    let loaded = answer.json();
    assert_eq!(loaded["metadata-location"], "s3://cold/iceberg/demo/1/movies/metadata/v3.metadata.json");
    let config = &loaded["config"];
    assert_eq!(config["s3.endpoint"], "https://worker.example/s3");
    assert_eq!(
        [&config["s3.region"], &config["client.region"], &config["s3.path-style-access"]],
        [&json!("auto"), &json!("auto"), &json!("true")]
    );
    for name in ["s3.access-key-id", "s3.secret-access-key", "s3.session-token"] {
        assert!(config[name].as_str().is_some_and(|value| !value.is_empty()), "{name}");
    }
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert_eq!(front.send("HEAD", MOVIES, &[]).status(), 204);
    assert_eq!(front.get("/iceberg/v1/namespaces/demo%1F1/tables/movies__changes").status(), 200);
}

#[test]
fn a_bucket_with_an_endpoint_of_its_own_is_named_without_credentials() {
    let front = filled(r#"{"cold":{"s3Endpoint":"https://r2.example","s3Region":"weur"}}"#);
    let config = front.get(MOVIES).json()["config"].clone();
    assert_eq!((&config["s3.endpoint"], &config["s3.region"]), (&json!("https://r2.example"), &json!("weur")));
    assert!(config.as_object().unwrap().keys().all(|name| !name.contains("token") && !name.contains("key")));
    let elsewhere = filled(r#"{"cold":{"baseUri":"file:///tmp/cold"}}"#);
    assert_eq!(elsewhere.get(MOVIES).json()["config"], json!({}));
}

#[test]
fn what_is_no_table_is_not_found() {
    let front = filled("");
    front.put_metadata("demo/1/staged", 1);
    for missing in [
        "demo%1F1/tables/none",
        "demo%1F1/tables/staged",
        "demo%1F2/tables/movies",
        "demo/tables/movies",
        "none%1F1/tables/movies",
        "demo%1F1/tables/Movies",
        "demo%1F1/tables/%2E%2E",
        "demo%1F1/tables/movies%2Fdata",
        "demo%1F1%1Fmovies/tables/data",
        "demo%1F1/tables/movies__changes__changes",
        "demo%1F1/tables/%22",
    ] {
        front.get(&format!("/iceberg/v1/namespaces/{missing}")).refused(404, "NoSuchTableException");
        let head = front.send("HEAD", &format!("/iceberg/v1/namespaces/{missing}"), &[]);
        assert_eq!((head.status(), head.text()), (404, ""), "{missing}");
    }
    front.get("/iceberg/v1/namespaces/demo%1F1/tables/%ff").refused(400, "BadRequestException");
}

#[test]
fn damaged_files_of_the_catalogue_are_told_and_never_guessed() {
    let front = filled("");
    let hint = "iceberg/demo/1/movies/metadata/version-hint.text";
    for damaged in ["x", "-3", "0", "4", "3.0", &"9".repeat(40)] {
        front.bucket.overwrite(hint, damaged);
        front.get(MOVIES).refused(500, "InternalServerError");
    }
    front.bucket.overwrite(hint, "3");
    for damaged in [&b"{"[..], b"[]", b"{\"location\":7}", b"\xff", b"{\"location\":\"a\"}}"] {
        front.bucket.overwrite("iceberg/demo/1/movies/metadata/v3.metadata.json", damaged);
        front.get(MOVIES).refused(500, "InternalServerError");
    }
}

#[test]
fn the_metadata_of_another_table_is_told_and_not_handed_out() {
    let front = filled("");
    let key = "iceberg/demo/1/movies/metadata/v3.metadata.json";
    let own = front.bucket.object(key).unwrap().bytes;
    let other = front.bucket.object("iceberg/demo/1/movies__changes/metadata/v1.metadata.json").unwrap().bytes;
    let located = |location: &str| format!("{{\"location\":\"{location}\"}}").into_bytes();
    for (what, bytes) in [
        ("the change log's", other),
        ("another object's", located("s3://cold/iceberg/demo/2/movies")),
        ("one whose name only ends so", located("s3://cold/xiceberg/demo/1/movies")),
        ("a folder of it", located("s3://cold/iceberg/demo/1/movies/metadata")),
    ] {
        front.bucket.overwrite(key, bytes);
        let answer = front.get(MOVIES);
        assert!(answer.text().contains("v3.metadata.json"), "{what}: {}", answer.text());
        answer.refused(500, "InternalServerError");
    }
    front.bucket.overwrite(key, own);
    assert_eq!(front.get(MOVIES).status(), 200, "it recovers with the file");
}

#[test]
fn writes_are_refused_and_say_who_writes() {
    let front = filled("");
    for (method, path) in [
        ("POST", "/iceberg/v1/namespaces"),
        ("DELETE", "/iceberg/v1/namespaces/demo%1F1"),
        ("POST", "/iceberg/v1/namespaces/demo%1F1/properties"),
        ("POST", "/iceberg/v1/namespaces/demo%1F1/tables"),
        ("POST", MOVIES),
        ("DELETE", MOVIES),
        ("POST", "/iceberg/v1/tables/rename"),
        ("POST", "/iceberg/v1/transactions/commit"),
        ("POST", "/iceberg/v1/oauth/tokens"),
        ("PUT", "/iceberg/v1/config"),
    ] {
        let answer = front.send(method, path, &[]);
        answer.refused(405, "UnsupportedOperationException");
        assert!(answer.text().contains("only writer"), "{}", answer.text());
        assert!(answer.header("allow").starts_with("GET"));
    }
    for path in ["/iceberg", "/iceberg/", "/iceberg/v1", "/iceberg/v2/config", "/iceberg/v1/namespaces/demo%1F1/views"]
    {
        front.get(path).refused(404, "NotFoundException");
    }
}

#[test]
fn without_access_a_bucket_or_a_secret_nothing_is_shown() {
    let secret = Some("a secret of more than thirty-two bytes".to_owned());
    let closed = Front::with("", &AccessVariables { secret, ..AccessVariables::default() }, true);
    closed.publish("demo/1/movies", 1);
    for path in ["/iceberg/v1/config", "/iceberg/v1/namespaces", MOVIES, "/iceberg"] {
        closed.get(path).refused(401, "NotAuthorizedException");
    }
    closed.get("/s3/cold/iceberg/demo/1/movies/metadata/v1.metadata.json").refused_by_s3(403, "AccessDenied");
    let unbound = Front::with("", &open(None), false);
    assert_eq!(unbound.get("/iceberg/v1/config").status(), 200);
    for path in ["/iceberg/v1/namespaces", "/iceberg/v1/namespaces/demo", MOVIES] {
        unbound.get(path).refused(503, "ServiceUnavailableException");
    }
}

/// A bucket whose table moves on just before a version of its metadata is read.
struct Moving {
    bucket: MemoryBucket,
    before: &'static str,
    hint: &'static str,
}

#[async_trait(?Send)]
impl ObjectStore for Moving {
    async fn put(&self, _: &str, _: &[u8], _: PutCondition<'_>, _: &ObjectMetadata) -> Result<PutOutcome> {
        panic!("the catalogue does not write");
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        if key.ends_with(self.before) {
            self.bucket.overwrite("iceberg/demo/1/movies/metadata/version-hint.text", self.hint);
        }
        self.bucket.get(key, range).await
    }

    async fn delete(&self, _: &[String]) -> Result<()> {
        panic!("the catalogue does not delete");
    }
}

#[async_trait(?Send)]
impl ObjectFolders for Moving {
    async fn folders(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<FolderPage> {
        self.bucket.folders(prefix, limit, cursor).await
    }
}

#[test]
fn a_version_that_is_gone_is_looked_for_once_more() {
    let load = |hint: &'static str| {
        let front = filled("");
        front.bucket.overwrite("iceberg/demo/1/movies/metadata/version-hint.text", "2");
        let moving = Moving { bucket: front.bucket.clone(), before: "/v2.metadata.json", hint };
        let table = TablePath::named(&ObjectName::new("demo", "1").unwrap(), "movies").unwrap();
        run(Tables::new(Rc::new(moving)).load(&table)).done().unwrap()
    };
    let loaded = load("3").unwrap().unwrap();
    assert_eq!(loaded.metadata_location, "s3://cold/iceberg/demo/1/movies/metadata/v3.metadata.json");
    assert_eq!(load("2").unwrap_err().kind(), ErrorKind::Corrupt);
}
