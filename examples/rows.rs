//! Prints the live rows of an Iceberg table in a copy of a bucket, a JSON object a line:
//! `cargo run --example rows -- <folder> <table> [<key of a metadata file>]`
//!
//! Without a metadata file the version hint names it. How values are written tells `PrimitiveType::to_json`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints what it reads")]

use std::process::ExitCode;

use thermocline::cold::read::{Expected, Table};
use thermocline::error::Result;
use thermocline::ports::native::{FolderBucket, run};

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let (folder, table, metadata) = match names.as_slice() {
        [folder, table] => (folder, table, None),
        [folder, table, metadata] => (folder, table, Some(metadata.as_str())),
        _ => {
            eprintln!("usage: cargo run --example rows -- <folder> <table> [<key of a metadata file>]");
            return ExitCode::from(2);
        }
    };
    match run(rows(folder, table, metadata)).done() {
        Some(Ok(rows)) => {
            rows.iter().for_each(|row| println!("{row}"));
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("the table was not read to its end");
            ExitCode::FAILURE
        }
    }
}

async fn rows(folder: &str, table: &str, metadata: Option<&str>) -> Result<Vec<serde_json::Value>> {
    let bucket = FolderBucket::new(folder);
    let expected = Expected::default();
    let opened = match metadata {
        None => Table::open(&bucket, table, expected).await?,
        Some(key) => Table::open_metadata(&bucket, table, key, expected).await?,
    };
    opened.rows(&bucket).await
}
