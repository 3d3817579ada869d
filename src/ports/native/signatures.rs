//! Signatures checked by pure Rust.

use async_trait::async_trait;
use ed25519_dalek::VerifyingKey as EdKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature as EcSignature, VerifyingKey as EcKey};

use crate::error::Result;
use crate::ports::{PublicKey, Signatures};

/// Both curves.
pub struct NativeSignatures;

#[async_trait(?Send)]
impl Signatures for NativeSignatures {
    async fn check(&self, key: &PublicKey) -> Result<bool> {
        Ok(match key {
            PublicKey::P256(point) => EcKey::from_sec1_bytes(point).is_ok(),
            PublicKey::Ed25519(point) => EdKey::from_bytes(point).is_ok(),
        })
    }

    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> Result<bool> {
        Ok(match key {
            PublicKey::P256(point) => EcKey::from_sec1_bytes(point)
                .and_then(|key| key.verify(message, &EcSignature::from_slice(signature)?))
                .is_ok(),
            PublicKey::Ed25519(point) => EdKey::from_bytes(point)
                .and_then(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)))
                .is_ok(),
        })
    }
}
