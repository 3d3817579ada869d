//! The bodies of the blocks that hashes are packed in, version 1, little-endian.
//!
//! Of hashes, [`HASHES_PER_BLOCK`] a block but the last:
//!
//! | size | what |
//! |---|---|
//! | 4 | hashes, `n` |
//! | 32 n | the hashes, in the order of positions |
//! | n | their qualities, 0 to 100 |
//!
//! Of the names of their assets, [`NAMES_PER_BLOCK`] a block but the last:
//!
//! | size | what |
//! |---|---|
//! | 4 | names, `n` |
//! | 4 n | where each name ends in what follows |
//! | | the names, UTF-8 |
//!
//! The head:
//!
//! | size | what |
//! |---|---|
//! | 8 | the sequence up to which events are taken in |
//! | 4 | positions that were given |
//! | | the removed positions: a Roaring bitmap in its portable format |

use roaring::RoaringBitmap;

use super::hash::{HASH_BYTES, PdqHash};
use crate::error::Result;
use crate::registry::blocks::{Kind, body, corrupt, to_bytes};
use crate::types::Sequence;

/// Hashes of a block: 270 KB a row.
pub const HASHES_PER_BLOCK: usize = 8_192;
/// Names of a block: a search reads one for each of its matches that lies elsewhere.
pub const NAMES_PER_BLOCK: usize = 512;

/// A hash with its quality.
pub type Hashed = (PdqHash, u8);

/// How far an index has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// The sequence up to which events are taken in.
    pub through: Sequence,
    /// Positions that were given.
    pub positions: u32,
    /// Those of them that are removed.
    pub removed: RoaringBitmap,
}

/// A block of hashes.
pub fn hashes_to_bytes(hashes: &[Hashed]) -> Result<Vec<u8>> {
    let mut bytes = count(hashes.len())?.to_le_bytes().to_vec();
    bytes.reserve_exact(hashes.len().saturating_mul(HASH_BYTES + 1));
    hashes.iter().for_each(|(hash, _)| bytes.extend_from_slice(&hash.to_bytes()));
    bytes.extend(hashes.iter().map(|(_, quality)| *quality));
    Ok(to_bytes(Kind::Hashes, &bytes))
}

/// The hashes of a block.
pub fn read_hashes(bytes: &[u8]) -> Result<Vec<Hashed>> {
    let (count, rest) = counted(body(Kind::Hashes, bytes)?, HASHES_PER_BLOCK)?;
    let Some((hashes, qualities)) = rest.split_at_checked(count.saturating_mul(HASH_BYTES)) else {
        return Err(corrupt(format!("expected {count} hashes, got fewer bytes")));
    };
    if qualities.len() != count || qualities.iter().any(|quality| *quality > 100) {
        return Err(corrupt(format!("expected {count} qualities from 0 to 100, got other bytes")));
    }
    let hashes = hashes.as_chunks::<HASH_BYTES>().0.iter().map(PdqHash::from_bytes);
    Ok(hashes.zip(qualities.iter().copied()).collect())
}

/// A block of names, of hashes or of embeddings.
pub fn names_to_bytes<'n>(kind: Kind, names: impl Iterator<Item = &'n str> + Clone) -> Result<Vec<u8>> {
    let mut bytes = count(names.clone().count())?.to_le_bytes().to_vec();
    let mut end = 0_usize;
    for name in names.clone() {
        end = end.saturating_add(name.len());
        bytes.extend_from_slice(&count(end)?.to_le_bytes());
    }
    names.for_each(|name| bytes.extend_from_slice(name.as_bytes()));
    Ok(to_bytes(kind, &bytes))
}

/// The names of a block.
pub struct Names {
    text: String,
    ends: Vec<u32>,
}

impl Names {
    /// Reads a block.
    pub fn read(kind: Kind, bytes: &[u8]) -> Result<Self> {
        let (count, rest) = counted(body(kind, bytes)?, NAMES_PER_BLOCK)?;
        let Some((ends, text)) = rest.split_at_checked(count.saturating_mul(4)) else {
            return Err(corrupt(format!("expected {count} names, got fewer bytes")));
        };
        let ends: Vec<u32> = ends.as_chunks::<4>().0.iter().map(|end| u32::from_le_bytes(*end)).collect();
        let text = std::str::from_utf8(text).map_err(|error| corrupt("expected UTF-8".to_owned()).caused_by(error))?;
        let names = Self { text: text.to_owned(), ends };
        let whole = names.ends.last().map_or(0, |end| usize::try_from(*end).unwrap_or(usize::MAX)) == text.len();
        if whole && (0..count).all(|place| names.get(place).is_some()) {
            return Ok(names);
        }
        Err(corrupt("expected names that follow each other, got others".to_owned()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them.
    pub fn get(&self, place: usize) -> Option<&str> {
        let end = usize::try_from(*self.ends.get(place)?).ok()?;
        let start = match place.checked_sub(1) {
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?,
            None => 0,
        };
        self.text.get(start..end)
    }
}

impl Head {
    /// The head's block, of hashes or of embeddings.
    pub fn to_bytes(&self, kind: Kind) -> Result<Vec<u8>> {
        let mut bytes = self.through.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.positions.to_le_bytes());
        let written = self.removed.serialize_into(&mut bytes);
        written.map_err(|error| corrupt("expected to write a bitmap".to_owned()).caused_by(error))?;
        Ok(to_bytes(kind, &bytes))
    }

    /// Reads the head's block.
    pub fn read(kind: Kind, bytes: &[u8]) -> Result<Self> {
        let body = body(kind, bytes)?;
        let short = || corrupt("expected the head of an index, got fewer bytes".to_owned());
        let (through, rest) = body.split_first_chunk::<8>().ok_or_else(short)?;
        let (positions, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let removed = RoaringBitmap::deserialize_from(&mut rest)
            .map_err(|error| corrupt("expected a Roaring bitmap".to_owned()).caused_by(error))?;
        let head = Self { through: i64::from_le_bytes(*through), positions: u32::from_le_bytes(*positions), removed };
        let within = head.removed.max().is_none_or(|last| last < head.positions);
        if rest.is_empty() && within && head.through >= 0 {
            return Ok(head);
        }
        Err(corrupt("expected removed positions below the number of positions, got others".to_owned()))
    }
}

fn count(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| corrupt(format!("expected a number of 32 bits, got {number}")))
}

fn counted(body: &[u8], most: usize) -> Result<(usize, &[u8])> {
    let head = body.split_first_chunk::<4>();
    let (count, rest) = head.ok_or_else(|| corrupt("expected a count, got fewer bytes".to_owned()))?;
    match usize::try_from(u32::from_le_bytes(*count)) {
        Ok(count) if count <= most => Ok((count, rest)),
        _ => Err(corrupt(format!("expected at most {most} in a block, got more"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes() -> Vec<Hashed> {
        (0..5_u8).map(|n| (PdqHash::from_bytes(&[n.wrapping_mul(37); HASH_BYTES]), n * 25)).collect()
    }

    const NAMES: [&str; 4] = ["a", "", "zwölf", "0192d3f0-0000-7000-8000-000000000000"];

    fn head() -> Head {
        Head { through: 77, positions: 100, removed: [3, 99].into_iter().collect() }
    }

    #[test]
    fn what_was_packed_is_read() {
        assert_eq!(read_hashes(&hashes_to_bytes(&hashes()).unwrap()).unwrap(), hashes());
        assert_eq!(read_hashes(&hashes_to_bytes(&[]).unwrap()).unwrap(), []);
        let names = Names::read(Kind::HashNames, &names_to_bytes(Kind::HashNames, NAMES.into_iter()).unwrap()).unwrap();
        assert_eq!((0..5).map(|place| names.get(place)).collect::<Vec<_>>()[..4], NAMES.map(Some));
        assert_eq!((names.len(), names.get(4)), (4, None));
        assert_eq!(Head::read(Kind::HashHead, &head().to_bytes(Kind::HashHead).unwrap()).unwrap(), head());
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        for (golden, bytes) in [
            (&include_bytes!("../../../tests/golden/registry-hashes-v1.bin")[..], hashes_to_bytes(&hashes()).unwrap()),
            (
                &include_bytes!("../../../tests/golden/registry-hash-names-v1.bin")[..],
                names_to_bytes(Kind::HashNames, NAMES.into_iter()).unwrap(),
            ),
            (
                &include_bytes!("../../../tests/golden/registry-hash-head-v1.bin")[..],
                head().to_bytes(Kind::HashHead).unwrap(),
            ),
        ] {
            assert_eq!(golden, bytes, "version 1 must be written as it always was");
        }
        assert_eq!(
            Head::read(Kind::HashHead, include_bytes!("../../../tests/golden/registry-hash-head-v1.bin")).unwrap(),
            head()
        );
    }

    #[test]
    fn bodies_that_cannot_be_are_refused() {
        let hashes = |body: &[u8]| read_hashes(&to_bytes(Kind::Hashes, body)).is_err();
        assert!(hashes(&[]) && hashes(&[1, 0, 0, 0]) && hashes(&[0xff; 4]) && hashes(&[0, 0, 0, 0, 0]));
        let mut bad = 1_u32.to_le_bytes().to_vec();
        bad.extend([0; HASH_BYTES]);
        assert!(hashes(&[&bad[..], &[101]].concat()) && !hashes(&[&bad[..], &[100]].concat()));
        let names = |body: &[u8]| Names::read(Kind::HashNames, &to_bytes(Kind::HashNames, body)).is_err();
        assert!(names(&[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, b'a']), "ends that go back");
        assert!(names(&[1, 0, 0, 0, 1, 0, 0, 0, b'a', b'b']), "more than names");
        assert!(names(&[2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0xc3, 0xa4]), "an end within a character");
        let head = |head: Head| Head::read(Kind::HashHead, &head.to_bytes(Kind::HashHead).unwrap()).is_err();
        assert!(head(Head { removed: [100].into_iter().collect(), ..self::head() }));
        assert!(head(Head { through: -1, ..self::head() }));
    }
}
