//! Looking up many bytes at a time: in vector registers in WebAssembly, one by one elsewhere, with the same results.

/// Codes worked on at a time.
pub const GROUP: usize = 16;
/// Entries of a table: one for each value of four bits.
pub const TABLE: usize = 16;

pub use columns::{Column, Table, column, column_bytes, look_up, table};

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod columns {
    use core::arch::wasm32 as simd;

    use super::{GROUP, TABLE};

    /// A byte of each code of a group.
    pub type Column = simd::v128;
    /// What four bits stand for.
    pub type Table = simd::v128;

    /// A table of these bytes.
    pub fn table(bytes: [u8; TABLE]) -> Table {
        let (low, high) = bytes.split_at(TABLE / 2);
        let word = |half: &[u8]| half.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        simd::u64x2(word(low), word(high))
    }

    /// The column of these bytes.
    pub fn column(bytes: [u8; GROUP]) -> Column {
        table(bytes)
    }

    /// The bytes of a column.
    pub fn column_bytes(column: &Column) -> [u8; GROUP] {
        let words = [simd::u64x2_extract_lane::<0>(*column), simd::u64x2_extract_lane::<1>(*column)];
        let mut bytes = [0; GROUP];
        bytes.iter_mut().zip(words.iter().flat_map(|word| word.to_le_bytes())).for_each(|(to, byte)| *to = byte);
        bytes
    }

    /// For each code the sum of what its bytes name: the lower four bits of each in the first table beside it, the upper
    /// in the second. Nothing in the tables is above 31.
    #[inline(never)]
    pub fn look_up(codes: &[Column], tables: &[[Table; 2]], sums: &mut [u16; GROUP]) {
        let lower = simd::u8x16_splat(0x0f);
        let (mut first, mut second) = (simd::u16x8_splat(0), simd::u16x8_splat(0));
        let (codes, tables) = (codes.as_chunks::<4>().0, tables.as_chunks::<4>().0);
        // By place, for a step of two iterators together is a call.
        for place in 0..codes.len() {
            let (Some(codes), Some(tables)) = (codes.get(place), tables.get(place)) else { break };
            // Eight times 31 is a byte.
            let mut sum = simd::u8x16_splat(0);
            for (code, [of_lower, of_upper]) in codes.iter().zip(tables) {
                let upper = simd::v128_and(simd::u16x8_shr(*code, 4), lower);
                sum = simd::u8x16_add(sum, simd::u8x16_swizzle(*of_lower, simd::v128_and(*code, lower)));
                sum = simd::u8x16_add(sum, simd::u8x16_swizzle(*of_upper, upper));
            }
            first = simd::u16x8_add(first, simd::u16x8_extend_low_u8x16(sum));
            second = simd::u16x8_add(second, simd::u16x8_extend_high_u8x16(sum));
        }
        let words = |register| [simd::u64x2_extract_lane::<0>(register), simd::u64x2_extract_lane::<1>(register)];
        let ([a, b], [c, d]) = (words(first), words(second));
        for (sums, word) in sums.as_chunks_mut::<4>().0.iter_mut().zip([a, b, c, d]) {
            for (sum, bytes) in sums.iter_mut().zip(word.to_le_bytes().as_chunks().0) {
                *sum = u16::from_le_bytes(*bytes);
            }
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod columns {
    use super::{GROUP, TABLE};

    /// A byte of each code of a group.
    pub type Column = [u8; GROUP];
    /// What four bits stand for.
    pub type Table = [u8; TABLE];

    /// A table of these bytes.
    pub fn table(bytes: [u8; TABLE]) -> Table {
        bytes
    }

    /// The column of these bytes.
    pub fn column(bytes: [u8; GROUP]) -> Column {
        bytes
    }

    /// The bytes of a column.
    pub fn column_bytes(column: &Column) -> [u8; GROUP] {
        *column
    }

    /// For each code the sum of what its bytes name: the lower four bits of each in the first table beside it, the upper
    /// in the second. Nothing in the tables is above 31.
    pub fn look_up(codes: &[Column], tables: &[[Table; 2]], sums: &mut [u16; GROUP]) {
        sums.fill(0);
        let in_table = |table: &Table, index: u8| table.get(usize::from(index)).copied().map_or(0, u16::from);
        for (codes, [of_lower, of_upper]) in codes.iter().zip(tables) {
            for (sum, code) in sums.iter_mut().zip(codes) {
                *sum += in_table(of_lower, code & 0x0f) + in_table(of_upper, code >> 4);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::SplitMix;
    use super::*;

    #[test]
    fn sums_are_those_of_the_tables() {
        let mut numbers = SplitMix(3);
        let mut byte = |mask: u8| numbers.next().to_le_bytes()[0] & mask;
        for count in [8, 32, 96, 512] {
            let codes: Vec<[u8; GROUP]> = (0..count).map(|_| std::array::from_fn(|_| byte(0xff))).collect();
            let mut one = || -> [u8; TABLE] { std::array::from_fn(|_| byte(31)) };
            let mut tables: Vec<[[u8; TABLE]; 2]> = (0..count).map(|_| [one(), one()]).collect();
            tables[4..8].fill([[31; TABLE]; 2]);
            let columns: Vec<Column> = codes.iter().map(|bytes| column(*bytes)).collect();
            assert!(columns.iter().zip(&codes).all(|(column, bytes)| column_bytes(column) == *bytes));
            let in_registers: Vec<[Table; 2]> = tables.iter().map(|pair| pair.map(table)).collect();
            let expected: [u16; GROUP] = std::array::from_fn(|lane| {
                let of = |(code, [low, high]): (&[u8; GROUP], &[[u8; TABLE]; 2])| {
                    u16::from(low[usize::from(code[lane] & 15)]) + u16::from(high[usize::from(code[lane] >> 4)])
                };
                codes.iter().zip(&tables).map(of).sum()
            });
            let mut sums = [7; GROUP];
            look_up(&columns, &in_registers, &mut sums);
            assert_eq!(sums, expected);
        }
    }
}
