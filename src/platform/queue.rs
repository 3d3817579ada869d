//! [`Queue`] of the platform. Messages are text, so that numbers in documents keep theirs.

use async_trait::async_trait;
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::ports::Queue;
use crate::types::StorageTier;

#[wasm_bindgen]
extern "C" {
    type Producer;

    #[wasm_bindgen(method, catch, js_name = sendBatch)]
    async fn send_batch(this: &Producer, messages: &Array) -> std::result::Result<JsValue, JsValue>;
}

/// A queue that is bound.
pub struct WorkerQueue(Producer);

impl WorkerQueue {
    /// The queue of a binding.
    pub fn new(binding: JsValue) -> Self {
        Self(binding.unchecked_into())
    }
}

#[async_trait(?Send)]
impl Queue for WorkerQueue {
    async fn send(&self, messages: &[String]) -> Result<()> {
        let send = || {
            let batch = Array::new();
            for message in messages {
                let one = Object::new();
                Reflect::set(&one, &"body".into(), &message.as_str().into())?;
                Reflect::set(&one, &"contentType".into(), &"text".into())?;
                batch.push(&one);
            }
            Ok(batch)
        };
        let batch = send().map_err(|thrown: JsValue| failure(thrown))?;
        self.0.send_batch(&batch).await.map(drop).map_err(failure)
    }
}

fn failure(thrown: JsValue) -> StorageError {
    let message = "expected the queue CDC_QUEUE to take messages, got a failure; it is tried again";
    StorageError::new(ErrorKind::Unavailable, StorageTier::Api, "push to queue", message)
        .caused_by(Exception::from(thrown))
}
