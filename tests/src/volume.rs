//! A small file system that can be filled.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Mounted for the calling thread, and what it starts, only; unmounted with the value.
#[derive(Debug)]
pub struct Volume {
    mount_point: PathBuf,
}

impl Volume {
    /// Mounts an empty file system of `megabytes` on a folder; `None` where that is not allowed.
    pub fn mount(mount_point: &Path, megabytes: u32) -> Option<Self> {
        unshare(CloneFlags::CLONE_NEWNS).ok()?;
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).ok()?;
        let size = format!("size={megabytes}m");
        mount(Some("tmpfs"), mount_point, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).ok()?;
        Some(Self { mount_point: mount_point.to_owned() })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // It goes with the thread at the latest.
        let _ = umount2(&self.mount_point, MntFlags::MNT_DETACH);
    }
}
