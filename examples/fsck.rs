//! Checks Iceberg tables in a copy of a bucket: `cargo run --example fsck -- <folder> <table>...`
//!
//! The folder holds the bucket's objects under their keys; a table is its key, such as `iceberg/demo/1/movies`. With
//! `--files` rows are not read. Prints a line a finding; the exit code is 1 when there is one of severity error.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints what it finds")]

use std::process::ExitCode;

use thermocline::cold::fsck::{Check, Depth, Severity, check};
use thermocline::cold::read::Expected;
use thermocline::ports::native::{FolderBucket, run};

fn main() -> ExitCode {
    let (options, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|name| name.starts_with("--"));
    let unknown = options.iter().any(|option| option != "--files");
    let (Some((folder, tables)), false) = (names.split_first(), unknown) else { return usage() };
    if tables.is_empty() {
        return usage();
    }
    let depth = if options.is_empty() { Depth::Rows } else { Depth::Files };
    let bucket = FolderBucket::new(folder);
    let mut broken = false;
    for table in tables {
        let asked = Check { folder: table, depth, expected: Expected::default(), catalogue: None };
        let Some(report) = run(check(&bucket, &asked)).done() else {
            eprintln!("{table}: the walk did not end");
            return ExitCode::FAILURE;
        };
        for finding in &report.findings {
            println!("{finding}");
        }
        let counts = report.counts;
        println!(
            "{table}: {} snapshots, {} manifests, {} data files, {} delete files, {} rows: {} findings",
            counts.snapshots,
            counts.manifests,
            counts.data_files,
            counts.delete_files,
            counts.rows,
            counts.further_findings.saturating_add(u64::try_from(report.findings.len()).unwrap_or(u64::MAX)),
        );
        broken |=
            counts.further_findings > 0 || report.findings.iter().any(|finding| finding.severity() == Severity::Error);
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn usage() -> ExitCode {
    eprintln!("usage: cargo run --example fsck -- [--files] <folder> <table>...");
    ExitCode::from(2)
}
