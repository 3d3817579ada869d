//! The packed bits lie as the `fastlanes` crate lays them out, at every width.

use fastlanes::BitPacking;
use thermocline::vortex::blob::Encoding;

use crate::support::*;

/// The packed bytes of a blob of one full block: what is before the index and after the directory.
fn packed(values: &[u64], width: usize) -> Vec<u8> {
    let column = longs(values.iter().map(|value| *value as i64));
    let bytes = encoded(&column, Some(Encoding::BitPacked)).unwrap();
    assert_same(&column, &decoded(&bytes).unwrap());
    let index = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap()) as usize;
    bytes[index - 128 * width..index].to_vec()
}

macro_rules! widths {
    ($unsigned:ty, $lanes:literal: $($width:literal)*) => {$({
        let mut random = Random::new($width);
        let mask = u64::MAX >> (64 - $width);
        // Values at both ends: no smaller base, and no exceptions.
        let mut values: Vec<u64> = (0..1_024).map(|_| random.next() & mask).collect();
        (values[0], values[1]) = (0, mask);
        let block: [$unsigned; 1_024] = std::array::from_fn(|at| values[at] as $unsigned);
        let mut words = [0; $lanes * $width];
        BitPacking::pack::<$width, { $lanes * $width }>(&block, &mut words);
        let expected: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(packed(&values, $width), expected, "width {}", $width);
    })*};
}

#[test]
fn narrow_blocks_are_in_the_order_of_fastlanes() {
    widths!(u32, 32: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
}

#[test]
fn wide_blocks_are_in_the_order_of_fastlanes() {
    widths!(u64, 16: 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
}
