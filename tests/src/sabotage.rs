//! The initramfs that was built, with a saboteur (`src/bin/saboteur.rs`) in the place of init or the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use appliance::paths;

use crate::process::Process;
use crate::update;

/// Who is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// PID 1.
    Init,
    /// The daemon, once.
    Daemon,
}

/// Makes the initramfs in a folder.
///
/// # Panics
/// When that fails.
pub fn initramfs(folder: &Path, victim: Victim) -> PathBuf {
    let saboteur = build(folder);
    let mut files = Vec::new();
    match victim {
        Victim::Init => files.push(("/init".to_owned(), saboteur)),
        Victim::Daemon => {
            files.push((format!("{}.real", paths::DAEMON), daemon()));
            files.push((paths::DAEMON.to_owned(), saboteur));
        }
    }
    let path = folder.join("sabotaged.cpio");
    fs::write(&path, update::initramfs(&files)).expect("a new file");
    path
}

/// The daemon that is in the image.
fn daemon() -> Vec<u8> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from);
    fs::read(target.join("x86_64-unknown-linux-gnu/release/blackboxd")).expect("the daemon of the image")
}

/// The program, with all that it needs in it.
fn build(folder: &Path) -> Vec<u8> {
    let program = folder.join("saboteur");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "-Copt-level=s", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"]);
    rustc.args(["--target", "x86_64-unknown-linux-gnu", "-o"]).arg(&program);
    rustc.arg(crate::root().join("tests/src/bin/saboteur.rs"));
    Process::start(rustc).succeed(Duration::from_mins(2));
    fs::read(program).expect("the program just made")
}
