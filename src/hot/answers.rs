//! Answers to requests that carried a key, kept so that the same request sent again gets the first result and does nothing.
//!
//! An answer commits with what it tells of, in one row (a long one in several). A table holds a day's and is dropped whole,
//! which costs no rows written, once no answer in it counts any more. Whoever finds the key taken in the transaction itself
//! does nothing: another instance was faster.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::LOG_CHUNK_MAX_BYTES;
use crate::ports::{SqlParam, SqlStore, expect_blob, expect_integer, expect_text};
use crate::types::{StorageTier, Timestamp};

/// How long an answer counts, in ms.
pub const ANSWER_MS: Timestamp = DAY_MS;
const DAY_MS: Timestamp = 86_400_000;
const TABLE_PREFIX: &str = "kept_answers_";
/// The version of what a row's `head` holds.
const FORMAT: u8 = 1;

/// A digest that stands for a key and whose it is, or for a request.
pub type Digest = [u8; 32];

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u8,
    status: u16,
    headers: Vec<(String, String)>,
}

/// The answers of one object.
pub struct Answers {
    sql: Rc<dyn SqlStore>,
    /// The days that have a table; `None` until somebody has asked.
    days: RefCell<Option<BTreeSet<i64>>>,
}

impl Answers {
    /// The answers in `sql`.
    pub fn new(sql: Rc<dyn SqlStore>) -> Self {
        Self { sql, days: RefCell::new(None) }
    }

    /// Forgets what is remembered of the tables: they are looked for again.
    pub fn forget(&self) {
        self.days.replace(None);
    }

    /// The answer under a key; refused when the key was that of another request.
    pub fn find(&self, key: &Digest, request: &Digest, now: Timestamp) -> Result<Option<KeptAnswer>> {
        for day in self.days()?.into_iter().filter(|day| counts(*day, now)) {
            let select = format!("SELECT at, request, head, body FROM {TABLE_PREFIX}{day} WHERE key = ? ORDER BY part");
            let rows = self.sql.query(&select, &[SqlParam::Blob(key)])?;
            let mut answer: Option<KeptAnswer> = None;
            for row in rows {
                let mut values = row.into_iter();
                if expect_integer(values.next().as_ref())?.saturating_add(ANSWER_MS) <= now {
                    break;
                }
                if expect_blob(values.next())? != request {
                    return Err(other_request());
                }
                let (head, body) = (expect_text(values.next())?, expect_blob(values.next())?);
                match &mut answer {
                    None => answer = Some(answer_of(&head, body)?),
                    Some(answer) => answer.body.extend(body),
                }
            }
            if answer.is_some() {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    /// Keeps an answer; part of the transaction that it tells of.
    pub fn keep(&self, key: &Digest, request: &Digest, answer: &KeptAnswer, now: Timestamp) -> Result<()> {
        let day = now.div_euclid(DAY_MS);
        self.drop_old(now)?;
        if !self.days()?.contains(&day) {
            self.sql.query(
                &format!(
                    "CREATE TABLE {TABLE_PREFIX}{day} (key BLOB NOT NULL, part INTEGER NOT NULL, at INTEGER NOT NULL, request BLOB NOT NULL, head TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (key, part)) STRICT, WITHOUT ROWID"
                ),
                &[],
            )?;
            self.forget();
        }
        let head = Head { format: FORMAT, status: answer.status, headers: answer.headers.clone() };
        let head = serde_json::to_string(&head).map_err(|error| damaged().caused_by(error))?;
        let insert = format!(
            "INSERT INTO {TABLE_PREFIX}{day} (key, part, at, request, head, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING part"
        );
        let empty = [&[][..]];
        let chunks = answer.body.chunks(LOG_CHUNK_MAX_BYTES);
        let chunks: Vec<&[u8]> = if answer.body.is_empty() { empty.to_vec() } else { chunks.collect() };
        for (part, chunk) in (0..).zip(chunks) {
            let part = SqlParam::Integer(part);
            let params = [
                SqlParam::Blob(key),
                part,
                SqlParam::Integer(now),
                SqlParam::Blob(request),
                SqlParam::Text(&head),
                SqlParam::Blob(chunk),
            ];
            if self.sql.query(&insert, &params)?.is_empty() {
                return Err(in_flight());
            }
        }
        Ok(())
    }

    /// When the first table is to be dropped; `None` when there is none.
    pub fn next_drop(&self) -> Result<Option<Timestamp>> {
        Ok(self.days()?.first().map(|day| counts_until(*day)))
    }

    /// Drops the tables of days whose answers count no more. Tells how many there were.
    pub fn drop_old(&self, now: Timestamp) -> Result<usize> {
        let old: Vec<i64> = self.days()?.into_iter().filter(|day| !counts(*day, now)).collect();
        for day in &old {
            self.sql.query(&format!("DROP TABLE IF EXISTS {TABLE_PREFIX}{day}"), &[])?;
            self.forget();
        }
        Ok(old.len())
    }

    fn days(&self) -> Result<BTreeSet<i64>> {
        if let Some(days) = self.days.borrow().as_ref() {
            return Ok(days.clone());
        }
        let select = "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB ?";
        let rows = self.sql.query(select, &[SqlParam::Text(&format!("{TABLE_PREFIX}*"))])?;
        let mut days = BTreeSet::new();
        for row in rows {
            let name = expect_text(row.into_iter().next())?;
            days.extend(name.strip_prefix(TABLE_PREFIX).and_then(|day| day.parse::<i64>().ok()));
        }
        self.days.replace(Some(days.clone()));
        Ok(days)
    }
}

/// Whether an answer of a day may still count.
fn counts(day: i64, now: Timestamp) -> bool {
    counts_until(day) > now
}

/// When the last answer of a day counts no more.
fn counts_until(day: i64) -> Timestamp {
    day.saturating_add(1).saturating_mul(DAY_MS).saturating_add(ANSWER_MS)
}

fn answer_of(head: &str, body: Vec<u8>) -> Result<KeptAnswer> {
    let Head { format, status, headers } = serde_json::from_str(head).map_err(|error| damaged().caused_by(error))?;
    if format != FORMAT {
        return Err(damaged());
    }
    Ok(KeptAnswer { status, headers, body })
}

/// Refuses a request whose key another one of the same principal has now.
pub fn in_flight() -> StorageError {
    refused(
        ErrorKind::Conflict,
        "expected a request of this Idempotency-Key to have ended, got one in flight; send it again later",
    )
}

fn other_request() -> StorageError {
    refused(
        ErrorKind::Invalid,
        "expected the request that this Idempotency-Key was first sent with, got another; use a new key",
    )
}

fn damaged() -> StorageError {
    refused(ErrorKind::Corrupt, "expected an answer that this version has kept, got something else")
}

fn refused(kind: ErrorKind, message: &str) -> StorageError {
    StorageError::new(kind, StorageTier::Hot, "find kept answer", message)
}
