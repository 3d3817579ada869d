//! Files of tables through the S3 endpoint: what a session opens, and how bytes are answered.

use thermocline::catalog::SESSION_MS;
use thermocline::http::access::AccessVariables;

use super::support::{Answer, Front, ask, data, open};

const FILE: &str = "/s3/cold/iceberg/demo/1/movies/data/year%3D2026/month%3D01/0-0.parquet";
const HINT: &str = "/s3/cold/iceberg/demo/1/movies/metadata/version-hint.text";
const TOKEN: &str = "x-amz-security-token";

fn filled() -> (Front, String) {
    let front = Front::new("");
    for table in ["demo/1/movies", "demo/1/movies__changes", "demo/1/movie", "demo/10/movies"] {
        front.publish(table, 3);
    }
    let token = front.token("demo%1F1", "movies");
    (front, token)
}

#[test]
fn a_file_comes_whole_with_its_description() {
    let (front, token) = filled();
    let answer = front.send("GET", FILE, &[(TOKEN, &token)]);
    assert_eq!((answer.status(), answer.body.as_deref()), (200, Some(data().as_slice())));
    let head = front.send("HEAD", FILE, &[(TOKEN, &token)]);
    assert_eq!((head.status(), &head.body, head.text()), (200, &None, ""));
    for answer in [answer, head] {
        assert_eq!((answer.header("content-length"), answer.header("accept-ranges")), ("100", "bytes"));
        assert_eq!(answer.header("last-modified"), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(answer.header("cache-control"), "private, max-age=3600, immutable, no-transform");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert!(answer.header("etag").starts_with('"'));
    }
    let hint = front.send("GET", HINT, &[(TOKEN, &token)]);
    assert_eq!(hint.header("cache-control"), "private, no-cache, no-transform");
    // As a parameter, as in a signed address; with what clients say of themselves.
    let signed = format!("{FILE}?x-id=GetObject&X-Amz-Security-Token={token}&X-Amz-Signature=any");
    assert_eq!(front.get(&signed).status(), 200);
}

#[test]
fn ranges_are_answered_as_http_has_them() {
    let (front, token) = filled();
    let ranged = |range: &str| front.send("GET", FILE, &[(TOKEN, &token), ("range", range)]);
    for (range, first, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=90-", 90, 100),
        ("bytes=90-1000", 90, 100),
        ("bytes=-7", 93, 100),
        ("bytes=-1000", 0, 100),
    ] {
        let answer = ranged(range);
        assert_eq!((answer.status(), answer.body.as_deref()), (206, data().get(first..end)), "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {first}-{}/100", end - 1));
        assert_eq!(answer.header("content-length"), (end - first).to_string());
    }
    for range in ["bytes=100-", "bytes=100-200", "bytes=18446744073709551615-"] {
        let answer = ranged(range);
        answer.refused_by_s3(416, "InvalidRange");
        assert_eq!(answer.header("content-range"), "bytes */100");
    }
    // One that cannot be read, or is several, is as none.
    for range in ["bytes=x", "bytes=-0", "bytes=5-3", "bytes=0-1,3-4", "lines=0-1"] {
        assert_eq!(ranged(range).status(), 200, "{range}");
    }
    let conditional = front.send("GET", FILE, &[(TOKEN, &token), ("range", "bytes=0-1"), ("if-range", "\"x\"")]);
    assert_eq!(conditional.status(), 200);
}

#[test]
fn conditions_compare_the_etag() {
    let (front, token) = filled();
    let tag = front.send("HEAD", FILE, &[(TOKEN, &token)]).header("etag").to_owned();
    let with = |method: &str, name: &str, value: &str| front.send(method, FILE, &[(TOKEN, &token), (name, value)]);
    for method in ["GET", "HEAD"] {
        let answer = with(method, "if-none-match", &tag);
        assert_eq!((answer.status(), &answer.body, answer.text()), (304, &None, ""));
        assert_eq!(answer.header("etag"), tag);
        assert_eq!(with(method, "if-none-match", "\"other\"").status(), 200);
        assert_eq!(with(method, "if-match", &tag).status(), 200);
        assert_eq!(with(method, "if-match", "\"other\"").status(), 412);
    }
    with("GET", "if-match", "\"other\"").refused_by_s3(412, "PreconditionFailed");
}

#[test]
fn a_session_opens_the_files_of_its_table_and_no_other_key() {
    let (front, token) = filled();
    let before = front.bucket.counts();
    for path in [
        "/s3/cold/iceberg/demo/1/movies__changes/metadata/version-hint.text",
        "/s3/cold/iceberg/demo/1/movie/metadata/version-hint.text",
        "/s3/cold/iceberg/demo/10/movies/metadata/version-hint.text",
        "/s3/cold/iceberg/demo/1/movies",
        "/s3/cold/iceberg/demo/1/movies/",
        "/s3/cold/iceberg/demo/1/movies/data/%2E%2E/%2E%2E/movie/metadata/version-hint.text",
        "/s3/cold/iceberg/demo/1/movies/data/%252E%252E/x",
        "/s3/cold/iceberg/demo/1/movies//metadata/version-hint.text",
        "/s3/cold/secret/iceberg/demo/1/movies/metadata/version-hint.text",
        "/s3/cold/other",
        "/s3/warm/iceberg/demo/1/movies/metadata/version-hint.text",
        "/s3/cold//iceberg/demo/1/movies/metadata/version-hint.text",
        "/s3/cold/%ff",
        "/s3/cold/",
        "/s3/cold",
        "/s3/",
        "/s3",
    ] {
        front.send("GET", path, &[(TOKEN, &token)]).refused_by_s3(403, "AccessDenied");
        let head = front.send("HEAD", path, &[(TOKEN, &token)]);
        assert_eq!((head.status(), head.text()), (403, ""), "{path}");
    }
    assert_eq!(front.bucket.counts(), before, "the bucket was not asked");
    let missing = "/s3/cold/iceberg/demo/1/movies/data/none.parquet";
    front.send("GET", missing, &[(TOKEN, &token)]).refused_by_s3(404, "NoSuchKey");
    assert_eq!(front.send("HEAD", missing, &[(TOKEN, &token)]).status(), 404);
}

#[test]
fn a_token_must_be_there_hold_and_be_in_time() {
    let (front, token) = filled();
    let before = front.bucket.counts();
    front.get(FILE).refused_by_s3(403, "AccessDenied");
    let with = |token: &str| front.send("GET", FILE, &[(TOKEN, token)]);
    let forged = format!("{}A", token.get(..token.len() - 1).unwrap());
    let forged = if forged == token { format!("{}B", forged.get(..forged.len() - 1).unwrap()) } else { forged };
    for wrong in ["", "x", "tc1.e30.AAAA", &forged] {
        with(wrong).refused_by_s3(403, "InvalidToken");
    }
    front.clock.advance(SESSION_MS);
    with(&token).refused_by_s3(403, "ExpiredToken");
    assert_eq!(front.bucket.counts(), before, "the bucket was not asked");
    assert_eq!(with(&front.token("demo%1F1", "movies")).status(), 200);
}

#[test]
fn sessions_hold_in_every_isolate_with_the_same_secret() {
    let (front, token) = filled();
    let secret = |secret: &str| open(Some(&secret.repeat(16)));
    let get = |access: AccessVariables, token: &str| -> Answer {
        ask(&front.again("", &access), &front.bucket, "GET", FILE, &[(TOKEN, token)])
    };
    assert_eq!(get(open(None), &token).status(), 200);
    assert_eq!(get(secret(""), &token).status(), 200, "an empty secret is none");
    get(secret("one"), &token).refused_by_s3(403, "InvalidToken");
    let load = ask(
        &front.again("", &secret("one")),
        &front.bucket,
        "GET",
        "/iceberg/v1/namespaces/demo%1F1/tables/movies",
        &[],
    );
    let token = load.json()["config"]["s3.session-token"].as_str().unwrap().to_owned();
    assert_eq!(get(secret("one"), &token).status(), 200);
    get(secret("two"), &token).refused_by_s3(403, "InvalidToken");
}

#[test]
fn only_bytes_are_read_here() {
    let (front, token) = filled();
    for method in ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
        let answer = front.send(method, FILE, &[(TOKEN, &token)]);
        answer.refused_by_s3(405, "MethodNotAllowed");
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
    for query in ["acl", "tagging", "versionId=1", "partNumber=1", "uploads", "list-type=2"] {
        front.send("GET", &format!("{FILE}?{query}"), &[(TOKEN, &token)]).refused_by_s3(501, "NotImplemented");
    }
}

#[test]
fn a_base_with_a_prefix_is_taken_off_the_key() {
    let front = Front::new(r#"{"cold":{"baseUri":"s3://lake/tier/cold"}}"#);
    front.publish("demo/1/movies", 1);
    let token = front.token("demo%1F1", "movies");
    let get = |path: &str| front.send("GET", path, &[(TOKEN, &token)]);
    assert_eq!(get("/s3/lake/tier/cold/iceberg/demo/1/movies/metadata/version-hint.text").status(), 200);
    for path in [
        "/s3/lake/iceberg/demo/1/movies/metadata/version-hint.text",
        "/s3/cold/iceberg/demo/1/movies/metadata/version-hint.text",
    ] {
        get(path).refused_by_s3(403, "AccessDenied");
    }
}
