//! Measures the box against its peers, in the same run: `scripts/bench` sets up and starts it.
//!
//! Machines are noisy: every figure is the median of several runs, taken in turns with the peers', and what counts is the
//! ratio of processor time to the best of them.

mod hash;
mod measure;
mod page;
mod seed;
mod swarm;
mod swarmload;
mod tracker;

use std::process::ExitCode;

use system_tests::options::Options;

const USAGE: &str = "usage:
  bench hash [--runs N]
  bench page [--runs N] [--rate N] [--seconds N]
  bench seed [--runs N] [--peers NAME,...] [--connections N,...]
  bench swarm [--runs N] [--scenario NAME,...]
  bench tracker [--runs N] [--peers NAME,...]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("hash") => {
            Options::parse(arguments, &["runs"], &[]).and_then(|options| runs(&options)).map(hash::run)
        }
        Some("page") => Options::parse(arguments, &["runs", "rate", "seconds"], &[])
            .and_then(|options| page::run(runs(&options)?, &options)),
        Some("seed") => Options::parse(arguments, &["runs", "peers", "connections"], &[])
            .and_then(|options| seed::run(runs(&options)?, &options)),
        Some("swarm") => Options::parse(arguments, &["runs", "scenario"], &[])
            .and_then(|options| swarm::run(runs(&options)?, &options)),
        Some("tracker") => Options::parse(arguments, &["runs", "peers"], &[])
            .and_then(|options| tracker::run(runs(&options)?, &options)),
        _ => Err(USAGE.to_owned()),
    };
    if let Err(why) = done {
        eprintln!("{why}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// How often everything is measured.
fn runs(options: &Options) -> Result<usize, String> {
    let runs = options.value("runs")?.unwrap_or(3);
    if runs == 0 { Err("--runs must be above 0".to_owned()) } else { Ok(runs) }
}
