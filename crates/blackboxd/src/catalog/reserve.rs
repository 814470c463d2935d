//! Space that is kept for the day on which the disk is full: then the box can still take items back and remember what it
//! publishes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;

/// Name of the file that takes the space.
const FILE: &str = "reserved-space";

/// Bytes: enough for changes of a catalog of many items, until somebody makes room.
const SIZE: u64 = 32 << 20;

/// A file that can be deleted.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// A reserve in the folder of `file`.
    pub(super) fn beside(file: &Path) -> Self {
        Self { path: file.with_file_name(FILE) }
    }

    /// Frees the space; whether there was any.
    pub(super) fn release(&self) -> bool {
        let freed = fs::remove_file(&self.path).is_ok();
        if freed {
            tracing::warn!("the disk is full; the space that was kept for this is used now");
        }
        freed
    }

    /// Takes the space, if it is not taken and the disk has twice as much.
    pub(super) fn refill(&self) {
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == SIZE) {
            return;
        }
        let Some(folder) = self.path.parent() else { return };
        let has_room = statvfs(folder)
            .is_ok_and(|volume| volume.blocks_available() * volume.fragment_size() >= 2 * SIZE);
        if has_room && let Err(error) = self.take() {
            tracing::debug!("no space can be reserved: {error}");
            // A file without its space is of no use.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn take(&self) -> std::io::Result<()> {
        let file = File::create(&self.path)?;
        let size = i64::try_from(SIZE).map_err(std::io::Error::other)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, size)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn space_is_taken_once_and_given_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("catalog"));
        assert!(!reserve.release());
        reserve.refill();
        let metadata = fs::metadata(folder.path().join(FILE)).unwrap();
        assert!(metadata.len() == SIZE && metadata.blocks() * 512 >= SIZE, "the space is really taken");
        assert!(reserve.release() && !reserve.release());
    }
}
