//! JavaScript exceptions as causes of this project's errors.

use std::error::Error;
use std::fmt;

use wasm_bindgen::{JsCast, JsValue};

/// What an exception said, for logs.
#[derive(Debug)]
pub(super) struct Exception(String);

impl Exception {
    /// The text of the exception; looked at by those who know its codes, never shown to callers.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl From<JsValue> for Exception {
    fn from(thrown: JsValue) -> Self {
        if let Some(error) = thrown.dyn_ref::<js_sys::Error>() {
            return Self(String::from(error.to_string()));
        }
        Self(thrown.as_string().unwrap_or_else(|| "a JavaScript value that is no error".to_owned()))
    }
}

impl From<worker::Error> for Exception {
    fn from(error: worker::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Exception {}
