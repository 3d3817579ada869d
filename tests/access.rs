//! Who may do what: tokens, their keys and their claims, the role that each route asks for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its counts"
)]

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use thermocline::config::SecurityConfig;
use thermocline::error::{ErrorKind, StorageError};
use thermocline::http::access::{Access, AccessVariables, KeySet, Principal, Role, Roles, signed_payload};
use thermocline::http::{Route, Routes};
use thermocline::ports::message::RequestHead;
use thermocline::ports::native::{ManualClock, NativeSignatures, run};
use thermocline::types::names::ObjectName;
use wycheproof_ng_kdf_jose::json_web::{TestName, TestSet};

const SECRET: &str = "a secret of more than thirty-two bytes";
/// A moment, in Unix ms and in seconds.
const NOW_MS: i64 = 1_790_000_000_000;
const NOW: i64 = 1_790_000_000;

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with this header and these claims, signed by HMAC with SHA-256 whatever the header says.
fn signed(secret: &str, header: &Value, claims: &str) -> String {
    let message = format!("{}.{}", base64url(header.to_string()), base64url(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&message).finalize();
    format!("{message}.{}", base64url(mac.into_bytes()))
}

fn token(claims: &Value) -> String {
    signed(SECRET, &json!({"alg": "HS256", "typ": "JWT"}), &claims.to_string())
}

fn access(variables: AccessVariables, rules: &SecurityConfig) -> Result<Access, StorageError> {
    let clock = Rc::new(ManualClock::new(NOW_MS));
    Access::new(variables, rules, Rc::new(NativeSignatures), clock)
}

fn with_secret(rules: &SecurityConfig) -> Access {
    let variables = AccessVariables { secret: Some(SECRET.to_owned()), ..AccessVariables::default() };
    access(variables, rules).unwrap()
}

fn head(authorization: Option<&str>) -> RequestHead {
    RequestHead {
        method: "GET".to_owned(),
        origin: "http://localhost".to_owned(),
        path: "/v1/demo/1".to_owned(),
        query: String::new(),
        headers: authorization.map(|value| ("authorization".to_owned(), value.to_owned())).into_iter().collect(),
    }
}

fn ask(access: &Access, authorization: Option<&str>) -> Result<Principal, StorageError> {
    run(access.authenticate(&head(authorization))).done().unwrap()
}

fn claims() -> Value {
    json!({"sub": "ann", "exp": NOW + 60, "roles": ["writer"], "objects": ["demo/*"]})
}

/// The claims with one of them another, or none where it is null.
fn claims_with(name: &str, value: Value) -> Value {
    let mut all = claims();
    if value.is_null() {
        all.as_object_mut().unwrap().remove(name);
    } else {
        all[name] = value;
    }
    all
}

fn refusal(access: &Access, token: &str) -> String {
    let error = ask(access, Some(&format!("Bearer {token}"))).expect_err(token);
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    error.message().to_owned()
}

#[test]
fn a_token_says_who_asks_for_what() {
    let access = with_secret(&SecurityConfig::default());
    let ann = ask(&access, Some(&format!("Bearer {}", token(&claims())))).unwrap();
    assert_eq!(ann.subject, "ann");
    ann.check_role(Role::Writer).unwrap();
    ann.check_role(Role::Reader).unwrap();
    assert_eq!(ann.check_role(Role::Admin).unwrap_err().kind(), ErrorKind::Forbidden);
    ann.check_object(&ObjectName::new("demo", "1").unwrap()).unwrap();
    assert_eq!(ann.check_object(&ObjectName::new("other", "1").unwrap()).unwrap_err().kind(), ErrorKind::Forbidden);
    for scheme in ["bearer", "BEARER", "Bearer "] {
        ask(&access, Some(&format!("{scheme} {}", token(&claims())))).unwrap();
    }
    // Roles of other services, and times with fractions.
    let many = json!({"sub": "x", "exp": 1_790_000_000.5, "nbf": NOW, "iat": "whenever", "roles": ["king", "auditor"]});
    let auditor = ask(&access, Some(&format!("Bearer {}", token(&many)))).unwrap();
    auditor.check_role(Role::Auditor).unwrap();
    assert!(auditor.check_role(Role::Reader).is_err() && !auditor.covers(&ObjectName::new("demo", "1").unwrap()));
}

#[test]
fn whoever_shows_no_token_is_refused() {
    let access = with_secret(&SecurityConfig::default());
    let good = token(&claims());
    for other in
        [None, Some(String::new()), Some(good.clone()), Some(format!("Basic {good}")), Some("Bearer".to_owned())]
    {
        let error = ask(&access, other.as_deref()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(error.message().contains("Authorization: Bearer"), "{error}");
    }
    let keyless = access_without_keys();
    assert!(refusal(&keyless, &good).contains("AUTH_SECRET"));
    assert!(refusal(&keyless, &signed("", &json!({"alg": "HS256"}), &claims().to_string())).contains("AUTH_SECRET"));
}

fn access_without_keys() -> Access {
    let empty =
        AccessVariables { mode: Some("jwt".to_owned()), secret: Some(String::new()), jwks: Some(String::new()) };
    access(empty, &SecurityConfig::default()).unwrap()
}

#[test]
fn a_secret_that_can_be_guessed_is_refused_whatever_the_mode() {
    for mode in [None, Some("jwt".to_owned()), Some("off".to_owned())] {
        let with = |length: usize| {
            let variables = AccessVariables { mode: mode.clone(), secret: Some("s".repeat(length)), jwks: None };
            access(variables, &SecurityConfig::default()).map(drop)
        };
        for length in [1, 31] {
            let error = with(length).unwrap_err();
            let expected = format!("expected the secret AUTH_SECRET to have at least 32 bytes, got {length}");
            assert!(error.kind() == ErrorKind::Internal && error.message().starts_with(&expected), "{error}");
        }
        assert!(with(0).is_ok() && with(32).is_ok(), "an empty one is none");
    }
}

#[test]
fn forged_tokens_are_refused() {
    let access = with_secret(&SecurityConfig::default());
    let text = claims().to_string();
    let of = |header: Value| signed(SECRET, &header, &text);
    assert!(refusal(&access, &signed("another secret", &json!({"alg": "HS256"}), &text)).contains("signature"));
    for algorithm in ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "PS256", "hs256", "ES384"] {
        assert!(refusal(&access, &of(json!({"alg": algorithm}))).contains("alg"), "{algorithm}");
    }
    for algorithm in ["ES256", "EdDSA"] {
        assert!(refusal(&access, &of(json!({"alg": algorithm}))).contains("signature"), "{algorithm} has no key here");
    }
    let unsigned = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(&text));
    refusal(&access, &unsigned);
    refusal(&access, &unsigned.replace('.', ".."));
    for header in
        [json!({}), json!([]), json!("HS256"), json!({"alg": 1}), json!({"alg": null}), json!({"alg": ["HS256"]})]
    {
        assert!(refusal(&access, &of(header)).contains("header"));
    }
    for critical in [json!(["exp"]), json!(["b64"]), json!([])] {
        assert!(refusal(&access, &of(json!({"alg": "HS256", "crit": critical}))).contains("crit"));
    }
    let good = token(&claims());
    let mut parts: Vec<&str> = good.split('.').collect();
    refusal(&access, &parts.join(":"));
    refusal(&access, &format!("{good}."));
    refusal(&access, &format!("{good}="));
    let admin = base64url(claims_with("roles", json!(["admin"])).to_string());
    parts[1] = &admin;
    assert!(refusal(&access, &parts.join(".")).contains("signature"));
    assert!(refusal(&access, &"a".repeat(8_193)).contains("8192"));
    for end in 0..good.len() {
        refusal(&access, good.get(..end).unwrap());
    }
}

#[test]
fn claims_that_do_not_hold_are_refused() {
    let access = with_secret(&SecurityConfig::default());
    let refused = |name: &str, value: Value, about: &str| {
        let message = refusal(&access, &token(&claims_with(name, value.clone())));
        assert!(message.contains(about), "{name} {value}: {message}");
    };
    refused("exp", Value::Null, "exp");
    refused("exp", json!(NOW - 5), "exp");
    refused("exp", json!(0), "exp");
    refused("exp", json!(-1), "exp");
    refused("exp", json!((NOW + 60).to_string()), "exp");
    refused("exp", json!(true), "exp");
    refused("nbf", json!(NOW + 6), "nbf");
    refused("nbf", json!("now"), "nbf");
    refused("sub", Value::Null, "sub");
    refused("sub", json!(""), "sub");
    refused("sub", json!(7), "sub");
    refused("sub", json!("x".repeat(257)), "sub");
    refused("roles", json!("admin"), "roles");
    refused("roles", json!(["admin", 1]), "roles");
    refused("objects", json!("*"), "objects");
    refused("objects", json!([["*"]]), "objects");
    for other in ["[]", "1", "null", "\"x\"", "", "{\"sub\":\"ann\"", "{\"exp\":1e999}"] {
        refusal(&access, &signed(SECRET, &json!({"alg": "HS256"}), other));
    }
    // Within what clocks may be off.
    for (name, value) in [("exp", NOW - 4), ("nbf", NOW + 5)] {
        ask(&access, Some(&format!("Bearer {}", token(&claims_with(name, json!(value)))))).unwrap();
    }
    let exact = with_secret(&SecurityConfig { clock_skew_secs: 0, ..SecurityConfig::default() });
    refusal(&exact, &token(&claims_with("exp", json!(NOW))));
    refusal(&exact, &token(&claims_with("nbf", json!(NOW + 1))));
    ask(&exact, Some(&format!("Bearer {}", token(&claims_with("exp", json!(NOW + 1)))))).unwrap();
}

#[test]
fn an_audience_is_checked_where_one_is_configured() {
    let rules = SecurityConfig { token_audience: Some("thermocline".to_owned()), ..SecurityConfig::default() };
    let access = with_secret(&rules);
    for audience in [json!("thermocline"), json!(["other", "thermocline"])] {
        ask(&access, Some(&format!("Bearer {}", token(&claims_with("aud", audience))))).unwrap();
    }
    for audience in
        [Value::Null, json!("other"), json!("Thermocline"), json!([]), json!(["other"]), json!(1), json!({})]
    {
        assert!(refusal(&access, &token(&claims_with("aud", audience))).contains("aud"));
    }
    let any = with_secret(&SecurityConfig::default());
    ask(&any, Some(&format!("Bearer {}", token(&claims_with("aud", json!("other")))))).unwrap();
}

#[test]
fn only_off_opens_everything() {
    let with = |mode: &str| AccessVariables { mode: Some(mode.to_owned()), ..AccessVariables::default() };
    for mode in ["", "jwt", "OFF", "Off", "none", "0", "false", " off"] {
        assert!(!with(mode).is_open(), "{mode:?}");
    }
    let open = access(with("off"), &SecurityConfig::default()).unwrap();
    ask(&open, None).unwrap().check_role(Role::Admin).unwrap();
}

#[test]
fn key_sets_that_nobody_can_mean_are_refused() {
    let refused = |variables: AccessVariables, about: &str| {
        let error = access(variables, &SecurityConfig::default()).err().unwrap();
        assert!(error.message().contains(about), "{error}");
    };
    let coordinate = base64url([7; 32]);
    let private = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": coordinate, "d": coordinate}]}).to_string();
    let short = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": coordinate, "y": base64url([7; 31])}]}).to_string();
    let other = json!({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}).to_string();
    let many = json!({"keys": vec![json!({"kty": "OKP", "crv": "Ed25519", "x": coordinate}); 33]}).to_string();
    let twice =
        json!({"keys": vec![json!({"kty": "OKP", "crv": "Ed25519", "x": coordinate, "kid": "a"}); 2]}).to_string();
    for (jwks, about) in [
        ("{", "JSON"),
        ("[]", "\"keys\""),
        (r#"{"keys":{}}"#, "\"keys\""),
        (r#"{"keys":[]}"#, "at least one key"),
        (private.as_str(), "private"),
        (&short, "32 bytes"),
        (&other, "at least one key"),
        (&many, "at most 32"),
        (&twice, "kid"),
    ] {
        refused(AccessVariables { jwks: Some(jwks.to_owned()), ..AccessVariables::default() }, about);
        assert!(about.len() > 2);
    }
}

/// The keys of a group of vectors, if they are such as a deployment can have.
fn keys(jwk: &Value) -> Option<KeySet> {
    let text = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
    if text("kty") == "oct" {
        // A secret is configured as one: a set of public keys has none.
        let secret = URL_SAFE_NO_PAD.decode(text("k")).unwrap();
        return (text("alg") == "HS256" && text("use") == "sig").then(|| KeySet::new(Some(&secret), None).unwrap());
    }
    let set = if jwk.get("keys").is_some() { jwk.clone() } else { json!({"keys": [jwk]}) };
    KeySet::new(None, Some(&set.to_string())).ok()
}

/// What is right for a token, beside what the vectors say of four: two are said to be wrong and are, byte for byte, a third
/// that is said to be right; two are said to be right and have a `?` in base64url, which RFC 7515 has no place for.
fn is_right(name: TestName, id: usize, said: bool) -> bool {
    match (name, id) {
        (TestName::JsonWebSignature, 367 | 370) => true,
        (TestName::JsonWebSignature, 372 | 373) => false,
        _ => said,
    }
}

#[test]
fn wycheproofs_tokens_are_judged_right() {
    let mut counts = [0; 2];
    for name in [TestName::JsonWebSignature, TestName::JsonWebKey] {
        for group in TestSet::load(name).unwrap().test_groups {
            let jwk = group.public_key.or(group.private_key).unwrap();
            let keys = keys(&jwk);
            for test in group.tests {
                let Some(jws) = test.jws.as_ref().and_then(Value::as_str) else { continue };
                let accepted = keys
                    .as_ref()
                    .is_some_and(|keys| run(signed_payload(jws, keys, &NativeSignatures)).done().unwrap().is_ok());
                // Keys that no deployment can have verify nothing, good tokens too.
                let said = format!("{:?}", test.result) == "Valid";
                let is_valid = is_right(name, test.tc_id, said) && keys.is_some();
                assert_eq!(accepted, is_valid, "{name:?} {} {}: {jws}", test.tc_id, test.comment);
                counts[usize::from(accepted)] += 1;
            }
        }
    }
    let [refused, accepted] = counts;
    println!("Wycheproof: {accepted} tokens accepted, {refused} refused, all rightly");
    assert!(accepted >= 9 && refused > 300, "{counts:?}");
}

/// What each route asks for, by path and method. A route that is not here fails the test below.
const ROLES: [(&str, &str, Role); 68] = [
    ("/collections/c/export", "POST", Role::Writer),
    ("", "GET", Role::Reader),
    ("", "DELETE", Role::Admin),
    ("/collections", "GET", Role::Reader),
    ("/collections/c", "GET", Role::Reader),
    ("/collections/c", "PUT", Role::Writer),
    ("/collections/c", "DELETE", Role::Writer),
    ("/collections/c/docs", "POST", Role::Writer),
    ("/collections/c/docs/d", "GET", Role::Reader),
    ("/collections/c/docs/d", "PUT", Role::Writer),
    ("/collections/c/docs/d", "PATCH", Role::Writer),
    ("/collections/c/docs/d", "DELETE", Role::Writer),
    ("/collections/c/import", "POST", Role::Writer),
    ("/collections/c/export", "GET", Role::Reader),
    ("/collections/c/query", "POST", Role::Reader),
    ("/batch", "POST", Role::Writer),
    ("/cdc", "GET", Role::Reader),
    ("/cdc/consumers", "GET", Role::Reader),
    ("/cdc/consumers/w", "GET", Role::Reader),
    ("/cdc/consumers/w", "PUT", Role::Reader),
    ("/cdc/consumers/w", "DELETE", Role::Writer),
    ("/cache", "DELETE", Role::Writer),
    ("/maintenance", "POST", Role::Admin),
    ("/access", "GET", Role::Auditor),
    ("/access", "HEAD", Role::Auditor),
    ("/metrics", "GET", Role::Reader),
    ("/sync", "GET", Role::Reader),
    ("/sync", "POST", Role::Writer),
    ("/snapshots", "GET", Role::Reader),
    ("/snapshots", "POST", Role::Writer),
    ("/snapshots/ID", "GET", Role::Reader),
    ("/snapshots/ID", "DELETE", Role::Writer),
    ("/snapshots/ID/restore", "POST", Role::Writer),
    ("/jobs/ID", "GET", Role::Reader),
    ("/jobs/ID", "DELETE", Role::Writer),
    ("", "HEAD", Role::Reader),
    ("/collections", "HEAD", Role::Reader),
    ("/collections/c", "HEAD", Role::Reader),
    ("/collections/c/docs/d", "HEAD", Role::Reader),
    ("/collections/c/export", "HEAD", Role::Reader),
    ("/cdc", "HEAD", Role::Reader),
    ("/records", "POST", Role::Writer),
    ("/records/a", "GET", Role::Reader),
    ("/records/a", "DELETE", Role::Writer),
    ("/assets", "GET", Role::Reader),
    ("/assets", "POST", Role::Writer),
    ("/assets/a", "GET", Role::Reader),
    ("/assets/a", "PATCH", Role::Writer),
    ("/hashes", "GET", Role::Reader),
    ("/hashes", "POST", Role::Writer),
    ("/hashes/batch", "POST", Role::Writer),
    ("/hashes/stats", "GET", Role::Reader),
    ("/hashes/compact", "POST", Role::Admin),
    ("/hashes/search", "POST", Role::Reader),
    ("/hashes/search/batch", "POST", Role::Reader),
    ("/embeddings/search", "POST", Role::Reader),
    ("/hashes/a", "GET", Role::Reader),
    ("/hashes/a", "DELETE", Role::Writer),
    ("/collisions", "GET", Role::Reader),
    ("/collisions", "POST", Role::Writer),
    ("/collisions/ID", "GET", Role::Reader),
    ("/collisions/ID/reviews", "POST", Role::Reviewer),
    ("/cleanup", "POST", Role::Admin),
    ("/temp/t", "GET", Role::Reader),
    ("/temp/t", "PUT", Role::Writer),
    ("/temp/t", "DELETE", Role::Writer),
    ("/settings", "GET", Role::Reader),
    ("/settings", "PUT", Role::Admin),
];

fn route(path: &str) -> Route {
    let path = format!("/v1/registry/1{}", path.replace("ID", "00000000-0000-0000-0000-000000000001"));
    Routes::new().unwrap().find_public(&path).unwrap().1
}

#[test]
fn every_route_asks_for_its_role() {
    for (path, method, role) in ROLES {
        assert!(route(path).methods().contains(&method), "{method} {path}");
        assert_eq!(route(path).role(method), Some(role), "{method} {path}");
    }
    for path in Routes::paths() {
        let path = path
            .replace("/v1/{type}/{id}", "")
            .replace("/v1/registry/{tenant}", "")
            .replace("{collection}", "c")
            .replace("{document}", "d");
        let path = path.replace("{consumer}", "w");
        let path = path.replace("{snapshot}", "ID").replace("{job}", "ID");
        let path = path.replace("{asset}", "a").replace("{collision}", "ID").replace("{temporary}", "t");
        if path.starts_with("/internal") || path == "/" {
            continue;
        }
        for method in route(&path).methods().iter().filter(|method| **method != "HEAD") {
            assert!(
                ROLES.iter().any(|(known, with, _)| *known == path && with == method),
                "{method} {path} is in no table"
            );
        }
    }
}

#[test]
fn the_roles_of_a_principal_are_those_of_its_token() {
    let ann = Principal::new("ann".to_owned(), Roles::of_names(["reviewer"].into_iter()), vec!["*".to_owned()]);
    assert!(ann.check_role(Role::Writer).unwrap_err().message().contains("reader, reviewer"));
}
