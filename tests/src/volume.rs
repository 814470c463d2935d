//! Small file systems: one that can be filled, and one whose disk can be damaged.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        of_our_own()?;
        let size = format!("size={megabytes}m");
        mount(Some("tmpfs"), mount_point, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).ok()?;
        Some(Self { mount_point: mount_point.to_owned() })
    }

    /// Mounts an empty ext4 file system of `megabytes`, which is in the file `image`, on a folder; `None` where that is not
    /// allowed.
    pub fn mount_image(image: &Path, mount_point: &Path, megabytes: u64) -> Option<Self> {
        of_our_own()?;
        File::create_new(image).and_then(|file| file.set_len(megabytes << 20)).expect("a new file");
        let is_done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = is_done(Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(image));
        let mounted = made && is_done(Command::new("mount").args(["-o", "loop"]).arg(image).arg(mount_point));
        mounted.then(|| Self { mount_point: mount_point.to_owned() })
    }
}

/// What is mounted from now on, the calling thread and what it starts see alone.
fn of_our_own() -> Option<()> {
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).ok()?;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).ok()
}

/// Finds these bytes on a disk that is in a file, and changes the first of them. Once more, and it is as before.
///
/// # Panics
/// If they are not there.
#[track_caller]
pub fn damage(image: &Path, bytes: &[u8]) {
    let disk = std::fs::read(image).expect("a readable file");
    let wanted = [bytes[0], bytes[0] ^ 1];
    let is_it = |at: &&[u8]| wanted.contains(&at[0]) && at[1..] == bytes[1..];
    let offset = disk.windows(bytes.len()).position(|at| is_it(&at)).expect("the bytes are on the disk");
    let file = File::options().write(true).open(image).expect("a writable file");
    file.write_all_at(&[disk[offset] ^ 1], offset as u64).expect("a writable file");
}

impl Drop for Volume {
    fn drop(&mut self) {
        // It goes with the thread at the latest.
        let _ = umount2(&self.mount_point, MntFlags::MNT_DETACH);
    }
}
