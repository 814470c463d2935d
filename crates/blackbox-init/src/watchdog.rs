//! The watchdog: hardware that resets the machine unless it is fed, or the kernel's imitation of one (`softdog`).
//!
//! Init feeds it from its loop, so it bites when init does not turn, and when init has given up on the daemon. It is opened
//! when the boot has done everything in which PID 1 itself may wait for a disk.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::log;
use crate::sys;

/// Time without food after which it bites. All that init does in one turn takes moments; taking a damaged disc out of the
/// tree may have to wait for the drive.
const LIMIT: Duration = Duration::from_mins(3);

/// What a watchdog takes that can't count so far.
const SHORTER: Duration = Duration::from_mins(1);

/// Time for firmware and boot loader, during a restart that may hang itself.
const RESTART_LIMIT: Duration = Duration::from_mins(10);

/// It is fed so many times before it would bite.
const MEALS: u32 = 6;

/// Tells it that being closed is no mistake (`Documentation/watchdog/watchdog-api.rst`).
const MAGIC_CLOSE: &[u8] = b"V";

/// Anything else feeds it.
const FOOD: &[u8] = b"\n";

/// Devices looked at.
const MAX_DEVICES: usize = 8;

/// An open watchdog.
pub struct Watchdog {
    device: File,
    interval: Duration,
    next_meal: Instant,
}

impl Watchdog {
    /// Opens the first one that there is, which starts it; `None` if there is none.
    pub fn open(limit: Option<Duration>, now: Instant) -> Option<Self> {
        let names = (0..MAX_DEVICES).map(|number| format!("watchdog{number}"));
        names.filter(|name| Path::new("/dev").join(name).exists()).find_map(|name| {
            match OpenOptions::new().write(true).open(format!("/dev/{name}")) {
                Ok(device) => Some(Self::start(device, &name, limit, now)),
                Err(error) => {
                    log!("{name}: {error}");
                    None
                }
            }
        })
    }

    fn start(device: File, name: &str, limit: Option<Duration>, now: Instant) -> Self {
        let wanted = limit.as_ref().map_or(&[LIMIT, SHORTER][..], std::slice::from_ref);
        let set = wanted.iter().find_map(|limit| sys::set_watchdog_limit(&device, *limit).ok());
        // One that can't be set has a time of its own.
        let limit = set.or_else(|| sys::watchdog_limit(&device).ok()).unwrap_or(SHORTER / 2);
        let identity = fs::read_to_string(format!("/sys/class/watchdog/{name}/identity")).unwrap_or_default();
        log!("{name}: {}, bites after {} s", identity.trim(), limit.as_secs());
        Self { device, interval: limit / MEALS, next_meal: now }
    }

    /// When it is to be fed.
    pub fn deadline(&self) -> Instant {
        self.next_meal
    }

    /// Feeds it, if it is time.
    pub fn feed(&mut self, now: Instant) {
        if now >= self.next_meal {
            self.next_meal = now + self.interval;
            self.write(FOOD);
        }
    }

    /// Stops it: the box is about to be off.
    pub fn stop(mut self) {
        self.write(MAGIC_CLOSE);
    }

    /// Leaves it running over a restart, with time for that.
    pub fn leave(mut self) {
        // One that can't wait so long is stopped by its driver when the kernel ends, as most are.
        let _ = sys::set_watchdog_limit(&self.device, RESTART_LIMIT);
        self.write(FOOD);
        // Closing it without the magic would be taken for a mistake, which the log would say.
        std::mem::forget(self);
    }

    fn write(&mut self, what: &[u8]) {
        if let Err(error) = self.device.write_all(what) {
            log!("watchdog: {error}");
        }
    }
}

/// Whether the kernel has one.
pub fn is_there() -> bool {
    fs::read_dir("/sys/class/watchdog").is_ok_and(|mut entries| entries.next().is_some())
}
