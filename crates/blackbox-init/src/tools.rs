//! The programs of the image that init calls, and what it asks of them.

use std::process::Command;
use std::time::Duration;

use crate::sys::{self, Rights};

/// Loads kernel modules.
pub const MODPROBE: &str = "/usr/sbin/modprobe";

/// Finds signatures of file systems and partition tables.
pub const BLKID: &str = "/usr/sbin/blkid";

/// Edits partition tables.
pub const SFDISK: &str = "/usr/sbin/sfdisk";

/// Makes ext4 file systems.
pub const MKFS: &str = "/usr/sbin/mkfs.ext4";

/// Checks and repairs ext4 file systems.
pub const E2FSCK: &str = "/usr/sbin/e2fsck";

/// Checks and repairs FAT.
pub const FSCK_FAT: &str = "/usr/sbin/fsck.fat";

/// Mounts NTFS.
pub const NTFS_3G: &str = "/usr/bin/ntfs-3g";

/// Asks disks how sound they are.
pub const SMARTCTL: &str = "/usr/sbin/smartctl";

/// This program itself, for its own children.
pub const SELF: &str = "/proc/self/exe";

/// A call of a program that a phase waits for.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Absolute path.
    pub program: &'static str,
    /// Arguments.
    pub arguments: Vec<String>,
    /// What it reads from standard input; at most a few lines.
    pub input: String,
    /// It is ended when it takes longer.
    pub limit: Duration,
}

impl Tool {
    /// A call without input.
    pub fn new(program: &'static str, arguments: &[&str], limit: Duration) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { program, arguments, input: String::new(), limit }
    }

    /// The same call with something to read.
    pub fn with_input(self, input: String) -> Self {
        Self { input, ..self }
    }

    /// The command that makes the call.
    pub fn command(&self) -> Command {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let (mut command, rights) = match self.program {
            SELF => (own_child(&arguments), Rights::NONE),
            MODPROBE => (confined(MODPROBE, &arguments), Rights::MODULES),
            // Tells the kernel of the new table.
            SFDISK => (confined(SFDISK, &arguments), Rights::DISKS),
            program => (confined(program, &arguments), Rights::NONE),
        };
        sys::stay_root(&mut command, rights);
        command
    }
}

/// A program in an environment that does not depend on where init was started.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin").env("LC_ALL", "C");
    command
}

/// A program in the same environment that reaches nothing but devices (see [`crate::confine`]).
pub fn confined(program: &str, arguments: &[&str]) -> Command {
    let mut command = command(SELF);
    command.args(["tool", program]).args(arguments);
    command
}

/// A child of this very program.
pub fn own_child(arguments: &[&str]) -> Command {
    let mut command = Command::new(SELF);
    command.args(arguments).env_clear();
    command
}
