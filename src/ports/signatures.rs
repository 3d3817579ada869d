//! The checking of signatures by public keys, which the platform does: no curve is compiled into the worker for it.

use async_trait::async_trait;

use crate::error::Result;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Of ECDSA on P-256 with SHA-256: the point uncompressed, which is 4 and the coordinates (SEC 1, 2.3.3).
    P256([u8; 65]),
    /// Of Ed25519 (RFC 8032).
    Ed25519([u8; 32]),
}

/// Checks signatures.
#[async_trait(?Send)]
pub trait Signatures {
    /// Whether a key can be one: a point of its curve.
    async fn check(&self, key: &PublicKey) -> Result<bool>;

    /// Whether this is the signature of a message by the holder of a key; ECDSA's is r and s of 32 bytes each. Nobody holds
    /// a key that is no point of its curve.
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> Result<bool>;
}
