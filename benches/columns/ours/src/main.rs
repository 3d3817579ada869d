//! The commands natively, a line each: `load <rows of a blob> <path>` reads a table, all others are [`Bench::run`]'s.
//! Each is answered by a line of JSON that has the milliseconds it took beside what was found.

use std::io::Write;
use std::time::Instant;

use ours::{Bench, Failure};
use serde_json::json;

fn answer(bench: &mut Bench, line: &str) -> Result<serde_json::Value, Failure> {
    if let Some(arguments) = line.strip_prefix("load ") {
        let (rows, path) = arguments.split_once(' ').ok_or("expected `load <rows> <path>`")?;
        *bench = Bench::load(&std::fs::read(path)?, rows.parse()?)?;
        return Ok(json!({}));
    }
    #[expect(clippy::disallowed_methods, reason = "this one runs natively alone")]
    let started = Instant::now();
    let mut answer = bench.run(line)?;
    answer["ms"] = json!(started.elapsed().as_secs_f64() * 1_000.0);
    Ok(answer)
}

fn main() -> Result<(), Failure> {
    let mut bench = Bench::default();
    for line in std::io::stdin().lines() {
        let answer = answer(&mut bench, &line?)?;
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
