//! [`SqlStore`] over the `sql` of a Durable Object's storage.
//!
//! Invariants: a cursor is consumed in the call that opened it; an integer beyond 53 bits is refused rather than
//! rounded; a transaction is the storage's own `transactionSync`, which rolls back when its work throws, and nests.
//!
//! A statement's text crosses to JavaScript once: its string is kept, because the platform finds a statement it has
//! prepared by that string, not by its text; with a new string each time a lookup by key takes three times as long.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, JsString, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::State;

use super::exception::Exception;
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::SQL_MAX_EXACT_INTEGER;
use crate::ports::{SqlCounters, SqlParam, SqlRow, SqlStore, SqlValue};
use crate::types::StorageTier;

/// Statement texts kept as JavaScript strings. Generations of tables make new texts for ever, so all go at once.
const STATEMENTS_KEPT: usize = 512;

#[wasm_bindgen]
extern "C" {
    type Storage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &Storage,
        work: &mut dyn FnMut() -> std::result::Result<JsValue, JsValue>,
    ) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn sql(this: &Storage) -> Sql;

    type Sql;

    #[wasm_bindgen(method, catch, variadic)]
    fn exec(this: &Sql, statement: &JsString, params: &Array) -> std::result::Result<Cursor, JsValue>;

    #[wasm_bindgen(method, getter, js_name = databaseSize)]
    fn database_size(this: &Sql) -> f64;

    type Cursor;

    #[wasm_bindgen(method, catch)]
    fn raw(this: &Cursor) -> std::result::Result<RawRows, JsValue>;

    #[wasm_bindgen(method, getter, js_name = rowsRead)]
    fn rows_read(this: &Cursor) -> f64;

    #[wasm_bindgen(method, getter, js_name = rowsWritten)]
    fn rows_written(this: &Cursor) -> f64;

    type RawRows;

    #[wasm_bindgen(method, catch, js_name = toArray)]
    fn to_array(this: &RawRows) -> std::result::Result<Array, JsValue>;
}

/// SQL over one object's storage.
pub struct WorkerSql {
    storage: Storage,
    sql: Sql,
    statements: RefCell<HashMap<String, Rc<JsString>>>,
    counters: Cell<SqlCounters>,
}

impl WorkerSql {
    /// The SQL of this object. Counters begin at zero.
    pub fn new(state: &State) -> Result<Self> {
        let storage = state.as_raw().storage().map_err(|thrown| failure(thrown.into()))?;
        let storage: Storage = storage.unchecked_into();
        let sql = storage.sql();
        Ok(Self { storage, sql, statements: RefCell::default(), counters: Cell::default() })
    }

    fn statement(&self, text: &str) -> Rc<JsString> {
        let mut statements = self.statements.borrow_mut();
        if let Some(known) = statements.get(text) {
            return Rc::clone(known);
        }
        if statements.len() >= STATEMENTS_KEPT {
            statements.clear();
        }
        let statement = Rc::new(JsString::from(text));
        statements.insert(text.to_owned(), Rc::clone(&statement));
        statement
    }

    fn count(&self, cursor: &Cursor) {
        let before = self.counters.get();
        self.counters.set(SqlCounters {
            rows_read: before.rows_read.saturating_add(whole(cursor.rows_read())),
            rows_written: before.rows_written.saturating_add(whole(cursor.rows_written())),
        });
    }
}

impl SqlStore for WorkerSql {
    fn query(&self, statement: &str, params: &[SqlParam<'_>]) -> Result<Vec<SqlRow>> {
        let bound = Array::new();
        for param in params {
            bound.push(&bind(*param)?);
        }
        let run = || {
            let cursor = self.sql.exec(&self.statement(statement), &bound)?;
            let rows = cursor.raw()?.to_array()?;
            self.count(&cursor);
            Ok(rows)
        };
        let rows: Array = run().map_err(|thrown: JsValue| failure(thrown.into()))?;
        (0..rows.length()).map(|position| read_row(&rows.get(position).unchecked_into())).collect()
    }

    fn transaction(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let mut failed = None;
        let ended = self.storage.transaction_sync(&mut || {
            work().map(|()| JsValue::UNDEFINED).map_err(|error| {
                failed = Some(error);
                // What is thrown matters to nobody: throwing rolls back.
                JsValue::NULL
            })
        });
        match failed {
            Some(error) => Err(error),
            None => ended.map(drop).map_err(|thrown| failure(thrown.into())),
        }
    }

    fn counters(&self) -> SqlCounters {
        self.counters.get()
    }

    fn size_bytes(&self) -> u64 {
        whole(self.sql.database_size())
    }
}

fn bind(param: SqlParam<'_>) -> Result<JsValue> {
    Ok(match param {
        SqlParam::Null => JsValue::NULL,
        SqlParam::Integer(value) => {
            if !(-SQL_MAX_EXACT_INTEGER..=SQL_MAX_EXACT_INTEGER).contains(&value) {
                let message = format!("expected an integer of at most 53 bits to bind, got {value}");
                return Err(StorageError::new(ErrorKind::Internal, StorageTier::Hot, "run SQL", message));
            }
            #[expect(clippy::cast_precision_loss, reason = "at most 53 bits, checked above")]
            JsValue::from_f64(value as f64)
        }
        SqlParam::Text(text) => JsValue::from_str(text),
        SqlParam::Blob(bytes) => Uint8Array::new_from_slice(bytes).into(),
    })
}

fn read_row(row: &Array) -> Result<SqlRow> {
    (0..row.length()).map(|column| read_value(row.get(column))).collect()
}

fn read_value(value: JsValue) -> Result<SqlValue> {
    if let Some(text) = value.as_string() {
        return Ok(SqlValue::Text(text));
    }
    if let Some(number) = value.as_f64() {
        return Ok(read_number(number));
    }
    if value.is_null() {
        return Ok(SqlValue::Null);
    }
    match value.dyn_into::<ArrayBuffer>() {
        Ok(buffer) => Ok(SqlValue::Blob(Uint8Array::new(&buffer).to_vec())),
        Err(_) => Err(StorageError::new(
            ErrorKind::Internal,
            StorageTier::Hot,
            "read row",
            "expected text, a number, bytes or NULL from SQLite, got something else",
        )),
    }
}

/// A number as the ports tell it: an integral one is an integer.
fn read_number(number: f64) -> SqlValue {
    // 2^53 - 1, within which every integral double is exact as an integer.
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0 {
        #[expect(clippy::cast_possible_truncation, reason = "integral and within 53 bits")]
        return SqlValue::Integer(number as i64);
    }
    SqlValue::Real(number)
}

/// A count that JavaScript keeps as a double.
fn whole(number: f64) -> u64 {
    match read_number(number) {
        SqlValue::Integer(count) => u64::try_from(count).unwrap_or(0),
        _ => 0,
    }
}

fn failure(exception: Exception) -> StorageError {
    let full = exception.text().contains("SQLITE_FULL") || exception.text().contains("database or disk is full");
    let (kind, message) = if full {
        (ErrorKind::Full, "the object's SQLite database is full; delete documents or let some be evicted")
    } else {
        (ErrorKind::Internal, "SQLite failed; the log has its message")
    };
    StorageError::new(kind, StorageTier::Hot, "run SQL", message).caused_by(exception)
}
