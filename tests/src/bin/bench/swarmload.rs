//! Loads by `swarmload`, the program beside this one, and what it says of them.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use system_tests::process::Process;

use crate::measure::median;

/// Longer than this no measurement takes.
const PATIENCE: Duration = Duration::from_mins(3);

/// What one program did under a load.
#[derive(Default)]
pub struct Row {
    /// What `swarmload` said of each run.
    pub runs: Vec<Value>,
}

impl Row {
    /// The median of what `of` makes of each run.
    pub fn median(&self, of: impl Fn(&Value) -> f64) -> f64 {
        median(self.runs.iter().map(of))
    }

    /// The median of that figure.
    pub fn field(&self, name: &str) -> f64 {
        self.median(|run| number(run, name))
    }

    /// The median of one figure by another.
    pub fn ratio(&self, name: &str, by: &str) -> f64 {
        self.median(|run| number(run, name) / number(run, by))
    }

    /// Seconds of processor time for each of what that figure counts.
    pub fn cpu_by(&self, name: &str) -> f64 {
        self.median(|run| number(run, "cpu") / number(run, name).max(1.0))
    }
}

/// A figure of a run.
///
/// # Panics
/// If there is none of that name.
pub fn number(run: &Value, name: &str) -> f64 {
    run[name].as_f64().unwrap_or_else(|| panic!("no {name} in {run}"))
}

/// Loads each of `programs` so many times, in turns: what else the machine does meets all of them.
///
/// # Errors
/// The first that fails.
pub fn measure<P>(
    programs: &[P],
    runs: usize,
    load: impl Fn(&P) -> Result<Value, String>,
) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = programs.iter().map(|_| Row::default()).collect();
    for _ in 0..runs {
        for (program, row) in programs.iter().zip(&mut rows) {
            row.runs.push(load(program)?);
        }
    }
    Ok(rows)
}

/// `swarmload`, to be given what it is to do.
pub fn swarmload() -> Command {
    Command::new(std::env::current_exe().expect("path of this program").with_file_name("swarmload"))
}

/// Runs it; what the program called `name` did, as it tells.
///
/// # Errors
/// What it said, if it failed.
pub fn report(name: &str, command: Command) -> Result<Value, String> {
    let mut process = Process::start(command);
    let status = process.wait(PATIENCE);
    let said = process.said();
    let report =
        said.iter().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object));
    report.filter(|_| status.success()).ok_or_else(|| format!("{name}: {}", said.join("\n")))
}
