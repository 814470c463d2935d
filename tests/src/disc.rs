//! Discs to insert.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;

/// Burns `folder` with Rock Ridge and Joliet names.
///
/// # Panics
/// When that fails.
pub fn burn(folder: &Path, label: &str, disc: &Path) -> PathBuf {
    make("xorriso", &["-as", "mkisofs", "-quiet", "-R", "-J", "-joliet-long"], folder, label, disc)
}

/// Burns `folder` with UDF, as a bridge disc: ISO 9660 names it too.
///
/// # Panics
/// When that fails.
pub fn burn_udf(folder: &Path, label: &str, disc: &Path) -> PathBuf {
    make(
        "genisoimage",
        &["-quiet", "-udf", "-allow-limited-size", "-input-charset", "utf-8"],
        folder,
        label,
        disc,
    )
}

/// Burns `folder` with names as they are, whatever their bytes mean.
///
/// # Panics
/// When that fails.
pub fn burn_raw_names(folder: &Path, label: &str, disc: &Path) -> PathBuf {
    make("xorriso", &["-as", "mkisofs", "-quiet", "-R"], folder, label, disc)
}

/// A disc with UDF alone, as packet writing programs make it; nothing is on it.
///
/// # Panics
/// When that fails.
pub fn format_udf(label: &str, disc: &Path) -> PathBuf {
    zeros(disc);
    let mut command = Command::new("mkudffs");
    command.args(["--media-type=dvdrw", "--blocksize=2048", "--label", label]).arg(disc);
    Process::start(command).succeed(Duration::from_mins(1));
    disc.to_owned()
}

/// Appends sectors to a disc that do not belong to what is recorded, as drives count them.
///
/// # Panics
/// When the file can't be written.
pub fn append_run_out(disc: &Path) {
    let file = File::options().append(true).open(disc).expect("a disc");
    let length = file.metadata().expect("a length").len();
    file.set_len(length + 150 * 2048).expect("room on the disk");
}

/// A disc of zeros.
///
/// # Panics
/// When the file can't be made.
pub fn zeros(disc: &Path) -> PathBuf {
    File::create(disc).and_then(|file| file.set_len(16 << 20)).expect("new file");
    disc.to_owned()
}

fn make(program: &str, options: &[&str], folder: &Path, label: &str, disc: &Path) -> PathBuf {
    let mut command = Command::new(program);
    // Bytes are bytes: no locale in which some names would not be text.
    command.env("LC_ALL", "C").args(options).args(["-V", label, "-o"]).arg(disc).arg(folder);
    Process::start(command).succeed(Duration::from_mins(3));
    disc.to_owned()
}
