//! File systems that discs and sticks have, and how they are mounted: read-only, and readable for the daemon.

use std::io;
use std::path::Path;

use crate::sys::{self, Access};
use crate::tools;

/// A file system that can be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// As `blkid` calls it.
    name: &'static str,
    driver: Driver,
    options: &'static str,
}

/// What reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// The kernel, by this driver.
    Kernel(&'static str),
    /// A process that lives until the medium is unmounted: not every distribution's kernel knows NTFS.
    Ntfs3g,
}

const ALL: [FileSystem; 8] = [
    // Rock Ridge can carry permissions that lock the daemon out.
    kernel("iso9660", "iso9660", "iocharset=utf8,mode=0444,dmode=0555,overriderockperm"),
    kernel("udf", "udf", "iocharset=utf8,mode=0444,dmode=0555"),
    kernel("vfat", "vfat", "utf8=1,umask=0222,shortname=mixed"),
    kernel("exfat", "exfat", "iocharset=utf8,umask=0222"),
    FileSystem {
        name: "ntfs",
        driver: Driver::Ntfs3g,
        options: "ro,nosuid,nodev,noexec,umask=0222,norecover",
    },
    // No repair and no journal replay: the medium is not ours to write to.
    kernel("ext2", "ext4", "noload"),
    kernel("ext3", "ext4", "noload"),
    kernel("ext4", "ext4", "noload"),
];

const fn kernel(name: &'static str, driver: &'static str, options: &'static str) -> FileSystem {
    FileSystem { name, driver: Driver::Kernel(driver), options }
}

impl FileSystem {
    /// All of them, for people.
    pub const KNOWN: &str = "ISO 9660, UDF, FAT, exFAT, NTFS and ext4";

    /// The one that `blkid` calls so.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|known| known.name == name)
    }

    /// Mounts the device `node` on the folder `point`.
    ///
    /// # Errors
    /// The kernel's, or the last words of the program that mounts.
    pub fn mount(self, node: &str, point: &Path) -> io::Result<()> {
        let driver = match self.driver {
            Driver::Kernel(driver) => driver,
            Driver::Ntfs3g => return self.mount_with_program(node, point),
        };
        sys::mount(node, point, driver, Access::Read, self.options)
    }

    /// The program goes into the background when the file system is mounted, and ends when that is unmounted.
    fn mount_with_program(self, node: &str, point: &Path) -> io::Result<()> {
        let output = tools::command(tools::NTFS_3G).args(["-o", self.options, node]).arg(point).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().map(str::trim).find(|line| !line.is_empty());
        Err(io::Error::other(first.unwrap_or("the program that reads it failed").to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_are_told_is_known() {
        for name in ["iso9660", "udf", "vfat", "exfat", "ntfs", "ext4"] {
            assert!(FileSystem::named(name).is_some(), "{name}");
        }
        assert_eq!(FileSystem::named("crypto_LUKS"), None);
    }
}
