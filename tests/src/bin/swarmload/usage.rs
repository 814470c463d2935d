//! What a process has used so far.

use std::fs;

/// Ticks of `/proc/PID/stat` in a second, on every architecture that we build for.
const TICKS: f64 = 100.0;

/// Processor time and memory of a process so far.
#[derive(Debug, Default, Clone, Copy)]
pub struct Usage {
    /// Seconds of processor time, in the program and in the kernel.
    pub seconds: f64,
    /// Bytes of memory that are no file's.
    pub anonymous: u64,
}

impl Usage {
    /// Of a process, `self` for our own; nothing if there is none.
    pub fn of(process: &str) -> Self {
        Self::read(process).unwrap_or_default()
    }

    fn read(process: &str) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name of the program comes first, in parentheses and with whatever characters.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        let kib: u64 = anonymous.split_whitespace().next()?.parse().ok()?;
        Some(Self { seconds: (ticks(11)? + ticks(12)?) / TICKS, anonymous: kib << 10 })
    }
}
