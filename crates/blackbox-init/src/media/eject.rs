//! The child that unmounts a medium and opens the tray: `blackbox-init eject NAME`.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

use super::{is_mounted, mount_point};
use crate::block;
use crate::confine;
use crate::sys;

/// How long it may take altogether: a tray is out within seconds, after the last file was closed.
pub const LIMIT: Duration = Duration::from_mins(1);

/// How long readers have to close their files.
const CLOSE_LIMIT: Duration = Duration::from_secs(20);

/// How often a busy medium is tried again.
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);

/// Unmounts what is mounted and opens the tray, if there is one.
///
/// # Errors
/// When the medium is still in use or the drive refuses.
pub fn eject(drive: &str) -> io::Result<()> {
    confine::mounter();
    let point = mount_point(drive);
    if is_mounted(&point) {
        retry(|| sys::unmount(&point)).or_else(|_| sys::detach(&point))?;
    }
    if !block::is_optical(drive) {
        return Ok(());
    }
    let file = OpenOptions::new().read(true).custom_flags(sys::NONBLOCK).open(format!("/dev/{drive}"))?;
    // Not every drive has a lock, and one that has none opens anyway.
    let _ = sys::lock_door(&file, false);
    retry(|| sys::open_tray(&file))
}

/// Tries again while the medium is busy.
fn retry(action: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let end = Instant::now() + CLOSE_LIMIT;
    loop {
        match action() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                thread::sleep(CLOSE_INTERVAL);
            }
            result => return result,
        }
    }
}
