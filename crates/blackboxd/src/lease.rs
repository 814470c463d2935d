//! Asks the kernel whether a file is open for writing.

#![expect(unsafe_code, reason = "nix has no F_SETLEASE")]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::{F_RDLCK, F_SETLEASE, F_UNLCK, SIGURG, c_int, fcntl};
use nix::sys::statfs::{self, FsType, fstatfs};

/// From Linux' `asm-generic/fcntl.h`.
const F_SETSIG: c_int = 10;

/// File systems on which the kernel refuses a lease for one reason only: a writer. (On network file systems it is refused
/// for others, with the same error.)
const LOCAL: [FsType; 6] = [
    statfs::EXT4_SUPER_MAGIC,
    statfs::XFS_SUPER_MAGIC,
    statfs::BTRFS_SUPER_MAGIC,
    statfs::F2FS_SUPER_MAGIC,
    statfs::OVERLAYFS_SUPER_MAGIC,
    statfs::TMPFS_MAGIC,
];

/// Whether a program on this machine certainly has the file open for writing. `false` also when it can't be known: on other
/// file systems, and for other users' files without `CAP_LEASE`.
pub fn has_writer(file: &File) -> bool {
    if !fstatfs(file).is_ok_and(|volume| LOCAL.contains(&volume.filesystem_type())) {
        return false;
    }
    // A writer who comes in this moment waits until the lease is given back, and its holder gets a signal: not SIGIO, which
    // would end the process, but one that does nothing.
    let leased = control(file, F_SETSIG, SIGURG).and_then(|()| control(file, F_SETLEASE, F_RDLCK));
    if leased.is_ok() {
        // It can't fail; and closing the file gives the lease back, too.
        let _ = control(file, F_SETLEASE, F_UNLCK);
    }
    leased == Err(Errno::EAGAIN)
}

fn control(file: &File, command: c_int, argument: c_int) -> nix::Result<()> {
    // SAFETY: the descriptor is open as long as `file` is borrowed, and both commands take an integer.
    let result = unsafe { fcntl(file.as_raw_fd(), command, argument) };
    Errno::result(result).map(drop)
}
