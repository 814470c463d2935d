//! The seeders, each set to give as much as it can to as many as there are, and to find no peers by itself.

use std::any::Any;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use system_tests::clients::make_with_mktorrent;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::Site;
use system_tests::network::local;
use system_tests::peer::{BLOCK, Peer};
use system_tests::process::Process;
use system_tests::wait;
use tempfile::TempDir;
use torrent::{Metainfo, piece_length};

use crate::swarmload::swarmload;

/// Bytes of the file: more than any cache of a processor holds.
const FILE: u64 = 1 << 30;

/// Its name.
const NAME: &str = "file";

/// The box, and the limit of the machine.
pub const BOX: &str = "box";
pub const NULL: &str = "null";

/// All of them.
pub const ALL: [&str; 8] =
    [NULL, BOX, "rqbit", "rtorrent", "libtorrent", "qbittorrent", "transmission", "aria2"];

/// Hashing and whatever else comes before the first byte; rtorrent takes its time.
const READY: Duration = Duration::from_mins(2);

/// What is seeded, in memory.
pub struct Material {
    folder: TempDir,
    /// Of version 1.
    pub torrent: PathBuf,
    metainfo: Metainfo,
    /// The last piece: seeders that still hash can't give it.
    last: u32,
}

impl Material {
    /// Makes file and torrent.
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        let path = folder.path().join("data").join(NAME);
        write_file(&mut Chance::new(7), &path, FILE);
        let torrent = folder.path().join("file.torrent");
        let bytes = make_with_mktorrent(&path, piece_length(FILE), &torrent);
        let (mut metainfo, info) = Metainfo::parse(&bytes).expect("a torrent");
        // rtorrent takes none without a tracker; nothing listens there.
        metainfo.announce = vec![vec!["http://127.0.0.1:1/announce".to_owned()]];
        fs::write(&torrent, metainfo.to_bytes()).expect("new file");
        let last = info.pieces().expect("version 1").len() / 20 - 1;
        Self { folder, torrent, metainfo, last: u32::try_from(last).expect("a number of pieces") }
    }

    /// Where the file is.
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the settings of a seeder.
    fn own(&self, name: &str) -> PathBuf {
        let own = self.folder.path().join(name);
        fs::create_dir(&own).expect("new folder");
        own
    }
}

/// A seeder at work; it ends with the value.
pub struct Seeder {
    /// One of [`ALL`].
    pub name: &'static str,
    /// Where peers connect to.
    pub address: SocketAddr,
    /// Its process.
    pub process: u32,
    /// Whether it is measured with encryption too.
    pub encrypts: bool,
    _running: Box<dyn Any>,
}

impl Seeder {
    /// Starts the one of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn start(name: &str, material: &Material) -> Result<Self, String> {
        let known = ALL.iter().find(|known| **known == name);
        let known = known.ok_or_else(|| format!("{name:?} is none of {}", ALL.join(", ")))?;
        if *known == BOX {
            return Ok(ours(material));
        }
        let (port, command) = match *known {
            NULL => (7101, null(material, 7101)),
            "transmission" => (7102, transmission(material, 7102)),
            "qbittorrent" => (7103, qbittorrent(material, 7103)),
            "rtorrent" => (7104, rtorrent(material, 7104)),
            "aria2" => (7105, aria2(material, 7105)),
            "rqbit" => (7106, rqbit(material, 7106)),
            _ => (7107, libtorrent(material, 7107)),
        };
        let process = Process::start(command);
        Ok(Self {
            name: known,
            address: local(port),
            process: process.id(),
            encrypts: *known == "libtorrent",
            _running: Box::new(process),
        })
    }

    /// Waits until it gives a block of the last piece.
    pub fn wait_until_ready(&self, material: &Material) {
        wait::until(self.name, READY, || {
            let mut peer = Peer::connect(self.address, &material.metainfo.info_hash(), true).ok()?;
            peer.become_unchoked().ok()?;
            peer.block(material.last, 0, BLOCK).ok()
        });
    }
}

/// The box has a copy of its own: some peers touch what they seed, and the box would publish it anew.
fn ours(material: &Material) -> Seeder {
    let site = Site::new();
    fs::copy(material.data().join(NAME), site.publish().join(NAME)).expect("room in memory");
    let daemon = site.start();
    let published = daemon.api.seeding_within(NAME, READY);
    assert_eq!(published.info_hash, material.metainfo.info_hash(), "the same content");
    Seeder {
        name: BOX,
        address: daemon.peer,
        process: daemon.process.id(),
        encrypts: true,
        _running: Box::new(daemon),
    }
}

fn null(material: &Material, port: u16) -> Command {
    let mut command = swarmload();
    command.arg("null-seeder").arg("--torrent").arg(&material.torrent);
    command.arg("--data").arg(material.data().join(NAME)).args(["--listen", &local(port).to_string()]);
    command
}

fn transmission(material: &Material, port: u16) -> Command {
    let own = material.own("transmission");
    let watched = own.join("watched");
    fs::create_dir(&watched).expect("new folder");
    fs::copy(&material.torrent, watched.join("file.torrent")).expect("new file");
    let settings = serde_json::json!({
        "bind-address-ipv4": "127.0.0.1", "peer-port": port, "rpc-enabled": false,
        "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
        "port-forwarding-enabled": false, "encryption": 0, "cache-size-mb": 64,
        "peer-limit-global": 3000, "peer-limit-per-torrent": 3000, "upload-slots-per-torrent": 3000,
        "download-dir": material.data(), "watch-dir": watched, "watch-dir-enabled": true,
    });
    fs::write(own.join("settings.json"), settings.to_string()).expect("new file");
    let mut command = Command::new("transmission-daemon");
    command.args(["--foreground", "--config-dir"]).arg(&own).env("HOME", &own);
    command
}

fn qbittorrent(material: &Material, port: u16) -> Command {
    let own = material.own("qbittorrent");
    let folder = own.join("qBittorrent/config");
    fs::create_dir_all(&folder).expect("new folder");
    // The buffers are those of libtorrent's preset for seeding at high speed.
    let settings = format!(
        "[LegalNotice]\nAccepted=true\n[BitTorrent]\nSession\\Port={port}\nSession\\BTProtocol=TCP\n\
         Session\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\n\
         Session\\MaxConnections=-1\nSession\\MaxConnectionsPerTorrent=-1\nSession\\MaxUploads=-1\n\
         Session\\MaxUploadsPerTorrent=-1\nSession\\MultiConnectionsPerIp=true\nSession\\QueueingSystemEnabled=false\n\
         Session\\SendBufferWatermark=3072\nSession\\SendBufferLowWatermark=1024\n\
         Session\\SendBufferWatermarkFactor=150\nSession\\SocketBacklogSize=3000\nSession\\RequestQueueSize=2000\n\
         Session\\GlobalMaxSeedingMinutes=-1\n\
         [Preferences]\nWebUI\\Enabled=false\nConnection\\UPnP=false\n"
    );
    fs::write(folder.join("qBittorrent.conf"), settings).expect("new file");
    let mut command = Command::new("qbittorrent-nox");
    command.arg(argument("--profile=", &own)).arg(argument("--save-path=", &material.data()));
    command.arg("--add-paused=false").arg(&material.torrent).env("HOME", &own);
    command
}

fn rtorrent(material: &Material, port: u16) -> Command {
    let own = material.own("rtorrent");
    let settings = format!(
        "system.daemon.set = true\nnetwork.bind_address.set = 127.0.0.1\nnetwork.port_range.set = {port}-{port}\n\
         network.port_random.set = no\ndht.mode.set = disable\nprotocol.pex.set = no\ntrackers.use_udp.set = no\n\
         throttle.max_uploads.set = 3000\nthrottle.max_uploads.global.set = 0\nthrottle.min_uploads.set = 3000\n\
         throttle.max_peers.seed.set = 3000\nthrottle.max_peers.normal.set = 3000\n\
         throttle.global_up.max_rate.set_kb = 0\nnetwork.max_open_files.set = 1000\n\
         network.max_open_sockets.set = 4000\nnetwork.send_buffer.size.set = 4M\n\
         network.receive_buffer.size.set = 1M\npieces.memory.max.set = 8000M\npieces.hash.on_completion.set = no\n\
         directory.default.set = {}\nsession.path.set = {}\nload.start = {}\n",
        material.data().display(),
        own.display(),
        material.torrent.display(),
    );
    fs::write(own.join("rc"), settings).expect("new file");
    let mut command = Command::new("rtorrent");
    command.args(["-n", "-o"]).arg(argument("import=", &own.join("rc")));
    command.env("HOME", &own).env("TERM", "xterm");
    command
}

fn aria2(material: &Material, port: u16) -> Command {
    let mut command = Command::new("aria2c");
    command.args(["--no-conf", "--seed-ratio=0", "--bt-max-peers=0", "--max-upload-limit=0"]);
    command.args(["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
    command.args(["--enable-peer-exchange=false", "--bt-seed-unverified=true", "--file-allocation=none"]);
    command.args(["--allow-overwrite=true", "--summary-interval=0", "--rlimit-nofile=20000"]);
    command.arg(format!("--listen-port={port}")).arg("--dir").arg(material.data()).arg(&material.torrent);
    command
}

fn rqbit(material: &Material, port: u16) -> Command {
    let mut command = Command::new("rqbit");
    command.args(["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--disable-trackers"]);
    command.args(["--listen-ip", "127.0.0.1", "--listen-port", &port.to_string()]);
    command.args([
        "--http-api-listen-addr",
        "127.0.0.1:0",
        "--peer-limit",
        "3000",
        "download",
        "--overwrite",
    ]);
    command.arg("-o").arg(material.data()).arg(&material.torrent).env("HOME", material.own("rqbit"));
    command
}

fn libtorrent(material: &Material, port: u16) -> Command {
    let mut command = Command::new(env::var_os("BENCH_PYTHON").expect("scripts/bench sets BENCH_PYTHON"));
    command.arg("-c").arg(include_str!("libtorrent_seeder.py")).arg(local(port).to_string());
    command.arg(&material.torrent).arg(material.data());
    command
}

fn argument(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push(path);
    argument
}
