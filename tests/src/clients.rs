//! The clients that people download with: each fetches one torrent into a folder, and is then compared.
//!
//! Nothing but the torrent's own trackers and web seeds leads them to the box: DHT, PEX and local discovery are off, unless a
//! test turns one of them on. They take what port is free, so that several can be at work in one network.

mod commands;

pub use commands::node_modules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::wait;

/// Time for a download of a few megabytes on a busy machine; announces come first, and a client whose packet to a UDP tracker
/// was lost asks again after 15, 45 and 105 seconds (BEP 15).
pub const DOWNLOAD: Duration = Duration::from_secs(150);

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
    /// qbittorrent-nox
    Qbittorrent,
    /// rtorrent
    Rtorrent,
    /// rqbit
    Rqbit,
    /// webtorrent, for node
    Webtorrent,
}

/// All of them.
pub const ALL: [Client; 7] = [
    Client::Aria2,
    Client::Transmission,
    Client::Libtorrent,
    Client::Qbittorrent,
    Client::Rtorrent,
    Client::Rqbit,
    Client::Webtorrent,
];

/// Those that Debian has as libraries and small programs: enough where the question is not what clients there are.
pub const COMMON: [Client; 3] = [Client::Aria2, Client::Transmission, Client::Libtorrent];

/// What a client demands of its connections to peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Whatever both sides like best.
    Nothing,
    /// That everything is encrypted by RC4.
    Rc4,
    /// That the handshake is encrypted, and nothing after it.
    EncryptedHandshake,
    /// That they are over uTP.
    Utp,
}

impl Client {
    /// Why it can't be made to refuse everything else, if it can't.
    pub fn cannot_demand(self, demand: Demand) -> Option<&'static str> {
        match (demand, self) {
            (Demand::Rc4 | Demand::EncryptedHandshake, Self::Rqbit | Self::Webtorrent) => {
                Some("the client has no setting that refuses plain connections")
            }
            (Demand::EncryptedHandshake, Self::Transmission | Self::Qbittorrent) => {
                Some("the client has no setting that refuses RC4")
            }
            (Demand::Utp, Self::Aria2 | Self::Rtorrent) => Some("the client knows no uTP"),
            (Demand::Utp, Self::Transmission | Self::Webtorrent) => {
                Some("the client has no setting that refuses TCP")
            }
            _ => None,
        }
    }

    /// Whether it can be started. Those that Debian does not have are left out where they could not be built.
    pub fn is_installed(self) -> bool {
        match self {
            Self::Rqbit => commands::rqbit_program().exists(),
            Self::Webtorrent => commands::node_modules().join("webtorrent").exists(),
            _ => true,
        }
    }

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
        self.start_with(Demand::Nothing, source, folder)
    }

    /// Starts to download by nothing but what is demanded.
    ///
    /// # Panics
    /// When it can't be started.
    #[track_caller]
    pub fn start_with(self, demand: Demand, source: &str, folder: &Path) -> Download {
        assert_eq!(self.cannot_demand(demand), None, "{self:?}, {demand:?}");
        let own = self.own_folder(folder);
        let work = commands::Work { source, folder, own: &own, demand };
        let command = match self {
            Self::Aria2 => commands::aria2(&work),
            Self::Transmission => commands::transmission(&work),
            Self::Libtorrent => commands::libtorrent(&work),
            Self::Qbittorrent => commands::qbittorrent(&work),
            Self::Rtorrent => commands::rtorrent(&work),
            Self::Rqbit => commands::rqbit(&work),
            Self::Webtorrent => commands::webtorrent(&work),
        };
        let goes_on = matches!(self, Self::Transmission | Self::Qbittorrent | Self::Rtorrent);
        Download { process: at_home(command, &own), done: goes_on.then(|| work.done()) }
    }

    /// Makes the folder, and one beside it for the client's settings and state.
    fn own_folder(self, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).expect("folder");
        let name = folder.file_name().expect("a folder of the test");
        let own = folder.with_file_name(format!("{}.{self:?}", name.display()));
        fs::create_dir_all(&own).expect("folder");
        own
    }
}

/// Starts a client whose home is `own`.
#[track_caller]
fn at_home(mut command: Command, own: &Path) -> Process {
    // Names of files are not all of ASCII.
    command.env("LC_ALL", "C.UTF-8").env("HOME", own);
    Process::start(command)
}

/// Starts a qBittorrent that downloads by itself what appears in a feed. It is done when it has something.
///
/// # Panics
/// When it can't be started.
#[track_caller]
pub fn qbittorrent_by_feed(feed: &str, folder: &Path) -> Download {
    let own = Client::Qbittorrent.own_folder(folder);
    let work = commands::Work { source: feed, folder, own: &own, demand: Demand::Nothing };
    let command = commands::qbittorrent_by_feed(&work);
    Download { process: at_home(command, &own), done: Some(work.done()) }
}

/// A client at work.
#[derive(Debug)]
pub struct Download {
    /// The client.
    pub process: Process,
    /// A file that the client makes when it is done, for one that goes on to seed.
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
            let going_on = self.process.is_running() || done.exists();
            assert!(going_on, "{} ended before it was done", self.process.name);
            done.exists().then_some(())
        });
        assert!(finished.is_some(), "{} is not done within {limit:?}", self.process.name);
    }
}

/// Starts to download with libtorrent, with further settings of its own, in JSON.
///
/// # Panics
/// When it can't be started.
#[track_caller]
pub fn libtorrent_with(source: &str, folder: &Path, settings: &str) -> Download {
    fs::create_dir_all(folder).expect("folder");
    let process = Process::start(commands::libtorrent_download(source, folder, settings));
    Download { process, done: None }
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
