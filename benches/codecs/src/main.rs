//! `codecs <folder of vega-datasets>`: what the codecs make of the pages of our files, as tables.

mod bloom;
mod codec;
mod files;
mod pages;

use std::path::PathBuf;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder =
        std::env::args_os().nth(1).map(PathBuf::from).ok_or("expected the folder of vega-datasets, got none")?;
    for name in ["flights-200k", "movies"] {
        let documents = files::documents(&std::fs::read(folder.join(format!("{name}.json")))?)?;
        pages::print(&format!("{name}, state"), documents.len(), &files::state(&documents)?)?;
        pages::print(&format!("{name}, change log"), documents.len(), &files::changes(&documents)?)?;
    }
    bloom::print()
}
