//! Prints docs/CONFIGURATION.md as the table of keys has it: `cargo run --example configuration > docs/CONFIGURATION.md`

#![allow(clippy::print_stdout, reason = "a command prints what it makes")]

fn main() {
    print!("{}", thermocline::config::page());
}
