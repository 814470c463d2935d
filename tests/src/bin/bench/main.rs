//! Measures the box against its peers, in the same run: `scripts/bench` sets up and starts it.
//!
//! Machines are noisy: every figure is the median of several runs, taken in turns with the peers', and what counts is the
//! ratio of processor time to the best of them.

mod hash;
mod measure;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runs = match arguments[..] {
        ["hash"] => Some(3),
        ["hash", "--runs", runs] => runs.parse().ok().filter(|runs| *runs > 0),
        _ => None,
    };
    let Some(runs) = runs else {
        eprintln!("usage: bench hash [--runs N]");
        return ExitCode::from(2);
    };
    hash::run(runs);
    ExitCode::SUCCESS
}
