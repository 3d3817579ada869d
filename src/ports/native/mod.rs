//! The ports over real SQLite and memory, for native tests.
