//! Values of any class: got, put and forgotten, whatever the cache does.

use std::rc::Rc;

use thermocline::config::WarmConfig;
use thermocline::ports::native::{ManualClock, run};
use thermocline::types::names::ObjectName;
use thermocline::warm::{CacheClass, Entry, LookUp, WarmStore, class_key, generation_name};

use super::lying::LyingCache;

fn entry(body: &[u8]) -> Entry {
    Entry { sequence: 3, tag: "t".to_owned(), body: Some(body.to_vec()) }
}

#[test]
fn a_value_lives_as_long_as_its_class_and_is_forgotten_when_asked() {
    let clock = Rc::new(ManualClock::new(1_767_225_600_000));
    let store = WarmStore::new(LyingCache::new(clock.clone(), 1, 0), clock.clone());
    let (name, config) = (ObjectName::new("registry", "acme").unwrap(), WarmConfig::default());
    for class in CacheClass::ALL {
        let key = class_key(&name, &generation_name(5, 1), class, &["a", "b"]);
        let ttl_secs = class.ttl_secs(&config);
        let found = || run(store.get(&key)).done().unwrap().hit().map(|found| (found.entry, found.age_ms));
        assert_eq!(found(), None);
        assert!(run(store.put(&key, &entry(b"value"), ttl_secs)).done().unwrap());
        let last = i64::from(ttl_secs) * 1_000 - 1;
        clock.advance(last);
        assert_eq!(found(), Some((entry(b"value"), u64::try_from(last).unwrap())));
        clock.advance(1);
        assert_eq!(found(), None, "{}", class.name());
        assert!(run(store.put(&key, &entry(b"other"), ttl_secs)).done().unwrap());
        run(store.forget(&key)).done().unwrap();
        assert_eq!(found(), None);
    }
}

#[test]
fn what_is_larger_than_an_entry_may_be_is_not_kept() {
    let clock = Rc::new(ManualClock::new(0));
    let store = WarmStore::new(LyingCache::new(clock.clone(), 1, 0), clock);
    let key = "https://thermocline.cache/a/b/1-1/cache/x";
    assert!(run(store.put(key, &entry(&[0; 1_000_000]), 60)).done().unwrap());
    assert!(!run(store.put(key, &entry(&[0; 1_000_001]), 60)).done().unwrap());
    assert!(
        matches!(run(store.get(key)).done().unwrap(), LookUp::Hit(found) if found.entry.body.as_ref().map(Vec::len) == Some(1_000_000))
    );
}
