//! Prints the OpenAPI document that the Worker serves: `cargo run --example openapi > src/http/openapi.json`

#![recursion_limit = "256"]
#![allow(clippy::print_stdout, reason = "a command prints what it makes")]

mod document;

fn main() {
    print!("{}", document::text());
}
