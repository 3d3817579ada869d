//! How a column's values are laid out: one file an encoding, the choice among them elsewhere ([`choose`](super::choose)).
//!
//! Values are one or several *nodes*, one within the other. A node is a byte that names its [`Encoding`] and what that
//! encoding lays out; how many values it holds is told by what it is in. Nodes nest to [`MAX_LEVEL`] levels. What a node
//! can be depends on what its values are:
//!
//! | values | encodings |
//! |---|---|
//! | integers (int, long, date, timestamp, dictionary codes) | plain, constant, dictionary, run-length, delta, bit-packed |
//! | float, double | plain, constant, dictionary, run-length, ALP |
//! | 16 bytes (decimal, uuid) | plain, constant, dictionary, run-length, narrow |
//! | bytes (string, json, binary) | plain, constant, dictionary, FSST |
//! | booleans | plain, constant, run-length |
//!
//! Invariants: a decoder returns an error or as many values as asked for, whatever the bytes are; it never panics, takes
//! memory from its [`Budget`] before it allocates, and does work in proportion to the bytes given and the values asked for.

pub(super) mod alp;
pub(super) mod bit_packed;
pub(super) mod bits;
mod blocks;
pub(super) mod booleans;
mod budget;
pub(super) mod bytes;
pub(super) mod constant;
pub(super) mod delta;
pub(super) mod dictionary;
pub(super) mod fixed;
pub(super) mod floats;
pub(super) mod fsst;
pub(super) mod integers;
pub(super) mod plain;
pub(super) mod run_length;
pub(super) mod starts;
pub(super) mod validity;
pub(super) mod wide;
pub(super) mod wire;

use std::fmt;

pub use budget::{Budget, Touched};

use crate::error::Result;
use wire::corrupt;

/// How deep nodes nest.
pub(super) const MAX_LEVEL: u8 = 3;
/// The bytes of a node beside its values, about: for telling what reading one value looks at.
const NODE_OVERHEAD_BYTES: usize = 32;

/// How a node lays out its values. The numbers are for ever; those from 16 on are kept for entropy-coded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// The values one after the other.
    Plain = 0,
    /// One value for all rows.
    Constant = 1,
    /// The distinct values, and for each row which one it is.
    Dictionary = 2,
    /// Runs of one value: where each starts and its value.
    RunLength = 3,
    /// Differences between neighbours, bit-packed.
    Delta = 4,
    /// Differences from a frame of reference, bit-packed.
    BitPacked = 5,
    /// Text by a table of at most 255 symbols (Boncz, Neumann, Leis: "FSST", VLDB 2020).
    Fsst = 6,
    /// Floating-point numbers as decimal integers (after Afroozeh, Kuffo, Boncz: "ALP", SIGMOD 2024).
    Alp = 7,
    /// 16-byte integers that fit 8 bytes.
    Narrow = 8,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Plain,
        Self::Constant,
        Self::Dictionary,
        Self::RunLength,
        Self::Delta,
        Self::BitPacked,
        Self::Fsst,
        Self::Alp,
        Self::Narrow,
    ];

    /// Its number in the bytes.
    pub fn id(self) -> u8 {
        self as u8
    }

    pub(super) fn of(id: u8) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|encoding| encoding.id() == id);
        found.ok_or_else(|| {
            corrupt(format!("expected an encoding from 0 to 8, got {id}; was this written by a newer version?"))
        })
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Constant => "constant",
            Self::Dictionary => "dictionary",
            Self::RunLength => "run_length",
            Self::Delta => "delta",
            Self::BitPacked => "bit_packed",
            Self::Fsst => "fsst",
            Self::Alp => "alp",
            Self::Narrow => "narrow",
        })
    }
}

/// A node as bytes.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    /// The encoding's number and what it lays out.
    pub bytes: Vec<u8>,
    /// Bytes that reading one value looks at, at most; the value's own left out where it is text or bytes.
    pub point_bytes: usize,
}

impl Encoded {
    fn new(encoding: Encoding) -> Self {
        Self { bytes: vec![encoding.id()], point_bytes: NODE_OVERHEAD_BYTES }
    }

    /// The encoding of the outermost node.
    pub(super) fn encoding(&self) -> Result<Encoding> {
        Encoding::of(self.bytes.first().copied().unwrap_or(u8::MAX))
    }

    /// Appends a part that is not a node.
    fn put_part(&mut self, part: &Self) {
        wire::put_part(&mut self.bytes, &part.bytes);
        self.point_bytes = self.point_bytes.saturating_add(part.point_bytes);
    }

    /// Appends the last part, which has no length before it.
    fn put_last(&mut self, part: &Self) {
        self.bytes.extend_from_slice(&part.bytes);
        self.point_bytes = self.point_bytes.saturating_add(part.point_bytes);
    }
}

/// The next level, where one is left.
fn deeper(level: u8) -> Result<u8> {
    if level < MAX_LEVEL {
        Ok(level + 1)
    } else {
        Err(corrupt(format!("expected nodes to nest {MAX_LEVEL} levels at most, got more")))
    }
}
