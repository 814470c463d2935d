//! Tells whether a file is still the one that was hashed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// What changes when a file does. Whoever changes content can set its time back, but not the time of that.
///
/// Nothing but the content matters, yet other changes show as well: a new mode, owner or hard link moves `ctime`. Such a
/// file is hashed again, since nobody can know what else was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u64, i64, i64)", into = "(u64, u64, i64, i64)")]
pub struct Identity {
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content, nanoseconds since 1970 (as far as they fit: the years 1678 to 2262).
    pub mtime: i64,
    /// Time of the last change of anything, in the same unit.
    pub ctime: i64,
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

impl From<(u64, u64, i64, i64)> for Identity {
    fn from((inode, size, mtime, ctime): (u64, u64, i64, i64)) -> Self {
        Self { inode, size, mtime, ctime }
    }
}

impl From<Identity> for (u64, u64, i64, i64) {
    fn from(Identity { inode, size, mtime, ctime }: Identity) -> Self {
        (inode, size, mtime, ctime)
    }
}

#[cfg(test)]
impl Identity {
    /// A file of `size` bytes that is on no disk.
    pub fn of_nothing(inode: u64, size: u64) -> Self {
        Self { inode, size, mtime: 784_111_777_000_000_000, ctime: 784_111_778_000_000_000 }
    }
}
