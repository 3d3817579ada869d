//! Requests in, responses out.

pub mod message;
