//! The architecture, held by a test: which folder may name which, who may name the platform, how long a file may be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seeds and counts"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What everything may name.
const SHARED: [&str; 5] = ["error", "types", "config", "limits", "ports"];

/// Which folder may name which, beside what everything may.
const DIRECTIONS: [(&str, &[&str]); 15] = [
    ("shell", &["http", "engine", "platform"]),
    ("platform", &[]),
    ("http", &["engine", "cdc", "catalog"]),
    ("catalog", &["cold"]),
    ("registry", &["hot"]),
    ("engine", &["registry", "snapshots", "hot", "warm", "cold", "cdc"]),
    ("snapshots", &["hot", "cold", "vortex"]),
    ("hot", &["cdc", "vortex"]),
    ("cold", &["vortex"]),
    ("warm", &[]),
    ("cdc", &[]),
    ("vortex", &[]),
    ("ports", &[]),
    ("types", &[]),
    ("config", &[]),
];

const FILE_MAX_LINES: usize = 800;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The folder or file directly below `src` that a source file belongs to.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap();
    relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Names after `crate::`, also those in braces.
fn crate_names(text: &str) -> BTreeSet<String> {
    let name = |text: &str| {
        text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect::<String>()
    };
    let mut names = BTreeSet::new();
    for part in text.split("crate::").skip(1) {
        if let Some(list) = part.strip_prefix('{') {
            names.extend(list.split('}').next().unwrap().split(',').map(|item| name(item.trim())));
        } else {
            names.insert(name(part));
        }
    }
    names.remove("");
    names
}

#[test]
fn folders_name_only_those_they_may() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = DIRECTIONS
        .into_iter()
        .map(|(module, may)| (module, may.iter().copied().chain(SHARED).chain([module]).collect()))
        .collect();
    let mut wrong = Vec::new();
    for file in files_below(&root().join("src"), "rs") {
        let module = module_of(&file);
        if ["lib", "error", "limits"].contains(&module.as_str()) {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no directions"));
        for name in crate_names(&fs::read_to_string(&file).unwrap()) {
            if !may.contains(name.as_str()) {
                wrong.push(format!("{}: {module} names {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What decodes unproved bytes is for tools and tests: it is in no file but its own.
#[test]
fn what_is_deployed_does_not_name_the_tools() {
    let tools = ["cold/read", "cold/fsck"].map(|folder| root().join("src").join(folder));
    let anywhere = ["cold::read", "cold::fsck", "FolderBucket"];
    let within_cold = ["super::read", "super::fsck"];
    let mut wrong = Vec::new();
    for file in files_below(&root().join("src"), "rs") {
        if tools.iter().any(|folder| file.starts_with(folder)) || file.starts_with(root().join("src/ports/native")) {
            continue;
        }
        let also = if module_of(&file) == "cold" { &within_cold[..] } else { &[] };
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for name in code.flat_map(|line| anywhere.iter().chain(also).filter(move |name| line.contains(*name))) {
            wrong.push(format!("{} names {name}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_platform_and_the_shell_name_the_platform() {
    let named = ["worker::", "worker_macros", "js_sys", "wasm_bindgen", "web_sys"];
    let mut wrong = Vec::new();
    for file in files_below(&root().join("src"), "rs") {
        if ["platform", "shell"].contains(&module_of(&file).as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for name in code.flat_map(|line| named.iter().filter(move |name| line.contains(*name))) {
            wrong.push(format!("{} names {name}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests"] {
        for file in files_below(&root().join(folder), "rs") {
            let text = fs::read_to_string(&file).unwrap();
            if text.lines().count() > FILE_MAX_LINES {
                wrong.push(format!("{} has more than {FILE_MAX_LINES} lines", file.display()));
            }
            if !text.starts_with("//!") {
                wrong.push(format!("{} does not open with what it is for", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_of_the_readme_exist() {
    let package: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(root().join("package.json")).unwrap()).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut known = 0;
    for part in readme.split("npm run ").skip(1) {
        let name: String =
            part.chars().take_while(|character| character.is_alphanumeric() || "-_:".contains(*character)).collect();
        assert!(
            package["scripts"].get(&name).is_some(),
            "README names npm run {name}, which package.json does not have"
        );
        known += 1;
    }
    assert!(known > 0, "the README names commands");
}

/// No C, no ring and no rsa in what is deployed, and no crate of it in two versions but those known.
#[test]
fn the_deployed_crates_are_pure_rust() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--target",
            "wasm32-unknown-unknown",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let listed = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<(&str, &str)> =
        listed.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once(" v")).collect();
    assert!(crates.len() > 50, "the tree is read: {}", crates.len());
    for (name, _) in &crates {
        assert!(
            !["cc", "ring", "rsa", "openssl-sys"].contains(name) && !name.ends_with("-sys")
                || *name == "worker-sys"
                || *name == "js-sys"
                || *name == "web-sys",
            "{name} is not pure Rust"
        );
    }
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in &crates {
        *versions.entry(name).or_default() += 1;
    }
    let doubled: Vec<_> = versions.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect();
    println!("crates: {}, in two versions: {doubled:?}", crates.len());
    // Each is wanted by two libraries that have not met yet.
    let known = ["getrandom", "hashbrown", "heck", "matchit", "num-bigint", "syn"];
    assert!(doubled.iter().all(|name| known.contains(name)), "{doubled:?}");
}
