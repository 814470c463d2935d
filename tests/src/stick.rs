//! Sticks to plug in, with the file systems that people have on them.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::content;
use crate::exfat;
use crate::process::Process;

/// Bytes of a stick.
const SIZE: u64 = 64 << 20;

/// File systems of sticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FAT32 in a partition, as sticks are sold.
    Fat,
    /// exFAT on the whole stick.
    Exfat,
    /// NTFS on the whole stick.
    Ntfs,
    /// ext4 on the whole stick, pulled out without being unmounted.
    Ext4,
}

/// All of them.
pub const ALL: [Kind; 4] = [Kind::Fat, Kind::Exfat, Kind::Ntfs, Kind::Ext4];

/// Makes a stick that holds the files of `folder`, in which there are no folders.
///
/// # Panics
/// When that fails.
pub fn make(kind: Kind, folder: &Path, label: &str, stick: &Path) -> PathBuf {
    File::create(stick).and_then(|file| file.set_len(SIZE)).expect("new file");
    let files = content::files(folder);
    match kind {
        Kind::Fat => {
            let script = format!("echo start=2048,type=c | sfdisk -q '{}'", stick.display());
            tool("sh", ["-c", &script]);
            let (at, all) = ("--offset=2048".as_ref(), "-F32".as_ref());
            tool("mkfs.vfat", [at, all, "-n".as_ref(), label.as_ref(), stick.as_os_str()]);
            let volume = format!("{}@@1M", stick.display());
            for file in files.values() {
                tool("mcopy", ["-i".as_ref(), OsStr::new(&volume), file.as_os_str(), "::".as_ref()]);
            }
        }
        Kind::Exfat => {
            tool("mkfs.exfat", ["-L".as_ref(), label.as_ref(), stick.as_os_str()]);
            exfat::add(stick, &files);
        }
        Kind::Ntfs => {
            tool("mkntfs", ["-Q".as_ref(), "-F".as_ref(), "-L".as_ref(), label.as_ref(), stick.as_os_str()]);
            for (name, file) in &files {
                tool("ntfscp", ["-f".as_ref(), stick.as_os_str(), file.as_os_str(), name.as_os_str()]);
            }
        }
        Kind::Ext4 => {
            let options = ["-q", "-F", "-t", "ext4", "-L", label, "-d"].map(OsStr::new);
            tool("mke2fs", options.into_iter().chain([folder.as_os_str(), stick.as_os_str()]));
            tool(
                "debugfs",
                ["-w".as_ref(), "-R".as_ref(), "feature needs_recovery".as_ref(), stick.as_os_str()],
            );
        }
    }
    stick.to_owned()
}

/// Runs a program for which file names are text in UTF-8, whatever this machine's language is.
#[track_caller]
fn tool<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").args(arguments);
    Process::start(command).succeed(Duration::from_mins(1));
}
