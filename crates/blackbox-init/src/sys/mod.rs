//! Every call to the kernel that the standard library does not offer. No other file names `nix` or `rustix`.

mod device;
mod folder;
mod packet;
mod process;
mod socket;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::mount::{MntFlags, MsFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::CloneFlags;
use nix::sys::statvfs::FsFlags;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

pub use device::{
    DiscStatus, DriveStatus, device_bytes, disc_status, drive_status, lock_door, open_tray,
    set_watchdog_limit, sound, watchdog_limit,
};
pub use folder::FolderWatch;
pub use packet::{arp_socket, broadcast_arp, receive_packet};
pub use process::{
    Exit, Identity, Reboot, Rights, Signal, Signals, become_network_service, become_service,
    catch_keyboard_reboot, ignore_end, inherit, inherited, is_first_process, kill, kill_all, kill_group,
    limit_resources, reap, reboot, stay_root, unblock_signals,
};
pub use socket::{
    Received, UeventSocket, addresses, bind_dhcp, bind_group, link_socket, receive_netlink, request_netlink,
};

/// `O_NOCTTY` for `custom_flags`.
pub const NOCTTY: i32 = OFlag::O_NOCTTY.bits();

/// `O_NONBLOCK` for `custom_flags`.
pub const NONBLOCK: i32 = OFlag::O_NONBLOCK.bits();

/// `O_NOFOLLOW` for `custom_flags`.
pub const NOFOLLOW: i32 = OFlag::O_NOFOLLOW.bits();

/// Time since power-on.
pub fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// Sets the clock to at least `floor` (since 1970). Returns whether it had to.
pub fn set_clock_floor(floor: Duration) -> io::Result<bool> {
    if Duration::from(clock_gettime(ClockId::CLOCK_REALTIME)?) >= floor {
        return Ok(false);
    }
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from(floor))?;
    Ok(true)
}

/// The time since 1970.
pub fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from).unwrap_or_default()
}

/// Sets the clock to a time since 1970.
pub fn set_clock(time: Duration) -> io::Result<()> {
    Ok(clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from(time))?)
}

/// Tells the kernel that the clock is right, within so many microseconds: until it must have drifted by seconds, the kernel
/// writes it to the machine's own clock, at once and every eleven minutes.
#[expect(unsafe_code, reason = "nix has no call for it")]
pub fn vouch_for_clock(error: i64) -> io::Result<()> {
    // SAFETY: a structure of numbers, for which 0 is a value.
    let mut change: libc::timex = unsafe { std::mem::zeroed() };
    change.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
    (change.maxerror, change.esterror) = (error, error);
    // SAFETY: it points to a whole structure of ours.
    match unsafe { libc::adjtimex(&raw mut change) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Has the clock go a little faster or slower until it has moved by so many microseconds.
#[expect(unsafe_code, reason = "nix has no call for it")]
pub fn slew_clock(microseconds: i64) -> io::Result<()> {
    // SAFETY: a structure of numbers, for which 0 is a value.
    let mut change: libc::timex = unsafe { std::mem::zeroed() };
    change.modes = libc::ADJ_OFFSET_SINGLESHOT;
    change.offset = microseconds;
    // SAFETY: it points to a whole structure of ours.
    match unsafe { libc::adjtimex(&raw mut change) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Names the machine.
pub fn set_host_name(name: &str) -> io::Result<()> {
    Ok(nix::unistd::sethostname(OsStr::new(name))?)
}

/// Writes all files of all file systems to their disks.
pub fn sync() {
    nix::unistd::sync();
}

/// How a file system is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Data to be read: `ro,nosuid,nodev,noexec`.
    Read,
    /// Data to be read and written: `rw,nosuid,nodev,noexec,noatime`.
    Write,
    /// Device nodes: `rw,nosuid,noexec`.
    Devices,
}

/// Mounts `source` of file system type `kind` on `target`, which must exist.
pub fn mount(source: &str, target: &Path, kind: &str, access: Access, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID
        | MsFlags::MS_NOEXEC
        | match access {
            Access::Read => MsFlags::MS_NODEV | MsFlags::MS_RDONLY,
            Access::Write => MsFlags::MS_NODEV | MsFlags::MS_NOATIME,
            Access::Devices => MsFlags::empty(),
        };
    match nix::mount::mount(Some(source), target, Some(kind), flags, Some(options)) {
        Err(Errno::EBUSY) if access == Access::Devices => Ok(()),
        other => Ok(other?),
    }
}

/// Makes a mounted file system read-only.
pub fn remount_read_only(target: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_REMOUNT
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC;
    Ok(nix::mount::mount(None::<&str>, target, None::<&str>, flags, None::<&str>)?)
}

/// Unmounts; fails with `EBUSY` while it is in use.
pub fn unmount(target: &Path) -> io::Result<()> {
    Ok(nix::mount::umount(target)?)
}

/// Takes a mount out of the tree at once; it ends when its last user does.
pub fn detach(target: &Path) -> io::Result<()> {
    Ok(nix::mount::umount2(target, MntFlags::MNT_DETACH)?)
}

/// Size in bytes of a mounted file system as it says itself.
pub fn file_system_bytes(target: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(target)?;
    Ok(stat.blocks().saturating_mul(stat.fragment_size()))
}

/// Bytes that can be written to a mounted file system.
pub fn free_bytes(target: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(target)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// Whether the file system of a file can only be read.
pub fn is_read_only(path: &Path) -> io::Result<bool> {
    Ok(nix::sys::statvfs::statvfs(path)?.flags().contains(FsFlags::ST_RDONLY))
}

/// Gives this process a view of the mounts of its own: what it mounts from now on goes away with it.
pub fn hide_mounts() -> io::Result<()> {
    Ok(nix::sched::unshare(CloneFlags::CLONE_NEWNS)?)
}

/// Bytes that nobody can guess.
pub fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Makes reads and writes return instead of waiting.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What a descriptor is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Something to read, or the other side's end.
    Read,
    /// The same, and room to write.
    ReadWrite,
}

/// Waits until a descriptor is ready or `until` has come. Returns for each whether there is something to do.
pub fn poll(descriptors: &[(BorrowedFd<'_>, Wait)], until: Instant) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = descriptors
        .iter()
        .map(|(fd, wait)| {
            let flags = match wait {
                Wait::Read => PollFlags::POLLIN,
                Wait::ReadWrite => PollFlags::POLLIN | PollFlags::POLLOUT,
            };
            PollFd::new(*fd, flags)
        })
        .collect();
    // Rounded up, so that a deadline has come when poll returns for it.
    let wait = until.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    match nix::poll::poll(&mut polled, timeout) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; descriptors.len()]),
        Err(error) => Err(error.into()),
    }
}

/// Gives a device node or file to root and the daemon's group; the daemon may read it.
pub fn share_with_group(path: &Path, group: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::os::unix::fs::chown(path, Some(0), Some(group))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640))
}

/// Writes a directory's entries to its disk.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
