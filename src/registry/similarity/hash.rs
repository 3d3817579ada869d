//! PDQ hashes (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019): 256 bits, of which
//! near images differ in few.

use std::fmt;

/// The bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// The largest distance that a search may ask for: beyond it every hash would be found.
pub const MAX_DISTANCE: u32 = 255;

/// Two words of a hash.
pub type Half = [u64; 2];

/// A hash: four words, the first with the first eight bytes, most significant first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PdqHash([u64; 4]);

impl PdqHash {
    /// The hash of these bytes.
    pub fn from_bytes(bytes: &[u8; HASH_BYTES]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        Self(words)
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; HASH_BYTES] {
        let mut bytes = [0; HASH_BYTES];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *bytes = word.to_be_bytes();
        }
        bytes
    }

    /// The hash of 64 hexadecimal digits, in either case; `None` for any other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let (digits, rest) = text.as_bytes().as_chunks::<16>();
        let digits: &[[u8; 16]; 4] = digits.try_into().ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut words = [0; 4];
        for (word, digits) in words.iter_mut().zip(digits) {
            for digit in digits {
                let value = char::from(*digit).to_digit(16)?;
                *word = (*word << 4) | u64::from(value);
            }
        }
        Some(Self(words))
    }

    /// How many bits differ.
    pub fn distance(self, other: Self) -> u32 {
        let [[a, b], [c, d]] = [self.first(), self.second()];
        let [[e, f], [g, h]] = [other.first(), other.second()];
        (a ^ e).count_ones() + (b ^ f).count_ones() + (c ^ g).count_ones() + (d ^ h).count_ones()
    }

    /// The first two words.
    pub fn first(self) -> Half {
        [self.0[0], self.0[1]]
    }

    /// The last two.
    pub fn second(self) -> Half {
        [self.0[2], self.0[3]]
    }

    /// The hash of two halves.
    pub fn of_halves(first: Half, second: Half) -> Self {
        Self([first[0], first[1], second[0], second[1]])
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for PdqHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a:016x}{b:016x}{c:016x}{d:016x}")
    }
}

impl fmt::Debug for PdqHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PdqHash({self})")
    }
}

/// How many bits of two halves differ.
#[inline(always)]
pub fn half_distance(left: Half, right: Half) -> u32 {
    (left[0] ^ right[0]).count_ones() + (left[1] ^ right[1]).count_ones()
}

/// Many hashes, their halves apart: whoever finds that a first half differs in too many bits does not touch the second.
#[derive(Default)]
pub struct Halves {
    first: Vec<Half>,
    second: Vec<Half>,
}

impl Halves {
    /// None, with room for some.
    pub fn with_capacity(hashes: usize) -> Self {
        Self { first: Vec::with_capacity(hashes), second: Vec::with_capacity(hashes) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.first.len().min(self.second.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let hashes = self.first.capacity().saturating_add(self.second.capacity());
        hashes.saturating_mul(size_of::<Half>())
    }

    /// Adds one.
    pub fn push(&mut self, hash: PdqHash) {
        if self.first.len() == self.first.capacity() {
            // An eighth more, not twice as much.
            let more = (self.first.len() / 8).max(1_024);
            self.first.reserve_exact(more);
            self.second.reserve_exact(more);
        }
        self.first.push(hash.first());
        self.second.push(hash.second());
    }

    /// The hash at a place.
    #[inline(always)]
    pub fn get(&self, place: usize) -> Option<PdqHash> {
        Some(PdqHash::of_halves(*self.first.get(place)?, *self.second.get(place)?))
    }

    /// All first halves.
    pub fn firsts(&self) -> &[Half] {
        &self.first
    }

    /// All second ones.
    pub fn seconds(&self) -> &[Half] {
        &self.second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "f162eb9daab170c0567fe3632d9a5548c5612982dd5e374a7424ebbc8a835c95";

    #[test]
    fn a_hash_is_64_digits_or_32_bytes() {
        let hash = PdqHash::from_hex(HEX).unwrap();
        assert_eq!(hash.to_string(), HEX);
        assert_eq!(PdqHash::from_hex(&HEX.to_uppercase()), Some(hash));
        assert_eq!(PdqHash::from_bytes(&hash.to_bytes()), hash);
        assert_eq!((hash.to_bytes()[0], hash.to_bytes()[31]), (0xf1, 0x95));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let [long, outside] = [format!("{HEX}0"), HEX.replacen("f1", "é", 1)];
        let [letter, sign, short] = ["g", "+", ""].map(|digit| HEX.replacen('f', digit, 1));
        for text in ["", &short, &long, &letter, &sign, &outside] {
            assert_eq!(PdqHash::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn distance_is_the_number_of_bits_that_differ() {
        let zero = PdqHash::from_bytes(&[0; HASH_BYTES]);
        let one = PdqHash::from_bytes(&[0xff; HASH_BYTES]);
        assert_eq!((zero.distance(zero), zero.distance(one)), (0, 256));
        let mut bytes = [0; HASH_BYTES];
        (bytes[0], bytes[9], bytes[17], bytes[31]) = (1, 2, 4, 0x81);
        assert_eq!(zero.distance(PdqHash::from_bytes(&bytes)), 5);
    }
}
