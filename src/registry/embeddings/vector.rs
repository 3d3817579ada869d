//! Vectors as they come from outside: what is refused, and how alike two of them are.
//!
//! Lengths are bounded on both sides, so that no product of two of them, and no square, leaves the range of 32-bit floats.

use crate::error::{ErrorKind, Result, StorageError};
use crate::types::StorageTier;

/// The most components of a vector.
pub const DIMENSION_MAX: usize = 4_096;
/// The most vectors that a search may ask for.
pub const K_MAX: usize = 1_000;
/// The least length of a vector.
pub const LENGTH_MIN: f32 = 1e-15;
/// The greatest length of a vector.
pub const LENGTH_MAX: f32 = 1e15;

/// Components summed side by side.
const LANES: usize = 16;

/// By what vectors are near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The cosine of the angle, greater is nearer.
    Cosine,
    /// The inner product, greater is nearer.
    Dot,
    /// The Euclidean distance, less is nearer.
    L2,
}

impl Metric {
    /// The names of all.
    pub const NAMES: [&str; 3] = ["cosine", "dot", "l2"];

    /// The metric of a name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "cosine" => Ok(Self::Cosine),
            "dot" => Ok(Self::Dot),
            "l2" => Ok(Self::L2),
            // Bounded, as it comes from a request.
            _ => Err(invalid("expected a metric of `cosine`, `dot` or `l2`, got another name; send one of these")),
        }
    }
}

#[cold]
pub(super) fn invalid(message: impl Into<String>) -> StorageError {
    StorageError::new(ErrorKind::Invalid, StorageTier::Hot, "check embedding", message)
}

#[cold]
pub(super) fn corrupt(message: impl Into<String>) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Hot, "read embeddings", message)
}

#[cold]
pub(super) fn internal(message: impl Into<String>) -> StorageError {
    StorageError::new(ErrorKind::Internal, StorageTier::Hot, "search embeddings", message)
}

/// Refuses a number of components that no vector may have.
pub fn check_dimension(dimension: usize) -> Result<()> {
    if (1..=DIMENSION_MAX).contains(&dimension) {
        return Ok(());
    }
    Err(invalid(format!("expected vectors of 1 to {DIMENSION_MAX} components, got {dimension}")))
}

/// Refuses a number of matches that no search may ask for.
pub fn check_k(k: usize) -> Result<()> {
    if (1..=K_MAX).contains(&k) {
        return Ok(());
    }
    Err(invalid(format!("expected `k` from 1 to {K_MAX}, got {k}; ask for fewer")))
}

/// Refuses what is not a vector of these many components with a direction. A pointer of the error is of the component.
pub fn check_vector(vector: &[f32], dimension: usize) -> Result<()> {
    if vector.len() != dimension {
        return Err(invalid(format!(
            "expected a vector of {dimension} components, as the others have, got {}; send one of the same model",
            vector.len()
        )));
    }
    if let Some(place) = vector.iter().position(|component| !component.is_finite()) {
        let message = "expected components that are finite 32-bit floats, got another; send numbers within ±3.4e38";
        return Err(invalid(message).at(format!("/{place}"), "not a finite 32-bit float"));
    }
    let length = length(vector);
    if length == 0.0 {
        return Err(invalid("expected a vector with a direction, got zeros alone; leave the embedding out instead"));
    }
    if !(f64::from(LENGTH_MIN)..=f64::from(LENGTH_MAX)).contains(&length) {
        return Err(invalid(format!(
            "expected a vector of length {LENGTH_MIN:e} to {LENGTH_MAX:e}, got one of {length:e}; scale it"
        )));
    }
    Ok(())
}

/// The Euclidean length, whatever the components.
fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt()
}

/// Sums what becomes of each pair of components, many side by side.
#[inline(always)]
fn sum_of_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    // By place, for a step of two iterators together is a call.
    for place in 0..left.len() {
        let (Some(left), Some(right)) = (left.get(place), right.get(place)) else { break };
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += term(*left, *right);
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| term(*left, *right)).sum();
    sums.iter().sum::<f32>() + rest
}

/// The inner product.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    sum_of_pairs(left, right, |left, right| left * right)
}

/// The square of the Euclidean distance.
pub fn squared_distance(left: &[f32], right: &[f32]) -> f32 {
    sum_of_pairs(left, right, |left, right| (left - right) * (left - right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(vector: &[f32], dimension: usize) -> StorageError {
        let error = check_vector(vector, dimension).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error
    }

    #[test]
    fn what_is_no_vector_is_refused_and_told_why() {
        assert!(check_vector(&[0.0, -2.0, 1e-20], 3).is_ok());
        assert!(refusal(&[1.0], 3).message().contains("3 components"));
        assert!(refusal(&[1.0; 4], 3).message().contains("got 4"));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = refusal(&[1.0, bad, 1.0], 3);
            assert!(error.message().contains("finite"));
            assert_eq!(error.fields()[0].pointer, "/1");
        }
        assert!(refusal(&[0.0, -0.0], 2).message().contains("zeros"));
        assert!(refusal(&[1e15, 1e15], 2).message().contains("length"));
        assert!(refusal(&[f32::MAX; 2], 2).message().contains("length"));
        assert!(refusal(&[1e-30, f32::from_bits(1)], 2).message().contains("length"));
    }

    #[test]
    fn other_arguments_are_checked_too() {
        for good in [1, 768, DIMENSION_MAX] {
            assert!(check_dimension(good).is_ok());
        }
        for bad in [0, DIMENSION_MAX + 1, usize::MAX] {
            assert!(check_dimension(bad).unwrap_err().message().contains(&bad.to_string()));
        }
        assert!(check_k(1).is_ok() && check_k(K_MAX).is_ok());
        for bad in [0, K_MAX + 1] {
            assert!(check_k(bad).unwrap_err().message().contains(&bad.to_string()));
        }
        for name in Metric::NAMES {
            assert!(Metric::from_name(name).is_ok());
        }
        assert!(Metric::from_name("Cosine").unwrap_err().message().contains("`cosine`, `dot` or `l2`"));
    }

    #[test]
    fn products_and_distances_are_those_of_the_textbook() {
        for length in [0, 1, 15, 16, 17, 40] {
            let numbers = || (0_u16..length).map(f32::from);
            let left: Vec<f32> = numbers().collect();
            let right: Vec<f32> = numbers().map(|number| 3.0 - number).collect();
            let pairs = || left.iter().zip(&right);
            let expected: f32 = pairs().map(|(left, right)| left * right).sum();
            assert_eq!(dot(&left, &right).to_bits(), (expected + 0.0).to_bits());
            let expected: f32 = pairs().map(|(left, right)| (left - right).powi(2)).sum();
            assert_eq!(squared_distance(&left, &right).to_bits(), (expected + 0.0).to_bits());
        }
    }
}
