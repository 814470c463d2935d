//! The clients that people download with: each fetches one torrent into a folder, and is then compared.
//!
//! Nothing but the torrent's own trackers and web seeds leads them to the box: DHT, PEX and local discovery are off, unless a
//! test turns one of them on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::wait;

/// Time for a download of a few megabytes on a busy machine; announces come first.
pub const DOWNLOAD: Duration = Duration::from_secs(90);

/// Debian's own Python, for which Debian has the bindings of libtorrent.
const PYTHON: &str = "/usr/bin/python3";

/// A foreign client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// aria2c
    Aria2,
    /// transmission-cli
    Transmission,
    /// libtorrent, on which qBittorrent and Deluge are built.
    Libtorrent,
}

/// All of them.
pub const ALL: [Client; 3] = [Client::Aria2, Client::Transmission, Client::Libtorrent];

impl Client {
    /// Downloads `source`, which is the URL of a `.torrent`, a magnet link or the path of a `.torrent`, into `folder`, which
    /// is made.
    ///
    /// # Panics
    /// When it fails or takes longer than `limit`.
    #[track_caller]
    pub fn download(self, source: &str, folder: &Path, limit: Duration) {
        self.start(source, folder).finish(limit);
    }

    /// Starts to download.
    ///
    /// # Panics
    /// When it can't be started.
    #[track_caller]
    pub fn start(self, source: &str, folder: &Path) -> Download {
        fs::create_dir_all(folder).expect("folder");
        match self {
            Self::Aria2 => Download { process: Process::start(aria2(source, folder)), done: None },
            Self::Transmission => transmission(source, folder),
            Self::Libtorrent => libtorrent_with(source, folder, "{}"),
        }
    }
}

/// A client at work.
#[derive(Debug)]
pub struct Download {
    /// The client.
    pub process: Process,
    /// A file that the client makes when it is done, for one that does not end by itself.
    done: Option<PathBuf>,
}

impl Download {
    /// Waits until all is there.
    ///
    /// # Panics
    /// When the client fails or takes longer than `limit`.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) {
        let Some(done) = self.done else { return drop(self.process.succeed(limit)) };
        let finished = wait::try_until(limit, || {
            assert!(self.process.is_running() || done.exists(), "the client ended before it was done");
            done.exists().then_some(())
        });
        assert!(finished.is_some(), "the client is not done within {limit:?}");
    }
}

fn aria2(source: &str, folder: &Path) -> Command {
    let mut command = Command::new("aria2c");
    command
        .args([
            "--no-conf",
            "--seed-time=0",
            "--follow-torrent=mem",
            "--enable-dht=false",
            "--enable-dht6=false",
        ])
        .args([
            "--enable-peer-exchange=false",
            "--bt-enable-lpd=false",
            "--file-allocation=none",
            "--summary-interval=1",
        ])
        .args([
            "--show-console-readout=false",
            "--bt-tracker-interval=2",
            "--check-certificate=false",
            "--dir",
        ])
        .args([folder.as_os_str(), source.as_ref()]);
    command
}

/// It goes on to seed when it is done, so it is told to run a script then.
fn transmission(source: &str, folder: &Path) -> Download {
    let own = folder.with_file_name(format!("{}.transmission", folder.file_name().unwrap().display()));
    fs::create_dir_all(&own).expect("folder");
    let (settings, script, done) = (own.join("settings.json"), own.join("done.sh"), own.join("done"));
    let text = r#"{ "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
                    "port-forwarding-enabled": false, "rpc-enabled": false, "peer-port-random-on-start": true }"#;
    fs::write(settings, text).expect("new file");
    fs::write(&script, format!("#!/bin/sh\n: >'{}'\n", done.display())).expect("new file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    let mut command = Command::new("transmission-cli");
    command.arg("--config-dir").arg(&own).arg("--finish").arg(&script).arg("--download-dir").arg(folder);
    command.arg("--no-portmap").arg(source);
    // It writes its progress without line ends otherwise.
    command.env("HOME", &own);
    Download { process: Process::start(command), done: Some(done) }
}

/// Starts to download with libtorrent, with further settings of its own, in JSON.
///
/// # Panics
/// When it can't be started.
#[track_caller]
pub fn libtorrent_with(source: &str, folder: &Path, settings: &str) -> Download {
    fs::create_dir_all(folder).expect("folder");
    let mut command = libtorrent();
    command.arg("download").args([source.as_ref(), folder]).arg(settings);
    Download { process: Process::start(command), done: None }
}

/// A libtorrent that is done when it is connected to a peer that another one told it of.
///
/// # Panics
/// When it can't be started.
#[track_caller]
pub fn libtorrent_that_meets(source: &str, folder: &Path) -> Download {
    fs::create_dir_all(folder).expect("folder");
    let mut command = libtorrent();
    command.arg("meet").args([source.as_ref(), folder]);
    Download { process: Process::start(command), done: None }
}

/// A libtorrent that is a node of a DHT of its own, and its port.
///
/// # Panics
/// When it can't be started, or does not say its port in time.
#[track_caller]
pub fn dht_node(address: &str) -> (Process, u16) {
    let mut command = libtorrent();
    command.arg("node").arg(address);
    let mut process = Process::start(command);
    let port = process.wait_for_line("the node's port", DOWNLOAD, |line| {
        line.strip_prefix("port ").map(|port| port.parse().expect("a port"))
    });
    (process, port)
}

/// The script that works libtorrent.
pub(crate) fn libtorrent() -> Command {
    let mut command = Command::new(PYTHON);
    command.arg(crate::root().join("tests/clients/libtorrent_client.py"));
    command
}

/// Makes a version 1 torrent of `path` with libtorrent, and returns the `.torrent`.
///
/// # Panics
/// When that fails.
#[track_caller]
pub fn make_with_libtorrent(path: &Path, piece_length: u32, output: &Path) -> Vec<u8> {
    let mut command = libtorrent();
    command.arg("create").arg(path).arg(piece_length.to_string()).arg(output);
    Process::start(command).succeed(DOWNLOAD);
    fs::read(output).expect("a .torrent")
}

/// Makes a torrent of the file `path` with mktorrent, and returns the `.torrent`.
///
/// # Panics
/// When that fails.
#[track_caller]
pub fn make_with_mktorrent(path: &Path, piece_length: u32, output: &Path) -> Vec<u8> {
    let mut command = Command::new("mktorrent");
    command.arg("-l").arg(piece_length.ilog2().to_string()).arg("-o").arg(output).arg(path);
    Process::start(command).succeed(DOWNLOAD);
    fs::read(output).expect("a .torrent")
}
