//! Random documents, how they are split, and random queries over them.

use std::rc::Rc;

use super::random::Random;
use super::support::{Hot, MemoryRows, MemorySegment, document, learned};
use thermocline::types::Document;

/// The fields that queries name.
pub const PATHS: [&str; 12] = ["a", "b", "s", "m", "t", "u", "h", "o", "o.d", "o.e.f", "_x", "id"];
const STRINGS: [&str; 8] = ["", "a", "ab", "abc", "b", "é", "zz\\n", "5"];
const INTEGERS: [&str; 8] = ["0", "1", "2", "-1", "7", "100", "2.0", "1e2"];
const DOUBLES: [&str; 9] = ["0.5", "-0.25", "1.50", "2", "-0", "3.75", "1e-7", "0.1", "100.25"];
pub const TEXTS: [&str; 9] = [
    "2024-02-29",
    "1970-01-01",
    "2024-02-29T23:59:59.999Z",
    "2024-02-29T23:59:59Z",
    "1970-01-01T00:00:00.000Z",
    "0192d3f0-0000-7000-8000-00000000000a",
    "0192D3F0-0000-7000-8000-00000000000A",
    "AA==",
    "YWJj",
];
const WIDE: [&str; 8] = [
    "9007199254740993",
    "9007199254740992",
    "9223372036854775807",
    "-9223372036854775808",
    "1e300",
    "12345678.25",
    "-1e300",
    "4611686018427387904",
];

/// Values that a constant of a condition may be.
pub fn scalar(random: &mut Random) -> String {
    match random.below(7) {
        0 => (*random.pick(&INTEGERS)).to_owned(),
        1 => (*random.pick(&DOUBLES)).to_owned(),
        2 => format!("\"{}\"", random.pick(&STRINGS)),
        3 => format!("\"{}\"", random.pick(&TEXTS)),
        4 => (*random.pick(&WIDE)).to_owned(),
        5 => format!("\"d{:03}\"", random.below(100)),
        _ => (*random.pick(&["true", "false"])).to_owned(),
    }
}

fn value(random: &mut Random, field: &str) -> String {
    if random.chance(6) {
        return "null".to_owned();
    }
    // A few misfits of every field.
    if random.chance(3) && !["a", "b", "h"].contains(&field) {
        return match random.below(3) {
            0 => scalar(random),
            1 => "[1,\"x\"]".to_owned(),
            _ => format!("{{\"d\":{}}}", scalar(random)),
        };
    }
    match field {
        "a" => (*random.pick(&INTEGERS)).to_owned(),
        "b" => (*random.pick(&DOUBLES)).to_owned(),
        "s" => format!("\"{}\"", random.pick(&STRINGS)),
        "m" => scalar(random),
        "t" => format!("\"{}\"", random.pick(&TEXTS)),
        "u" => (*random.pick(&["true", "false"])).to_owned(),
        "h" => (*random.pick(&WIDE)).to_owned(),
        "o" => match random.below(4) {
            0 => format!("{{\"d\":{}}}", scalar(random)),
            1 => format!("{{\"d\":null,\"e\":{{\"f\":{}}}}}", scalar(random)),
            2 => format!("{{\"e.f\":{},\"e\":{{\"f\":1}}}}", scalar(random)),
            _ => "{}".to_owned(),
        },
        _ => scalar(random),
    }
}

/// Documents in the order of ids.
pub fn documents(random: &mut Random, count: usize) -> Vec<Document> {
    let sparse = random.chance(30);
    (0..count)
        .map(|number| {
            let id = format!("d{number:03}");
            let mut text = format!("{{\"id\":\"{id}\"");
            for field in ["a", "b", "s", "m", "t", "u", "h", "o", "_x", "o.d"] {
                let share = match field {
                    "_x" | "o.d" => 8,
                    _ if sparse => 40,
                    _ => 92,
                };
                if random.chance(share) {
                    text.push_str(&format!(",\"{field}\":{}", value(random, field)));
                }
            }
            text.push('}');
            document(&id, &text)
        })
        .collect()
}

const DECLARABLE: [(&str, &[&str]); 5] = [
    ("a", &["int", "long", "double", "float", "decimal(9,2)", "decimal(38,0)", "decimal(38,2)", "string", "json"]),
    ("b", &["double", "float", "decimal(9,2)", "decimal(20,8)", "long", "json"]),
    ("t", &["date", "timestamp", "uuid", "binary", "string", "json"]),
    ("s", &["string", "json", "binary", "date"]),
    ("h", &["double", "long", "float", "decimal(38,2)", "decimal(38,0)", "json"]),
];

/// The documents in some segments, with rows that are no more, and in row form.
pub fn split(random: &mut Random, documents: &[Document]) -> Hot {
    let parts = random.below(5);
    let ranges = random.chance(40);
    let mut of_part: Vec<Vec<Document>> = vec![Vec::new(); parts + 1];
    for (number, document) in documents.iter().enumerate() {
        let part = if ranges { number * (parts + 1) / documents.len() } else { random.below(parts + 1) };
        of_part[part].push(document.clone());
    }
    let rows = of_part.pop().unwrap_or_default();
    let mut hot = Hot { segments: Vec::new(), rows: MemoryRows(rows) };
    for part in of_part {
        let mut rows: Vec<(Document, bool)> = part.iter().map(|document| (document.clone(), true)).collect();
        if random.chance(50) {
            // Former versions of documents that are elsewhere now.
            for document in documents.iter().filter(|document| !part.contains(document)) {
                if random.chance(20) {
                    let mut former = document.clone();
                    former.text = format!("{{\"id\":\"{}\",\"a\":{},\"s\":\"old\"}}", former.id, random.below(9));
                    rows.push((former, false));
                }
            }
            rows.sort_by(|left, right| left.0.id.cmp(&right.0.id));
        }
        let all: Vec<Document> = rows.iter().map(|(document, _)| document.clone()).collect();
        let dead: Vec<usize> = (0..rows.len()).filter(|row| !rows[*row].1).collect();
        let mut declared = Vec::new();
        for (field, types) in DECLARABLE {
            if random.chance(50) {
                declared.push((field, *random.pick(types)));
            }
        }
        let seen = if random.chance(50) { &all[..] } else { &documents[..documents.len().min(3)] };
        hot.segments.push(Rc::new(MemorySegment::new(&learned(seen, &declared), &all, &dead)));
    }
    hot
}

pub fn condition(random: &mut Random, depth: usize) -> String {
    if depth < 3 && random.chance(40) {
        let count = random.below(4);
        let parts: Vec<String> = (0..count).map(|_| condition(random, depth + 1)).collect();
        return match random.below(3) {
            0 => format!("{{\"and\":[{}]}}", parts.join(",")),
            1 => format!("{{\"or\":[{}]}}", parts.join(",")),
            _ => format!("{{\"not\":{}}}", condition(random, depth + 1)),
        };
    }
    let path = *random.pick(&PATHS);
    let comparison = match random.below(5) {
        0 => {
            let count = if random.chance(10) { 40 } else { random.below(5) };
            let values: Vec<String> = (0..count).map(|_| scalar(random)).collect();
            format!("\"in\":[{}]", values.join(","))
        }
        1 => format!("\"between\":[{},{}]", scalar(random), scalar(random)),
        2 => {
            let text = scalar(random);
            let prefix = text.trim_matches('"');
            let beginning: String = prefix.chars().take(random.below(6)).collect();
            format!("\"prefix\":\"{}\"", beginning.trim_end_matches('\\'))
        }
        3 => format!("\"isNull\":{}", random.chance(50)),
        _ => format!("\"{}\":{}", random.pick(&["eq", "ne", "lt", "lte", "gt", "gte"]), scalar(random)),
    };
    format!("{{\"{path}\":{{{comparison}}}}}")
}

pub fn filter(random: &mut Random) -> String {
    if random.chance(25) { "{}".to_owned() } else { condition(random, 0) }
}
