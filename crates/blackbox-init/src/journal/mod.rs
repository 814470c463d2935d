//! The child that writes the log to files: `blackbox-init journal FOLDER BYTES KERNEL LIFE`, with the most bytes of a segment,
//! and the descriptors of the kernel's log and of a pipe that init closes to end it. A disk that hangs stops only it.
//!
//! Everything that init and its children say is in the kernel's log, so that is all it reads. Readers of the files see a line at
//! once; on the disk it is a little later ([`pace`]).

mod pace;
mod record;
mod segments;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::confine;
use crate::sys::{self, Wait};
use pace::Pace;
use record::Record;
use segments::Segments;

/// Longest record of the kernel's (bytes).
const MAX_RECORD: usize = 8192;

/// Records taken before the end of the life line is looked for.
const MAX_AT_ONCE: usize = 256;

/// Nothing is to be done for longer than this.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A clock that has moved by this against the time since power-on was set.
const CLOCK_SET: Duration = Duration::from_secs(2);

/// Writes until the pipe is closed.
///
/// # Errors
/// When the folder can't be written any more, or an argument is none.
pub fn run(folder: &str, bytes: &str, kernel: &str, life: &str) -> io::Result<()> {
    // The end of all processes is worth a few lines; init says when there is nothing more to come.
    sys::ignore_end()?;
    let number = |text: &str| text.parse().map_err(|_| ErrorKind::InvalidInput);
    let bytes = bytes.parse().map_err(|_| ErrorKind::InvalidInput)?;
    let (mut kernel, life) = (sys::inherited(number(kernel)?)?, sys::inherited(number(life)?)?);
    let now = Instant::now();
    confine::journal(folder);
    let segments = Segments::open(Path::new(folder), bytes)?;
    let mut journal = Journal { segments, pace: Pace::new(now), clock: None };
    loop {
        let until = journal.pace.sync_deadline().unwrap_or(Instant::now() + LONGEST_WAIT);
        let ready = sys::poll(&[(kernel.as_fd(), Wait::Read), (life.as_fd(), Wait::Read)], until)?;
        journal.take(&mut kernel)?;
        if ready[1] {
            return journal.segments.sync();
        }
        journal.sync_if_due(Instant::now())?;
    }
}

struct Journal {
    segments: Segments,
    pace: Pace,
    /// What the clock showed at power-on, as it is set now.
    clock: Option<Duration>,
}

impl Journal {
    /// Takes the records that there are.
    fn take(&mut self, kernel: &mut File) -> io::Result<()> {
        let mut buffer = [0; MAX_RECORD];
        for _ in 0..MAX_AT_ONCE {
            match kernel.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(bytes) => {
                    if let Some(record) = Record::parse(&buffer[..bytes]) {
                        self.tell_time()?;
                        let (seconds, millis) = (record.time.as_secs(), record.time.subsec_millis());
                        self.write(
                            &format!("[{seconds:5}.{millis:03}] {}\n", record.text),
                            record.is_warning,
                        )?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // They were overwritten before they were read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.write("== lines were lost\n", true)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes the date, at first and whenever the clock was set.
    fn tell_time(&mut self) -> io::Result<()> {
        let clock = sys::clock();
        let start = clock.saturating_sub(sys::uptime());
        if self.clock.is_some_and(|known| known.abs_diff(start) < CLOCK_SET) {
            return Ok(());
        }
        self.clock = Some(start);
        self.write(&format!("== the clock shows {}\n", date(clock.as_secs())), false)
    }

    /// Writes a line if there is room for it, on the disk too; on a full one it is lost.
    fn write(&mut self, line: &str, is_warning: bool) -> io::Result<()> {
        let now = Instant::now();
        let Some(left_out) = self.pace.admit(now, line.len()) else { return Ok(()) };
        let text = if left_out > 0 { &format!("== {left_out} lines were left out\n{line}") } else { line };
        match self.segments.append(text) {
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            result => result?,
        }
        self.pace.wrote(now, is_warning);
        Ok(())
    }

    fn sync_if_due(&mut self, now: Instant) -> io::Result<()> {
        if self.pace.sync_deadline().is_some_and(|due| now >= due) {
            self.segments.sync()?;
            self.pace.synced(Instant::now());
        }
        Ok(())
    }
}

/// Seconds since 1970 as people write them.
fn date(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{:02} UTC", days + 1, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_735_689_600, "2025-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
