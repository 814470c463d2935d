//! Harness of the system tests: starts the real daemon or the real image, and meets them as foreign clients do.
//!
//! - [`daemon`]: `blackboxd` on this machine, with ports of its own and temporary folders
//! - [`vm`], [`qmp`], [`image`], [`disc`], [`stick`]: the image in QEMU, its monitor, its disk, discs and sticks
//! - [`update`]: update files, good ones and bad ones
//! - [`volatile_disk`]: a disk for it that forgets with the power what it was not told to flush
//! - [`sound`]: what a machine gave by its speaker
//! - [`init`]: plays PID 1 for a hosted daemon
//! - [`http`], [`tracker`], [`peer`]: our own clients, which can also misbehave
//! - [`clients`]: those that people download with
//! - [`foreign`]: the info hashes that a foreign maker gives the same content
//! - [`content`], [`ways`]: files to publish, made of seeded chance, and the ways in which programs copy them
//! - [`watcher`]: everything that the API shows while other things happen
//! - [`network`], [`volume`]: a network and a small disk of its own for each test
//! - [`rooms`], [`gateway`]: several networks, and a router between them that maps ports
//! - [`lan`]: a network with a box in QEMU, and foreign programs that give addresses and find names
//! - [`process`], [`wait`]: child processes and waiting, both bounded
//! - [`options`]: command lines of the programs that measure
//!
//! A harness fails by panicking: a panic here is a failed test.
#![allow(clippy::unwrap_used, clippy::missing_errors_doc, reason = "a harness fails by panicking")]

pub mod api;
pub mod browser;
pub mod clients;
pub mod content;
pub mod daemon;
pub mod disc;
pub mod exfat;
pub mod foreign;
pub mod gateway;
pub mod http;
pub mod image;
pub mod init;
pub mod lan;
pub mod network;
pub mod options;
pub mod peer;
pub mod process;
pub mod qmp;
pub mod rooms;
pub mod sabotage;
pub mod sound;
pub mod stick;
pub mod tracker;
pub mod update;
pub mod vm;
pub mod volatile_disk;
pub mod volume;
pub mod wait;
pub mod watcher;
pub mod ways;

use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository")
}

/// A folder that is deleted with the value. In memory where there is room for it: files in memory are not slowed down by
/// other tests' disk work.
pub fn temporary_folder() -> tempfile::TempDir {
    let memory =
        PathBuf::from(std::env::var_os("BLACKBOX_MEMORY_FOLDER").unwrap_or_else(|| "/dev/shm".into()));
    let roomy = nix::sys::statvfs::statvfs(&memory)
        .is_ok_and(|volume| volume.blocks_available() * volume.fragment_size() > 4 << 30);
    let parent = if roomy { memory } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("blackbox-test-").tempdir_in(parent).expect("temporary folder")
}

/// A folder on disk that is deleted with the value.
pub fn temporary_folder_on_disk() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("blackbox-test-").tempdir().expect("temporary folder")
}

/// Whether tests should take the time to do all that they can, instead of what is enough for every change.
pub fn thorough() -> bool {
    std::env::var_os("BLACKBOX_THOROUGH").is_some_and(|value| value == "1")
}

/// Lets this process, and those that it starts, have as many descriptors as the system allows; how many that is.
///
/// # Panics
/// When the system does not say.
pub fn all_descriptors() -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of descriptors");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("no more than is allowed");
    hard
}

/// Says what a run leaves out and why; `scripts/test` prints it at its end.
pub fn left_out(what: &str, why: &str) {
    eprintln!("left out: {what}: {why}");
    note("BLACKBOX_LEFT_OUT", &format!("{what}: {why}"));
}

/// Says how much or how long something was; `scripts/test` prints it at its end.
pub fn figure(what: &str, value: impl std::fmt::Debug) {
    note("BLACKBOX_FIGURES", &format!("{what}: {value:.1?}"));
}

/// Adds a line to the file that the environment names, if it does.
fn note(variable: &str, line: &str) {
    let Some(path) = std::env::var_os(variable) else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| writeln!(file, "{line}")).unwrap_or_else(|error| panic!("{path:?}: {error}"));
}

/// A program that was built with the tests: named by the environment, or beside the test's own executable.
fn built(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return root().join(path);
    }
    let test = std::env::current_exe().expect("path of the test");
    let path = test.ancestors().nth(2).expect("target/<profile>/deps/it").join(name);
    assert!(path.exists(), "{path:?} is missing: build it with `cargo build -p {name}`, or run scripts/test");
    path
}
