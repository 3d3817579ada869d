//! What is done with a table: its parts become a blob each, and these are read again.

use std::collections::BTreeMap;
use std::hint::black_box;

use serde_json::{Value, json};
use thermocline::vortex::Column;
use thermocline::vortex::blob::{Blob, BlobWriter, Budget, EncodeOptions, Encoding};

use crate::Failure;
use crate::neutral::Table;

/// Rows that are read by position, of a whole table.
const POINTS: usize = 1_000;

/// A table and the blobs that were written of it.
#[derive(Default)]
pub struct Bench {
    table: Table,
    blobs: Vec<Vec<u8>>,
}

fn blob_of(names: &[String], columns: &[Column], options: EncodeOptions) -> Result<Vec<u8>, Failure> {
    let mut writer = BlobWriter::new(options);
    for (name, column) in names.iter().zip(columns) {
        writer.push(name, column)?;
    }
    Ok(writer.finish()?)
}

fn decoded(blob: &Blob<'_>, position: usize) -> Result<Column, Failure> {
    Ok(blob.decode(position, 0..blob.rows(), &mut Budget::new(usize::MAX))?)
}

/// The least and the most of what was counted, and the mean.
#[derive(Default)]
struct Count {
    most: usize,
    sum: usize,
    times: usize,
}

impl Count {
    fn add(&mut self, value: usize) {
        self.most = self.most.max(value);
        self.sum += value;
        self.times += 1;
    }

    fn json(&self) -> Value {
        json!({ "most": self.most, "mean": self.sum as f64 / self.times.max(1) as f64 })
    }
}

impl Bench {
    /// Takes a table, cut into parts of so many rows.
    pub fn load(bytes: &[u8], rows_of_a_blob: usize) -> Result<Self, Failure> {
        Ok(Self { table: Table::read(bytes, rows_of_a_blob)?, blobs: Vec::new() })
    }

    /// Runs a command. What is timed are `encode` and `decode`, the latter of all columns or of the one at a position.
    pub fn run(&mut self, command: &str) -> Result<Value, Failure> {
        if let Some(position) = command.strip_prefix("decode ") {
            return self.decode(&[position.parse()?]);
        }
        match command {
            "keep" => self.keep(),
            "verify" => self.verify(),
            "sizes" => self.sizes(),
            "forced" => self.forced(),
            "points" => self.points(),
            "encode" => self.encode(),
            "decode" => self.decode(&Vec::from_iter(0..self.table.names.len())),
            other => Err(format!("there is no command {other}").into()),
        }
    }

    /// Writes the blobs that the other commands are about.
    fn keep(&mut self) -> Result<Value, Failure> {
        let options = EncodeOptions::default();
        let Table { names, parts } = &self.table;
        self.blobs = parts.iter().map(|columns| blob_of(names, columns, options)).collect::<Result<_, _>>()?;
        Ok(json!({}))
    }

    /// That all that was written is read back.
    fn verify(&self) -> Result<Value, Failure> {
        for (part, (bytes, columns)) in self.blobs.iter().zip(&self.table.parts).enumerate() {
            let blob = Blob::open(bytes)?;
            if blob.columns().len() != columns.len() {
                return Err(format!("blob {part} has {} columns", blob.columns().len()).into());
            }
            for (position, (name, column)) in self.table.names.iter().zip(columns).enumerate() {
                if blob.columns()[position].name != *name || decoded(&blob, position)? != *column {
                    return Err(format!("column {name} of blob {part} was not read back as it was written").into());
                }
            }
        }
        Ok(json!({}))
    }

    /// Bytes of all blobs and of their columns, and in how many blobs a column is encoded in which way.
    fn sizes(&self) -> Result<Value, Failure> {
        let mut columns = vec![(0, BTreeMap::<String, usize>::new()); self.table.names.len()];
        for bytes in &self.blobs {
            let blob = Blob::open(bytes)?;
            for (position, (sum, encodings)) in columns.iter_mut().enumerate() {
                *sum += blob.columns()[position].bytes();
                *encodings.entry(blob.describe(position)?).or_default() += 1;
            }
        }
        let columns: Vec<_> =
            columns.into_iter().map(|(bytes, encodings)| json!({ "bytes": bytes, "encodings": encodings })).collect();
        let bytes: usize = self.blobs.iter().map(Vec::len).sum();
        Ok(json!({ "bytes": bytes, "blobs": self.blobs.len(), "columns": columns }))
    }

    /// For each column the bytes that it takes in the first blob with each encoding that applies to it.
    fn forced(&self) -> Result<Value, Failure> {
        let mut columns = Vec::new();
        for (name, column) in self.table.names.iter().zip(self.table.parts.first().into_iter().flatten()) {
            let mut sizes = BTreeMap::new();
            for encoding in Encoding::ALL {
                let options = EncodeOptions { force: Some(encoding) };
                // That the encoding cannot hold the column is no failure here.
                if let Ok(bytes) = blob_of(std::slice::from_ref(name), std::slice::from_ref(column), options) {
                    sizes.insert(encoding.to_string(), Blob::open(&bytes)?.columns()[0].bytes());
                }
            }
            columns.push(json!({ "rows": column.rows(), "sizes": sizes }));
        }
        Ok(json!({ "columns": columns }))
    }

    /// What reading one value by its row costs, over rows all along the table: the first and the last of each blob, and
    /// others. What is read must be what was written.
    fn points(&self) -> Result<Value, Failure> {
        let mut columns = Vec::new();
        let others = POINTS.div_ceil(self.blobs.len().max(1));
        for (position, name) in self.table.names.iter().enumerate() {
            let (mut bytes_touched, mut values_decoded) = (Count::default(), Count::default());
            for (bytes, part) in self.blobs.iter().zip(&self.table.parts) {
                let (blob, column) = (Blob::open(bytes)?, &part[position]);
                // A step that shares no factor with the rows of a whole blob comes to all residues.
                let between = (0..others).map(|point| point * 40_503 % column.rows());
                for row in [0, column.rows() - 1].into_iter().chain(between) {
                    let read = blob.value(position, row)?;
                    if read.value != column.get(row) {
                        return Err(format!("row {row} of column {name} was read as {:?}", read.value).into());
                    }
                    bytes_touched.add(read.bytes_touched);
                    values_decoded.add(read.values_decoded);
                }
            }
            columns.push(json!({ "bytesTouched": bytes_touched.json(), "valuesDecoded": values_decoded.json() }));
        }
        Ok(json!({ "columns": columns }))
    }

    fn encode(&self) -> Result<Value, Failure> {
        let options = EncodeOptions::default();
        for columns in &self.table.parts {
            black_box(blob_of(&self.table.names, columns, options)?);
        }
        Ok(json!({}))
    }

    fn decode(&self, positions: &[usize]) -> Result<Value, Failure> {
        let mut values = 0;
        for bytes in &self.blobs {
            let blob = Blob::open(bytes)?;
            for position in positions {
                values += black_box(decoded(&blob, *position)?).values().len();
            }
        }
        Ok(json!({ "values": values }))
    }
}
