//! The last lines of the log, kept in memory for the report that people send to those who help them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Lines that are kept.
const MAX_LINES: usize = 500;

/// Bytes kept of one.
const MAX_BYTES: usize = 1000;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Writes to the standard error, and keeps what it writes. Each call of [`Write::write`] is a line, as the log makes them.
#[derive(Debug, Clone, Copy)]
pub struct Recorder;

impl Write for Recorder {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        keep(&mut LINES.lock().unwrap_or_else(PoisonError::into_inner), line);
        io::stderr().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn keep(lines: &mut VecDeque<String>, line: &[u8]) {
    if lines.len() == MAX_LINES {
        lines.pop_front();
    }
    let text = String::from_utf8_lossy(&line[..line.len().min(MAX_BYTES)]);
    lines.push_back(text.trim_end().to_owned());
}

/// The last lines, oldest first.
pub fn lines() -> Vec<String> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_none_is_long() {
        let mut lines = VecDeque::new();
        for number in 0..MAX_LINES * 2 {
            keep(&mut lines, format!("line {number}\n").as_bytes());
        }
        keep(&mut lines, &[b'x'; MAX_BYTES * 2]);
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(lines[0], format!("line {}", MAX_LINES + 1));
        assert_eq!(lines[MAX_LINES - 1].len(), MAX_BYTES);
    }
}
