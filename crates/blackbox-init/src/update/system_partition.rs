//! The system partition, mounted for a job and only that long, and the boot state in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use appliance::boot_state::{BLOCK_BYTES, BootState, SECTOR_BYTES, STATE_FILE, Slot};

use super::mount_point;
use crate::sys;
pub use crate::sys::Access;

/// Kernel and initramfs of a slot, as the boot loader looks for them.
pub const KERNEL: &str = "vmlinuz";
/// See [`KERNEL`].
pub const INITRAMFS: &str = "initrd.img";

/// The partition while it is mounted.
pub struct SystemPartition {
    node: String,
    point: PathBuf,
    is_mounted: bool,
}

impl Drop for SystemPartition {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = sys::unmount(&self.point)
        {
            eprintln!("{}: {error}", self.point.display());
        }
    }
}

impl SystemPartition {
    /// Mounts the partition at `node`.
    ///
    /// # Errors
    /// When it can't be mounted.
    pub fn mount(node: &str, access: Access) -> io::Result<Self> {
        let point = mount_point()?;
        sys::mount(node, &point, "vfat", access, "")?;
        Ok(Self { node: node.to_owned(), point, is_mounted: true })
    }

    /// Unmounts it, with everything written to the disk: nothing that is read afterwards comes from memory.
    ///
    /// # Errors
    /// When it is in use, or the disk fails.
    pub fn unmount(mut self) -> io::Result<()> {
        sys::unmount(&self.point)?;
        self.is_mounted = false;
        flush(&self.node)
    }

    /// Has the disk write what it was given so far: file system, and the disk's own memory.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&self) -> io::Result<()> {
        flush(&self.node)
    }

    /// The folder of a slot.
    pub fn slot(&self, slot: Slot) -> PathBuf {
        self.point.join("slots").join(slot.to_string())
    }

    /// Room that is left, in bytes.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn free_bytes(&self) -> io::Result<u64> {
        sys::free_bytes(&self.point)
    }

    /// The boot state, unless it is nonsense.
    pub fn state(&self) -> Option<BootState> {
        read_state(&self.point)
    }

    /// Replaces the boot state by writing one sector in place.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_state(&self, state: &BootState) -> io::Result<()> {
        let block = state.to_block();
        let path = self.point.join(STATE_FILE);
        let whole = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == BLOCK_BYTES as u64);
        if whole && state_tail(&path)? == block[SECTOR_BYTES..] {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            file.write_all(&block[..SECTOR_BYTES])?;
            file.sync_all()?;
            return self.flush();
        }
        // Somebody has deleted or spoilt it.
        std::fs::create_dir_all(path.parent().unwrap_or(&self.point))?;
        let mut file = File::create(&path)?;
        file.write_all(&block)?;
        file.sync_all()?;
        self.flush()
    }
}

/// The boot state on the system partition that is mounted there, unless it is nonsense.
pub fn read_state(point: &Path) -> Option<BootState> {
    let mut block = Vec::new();
    let file = File::open(point.join(STATE_FILE)).ok()?;
    file.take(BLOCK_BYTES as u64 + 1).read_to_end(&mut block).ok()?;
    BootState::parse(&block).ok()
}

/// What is behind the part of the file that changes.
fn state_tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BLOCK_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes.split_off(SECTOR_BYTES))
}

fn flush(node: &str) -> io::Result<()> {
    File::open(node)?.sync_all()
}
