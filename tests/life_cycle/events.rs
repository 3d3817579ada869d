//! Events leave the archived change log when they are older than is configured; whoever asks for them is told.

use serde_json::{Value, json};
use thermocline::cold::TableKind;
use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::ports::native::{FaultPlan, World, run};
use thermocline::types::time::rfc3339;

use super::support::Object;
use super::{DAY_MS, HOUR_MS, import, live, live_until, now, put};

/// Events are kept for ten days, snapshots for one.
const CONFIG: &str = r#"{"objects":{"expiryDays":10},"cold":{"icebergKeepDays":1}}"#;

fn feed(world: &World, after: i64) -> (u16, Value) {
    Object::wake_with(world, CONFIG).get(&format!("/cdc?after={after}&limit=1000"))
}

fn sequences(page: &Value) -> Vec<i64> {
    page["events"].as_array().unwrap().iter().map(|event| event["sequence"].as_i64().unwrap()).collect()
}

fn data_files(world: &World, table: &str) -> Vec<String> {
    let folder = format!("iceberg/demo/1/{table}/data/");
    world.bucket.keys().into_iter().filter(|key| key.starts_with(&folder)).collect()
}

/// The metadata that readers of the bucket see.
fn metadata(world: &World, table: &str) -> Value {
    let folder = format!("iceberg/demo/1/{table}/metadata");
    let hint = world.bucket.object(&format!("{folder}/version-hint.text")).unwrap().bytes;
    let key = format!("{folder}/v{}.metadata.json", String::from_utf8(hint).unwrap());
    serde_json::from_slice(&world.bucket.object(&key).unwrap().bytes).unwrap()
}

/// An object with 5 events of the first day, 3 of the fifth and 1 of the ninth, all archived.
fn written() -> (World, i64) {
    written_with(CONFIG)
}

fn written_with(config: &str) -> (World, i64) {
    let world = World::new(21).unwrap();
    let start = now(&world);
    import(&world, config, "docs", 0..5);
    live_until(&world, config, start + 4 * DAY_MS);
    import(&world, config, "docs", 5..7);
    put(&world, config, "/collections/other/docs/x", &json!({"n": 1}));
    live_until(&world, config, start + 8 * DAY_MS);
    put(&world, config, "/collections/docs/docs/d000000", &json!({"n": -1}));
    live_until(&world, config, start + 10 * DAY_MS - HOUR_MS);
    (world, start)
}

#[test]
fn events_leave_the_log_and_whoever_asks_for_them_is_told() {
    let (world, start) = written();
    let (status, page) = feed(&world, 0);
    assert_eq!((status, sequences(&page)), (200, (1..=9).collect()));
    assert_eq!(data_files(&world, "docs__changes").len(), 3);
    let before = metadata(&world, "docs__changes");
    live_until(&world, CONFIG, start + 10 * DAY_MS + HOUR_MS);
    let (status, problem) = feed(&world, 0);
    assert_eq!((status, &problem["status"]), (410, &Value::from(410)));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("from sequence 5 on") && detail.contains("got 0"), "{detail}");
    for after in 1..5 {
        assert_eq!(feed(&world, after).0, 410, "after {after}");
    }
    for after in 5..=9 {
        let (status, page) = feed(&world, after);
        assert_eq!((status, sequences(&page)), (200, (after + 1..=9).collect()), "after {after}");
    }
    // The table says so too: an Iceberg delete, and no older snapshot.
    let after = metadata(&world, "docs__changes");
    assert_eq!(after["snapshots"].as_array().unwrap().len(), 1);
    let snapshot = &after["snapshots"][0];
    assert_eq!(snapshot["summary"]["operation"], "delete");
    assert_eq!(snapshot["summary"]["total-records"], "3");
    assert_ne!(snapshot["snapshot-id"], before["current-snapshot-id"]);
    assert_eq!(data_files(&world, "docs__changes").len(), 3, "readers may still have them");
    live(&world, CONFIG, 2 * DAY_MS);
    assert_eq!(data_files(&world, "docs__changes").len(), 2);
    // Documents are as they were.
    let rows = Object::wake_with(&world, CONFIG).rows("docs", r#"{"tiers":["cold"],"limit":100}"#);
    assert_eq!((rows.len(), &rows[0]["n"]), (7, &Value::from(-1)));
    live_until(&world, CONFIG, start + 15 * DAY_MS);
    assert_eq!(feed(&world, 7).0, 410, "also events of another collection");
    assert_eq!(feed(&world, 8).0, 200);
    live_until(&world, CONFIG, start + 40 * DAY_MS);
    assert_eq!((feed(&world, 8).0, feed(&world, 9).0), (410, 200));
    assert_eq!((data_files(&world, "docs__changes").len(), data_files(&world, "other__changes").len()), (0, 0));
    assert_eq!(world.alarm.at_ms(), None, "nothing is left to expire");
    // The log goes on.
    put(&world, CONFIG, "/collections/docs/docs/new", &json!({}));
    live(&world, CONFIG, HOUR_MS);
    let (status, page) = feed(&world, 9);
    assert_eq!((status, sequences(&page)), (200, vec![10]));
    assert!(world.alarm.at_ms().is_some());
}

#[test]
fn the_past_before_it_is_gone() {
    let config = r#"{"objects":{"expiryDays":10},"cold":{"icebergKeepDays":10}}"#;
    let (world, start) = written_with(config);
    let at = |moment: i64| {
        let object = Object::wake_with(&world, config);
        object.get(&format!("/collections/docs/docs/d000000?asOf={moment}"))
    };
    assert_eq!(at(start + DAY_MS).1["n"], 0);
    assert_eq!(at(start + 9 * DAY_MS).1["n"], -1);
    live_until(&world, config, start + 10 * DAY_MS + HOUR_MS);
    assert_eq!(at(start - HOUR_MS).0, 410, "before the first event that was archived");
    assert_eq!(at(start + DAY_MS).1["n"], 0, "a commit of that day is kept");
    live_until(&world, config, start + 14 * DAY_MS + HOUR_MS);
    let (status, problem) = at(start + DAY_MS);
    assert_eq!(status, 410, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("2026-01-05T00:00:00.000Z"), "{problem}");
    assert_eq!(at(start + 9 * DAY_MS).1["n"], -1);
    live_until(&world, config, start + 40 * DAY_MS);
    for moment in [start - DAY_MS, start + DAY_MS, start + 5 * DAY_MS] {
        assert_eq!(at(moment).0, 410, "{}", rfc3339(moment));
    }
    assert_eq!(at(start + 39 * DAY_MS).1["n"], -1);
}

#[test]
fn the_tables_are_clean() {
    let (world, start) = written();
    for day in [11, 15, 20, 40] {
        live_until(&world, CONFIG, start + day * DAY_MS);
        check_tables(&world);
    }
}

/// Reads every table from the bucket alone and compares it with the object's catalogue.
fn check_tables(world: &World) {
    use thermocline::cold::fsck::{self, CatalogueView, Check, Depth};
    use thermocline::cold::read::Expected;
    let catalog = ColdCatalog::new(world.ports().sql);
    for collection in 1..=2 {
        for kind in [TableKind::State, TableKind::Changes] {
            let id = TableId { collection, kind };
            let Some(record) = catalog.table(id).unwrap() else { continue };
            let files = catalog.files(id, record.state.version).unwrap();
            let files: Vec<_> = files.into_iter().map(|file| file.file).collect();
            let expected = Expected { table_uuid: Some(record.state.uuid), base_uri: Some(&record.state.base_uri) };
            let catalogue = CatalogueView { state: &record.state, published: record.published, files: &files };
            let folder = record.state.path.as_str();
            let check = Check { folder, depth: Depth::Rows, expected, catalogue: Some(&catalogue) };
            let report = run(fsck::check(&world.bucket, &check)).done().unwrap();
            let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            assert!(report.is_clean(), "{}", findings.join("\n"));
        }
    }
}

/// Each port call of the alarm by which events expire fails, happens and is reported as failed, or takes the instance away:
/// no event is skipped silently, and in the end all have expired that are old enough.
#[test]
fn whatever_fails_no_event_is_skipped_silently() {
    for call in 0.. {
        let mut met = false;
        for fault in super::faults_at(call) {
            let (world, start) = written();
            let due = world.alarm.at_ms().unwrap();
            assert!((start + 10 * DAY_MS..start + 10 * DAY_MS + HOUR_MS).contains(&due), "{}", rfc3339(due));
            world.clock.set(due);
            world.alarm.take_due(due);
            let plan = FaultPlan::new();
            plan.arm(call, fault);
            let config = thermocline::config::StorageConfig::parse(CONFIG).unwrap();
            let faulty = Object::configured(plan.wrap(&world.ports()), config);
            let _ = run(faulty.service.engine().alarm());
            met |= plan.unmet() == 0;
            let (status, page) = feed(&world, 0);
            match status {
                200 => assert_eq!(sequences(&page), (1..=9).collect::<Vec<_>>(), "call {call} {fault:?}"),
                status => assert_eq!(status, 410, "call {call} {fault:?}"),
            }
            if world.alarm.at_ms().is_none() {
                run(Object::wake_with(&world, CONFIG).service.engine().alarm()).done().unwrap().unwrap().unwrap();
            }
            live(&world, CONFIG, 3 * DAY_MS);
            assert_eq!((feed(&world, 0).0, feed(&world, 5).0), (410, 200), "call {call} {fault:?}");
            assert_eq!(data_files(&world, "docs__changes").len(), 2, "call {call} {fault:?}");
            check_tables(&world);
        }
        if !met {
            assert!(call > 20, "{call} calls");
            return;
        }
    }
}

/// Nobody writes any more: what was deleted goes all the same, once no moment that is kept needs it.
#[test]
fn snapshots_leave_tables_that_nobody_writes_to() {
    let world = World::new(22).unwrap();
    let start = now(&world);
    import(&world, "", "docs", 0..100);
    live(&world, "", HOUR_MS);
    let deletes: Vec<Value> =
        (0..100).map(|n| json!({"op": "delete", "collection": "docs", "id": format!("d{n:06}")})).collect();
    Object::wake(&world).ok("POST", "/batch", &json!({"operations": deletes}).to_string());
    live(&world, "", 7 * DAY_MS - HOUR_MS);
    assert_eq!(metadata(&world, "docs")["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(data_files(&world, "docs").len(), 1);
    let moment = start + HOUR_MS / 2;
    let then = |world: &World| Object::wake(world).get(&format!("/collections/docs/docs/d000007?asOf={moment}")).0;
    assert_eq!(then(&world), 200);
    let alarms = live(&world, "", 3 * HOUR_MS);
    assert!(alarms < 8, "{alarms} alarms");
    assert_eq!(then(&world), 410);
    let after = metadata(&world, "docs");
    assert_eq!((after["snapshots"].as_array().unwrap().len(), data_files(&world, "docs").len()), (1, 1));
    check_tables(&world);
    live(&world, "", 2 * DAY_MS);
    assert_eq!(data_files(&world, "docs"), [""; 0]);
    check_tables(&world);
    assert_eq!(feed(&world, 0).0, 200);
    assert!(world.alarm.at_ms().unwrap() > start + 700 * DAY_MS, "events are left to expire");
}
