//! The access log over months: what is trimmed is packed before, what is refused is bounded, what is old goes whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its counts"
)]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};
use support::archive::{alarms_for, each_alarm};
use support::{Object, connect, header, parsed, request, restore_path};
use thermocline::cdc::access_log::{AccessEntry, pack};
use thermocline::config::StorageConfig;
use thermocline::engine::Engine;
use thermocline::error::{ErrorKind, Result, StorageError};
use thermocline::http::access::{Callers, PRINCIPAL_HEADER, Principal, Roles};
use thermocline::http::message::Response;
use thermocline::http::object::ObjectService;
use thermocline::ports::native::{World, run};
use thermocline::ports::{Ports, SqlCounters, SqlParam, SqlRow, SqlStore, SqlValue};
use thermocline::types::StorageTier;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// All entries, in pages of `limit`.
fn entries(object: &Object, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = object.ok("GET", &format!("/access?limit={limit}{cursor}"), "");
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page.get("cursor") {
            Some(next) => cursor = format!("&cursor={}", next.as_str().unwrap()),
            None => return all,
        }
    }
}

fn sequences(entries: &[Value]) -> Vec<i64> {
    entries.iter().filter_map(|entry| entry["sequence"].as_i64()).collect()
}

fn count(world: &World, statement: &str) -> i64 {
    match world.ports().sql.query(statement, &[]).unwrap()[0][0] {
        SqlValue::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}

const TABLES: &str = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name GLOB 'access_*'";

#[test]
fn what_leaves_the_change_log_is_packed_before_and_told_once_and_in_order() {
    let world = World::new(1).unwrap();
    for round in 0..6 {
        let object = Object::wake_with(&world, "");
        for n in 0..20 {
            object.ok("PUT", &format!("/collections/docs/docs/d{n}"), &format!("{{\"round\":{round}}}"));
        }
        assert_eq!(object.send("DELETE", "/collections/docs/docs/none", &[], "").status, 404);
        each_alarm(&world, &object, HOUR_MS + 1, 200, |ended| ended.unwrap());
    }
    let logs = "SELECT count(*) FROM sqlite_master WHERE name GLOB 'log_[0-9]*'";
    assert!(count(&world, logs) <= 3, "archived generations are dropped");
    let object = Object::wake(&world);
    let all = entries(&object, 1_000);
    let writes: Vec<_> = all.iter().filter(|entry| entry["action"] == "PUT document").cloned().collect();
    assert_eq!(sequences(&writes), (1..=120).collect::<Vec<_>>());
    assert!(writes.iter().all(|entry| entry["status"] == 200 && entry["principal"].is_null()));
    assert_eq!(all.iter().filter(|entry| entry["status"] == 404).count(), 6);
    let times: Vec<_> = all.iter().map(|entry| entry["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted());
    for limit in [1, 7, 100] {
        let again = entries(&object, limit);
        assert_eq!(again, all, "pages of {limit}");
    }
    let period = world.ports().clock.now_ms() / (30 * DAY_MS);
    let packs = count(&world, &format!("SELECT count(*) FROM access_{period}"));
    println!("{} entries in {packs} packs", all.len());
    assert!(packs <= 12, "{packs} packs of {} entries", all.len());
    for change in ["UPDATE access_N SET stream = 5", "DELETE FROM access_N", "DELETE FROM access_N WHERE pack > 0"] {
        let changed = world.ports().sql.query(&change.replace('N', &period.to_string()), &[]);
        assert!(changed.is_err(), "{change}");
    }
    assert_eq!(entries(&object, 1_000).iter().filter(|entry| entry["action"] == "PUT document").count(), 120);
}

#[test]
fn generations_that_leave_together_are_told_in_their_order() {
    let world = World::new(4).unwrap();
    let object = Object::wake(&world);
    let text = "x".repeat(900_000);
    // A generation of the log ends at 8 MiB, and stays for an hour.
    for round in 0..4 {
        for n in 0..10 {
            object.ok("PUT", &format!("/collections/docs/docs/d{round}-{n}"), &format!("{{\"text\":\"{text}\"}}"));
        }
        each_alarm(&world, &object, 20_000, 200, |ended| ended.unwrap());
    }
    let logs = "SELECT count(*) FROM sqlite_master WHERE name GLOB 'log_[0-9]*'";
    let before = count(&world, logs);
    world.clock.advance(2 * HOUR_MS);
    object.ok("PUT", "/collections/docs/docs/last", "{}");
    each_alarm(&world, &object, HOUR_MS, 200, |ended| ended.unwrap());
    println!("{before} generations became {}", count(&world, logs));
    assert!(before >= 3 && count(&world, logs) + 2 <= before, "several at once");
    let object = Object::wake(&world);
    for limit in [1, 10, 1_000] {
        let writes = sequences(&entries(&object, limit));
        assert_eq!(writes, (1..=41).collect::<Vec<_>>(), "pages of {limit}");
    }
}

#[test]
fn refused_calls_do_not_make_the_object_write_and_are_counted_where_they_are_not_kept() {
    const CALLS: u64 = 6_000;
    let world = World::new(2).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs/docs/a", "{}");
    each_alarm(&world, &object, 20_000, 50, |ended| ended.unwrap());
    let mut written = 0;
    for _ in 0..CALLS {
        let refused = object.send("DELETE", "/collections/docs/docs/none", &[], "");
        assert_eq!(refused.status, 404);
        written += header(&refused, "thermocline-rows-written").parse::<u64>().unwrap();
    }
    assert!(written < 20, "{written} rows written by {CALLS} refused calls");
    each_alarm(&world, &object, 70_000, 50, |ended| ended.unwrap());
    let all = entries(&Object::wake(&world), 1_000);
    let kept = all.iter().filter(|entry| entry["status"] == 404).count() as u64;
    let missing: u64 = all
        .iter()
        .filter(|entry| entry["action"] == "entries not kept")
        .map(|entry| entry["events"].as_u64().unwrap())
        .sum();
    println!("{kept} kept, {missing} counted, {written} rows written");
    assert_eq!(kept + missing, CALLS);
    assert!(kept >= 500 && missing > 0);
}

#[test]
fn packs_without_a_number_of_their_stream_are_told_before_those_with_one() {
    let world = World::new(10).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs/docs/a", "{}");
    object.ok("PUT", "/collections/docs", "{}");
    let sql = world.ports().sql;
    let now = world.ports().clock.now_ms();
    let entry = |n: i64| AccessEntry {
        timestamp: now - 1_000 + n,
        order: -1,
        action: format!("old {n}"),
        status: 200,
        ..AccessEntry::default()
    };
    for n in 1..6 {
        let bytes = pack(&[entry(n)]).unwrap();
        let params = [
            SqlParam::Integer(n),
            SqlParam::Integer(n % 2),
            SqlParam::Integer(now - 1_000 + n),
            SqlParam::Blob(&bytes),
        ];
        let insert = format!(
            "INSERT INTO access_{} (pack, stream, first, last, data) VALUES (?1, ?2, ?3, ?3, ?4)",
            now / (30 * DAY_MS)
        );
        sql.query(&insert, &params).unwrap();
    }
    for limit in [1, 2, 100] {
        let actions: Vec<_> = entries(&object, limit).iter().map(|entry| entry["action"].clone()).collect();
        assert_eq!(actions, ["old 1", "old 2", "old 3", "old 4", "old 5", "PUT collection", "PUT document"]);
    }
    let some = object.ok("GET", &format!("/access?from={}&to={}", now - 998, now - 997), "");
    assert_eq!(some["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_collection_is_not_dropped_without_a_trace_whether_or_not_it_has_documents() {
    let world = World::new(5).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/full/docs/a", "{}");
    object.ok("PUT", "/collections/empty", "{}");
    let drops = |object: &Object| -> Vec<Value> {
        let all = entries(object, 100).into_iter();
        all.filter(|entry| entry["action"] == "DELETE collection").collect()
    };
    assert_eq!(object.send("DELETE", "/collections/none", &[], "").status, 404);
    let answer = object.send("DELETE", "/collections/empty", &[("x-correlation-id", "c1")], "");
    assert_eq!((answer.status, header(&answer, "thermocline-sequence")), (204, "1"));
    // Another instance: nothing waits in memory.
    let object = Object::wake(&world);
    object.ok("DELETE", "/collections/full", "");
    let told: Vec<_> = drops(&object).iter().map(|entry| json!([entry["collections"], entry["status"]])).collect();
    assert_eq!(told, [json!([["none"], 404]), json!([["empty"], 204]), json!([["full"], 200])], "each once");
    assert_eq!(drops(&object)[1]["correlationId"], "c1");
    let silent = Object::wake_with(&world, r#"{"security":{"accessLogging":false}}"#);
    silent.ok("PUT", "/collections/empty", "{}");
    silent.ok("DELETE", "/collections/empty", "");
    assert_eq!(drops(&silent).len(), 3);
}

/// A database that takes nothing into the access log while it is told so.
struct Unwilling {
    inner: Rc<dyn SqlStore>,
    refuses: Rc<Cell<bool>>,
}

impl SqlStore for Unwilling {
    fn query(&self, statement: &str, params: &[SqlParam<'_>]) -> Result<Vec<SqlRow>> {
        if self.refuses.get() && statement.starts_with("INSERT INTO access_") {
            return Err(StorageError::new(ErrorKind::Internal, StorageTier::Hot, "insert", "the disk is away"));
        }
        self.inner.query(statement, params)
    }

    fn transaction(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.inner.transaction(work)
    }

    fn counters(&self) -> SqlCounters {
        self.inner.counters()
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
}

#[test]
fn a_note_that_fails_is_told_to_the_log_and_made_up_for_and_a_drop_without_one_is_none() {
    let world = World::new(6).unwrap();
    Object::wake(&world).ok("PUT", "/collections/docs/docs/a", "{}");
    let refuses = Rc::new(Cell::new(true));
    let sql = Rc::new(Unwilling { inner: world.ports().sql, refuses: Rc::clone(&refuses) });
    let object = Object::new(Ports { sql, ..world.ports() });
    let told = RefCell::new(Vec::new());
    let send = |method: &str, path: &str| {
        let tell = |error: &StorageError| told.borrow_mut().push(error.to_string());
        let json = [("content-type", "application/json")];
        run(object.service.handle_telling(request(method, path, &json, "{}"), &tell)).done().unwrap().status
    };
    assert_eq!(send("PUT", "/collections/more"), 201, "what was done is answered");
    assert!(matches!(told.borrow().as_slice(), [line] if line.contains("the disk is away")), "{told:?}");
    assert_eq!(send("DELETE", "/collections/more"), 500, "and this is not done without a note");
    assert_eq!(send("GET", "/collections/more"), 200);
    refuses.set(false);
    assert_eq!(send("DELETE", "/collections/more"), 204);
    let actions: Vec<_> = entries(&object, 100).iter().map(|entry| json!([entry["action"], entry["status"]])).collect();
    let expected =
        [("PUT collection", 201), ("DELETE collection", 500), ("DELETE collection", 204), ("PUT document", 200)];
    assert_eq!(actions, expected.map(|(action, status)| json!([action, status])));
}

#[test]
fn a_restore_into_another_object_is_noted_in_both() {
    let world = World::new(7).unwrap();
    let mut other = World::new(8).unwrap();
    other.bucket = world.bucket.clone();
    let other = Rc::new(other);
    connect(&world, &other);
    let plain = Object::wake(&world);
    plain.ok("PUT", "/collections/docs/docs/a", "{}");
    let path = restore_path(&plain.snapshot("full"));
    let service = ObjectService::new(Engine::new(world.ports(), StorageConfig::default()), Callers::Named).unwrap();
    let subject = "ann & \"é\"?by=bob";
    let ann = Principal::new(subject.to_owned(), Roles::of_names(["writer"].into_iter()), vec!["*".to_owned()]);
    let headers = [("content-type", "application/json"), (PRINCIPAL_HEADER, &ann.to_header())];
    let restore = request("POST", &path, &headers, r#"{"into":"demo/2"}"#);
    assert_eq!(run(service.handle(restore)).done().unwrap().status, 202);
    let noted = |answer: &Response| {
        let all = parsed(answer)["items"].as_array().unwrap().clone();
        let restores = all.into_iter().filter(|entry| entry["action"] == "POST restore");
        restores.map(|entry| json!([entry["principal"], entry["status"]])).collect::<Vec<_>>()
    };
    assert_eq!(noted(&Object::wake(&world).send("GET", "/access", &[], "")), [json!([subject, 202])]);
    let mut ask = request("GET", "/access", &[], "");
    ask.path = "/v1/demo/2/access".to_owned();
    let into = Object::wake(&other);
    assert_eq!(noted(&run(into.service.handle(ask)).done().unwrap()), [json!([subject, 202])]);
}

#[test]
fn tables_are_dropped_whole_once_all_of_them_is_older_than_is_kept() {
    let world = World::new(3).unwrap();
    let config = r#"{"worm":{"auditLogRetention":40}}"#;
    let put = |round: i64| {
        let object = Object::wake_with(&world, config);
        object.ok("PUT", "/collections/docs", "{}");
        object.ok("PUT", &format!("/collections/docs/docs/d{round}"), "{}");
        world.clock.advance(1_000);
    };
    let mut most = 0;
    for round in 0..12 {
        put(round);
        alarms_for(&world, config, 20 * DAY_MS);
        most = most.max(count(&world, TABLES));
    }
    println!("{most} tables at most, {} at last", count(&world, TABLES));
    assert!((2..=4).contains(&most), "{most} tables");
    let object = Object::wake_with(&world, config);
    let now = world.ports().clock.now_ms();
    let all = entries(&object, 1_000);
    let declared = all.iter().filter(|entry| entry["action"] == "PUT collection").count();
    assert!((2..=5).contains(&declared), "{declared} of twelve, at {now}");
}

#[test]
fn an_entry_that_was_noted_at_once_outlives_its_instance() {
    let world = World::new(4).unwrap();
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/docs/docs/a", "{}");
    // Of one millisecond, what is in no record of the change log comes first.
    world.clock.advance(1);
    object.ok("PUT", "/collections/other", "{}");
    object.ok("PUT", "/cdc/consumers/w", r#"{"sequence":1}"#);
    assert_eq!(object.send("DELETE", "/cdc/consumers/w", &[], "").status, 204);
    drop(object);
    let actions: Vec<_> = entries(&Object::wake(&world), 10).iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["PUT document", "PUT collection", "DELETE consumer"]);
    let silent = World::new(5).unwrap();
    let object = Object::wake_with(&silent, r#"{"security":{"accessLogging":false}}"#);
    object.ok("PUT", "/collections/docs/docs/a", "{}");
    object.ok("PUT", "/collections/other", "{}");
    assert_eq!(object.ok("GET", "/access", "")["items"], serde_json::json!([]));
    assert_eq!(count(&silent, TABLES), 0);
}
