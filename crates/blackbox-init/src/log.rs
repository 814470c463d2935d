//! The log: the kernel's ring buffer, from where [`crate::journal`] takes it, and every serial console.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::time::Duration;

use crate::sys;

/// Longest text (bytes) of one log line; the kernel's own records end below 1 KiB.
pub const MAX_LINE: usize = 900;

/// Where lines go once [`open`] was called; before that they are lost, as there is no device to write to.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    kernel: Option<File>,
    serial: Vec<File>,
}

/// How much a line matters, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Trouble: it is on the disk at once.
    Warning = 4,
    /// What happens.
    Info = 6,
}

/// Writes a line, formatted like `println!`.
#[macro_export]
macro_rules! log {
    ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Info, &format!($($arg)*)) };
}

/// The same of trouble.
#[macro_export]
macro_rules! alarm {
    ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Warning, &format!($($arg)*)) };
}

/// Opens the kernel's log and the serial consoles of these names.
pub fn open(serial: &[String]) {
    let kernel = OpenOptions::new().write(true).open("/dev/kmsg").ok();
    let serial = serial.iter().filter_map(|name| open_terminal(&format!("/dev/{name}"))).collect();
    // A second call changes nothing: the first one's files stay open.
    let _ = LOG.set(Log { kernel, serial });
}

/// A terminal that never makes its writer wait: what it does not take at once is lost.
pub fn open_terminal(path: &str) -> Option<File> {
    let flags = sys::NOCTTY | sys::NONBLOCK;
    OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
}

/// Writes a line to the log.
pub fn line(level: Level, text: &str) {
    let Some(log) = LOG.get() else { return };
    let mut end = text.len().min(MAX_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if let Some(kernel) = &log.kernel {
        // Lost lines are not worth stopping for, here and below.
        let _ = (&*kernel).write_all(format!("<{}>init: {text}\n", level as u8).as_bytes());
    }
    serial(&format!("[{}] {text}", seconds(sys::uptime())));
}

/// Writes a line to the serial consoles alone.
pub fn serial(text: &str) {
    let Some(log) = LOG.get() else { return };
    for mut terminal in &log.serial {
        let _ = terminal.write_all(format!("{text}\n").as_bytes());
    }
}

/// Seconds since power-on the way the kernel writes them.
fn seconds(uptime: Duration) -> String {
    format!("{:5}.{:03}", uptime.as_secs(), uptime.subsec_millis())
}
