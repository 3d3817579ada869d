//! Signatures checked by WebCrypto.

use async_trait::async_trait;
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::{PublicKey, Signatures};
use crate::types::StorageTier;

#[wasm_bindgen]
extern "C" {
    #[derive(Clone)]
    type SubtleCrypto;

    #[wasm_bindgen(thread_local_v2, js_namespace = crypto, js_name = subtle)]
    static SUBTLE: SubtleCrypto;

    #[wasm_bindgen(method, catch, js_name = importKey)]
    async fn import_key(
        this: &SubtleCrypto,
        format: &str,
        key: &Uint8Array,
        algorithm: &Object,
        extractable: bool,
        usages: &Array,
    ) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn verify(
        this: &SubtleCrypto,
        algorithm: &Object,
        key: &JsValue,
        signature: &Uint8Array,
        message: &Uint8Array,
    ) -> std::result::Result<JsValue, JsValue>;
}

/// The platform's.
pub struct WorkerSignatures;

fn failed(thrown: JsValue) -> StorageError {
    let message = "expected the platform to check a signature, got a failure; try again";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "authenticate", message)
        .caused_by(Exception::from(thrown))
}

/// The algorithm of a key, and the key as the platform knows it, if it takes it for one.
async fn imported(key: &PublicKey) -> Result<(Object, Option<JsValue>)> {
    let (bytes, members) = match key {
        PublicKey::P256(point) => {
            (point.as_slice(), [("name", "ECDSA"), ("namedCurve", "P-256"), ("hash", "SHA-256")].as_slice())
        }
        PublicKey::Ed25519(point) => (point.as_slice(), [("name", "Ed25519")].as_slice()),
    };
    let algorithm = Object::new();
    for (name, value) in members {
        Reflect::set(&algorithm, &JsValue::from_str(name), &JsValue::from_str(value)).map_err(failed)?;
    }
    let (subtle, usages) = (SUBTLE.with(Clone::clone), Array::of1(&JsValue::from_str("verify")));
    let imported = subtle.import_key("raw", &Uint8Array::new_from_slice(bytes), &algorithm, false, &usages).await;
    Ok((algorithm, imported.ok()))
}

#[async_trait(?Send)]
impl Signatures for WorkerSignatures {
    async fn check(&self, key: &PublicKey) -> Result<bool> {
        imported(key).await.map(|(_, imported)| imported.is_some())
    }

    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> Result<bool> {
        let (algorithm, imported) = imported(key).await?;
        let Some(imported) = imported else { return Ok(false) };
        let subtle = SUBTLE.with(Clone::clone);
        let (signature, message) = (Uint8Array::new_from_slice(signature), Uint8Array::new_from_slice(message));
        let verified = subtle.verify(&algorithm, &imported, &signature, &message).await.map_err(failed)?;
        Ok(verified.is_truthy())
    }
}
