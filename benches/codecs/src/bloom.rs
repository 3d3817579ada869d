//! A Bloom filter on ids that are random: what it costs a file, and what a reader of one id reads with and without.

use parquet::bloom_filter::Sbbf;
use parquet::file::reader::{FileReader, SerializedFileReader};
use thermocline::types::Document;
use uuid::Uuid;

use crate::Failure;
use crate::files::{NOW, state};
use crate::pages::parquet_bytes;

/// The share of the absent ids that a filter takes for present.
const FALSE_POSITIVES: f64 = 0.01;
/// Lookups of ids that no file has.
const LOOKUPS: usize = 200;

/// Prints what files of so many rows cost and save.
pub fn print() -> Result<(), Failure> {
    println!("\nBloom filters of 1 % on random ids; a lookup of an id that is not there, a file:");
    println!(
        "{:>8}{:>12}{:>14}{:>10}{:>10}{:>16}{:>18}{:>16}",
        "rows", "file", "id column", "filters", "a row", "ids read", "filters + ids", "groups by range"
    );
    for rows in [1_000, 2_000, 5_000, 10_000, 20_000, 200_000] {
        line(rows)?;
    }
    Ok(())
}

fn line(rows: usize) -> Result<(), Failure> {
    let ids = ids(rows, 0);
    let document = |(position, id): (usize, &String)| {
        let text = format!("{{\"id\":\"{id}\",\"n\":{},\"v\":{}.5}}", position % 1_000, (position * 7_919) % 100_003);
        Ok(Document { id: id.clone(), sequence: i64::try_from(position)? + 1, timestamp: NOW, text })
    };
    let documents: Vec<Document> = ids.iter().enumerate().map(document).collect::<Result<_, Failure>>()?;
    let file = state(&documents)?.bytes;
    let reader = SerializedFileReader::new(parquet_bytes(&file))?;
    let mut start = 0;
    let mut groups = Vec::new();
    for group in reader.metadata().row_groups() {
        let end = start + usize::try_from(group.num_rows())?;
        let mut filter = Sbbf::new_with_ndv_fpp(u64::try_from(end - start)?, FALSE_POSITIVES)?;
        ids[start..end].iter().for_each(|id| filter.insert(id.as_str()));
        groups.push((&ids[start..end], filter, usize::try_from(group.column(0).compressed_size())?));
        start = end;
    }
    let (mut without, mut with, mut by_range) = (0, 0, 0);
    for absent in self::ids(LOOKUPS, 1) {
        for (ids, filter, bytes) in &groups {
            if ids.first().is_some_and(|first| *first <= absent) && ids.last().is_some_and(|last| absent <= *last) {
                by_range += 1;
                without += bytes;
                with += filter.num_blocks() * 32 + if filter.check(absent.as_str()) { *bytes } else { 0 };
            }
        }
    }
    let id_column: usize = groups.iter().map(|(_, _, bytes)| bytes).sum();
    let filters: usize = groups.iter().map(|(_, filter, _)| filter.num_blocks() * 32).sum();
    println!(
        "{rows:>8}{:>12}{id_column:>14}{filters:>10}{:>10.2}{:>16}{:>18}{:>16.2}",
        file.len(),
        filters as f64 / rows as f64,
        without / LOOKUPS,
        with / LOOKUPS,
        by_range as f64 / LOOKUPS as f64
    );
    Ok(())
}

/// Random ids, the same each time, ascending.
fn ids(count: usize, series: usize) -> Vec<String> {
    let id = |number: usize| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{series} {number}").as_bytes());
    let mut ids: Vec<String> = (0..count).map(|number| id(number).to_string()).collect();
    ids.sort();
    ids
}
