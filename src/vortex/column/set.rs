//! Bitmaps as sets of rows.

use super::Bitmap;

impl Bitmap {
    /// Clears the bits that `other` has not set.
    pub fn intersect(&mut self, other: &Self) {
        let mut others = other.words.iter();
        self.words.iter_mut().for_each(|word| *word &= others.next().copied().unwrap_or(0));
    }

    /// Sets the bits that `other`, of the same length, has set.
    pub fn unite(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
        self.clear_rest();
    }

    /// Clears the bits that `other` has set.
    pub fn subtract(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// Whether no bit is set.
    pub fn is_clear(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_rows_are_combined() {
        let of = |rows: &[usize]| (0..130).map(|row| rows.contains(&row)).collect::<Bitmap>();
        let rows = |set: &Bitmap| set.positions().collect::<Vec<_>>();
        let (left, right) = (of(&[0, 63, 64, 129]), of(&[63, 100, 129]));
        let mut set = left.clone();
        set.intersect(&right);
        assert_eq!(rows(&set), [63, 129]);
        set.unite(&left);
        assert_eq!(rows(&set), [0, 63, 64, 129]);
        set.subtract(&right);
        assert_eq!(rows(&set), [0, 64]);
        set.subtract(&left);
        assert!(set.is_clear());
        set.unite(&Bitmap::repeated(true, 200));
        assert_eq!(set.count(), 130, "nothing is set past the end");
    }
}
