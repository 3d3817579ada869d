//! Every limit of the platform and of the HTTP contract, with where it comes from.
//!
//! Derived limits are computed here and asserted at compile time, so that a changed number fails the build
//! rather than a request.

/// SQLite in a Durable Object: a string, a BLOB or a row holds at most this.
/// <https://developers.cloudflare.com/durable-objects/platform/limits/>
pub const SQL_VALUE_MAX_BYTES: usize = 2_000_000;
/// Bound parameters of one SQL statement. Same source.
pub const SQL_MAX_PARAMETERS: usize = 100;
/// The largest integer that a bound JavaScript number carries exactly (2^53 - 1).
pub const SQL_MAX_EXACT_INTEGER: i64 = 9_007_199_254_740_991;
/// Storage of one object in bytes. Same source.
pub const OBJECT_MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;

/// R2: the longest key in bytes. <https://developers.cloudflare.com/r2/platform/limits/>
pub const R2_KEY_MAX_BYTES: usize = 1_024;
/// R2: writes to one key, at most one in this many milliseconds. Same source.
pub const R2_SAME_KEY_INTERVAL_MS: i64 = 1_000;

/// What the platform bills, in billionths of a dollar: a row that SQLite reads.
/// <https://developers.cloudflare.com/durable-objects/platform/pricing/>
pub const SQL_ROW_READ_NANO_USD: u64 = 1;
/// A row that SQLite writes. Same source.
pub const SQL_ROW_WRITTEN_NANO_USD: u64 = 1_000;
/// An R2 call of class A. <https://developers.cloudflare.com/r2/pricing/>
pub const R2_CLASS_A_NANO_USD: u64 = 4_500;
/// An R2 call of class B. Same source.
pub const R2_CLASS_B_NANO_USD: u64 = 360;
/// A GB of an object's database for a month. Source as for rows.
pub const SQL_GB_MONTH_NANO_USD: u64 = 200_000_000;
/// A GB in R2's standard class for a month. Source as for calls.
pub const R2_GB_MONTH_NANO_USD: u64 = 15_000_000;

/// A document's JSON text (API.md, common rules).
pub const DOCUMENT_MAX_BYTES: usize = 1024 * 1024;
/// A request body, a batch, or one commit of an import (API.md).
pub const BATCH_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Operations of one batch (API.md).
pub const BATCH_MAX_OPERATIONS: usize = 10_000;
/// Documents of one commit of an import (API.md).
pub const IMPORT_CHUNK_MAX_DOCUMENTS: usize = 65_536;
/// Line errors that one import reports; further ones are counted only.
pub const IMPORT_MAX_ERRORS: usize = 100;
/// Nesting of a JSON value (API.md).
pub const JSON_MAX_DEPTH: usize = 128;
/// A document id in bytes (API.md).
pub const DOCUMENT_ID_MAX_BYTES: usize = 512;
/// `type`, `id` and tenant in bytes (API.md).
pub const NAME_MAX_BYTES: usize = 128;
/// A collection's name in bytes (API.md).
pub const COLLECTION_MAX_BYTES: usize = 63;
/// Collections of one object: bounds the catalogue row reads and one flush's tables.
pub const OBJECT_MAX_COLLECTIONS: usize = 1_000;
/// Bytes of all declarations of one object: a plan that archives every collection at once holds them in one row.
pub const DECLARATIONS_MAX_BYTES: usize = 1_000_000;
/// Items of one page (API.md).
pub const PAGE_MAX_ITEMS: usize = 1_000;
/// Items of one page when nothing is asked (API.md).
pub const PAGE_DEFAULT_ITEMS: usize = 100;
/// Bytes of documents in one response page; a page ends early beyond it (at least one item is always in it).
pub const PAGE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Conditions of one filter: bounds evaluation work a row.
pub const FILTER_MAX_CONDITIONS: usize = 1_000;
/// Values of all `in` lists of one filter.
pub const FILTER_MAX_VALUES: usize = 10_000;
/// Columns of one table, declared and inferred; further fields go to `_extra`.
pub const TABLE_MAX_COLUMNS: usize = 500;
/// A correlation id in bytes.
pub const CORRELATION_ID_MAX_BYTES: usize = 128;

/// Named consumers of one object.
pub const CDC_CONSUMERS_MAX: usize = 100;
/// Streams of server-sent events of one object at once (API.md).
pub const CDC_STREAMS_MAX: usize = 100;
/// How long such a stream lasts before the client has to come again (API.md).
pub const CDC_STREAM_MAX_MS: i64 = 300_000;
/// How often a stream without events says that it is alive.
pub const CDC_HEARTBEAT_MS: u32 = 15_000;
/// Bytes of documents that a stream brings into memory at a time, but one event at least.
pub const CDC_STREAM_PAGE_BYTES: usize = 128 * 1024;
/// Readers of one object that wait for an event at once, those of streams among them.
pub const CDC_WAITING_MAX: usize = 1_000;
/// WebSockets of one object at once.
pub const CDC_SOCKETS_MAX: usize = 1_000;
/// Bytes of frames to one socket that are not acknowledged (API.md); one event may be larger, alone.
pub const CDC_SOCKET_WINDOW_BYTES: usize = 1024 * 1024;
/// Bytes of one frame, but one event at least.
pub const CDC_FRAME_MAX_BYTES: usize = 256 * 1024;
/// Bytes of a message from a socket.
pub const CDC_MESSAGE_MAX_BYTES: usize = 4 * 1024;
/// Messages of one batch to a queue. <https://developers.cloudflare.com/queues/platform/limits/>
pub const QUEUE_BATCH_MAX_MESSAGES: usize = 100;
/// Bytes of one batch, with room for what the platform adds to 256 KB of them. Same source.
pub const QUEUE_BATCH_MAX_BYTES: usize = 240_000;
/// Bytes of one message, likewise of 128 KB. Same source.
pub const QUEUE_MESSAGE_MAX_BYTES: usize = 120_000;
/// What a hibernating socket carries with it.
/// <https://developers.cloudflare.com/durable-objects/api/websockets/>
pub const SOCKET_ATTACHMENT_MAX_BYTES: usize = 2_048;

/// Principals of one object whose use of it is remembered.
pub const BUDGET_SUBJECTS_MAX: usize = 1_000;

/// Bytes of row data that one read of the row table brings into memory.
pub const SCAN_PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Rows of one such read.
pub const SCAN_PAGE_MAX_ROWS: usize = 2_000;
/// Bytes of a segment in one row of SQLite.
pub const SEGMENT_ROW_MAX_BYTES: usize = 1_900_000;
/// Payload of one log row; a longer record continues in further rows.
pub const LOG_CHUNK_MAX_BYTES: usize = 1_900_000;

/// The Cache API's own bound here: nothing larger is cached (REQUIREMENTS.md 8).
pub const CACHE_MAX_BYTES: usize = 1_000_000;
/// How long a call of the cache is waited for, in ms. It answers in some milliseconds where it answers at all.
pub const CACHE_CALL_MAX_MS: u32 = 2_000;

const _: () = assert!(DOCUMENT_MAX_BYTES < SQL_VALUE_MAX_BYTES, "a document fits one row");
const _: () =
    assert!(DECLARATIONS_MAX_BYTES + OBJECT_MAX_COLLECTIONS * 256 < SQL_VALUE_MAX_BYTES, "a plan fits one row");
const _: () = assert!(SEGMENT_ROW_MAX_BYTES + 4_096 < SQL_VALUE_MAX_BYTES, "a segment's row fits");
const _: () = assert!(LOG_CHUNK_MAX_BYTES < SQL_VALUE_MAX_BYTES, "a log chunk fits one row");
const _: () = assert!(SCAN_PAGE_MAX_BYTES >= DOCUMENT_MAX_BYTES, "a scan page holds any document");
const _: () = assert!(CDC_FRAME_MAX_BYTES * 2 <= CDC_SOCKET_WINDOW_BYTES, "a window has room for frames on their way");
