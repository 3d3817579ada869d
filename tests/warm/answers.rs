//! What a cached read answers over a cache that keeps its word.

use std::rc::Rc;

use serde_json::json;
use thermocline::http::message::Response;
use thermocline::ports::native::ManualClock;
use thermocline::ports::{Clock, EdgeCache};

use super::lying::{HangingCache, LyingCache};
use super::support::parsed;
use super::tenants::Tenants;

const DOC: &str = "/collections/docs/docs/a";

fn tenants() -> (Tenants, [Rc<LyingCache>; 2]) {
    let clock = Rc::new(ManualClock::new(1_767_225_600_000));
    let caches = [1, 2].map(|seed| LyingCache::new(clock.clone(), seed, 0));
    let ports = [0, 1].map(|centre: usize| -> Rc<dyn EdgeCache> { caches[centre].clone() });
    (Tenants::new(clock, ports), caches)
}

fn cached(tenants: &Tenants, centre: usize, headers: &[(&str, &str)]) -> Response {
    tenants.send(centre, 0, "GET", &format!("{DOC}?consistency=cached"), "", headers)
}

fn how(response: &Response) -> (u16, &str) {
    (response.status, response.header("thermocline-cache").unwrap_or("none"))
}

fn warm(tenants: &Tenants) -> serde_json::Value {
    parsed(&tenants.send(0, 0, "GET", "/metrics", "", &[]))["warm"].clone()
}

#[test]
fn a_document_that_is_not_there_is_remembered_briefly() {
    let (tenants, _) = tenants();
    assert_eq!(how(&cached(&tenants, 0, &[])), (404, "none"), "an object that was never written has no generation");
    tenants.send(0, 0, "PUT", "/collections/docs/docs/other", "{}", &[]);
    let miss = cached(&tenants, 0, &[]);
    assert_eq!(how(&miss), (404, "miss"));
    let hit = cached(&tenants, 0, &[]);
    assert_eq!(how(&hit), (404, "hit"));
    let mut told = parsed(&miss);
    // The Worker names the request in what it answers itself; the object was not told one here.
    told["instance"] = parsed(&hit)["instance"].clone();
    assert_eq!((parsed(&hit), hit.header("thermocline-sequence")), (told, Some("1")));
    assert_eq!(how(&cached(&tenants, 0, &[("min-sequence", "1")])), (404, "hit"));
    assert_eq!(cached(&tenants, 0, &[("min-sequence", "2")]).status, 412, "the object has not come so far");
    tenants.clock.advance(4_999);
    assert_eq!(how(&cached(&tenants, 0, &[])), (404, "hit"));
    tenants.clock.advance(1);
    assert_eq!(how(&cached(&tenants, 0, &[])), (404, "miss"));
}

#[test]
fn making_a_document_forgets_that_it_was_not_there() {
    for (method, target, body) in [
        ("PUT", DOC, json!({"n": 1})),
        ("POST", "/collections/docs/docs", json!({"id": "a", "n": 1})),
        ("POST", "/batch", json!({"operations": [{"op": "insert", "collection": "docs", "doc": {"id": "a", "n": 1}}]})),
    ] {
        let (tenants, _) = tenants();
        tenants.send(0, 0, "PUT", "/collections/docs/docs/other", "{}", &[]);
        // The second data centre is another one than the object's: only its Worker knows of the write.
        for centre in [0, 1] {
            assert_eq!(how(&cached(&tenants, centre, &[])), (404, "miss"));
            assert_eq!(how(&cached(&tenants, centre, &[])), (404, "hit"));
        }
        assert!(tenants.send(1, 0, method, target, &body.to_string(), &[]).status < 300);
        for centre in [0, 1] {
            assert_eq!(cached(&tenants, centre, &[]).status, 200, "{method} {target}, data centre {centre}");
        }
    }
}

#[test]
fn what_was_refused_takes_nothing_back() {
    let (tenants, _) = tenants();
    tenants.send(0, 0, "PUT", DOC, "{}", &[]);
    cached(&tenants, 0, &[]);
    let batch = json!({"operations": [{"op": "update", "collection": "docs", "id": "none", "doc": {}}]}).to_string();
    for (method, target, body, status) in [
        ("PUT", DOC, "{", 400),
        ("DELETE", "/collections/none", "", 404),
        ("POST", "/batch", batch.as_str(), 404),
        ("POST", "/batch", "{}", 422),
        ("POST", "/collections/docs/docs", r#"{"id":"a"}"#, 409),
        ("POST", "/collections/docs/import?mode=x", "", 400),
        ("DELETE", "/cache?prefix=nothing/", "", 400),
        ("POST", "/maintenance", r#"{"a":1}"#, 422),
    ] {
        assert_eq!(tenants.send(0, 0, method, target, body, &[]).status, status, "{method} {target}");
        assert_eq!(how(&cached(&tenants, 0, &[])), (200, "hit"), "{method} {target}");
    }
}

#[test]
fn a_drop_makes_later_reads_miss_here_at_once_and_elsewhere_soon() {
    let (tenants, _) = tenants();
    tenants.send(0, 0, "PUT", DOC, "{}", &[]);
    tenants.send(0, 1, "PUT", DOC, "{}", &[]);
    for prefix in ["", "?prefix=", "?prefix=document/", "?prefix=document/docs/b"] {
        for centre in [0, 1] {
            cached(&tenants, centre, &[]);
            assert_eq!(how(&cached(&tenants, centre, &[])), (200, "hit"));
        }
        let answer = tenants.send(0, 0, "DELETE", &format!("/cache{prefix}"), "", &[]);
        assert_eq!((answer.status, answer.header("thermocline-rows-written")), (200, Some("1")), "{answer:?}");
        let told = parsed(&answer);
        assert!(told["generation"].as_i64().unwrap() > 1, "{told}");
        assert_eq!(told["prefix"], prefix.strip_prefix("?prefix=").unwrap_or_default());
        assert_eq!(how(&cached(&tenants, 0, &[])), (200, "miss"));
        assert_eq!(how(&cached(&tenants, 1, &[])), (200, "hit"), "until it asks for the generation again");
        tenants.clock.advance(10_000);
        assert_eq!(how(&cached(&tenants, 1, &[])), (200, "miss"));
    }
}

#[test]
fn a_drop_of_an_object_that_was_never_written_writes_nothing() {
    let (tenants, _) = tenants();
    let answer = tenants.send(0, 0, "DELETE", "/cache", "", &[]);
    assert_eq!(parsed(&answer), json!({"generation": 0, "prefix": ""}));
    assert_eq!(answer.header("thermocline-rows-written"), Some("0"));
    for (method, target, status) in [
        ("GET", "/cache", 405),
        ("POST", "/cache", 405),
        ("DELETE", "/cache?prefix=a&prefix=b", 400),
        ("DELETE", "/cache?other=a", 400),
        ("DELETE", "/cache?prefix=%ff", 400),
        ("DELETE", "/cache/document", 404),
    ] {
        assert_eq!(tenants.send(0, 0, method, target, "", &[]).status, status, "{method} {target}");
    }
    let long = format!("/cache?prefix=document/{}", "x".repeat(1_016));
    assert_eq!(tenants.send(0, 0, "DELETE", &long, "", &[]).status, 400);
}

#[test]
fn figures_tell_hits_from_what_min_sequence_passed_over() {
    let (tenants, _) = tenants();
    tenants.send(0, 0, "PUT", DOC, "{}", &[]);
    cached(&tenants, 0, &[]);
    tenants.clock.advance(3_000);
    cached(&tenants, 0, &[]);
    tenants.clock.advance(1_000);
    cached(&tenants, 0, &[]);
    tenants.send(0, 0, "PUT", "/collections/docs/docs/b", "{}", &[]);
    assert_eq!(how(&cached(&tenants, 0, &[("min-sequence", "2")])), (200, "miss"));
    let warm = warm(&tenants);
    let told = |name: &str| warm[name].as_u64().unwrap_or_else(|| panic!("{name} of {warm}"));
    assert_eq!([told("hits"), told("misses"), told("tooOld"), told("rejected")], [2, 2, 1, 0]);
    assert_eq!((&warm["hitRate"], told("ageMsTotal"), told("ageMsMax")), (&json!(0.5), 7_000, 4_000));
    let length = u64::try_from("{\"id\":\"a\"}".len()).unwrap();
    assert!(told("bytesRead") % 2 == 0 && told("bytesWritten") == told("bytesRead") && told("bytesRead") <= 2 * length);
    assert_eq!(told("keysWritten"), 2);
}

#[test]
fn an_object_that_is_made_again_shares_no_key_with_the_one_before() {
    let (first, caches) = tenants();
    first.send(0, 0, "PUT", DOC, "{}", &[]);
    cached(&first, 0, &[]);
    let (second, others) = tenants();
    second.clock.advance(1);
    second.send(0, 0, "PUT", DOC, "{}", &[]);
    cached(&second, 0, &[]);
    let keys =
        |cache: &LyingCache| cache.keys().into_iter().filter(|key| key.contains("/document/")).collect::<Vec<_>>();
    let (before, since) = (keys(&caches[0]), keys(&others[0]));
    assert_eq!((before.len(), since.len()), (1, 1));
    assert_ne!(before, since);
}

#[test]
fn a_cache_that_never_answers_is_waited_for_so_long_and_is_a_miss() {
    let clock = Rc::new(ManualClock::new(1_767_225_600_000));
    let hanging = Rc::new(HangingCache::default());
    let tenants = Tenants::new(clock.clone(), [hanging.clone(), hanging.clone()]);
    let took = |work: &dyn Fn() -> u16| {
        let before = (clock.now_ms(), hanging.calls.get());
        (work(), clock.now_ms() - before.0, hanging.calls.get() - before.1)
    };
    let write = took(&|| tenants.send(0, 0, "PUT", DOC, "{}", &[]).status);
    assert_eq!(write, (201, 4_000, 2), "the object and the Worker each try to take the document back");
    let read = took(&|| cached(&tenants, 0, &[]).status);
    assert_eq!(read, (200, 4_000, 2), "the generation is asked for, and then put");
    assert_eq!(how(&cached(&tenants, 0, &[])), (200, "miss"));
    let told = warm(&tenants);
    assert_eq!(json!([told["failed"], told["misses"], told["hits"]]), json!([5, 2, 0]));
}
