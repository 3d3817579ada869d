//! The cold tier as a whole: files written, committed, read back, damaged, and kept readable.

mod commits;
mod files;
mod fixture;
mod golden;
mod hostile;
mod scans;
mod support;
