//! Requests in, responses out: routes, parameters, problem documents.
//!
//! [`object`] answers what was routed to a digital object; [`edge`] is what the Worker does before and after that, and
//! what it answers by itself: the catalogue for other engines, and the files of its tables. [`access`] decides who may.

pub mod access;
pub mod edge;
pub mod object;

mod access_log;
mod as_of;
mod batch;
mod body;
mod budgets;
mod cache;
mod cdc;
mod collections;
mod cors;
mod cursor;
mod documents;
mod erase;
mod etag;
pub mod exchange;
mod export;
mod iceberg;
mod idempotency;
mod import;
mod maintenance;
mod metered;
mod metrics;
mod object_info;
mod openapi;
mod params;
mod problem;
mod query;
mod registry;
mod restore;
mod routes;
mod s3;
mod snapshots;
mod sync;

pub use crate::ports::message;
pub use cors::Cors;
pub use exchange::{AnswerHead, Exchange, Failure, Finished, REQUEST_ID_HEADER, failure_line, is_told, with_instance};
pub use iceberg::catalog_paths;
pub use problem::response as problem_response;
pub use routes::{Route, Routes};
pub use s3::ObjectRead;
