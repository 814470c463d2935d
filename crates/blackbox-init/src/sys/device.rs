//! Calls to optical drives, block devices, consoles and watchdogs (`linux/cdrom.h`, `linux/fs.h`, `linux/kd.h`,
//! `linux/watchdog.h`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The slot that a drive without a changer has.
const CDSL_CURRENT: i32 = i32::MAX;

mod ioctl {
    nix::ioctl_none_bad!(cdrom_eject, 0x5309);
    nix::ioctl_write_int_bad!(cdrom_drive_status, 0x5326);
    nix::ioctl_none_bad!(cdrom_disc_status, 0x5327);
    nix::ioctl_write_int_bad!(cdrom_lock_door, 0x5329);
    nix::ioctl_read!(block_bytes, 0x12, 114, usize);
    nix::ioctl_write_int_bad!(make_tone, 0x4b30);
    nix::ioctl_readwrite!(set_watchdog_seconds, b'W', 6, i32);
    nix::ioctl_read!(watchdog_seconds, b'W', 7, i32);
}

/// Beats per second of the timer that makes the tones.
const TIMER_RATE: u32 = 1_193_182;

/// What a drive says of itself (`CDROM_DRIVE_STATUS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveStatus {
    /// The drive can't tell.
    Unknown,
    /// The tray is in and empty.
    NoDisc,
    /// The tray is out.
    TrayOpen,
    /// It is busy with the disc; ask again.
    NotReady,
    /// There is a disc.
    DiscOk,
}

/// What a drive says of its disc (`CDROM_DISC_STATUS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscStatus {
    /// The drive can't tell, as for a blank or damaged disc.
    Unknown,
    /// No disc after all.
    NoDisc,
    /// Audio tracks only.
    Audio,
    /// At least one track with data.
    Data,
}

/// Asks a drive how it is.
#[expect(unsafe_code, reason = "ioctl")]
pub fn drive_status(drive: &File) -> io::Result<DriveStatus> {
    // SAFETY: the request takes an integer and writes no memory of ours.
    let status = unsafe { ioctl::cdrom_drive_status(drive.as_raw_fd(), CDSL_CURRENT) }?;
    Ok(match status {
        1 => DriveStatus::NoDisc,
        2 => DriveStatus::TrayOpen,
        3 => DriveStatus::NotReady,
        4 => DriveStatus::DiscOk,
        _ => DriveStatus::Unknown,
    })
}

/// Asks a drive what its disc holds.
#[expect(unsafe_code, reason = "ioctl")]
pub fn disc_status(drive: &File) -> io::Result<DiscStatus> {
    // SAFETY: the request takes no argument.
    let status = unsafe { ioctl::cdrom_disc_status(drive.as_raw_fd()) }?;
    Ok(match status {
        1 => DiscStatus::NoDisc,
        100 => DiscStatus::Audio,
        101..=105 => DiscStatus::Data,
        _ => DiscStatus::Unknown,
    })
}

/// Lets the drive's own button work again.
#[expect(unsafe_code, reason = "ioctl")]
pub fn lock_door(drive: &File, locked: bool) -> io::Result<()> {
    // SAFETY: the request takes an integer and writes no memory of ours.
    unsafe { ioctl::cdrom_lock_door(drive.as_raw_fd(), i32::from(locked)) }?;
    Ok(())
}

/// Has a console's speaker give a tone of `frequency` hertz (19 or more), at most for a minute.
#[expect(unsafe_code, reason = "ioctl")]
pub fn sound(console: &File, frequency: u32, length: Duration) -> io::Result<()> {
    let beats = u16::try_from(TIMER_RATE / frequency.max(1)).map_err(io::Error::other)?;
    let milliseconds = u16::try_from(length.as_millis()).map_err(io::Error::other)?;
    // The request takes both as one number, signed or not.
    let argument = (u32::from(milliseconds) << 16 | u32::from(beats)).cast_signed();
    // SAFETY: the request takes an integer and writes no memory of ours.
    unsafe { ioctl::make_tone(console.as_raw_fd(), argument) }?;
    Ok(())
}

/// Opens the tray.
#[expect(unsafe_code, reason = "ioctl")]
pub fn open_tray(drive: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    unsafe { ioctl::cdrom_eject(drive.as_raw_fd()) }?;
    Ok(())
}

/// Size of a block device in bytes (`BLKGETSIZE64`).
#[expect(unsafe_code, reason = "ioctl")]
pub fn device_bytes(device: &File) -> io::Result<u64> {
    let mut bytes = 0;
    // SAFETY: the kernel writes one u64, which is what the argument points to on 64-bit machines.
    unsafe { ioctl::block_bytes(device.as_raw_fd(), &raw mut bytes) }?;
    Ok(bytes as u64)
}

/// Has a watchdog bite after `limit` (`WDIOC_SETTIMEOUT`). Returns the time that it makes of that.
#[expect(unsafe_code, reason = "ioctl")]
pub fn set_watchdog_limit(device: &File, limit: Duration) -> io::Result<Duration> {
    let mut seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
    // SAFETY: the kernel reads and writes one int, which is what the argument points to.
    unsafe { ioctl::set_watchdog_seconds(device.as_raw_fd(), &raw mut seconds) }?;
    Ok(Duration::from_secs(seconds.unsigned_abs().into()))
}

/// The time after which a watchdog bites (`WDIOC_GETTIMEOUT`).
#[expect(unsafe_code, reason = "ioctl")]
pub fn watchdog_limit(device: &File) -> io::Result<Duration> {
    let mut seconds = 0;
    // SAFETY: the kernel writes one int, which is what the argument points to.
    unsafe { ioctl::watchdog_seconds(device.as_raw_fd(), &raw mut seconds) }?;
    Ok(Duration::from_secs(seconds.unsigned_abs().into()))
}
