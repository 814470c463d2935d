//! Small file systems: one that can be filled, and one whose disk can be damaged, or answer no more.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{major, minor};

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

/// What can stop a disk from answering to a process that reads: a control group.
#[derive(Debug)]
pub struct Brake {
    group: PathBuf,
    /// The file with the limit, and what is written to it to set and to lift it.
    limit: (&'static str, [String; 2]),
}

impl Brake {
    /// For the disk below a folder; `None` where there are no such groups.
    pub fn on(folder: &Path) -> Option<Self> {
        let device = fs::metadata(folder).expect("a folder").dev();
        let device = format!("{}:{}", major(device), minor(device));
        let name = format!("blackbox-test-{}-{device}", std::process::id());
        let by_version_1 = || {
            let group = Path::new("/sys/fs/cgroup/blkio").join(&name);
            fs::create_dir(&group).ok()?;
            let limit = ["1", "0"].map(|bytes| format!("{device} {bytes}"));
            Some(Self { group, limit: ("blkio.throttle.read_bps_device", limit) })
        };
        let by_version_2 = || {
            let root = Path::new("/sys/fs/cgroup");
            fs::write(root.join("cgroup.subtree_control"), "+io").ok()?;
            let group = root.join(&name);
            fs::create_dir(&group).ok()?;
            let limit = ["1", "max"].map(|bytes| format!("{device} rbps={bytes}"));
            Some(Self { group, limit: ("io.max", limit) })
        };
        by_version_1().or_else(by_version_2).filter(|brake| brake.group.join(brake.limit.0).exists())
    }

    /// From now on nothing is read from the disk for this process.
    ///
    /// # Panics
    /// When the kernel does not take it.
    #[track_caller]
    pub fn apply(&self, process: u32) {
        fs::write(self.group.join("cgroup.procs"), process.to_string()).expect("a running process");
        self.write(0).expect("a disk");
    }

    /// The disk answers again.
    ///
    /// # Panics
    /// When the kernel does not take it.
    #[track_caller]
    pub fn release(&self) {
        self.write(1).expect("a disk");
    }

    fn write(&self, which: usize) -> std::io::Result<()> {
        fs::write(self.group.join(self.limit.0), &self.limit.1[which])
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        // The process is gone by now.
        let _ = self.write(1);
        let _ = fs::remove_dir(&self.group);
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
