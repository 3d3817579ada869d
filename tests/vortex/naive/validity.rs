//! Which rows have a value: a bool a row.

use super::input::Input;
use super::packed::positions;
use super::{Refusal, refuse};

/// Rows that share one rank.
const RANK_ROWS: usize = 4_096;

pub fn validity(bytes: &[u8], rows: usize) -> Result<Vec<bool>, Refusal> {
    let mut input = Input::new(bytes);
    match input.byte()? {
        0 => {
            input.end()?;
            Ok(vec![true; rows])
        }
        1 => {
            input.end()?;
            Ok(vec![false; rows])
        }
        2 => ranked_bits(input, rows),
        form @ (3 | 4) => {
            let count = input.count()?;
            if count == 0 {
                return refuse("no positions");
            }
            let mut valid = vec![form == 3; rows];
            for position in positions(input.rest(), count, rows)? {
                valid[position] = form == 4;
            }
            Ok(valid)
        }
        form => refuse(format!("validity of form {form}")),
    }
}

fn ranked_bits(mut input: Input<'_>, rows: usize) -> Result<Vec<bool>, Refusal> {
    let mut ranks = Vec::new();
    for _ in 1..rows.div_ceil(RANK_ROWS) {
        ranks.push(input.u32()?);
    }
    let valid = bits(input.rest(), rows)?;
    for (number, rank) in ranks.into_iter().enumerate() {
        let end = (number + 1) * RANK_ROWS;
        if valid.iter().take(end).filter(|valid| **valid).count() != rank as usize {
            return refuse(format!("a rank of {rank} that the bits before row {end} do not have"));
        }
    }
    Ok(valid)
}

/// `count` bits, low bits first, and nothing else.
pub fn bits(bytes: &[u8], count: usize) -> Result<Vec<bool>, Refusal> {
    if bytes.len() != count.div_ceil(8) {
        return refuse(format!("{} bytes for {count} bits", bytes.len()));
    }
    // Bits after the last one are not looked at.
    Ok(bytes.iter().flat_map(|byte| (0..8).map(move |place| byte >> place & 1 == 1)).take(count).collect())
}
