//! Runs programs and tells what they took.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What a run of a program took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Time by the clock.
    pub wall: Duration,
    /// Processor time of the program and all its children.
    pub cpu: Duration,
}

/// Runs a program to its end.
///
/// # Panics
/// When it fails: figures of half the work are worth nothing.
pub fn run(command: &mut Command) -> Cost {
    let (started, before) = (Instant::now(), cpu());
    let output =
        command.stdin(Stdio::null()).stdout(Stdio::null()).output().expect("the program is installed");
    let (wall, cpu) = (started.elapsed(), cpu().saturating_sub(before));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Cost { wall, cpu }
}

/// Processor time of all children that have ended.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts");
    let time = usage.user_time() + usage.system_time();
    Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
}

/// The middle one of some values.
///
/// # Panics
/// If there are none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
