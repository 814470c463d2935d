//! Discs and sticks: what is in which drive, and what is done about it.
//!
//! PID 1 only decides ([`drive`]); everything that may wait for a slow or damaged medium happens in children of
//! the same program, which have a deadline ([`look`], [`eject`]).

pub mod drive;
pub mod eject;
mod file_system;
pub mod finding;
pub mod look;
mod optical;
mod volume;

use std::path::{Path, PathBuf};

use appliance::paths::MEDIA;

use crate::log;
use crate::sys;

/// Where the medium of a drive is mounted.
pub fn mount_point(drive: &str) -> PathBuf {
    Path::new(MEDIA).join(drive)
}

/// Whether something is mounted there.
pub fn is_mounted(point: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|target| Path::new(target) == point))
}

/// Takes a drive's medium out of the tree at once, even while someone reads it.
pub fn detach(drive: &str) {
    let point = mount_point(drive);
    if let Err(error) = sys::detach(&point) {
        log!("{}: {error}", point.display());
    }
}

/// Takes every medium out of the tree.
pub fn detach_all() {
    for entry in std::fs::read_dir(MEDIA).into_iter().flatten().flatten() {
        if is_mounted(&entry.path()) {
            // What is in use is read-only, so nothing is lost with it.
            let _ = sys::detach(&entry.path());
        }
    }
}

/// Whether `name` can be the kernel name of a drive: one plain path component.
pub fn is_drive_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
