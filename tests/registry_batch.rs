//! Many hashes in one call: their forms, what of them is refused, what it costs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::{Object, parsed, request_to};
use thermocline::config::StorageConfig;
use thermocline::ports::native::{Fault, FaultPlan, World, run};

const REGISTRY: &str = "/v1/registry/acme";
const HASH: &str = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";

fn send(object: &Object, method: &str, path: &str, media_type: &str, body: &str) -> (u16, Value) {
    let request = request_to(REGISTRY, method, path, &[("content-type", media_type)], body);
    let response = run(object.service.handle(request)).done().expect("the request ends");
    let value = if response.body.bytes().is_empty() { Value::Null } else { parsed(&response) };
    (response.status, value)
}

fn batch(object: &Object, query: &str, media_type: &str, body: &str) -> Value {
    let (status, report) = send(object, "POST", &format!("/hashes/batch{query}"), media_type, body);
    assert_eq!(status, 200, "{report}");
    report
}

fn get(object: &Object, path: &str) -> Value {
    send(object, "GET", path, "application/json", "").1
}

fn add_asset(object: &Object, id: &str) {
    let asset = json!({"assetId": id, "manifestUrl": "m", "imageUrl": "i", "contentType": "image/png", "fileSize": 5});
    assert_eq!(send(object, "POST", "/assets", "application/json", &asset.to_string()).0, 201);
}

fn counts(report: &Value) -> [u64; 3] {
    ["imported", "failed", "skipped"].map(|name| report[name].as_u64().unwrap())
}

fn lines_of(report: &Value) -> Vec<u64> {
    report["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect()
}

fn record(asset: &str, hash: &str) -> Value {
    json!({"assetId": asset, "pdqHash": hash, "pdqQuality": 90, "manifestLineage": {}})
}

/// A hash of a number.
fn numbered(number: u64) -> String {
    let word = |salt: u64| (number + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:016x}{:016x}{:016x}{:016x}", word(1), word(2), word(3), word(4))
}

#[test]
fn a_list_of_hashes_makes_assets_of_their_own_once() {
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let list = format!("# a list\n\n{HASH}\r\n  pdq {}\nPDQ\t{}\n{HASH}\n", numbered(1).to_uppercase(), numbered(2));
    let report = batch(&object, "?quality=70", "text/plain", &list);
    assert_eq!(counts(&report), [3, 0, 1], "{report}");
    assert_eq!((&report["firstSequence"], &report["lastSequence"]), (&json!(1), &json!(6)));
    let read = get(&object, &format!("/records/pdq-{}", numbered(1)));
    assert_eq!((&read["hashes"]["pdqQuality"], &read["hashes"]["pdqHash"]), (&json!(70), &json!(numbered(1))));
    let asset = &read["metadata"];
    assert_eq!(asset["imageUrl"], format!("urn:pdq:{}", numbered(1)));
    assert_eq!(
        (&asset["status"], &asset["metadata"], &asset["fileSize"]),
        (&json!("pending"), &json!({"source": "import"}), &json!(0))
    );
    let again = batch(&object, "", "text/plain; charset=utf-8", &list);
    assert_eq!((counts(&again), &again["lastSequence"]), ([0, 0, 4], &Value::Null), "{again}");
    assert_eq!(get(&object, "/hashes/stats")["keys"], 3);
    // A hash that was deleted comes back to the asset that stayed.
    assert_eq!(send(&object, "DELETE", &format!("/hashes/pdq-{HASH}"), "application/json", "").0, 204);
    assert_eq!(counts(&batch(&object, "", "text/plain", HASH)), [1, 0, 0]);
}

#[test]
fn lines_that_are_no_hashes_are_told_and_the_others_go_on() {
    let object = Object::wake(&World::new(1).unwrap());
    let list = [&HASH[1..], &format!("{HASH}0"), &HASH.replace('f', "g"), HASH, "md5 0123", "pdq"].join("\n");
    let report = batch(&object, "", "text/plain", &list);
    assert_eq!((counts(&report), lines_of(&report)), ([1, 5, 0], vec![1, 2, 3, 5, 6]), "{report}");
    assert!(report["errors"][0]["detail"].as_str().unwrap().contains("expected 64 hexadecimal digits, got 63 bytes"));
    for (query, media_type, status) in [
        ("?quality=101", "text/plain", 400),
        ("?quality=-1", "text/csv", 400),
        ("?quality=5", "application/x-ndjson", 400),
        ("?resumeAfterLine=1", "application/json", 400),
        ("", "application/xml", 415),
        ("", "", 415),
    ] {
        assert_eq!(
            send(&object, "POST", &format!("/hashes/batch{query}"), media_type, HASH).0,
            status,
            "{query} {media_type}"
        );
    }
    assert_eq!(get(&object, "/hashes/stats")["keys"], 1);
}

#[test]
fn lines_of_json_are_bodies_of_inserts() {
    let object = Object::wake(&World::new(1).unwrap());
    add_asset(&object, "a");
    add_asset(&object, "b");
    let mut bad = record("b", HASH);
    bad["pdqQuality"] = json!(101);
    let mut nameless = record("b", HASH);
    nameless.as_object_mut().unwrap().remove("assetId");
    let lines = [
        record("a", &HASH.to_uppercase()),
        record("a", HASH),
        record("nobody", HASH),
        bad,
        nameless,
        record("b", &HASH[1..]),
        json!([1]),
        record("b", HASH),
    ];
    let text = lines.map(|line| line.to_string()).join("\n");
    let report = batch(&object, "", "application/x-ndjson", &text);
    assert_eq!((counts(&report), lines_of(&report)), ([2, 6, 0], vec![2, 3, 4, 5, 6, 7]), "{report}");
    assert!(report["errors"][1]["detail"].as_str().unwrap().contains("asset_metadata"), "{report}");
    assert_eq!(get(&object, "/hashes/a")["pdqHash"], HASH);
    let mut embedded = record("b", HASH);
    embedded["embedding"] = json!([1, 2]);
    let told = batch(&object, "", "application/x-ndjson", &embedded.to_string());
    assert!(told["errors"][0]["detail"].as_str().unwrap().contains("/embedding: "), "no dimension is declared: {told}");
    let resumed = batch(&object, "?resumeAfterLine=7", "application/x-ndjson", &text);
    assert_eq!(lines_of(&resumed), [8], "{resumed}");
}

#[test]
fn tables_are_read_by_the_names_of_their_columns() {
    let object = Object::wake(&World::new(1).unwrap());
    add_asset(&object, "a,1");
    // As `threatexchange dataset --print-signals --csv` writes it.
    let exported = format!(
        "collab,signal_type,signal_str,category,tags\r\nSample,pdq,{},POSITIVE_CLASS,a b\r\nSample,video_md5,0123,POSITIVE_CLASS,\r\n\"Sample, too\",pdq,{},\"x\ny\",\"\"\"q\"\"\"\r\n",
        numbered(1),
        numbered(2)
    );
    let report = batch(&object, "", "text/csv", &exported);
    assert_eq!(counts(&report), [2, 0, 1], "{report}");
    let own = format!(
        "\u{feff}Type,Indicator,quality,asset_id\nHASH_PDQ,{},80,\nHASH_PDQ,{},,\"a,1\"\nHASH_PDQ,{},101,\nHASH_PDQ,{},1,nobody\nHASH_MD5,x,,\nHASH_PDQ\n",
        numbered(3),
        numbered(4),
        numbered(5),
        numbered(6)
    );
    let report = batch(&object, "?quality=60", "text/csv", &own);
    assert_eq!((counts(&report), lines_of(&report)), ([2, 3, 1], vec![4, 5, 7]), "{report}");
    assert_eq!(get(&object, &format!("/hashes/pdq-{}", numbered(3)))["pdqQuality"], 80);
    assert_eq!(get(&object, "/hashes/a%2C1")["pdqQuality"], 60);
    // The names are read again, however far an earlier call has come.
    let resumed = batch(&object, "?resumeAfterLine=4", "text/csv", &own);
    assert_eq!((counts(&resumed), lines_of(&resumed)), ([0, 2, 1], vec![5, 7]), "{resumed}");
    for (body, said) in [
        (format!("{HASH},1\n"), "expected a first line that names one of the columns"),
        ("name,kind\n".to_owned(), "name,kind"),
    ] {
        let (status, problem) = send(&object, "POST", "/hashes/batch", "text/csv", &body);
        assert!(status == 422 && problem["detail"].as_str().unwrap().contains(said), "{problem}");
    }
    let report = batch(&object, "", "text/csv", &format!("hash\n{}\n\"open\nstill", numbered(9)));
    assert_eq!((counts(&report), lines_of(&report)), ([1, 1, 0], vec![4]), "{report}");
}

#[test]
fn a_body_of_json_is_all_or_nothing() {
    let object = Object::wake(&World::new(1).unwrap());
    for id in ["a", "b", "c"] {
        add_asset(&object, id);
    }
    let hashes = |hashes: &[Value]| json!({ "hashes": hashes }).to_string();
    let report = batch(&object, "", "application/json", &hashes(&[record("a", HASH), record("b", HASH)]));
    assert_eq!((counts(&report), &report["firstSequence"], &report["lastSequence"]), ([2, 0, 0], &json!(4), &json!(5)));
    let rows = || object.service.engine().counters().rows_written;
    let mut bad = record("c", HASH);
    bad["pdqQuality"] = json!(101);
    let cases = [
        (vec![record("c", HASH), record("nobody", HASH)], 409, "/hashes/1"),
        (vec![record("c", HASH), record("c", HASH)], 409, "/hashes/1"),
        (vec![record("c", HASH), record("a", HASH)], 409, "/hashes/1"),
        (vec![record("c", HASH), bad], 422, "/hashes/1/pdqQuality"),
        (vec![record("c", &HASH[1..])], 422, "/hashes/0/pdqHash"),
        (vec![json!({"assetId": "c"})], 422, "/hashes/0"),
        (vec![record("c", HASH); 10_001], 422, "/hashes"),
    ];
    for (case, status, pointer) in cases {
        let before = rows();
        let (got, problem) = send(&object, "POST", "/hashes/batch", "application/json", &hashes(&case));
        assert_eq!((got, &problem["errors"][0]["pointer"]), (status, &json!(pointer)), "{problem}");
        assert_eq!(rows(), before, "{problem}");
    }
    assert_eq!(get(&object, "/hashes/stats")["keys"], 2);
    assert_eq!(counts(&batch(&object, "", "application/json", &hashes(&[]))), [0, 0, 0]);
}

#[test]
fn a_hundred_thousand_hashes_are_few_rows() {
    const BLOCKS: u64 = 100_000_u64.div_ceil(8_192);
    const BLOCKS_OF_NAMES: u64 = 100_000_u64.div_ceil(512);
    let world = World::new(1).unwrap();
    let object = Object::wake(&world);
    let list: String = (0..100_000).map(|number| numbered(number) + "\n").collect();
    let before = object.service.engine().counters().rows_written;
    let report = batch(&object, "", "text/plain", &list);
    assert_eq!(counts(&report), [100_000, 0, 0], "{report}");
    let rows = object.service.engine().counters().rows_written - before;
    assert!(rows < 1_000, "{rows} rows for 100,000 hashes");
    let search = |object: &Object| {
        let before = object.service.engine().counters();
        let search = json!({"pdqHash": numbered(77_777), "maxDistance": 0}).to_string();
        let (status, found) = send(object, "POST", "/hashes/search", "application/json", &search);
        let expected = json!(format!("pdq-{}", numbered(77_777)));
        assert_eq!((status, &found["matches"][0]["assetId"]), (200, &expected), "{found}");
        object.service.engine().counters().since(before)
    };
    let first = search(&object);
    let woken = Object::wake(&world);
    // What an object reads when it wakes, whatever it is asked.
    assert_eq!(send(&woken, "GET", "/settings", "application/json", "").0, 200);
    let wake = search(&woken);
    let later = search(&woken);
    println!(
        "{rows} rows for 100,000 hashes; the search that packs them writes {}, one after a wake reads {}, the next {}",
        first.rows_written, wake.rows_read, later.rows_read
    );
    // Packed after every 32,768 events: a block of each kind that is begun is written again by the next, and the head.
    let packings = 100_000_u64.div_ceil(32_768);
    assert!(first.rows_written <= BLOCKS + BLOCKS_OF_NAMES + packings * 3, "{first:?}");
    // The blocks of hashes, one of names, and some of the object itself.
    assert!(wake.rows_read <= BLOCKS + 20, "{wake:?}");
    assert_eq!((wake.rows_written, later.rows_written), (0, 0));
    assert!(later.rows_read <= 2, "{later:?}");
}

#[test]
fn an_import_that_cannot_commit_says_where_to_go_on() {
    let lines: String = (0..40).map(|n| format!("{{\"id\":\"d{n:02}\",\"n\":{n}}}\n")).collect();
    let mut met = 0;
    let (mut told, mut whole) = (0, false);
    while !whole {
        let world = World::new(1).unwrap();
        Object::wake(&world).ok("PUT", "/collections/docs", "{}");
        let plan = FaultPlan::new();
        plan.arm(met, Fault::Fail);
        met += 1;
        let config = StorageConfig::parse(r#"{"performance":{"batchSize":10}}"#).unwrap();
        let object = Object::configured(plan.wrap(&world.ports()), config);
        let path = "/collections/docs/import";
        let answer = object.send("POST", path, &[("content-type", "application/x-ndjson")], lines.as_str());
        whole = plan.unmet() > 0;
        if answer.status == 200 {
            continue;
        }
        let problem = parsed(&answer);
        let detail = problem["detail"].as_str().unwrap();
        let Some((_, line)) = detail.split_once("resumeAfterLine=") else {
            assert_eq!(Object::wake(&world).rows("docs", "{}").len(), 0, "{detail}");
            continue;
        };
        told += 1;
        let path = format!("{path}?resumeAfterLine={line}");
        let rest =
            Object::wake(&world).send("POST", &path, &[("content-type", "application/x-ndjson")], lines.as_str());
        let line: u64 = line.parse().unwrap();
        let rest = parsed(&rest);
        // What was committed before the failure was told of is there already.
        let [imported, failed, _] =
            counts(&json!({"imported": rest["imported"], "failed": rest["failed"], "skipped": 0}));
        assert!(imported + failed == 40 - line && failed <= 10, "{detail}: {rest}");
        assert_eq!(Object::wake(&world).rows("docs", r#"{"limit":100}"#).len(), 40);
    }
    assert!(told > 4, "{told} of {met}");
    // One that goes on never says to begin again.
    for met in 0..met {
        let (world, plan) = (World::new(1).unwrap(), FaultPlan::new());
        Object::wake(&world).import("docs", &lines[..lines.len() / 2]);
        plan.arm(met, Fault::Fail);
        let object = Object::new(plan.wrap(&world.ports()));
        let path = "/collections/docs/import?resumeAfterLine=20";
        let answer = object.send("POST", path, &[("content-type", "application/x-ndjson")], lines.as_str());
        let detail = parsed(&answer)["detail"].as_str().unwrap_or_default().to_owned();
        if let Some((_, line)) = detail.split_once("resumeAfterLine=") {
            assert!(line.parse::<u64>().unwrap() >= 20, "{detail}");
        }
    }
}
