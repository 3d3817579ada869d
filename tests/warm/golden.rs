//! The bytes of an entry, as they were first written.

use std::fs;
use std::path::PathBuf;

use thermocline::warm::{Entry, FoundEntry, decode, encode};

const KEY: &str = "https://thermocline.cache/demo/1/1767225600000-2/document/films/a";
const KEPT_AT: i64 = 1_767_225_600_000;

#[test]
fn entries_of_version_1_read_as_they_were_kept() {
    let document = Entry { sequence: 7, tag: "\"5\"".to_owned(), body: Some(b"{\"id\":\"a\"}".to_vec()) };
    let absent = Entry { sequence: 8, tag: String::new(), body: None };
    for (name, entry) in [("document", document), ("absent", absent)] {
        let path = format!("{}/tests/golden/cache-entry-{name}-v1.bin", env!("CARGO_MANIFEST_DIR"));
        let path = PathBuf::from(path);
        let bytes = encode(&entry, KEY, KEPT_AT, 300);
        if std::env::var_os("THERMOCLINE_BLESS").is_some() {
            fs::write(&path, &bytes).unwrap();
        }
        let kept = fs::read(&path).unwrap();
        assert_eq!(decode(&kept, KEY, KEPT_AT + 1), Some(FoundEntry { entry, age_ms: 1 }), "{name}");
        assert_eq!(kept, bytes, "{name}: the version has changed without another number");
    }
}
