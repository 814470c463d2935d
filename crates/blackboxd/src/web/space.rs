//! How much room is left for publishing.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Bytes of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// That the daemon can still write.
    pub(super) free: u64,
    /// In all.
    pub(super) total: u64,
}

/// The volume that `folder` is on; `None` when it can't be asked.
pub(super) async fn of(folder: &Path) -> Option<Space> {
    let folder = folder.to_owned();
    // A disk that is about to fail answers late.
    tokio::task::spawn_blocking(move || {
        let volume = statvfs(&folder).ok()?;
        let bytes = |blocks| volume.fragment_size().saturating_mul(blocks);
        Some(Space { free: bytes(volume.blocks_available()), total: bytes(volume.blocks()) })
    })
    .await
    .ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_volume_has_no_more_free_than_it_holds() {
        let space = of(Path::new("/")).await.unwrap();
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert_eq!(of(Path::new("/nonexistent")).await, None);
    }
}
