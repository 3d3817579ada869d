//! Segments that an earlier build wrote read for ever, and this build writes the same bytes. New cases are added; those
//! that are there are never changed. `THERMOCLINE_BLESS=1` writes the files of new cases.

use std::fs;
use std::path::PathBuf;

use thermocline::error::ErrorKind;
use thermocline::hot::segment::{BuiltSegment, ColumnBytes, Origin, SegmentBuilder, SegmentHead, read};
use thermocline::types::Document;
use thermocline::vortex::ColumnDeclaration;

use crate::support::*;

pub struct Case {
    pub name: &'static str,
    pub documents: Vec<Document>,
    declared: Vec<ColumnDeclaration>,
    indexes: Vec<Vec<String>>,
    origin: Origin,
    supersedes: Vec<i64>,
}

fn texts(texts: impl IntoIterator<Item = String>) -> Vec<Document> {
    let document = |(number, members): (usize, String)| {
        let id = format!("größe-{number:03}");
        let text = format!(r#"{{"id":"{id}"{members}}}"#);
        Document { id, sequence: 900 - number as i64 * 7, timestamp: NOW - number as i64, text }
    };
    texts.into_iter().enumerate().map(document).collect()
}

pub fn cases() -> Vec<Case> {
    let plain = |name, documents| Case {
        name,
        documents,
        declared: vec![],
        indexes: vec![],
        origin: Origin::Direct,
        supersedes: vec![],
    };
    let inferred = |n: usize| {
        let odd = if n % 9 == 4 { r#""seven""#.to_owned() } else { n.to_string() };
        let many = if n.is_multiple_of(3) { format!("{n}.50") } else { format!("\"{n}\"") };
        format!(r#","n":{n},"odd":{odd},"mixed":{many},"at":{{"x":[{n},null]}},"_own":true,"none":null"#)
    };
    let typed = |n: usize| {
        format!(
            r#","b":{},"i":{n},"l":{}00000000,"f":0.5,"d":{n}.25,"m":{n}.5,"day":"2024-02-{:02}","t":"2024-02-29T12:00:{n:02}Z","s":"s{n}","u":"0192d3f0-0000-7000-8000-0000000000{n:02}","y":"AP8=","j":[{n}]"#,
            n.is_multiple_of(2),
            n + 1,
            n % 28 + 1
        )
    };
    let types = [
        ("b", "bool"),
        ("i", "int"),
        ("l", "long"),
        ("f", "float"),
        ("d", "double"),
        ("m", "decimal(9,2)"),
        ("day", "date"),
        ("t", "timestamp"),
        ("s", "string"),
        ("u", "uuid"),
        ("y", "binary"),
        ("j", "json"),
        ("never", "int"),
    ];
    let many = |n: usize| (0..70).map(|number| format!(r#","_{number}":{n}"#)).collect::<String>();
    vec![
        plain("one-row", texts([String::new()])),
        plain("inferred", texts((0..30).map(inferred))),
        Case {
            declared: types.map(|(name, column_type)| declaration(name, column_type)).to_vec(),
            indexes: fields(&[&["s"], &["i", "d"], &["i", "s"]]),
            origin: Origin::Sealed,
            ..plain("declared", texts((0..40).map(typed)))
        },
        Case {
            origin: Origin::Merged,
            supersedes: vec![3, 1, i64::MAX],
            ..plain("any-stray", texts((0..3).map(many)))
        },
    ]
}

fn build_case(case: &Case) -> BuiltSegment {
    let mut builder = SegmentBuilder::new(&case.declared, &case.indexes).unwrap();
    case.documents.iter().for_each(|document| builder.push(new_row(document)).unwrap());
    builder.finish(case.origin, case.supersedes.clone()).unwrap()
}

fn path(name: &str, what: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segments").join(format!("{name}-v1.{what}"))
}

pub fn golden(name: &str, what: &str) -> Vec<u8> {
    let path = path(name, what);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn segments_of_version_1_read_for_ever() {
    for case in cases() {
        let built = build_case(&case);
        let [group] = built.groups.as_slice() else { panic!("{} has one group", case.name) };
        let made = [("head", built.head.to_bytes().unwrap()), ("group", group.clone())];
        for (what, bytes) in &made {
            let path = path(case.name, what);
            if !path.exists() && std::env::var_os("THERMOCLINE_BLESS").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, bytes).unwrap();
            }
        }
        let head = SegmentHead::read(&golden(case.name, "head")).unwrap();
        assert_eq!(head, built.head, "{}", case.name);
        let mut columns = ColumnBytes::default();
        let group = golden(case.name, "group").into();
        for position in 0..head.index.columns().len() {
            columns.insert(position, std::rc::Rc::clone(&group), head.group_of(position).unwrap().1);
        }
        let blob = columns.blob(&head.index);
        assert_all_same(&case.documents, &read::documents(&head, &blob, 0..head.rows, &mut ample()).unwrap());
        for (what, bytes) in made {
            assert!(
                bytes == golden(case.name, what),
                "{}: its {what} is written with other bytes than it was",
                case.name
            );
        }
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_golden_head_is_detected() {
    for case in cases() {
        let golden = golden(case.name, "head");
        for length in 0..golden.len() {
            assert!(SegmentHead::read(&golden[..length]).is_err(), "{} cut to {length} bytes", case.name);
        }
        let mut longer = golden.clone();
        longer.push(0);
        assert!(SegmentHead::read(&longer).is_err());
        let mut flipped = golden.clone();
        for bit in 0..golden.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            let kind = SegmentHead::read(&flipped).err().map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::Corrupt), "{} with bit {bit} flipped", case.name);
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_newer_version_is_refused_by_its_name() {
    let mut newer = golden("one-row", "head");
    newer[4] = 2;
    let error = SegmentHead::read(&newer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("version 2") && error.message().contains("newer"), "{error}");
}
