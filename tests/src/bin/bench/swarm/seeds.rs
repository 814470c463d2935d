//! Who has the item, with a slow uplink.

use std::any::Any;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use system_tests::api::{Api, Published};
use system_tests::content::{Chance, write_file};
use system_tests::daemon::Site;
use system_tests::peer::Peer;
use system_tests::process::Process;
use system_tests::wait;
use torrent::InfoHash;

use super::UPLINK;
use super::scenarios::SeedKind;

/// Bytes of the item.
pub const ITEM: u64 = 256 << 20;

/// The seed's address; its network has room for everybody.
pub const ADDRESS: &str = "10.77.0.1";

/// Its ports.
const PORT: u16 = 46881;
const PAGE: u16 = 46880;

const NAME: &str = "item";

/// Hashing, and whatever else comes before the first byte.
const READY: Duration = Duration::from_mins(2);

/// The item, in memory, and the box that has published it already.
pub struct Material {
    site: Site,
    published: Published,
    /// Names no tracker, so that peers are those that a scenario names.
    torrent: PathBuf,
}

impl Material {
    /// Makes the item.
    pub fn new() -> Self {
        let site = Site::new()
            .with_config(&format!("[limits]\nupload_rate = \"{} MiB/s\"\n", UPLINK >> 20))
            .listening_on(ADDRESS);
        write_file(&mut Chance::new(7), &site.publish().join(NAME), ITEM);
        let daemon = site.start();
        let published = daemon.api.seeding_within(NAME, READY);
        let torrent = published.changed_torrent(site.folder(), |metainfo| {
            metainfo.announce.clear();
            metainfo.web_seeds.clear();
        });
        Self { torrent: torrent.into(), published, site }
    }
}

/// The seed of a scenario; it ends with the value.
pub struct Seed {
    /// Where peers connect to.
    pub address: SocketAddr,
    /// For those who are told who the others are.
    pub torrent: PathBuf,
    /// For those who ask the seed's tracker.
    pub announcing: PathBuf,
    api: Option<Api>,
    _running: Box<dyn Any>,
}

impl Seed {
    /// Starts it anew: nobody is known to it.
    pub fn start(kind: SeedKind, material: &Material) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        match kind {
            SeedKind::Box => ours(material, folder),
            SeedKind::Qbittorrent { super_seeding } => {
                let process = Process::start(qbittorrent(material, folder.path()));
                let seed = Self::foreign(material, Box::new((process, folder)));
                if super_seeding {
                    set_super_seeding(material.published.info_hash);
                }
                seed
            }
            SeedKind::Transmission => {
                let process = Process::start(transmission(material, folder.path()));
                Self::foreign(material, Box::new((process, folder)))
            }
        }
    }

    fn foreign(material: &Material, running: Box<dyn Any>) -> Self {
        let address = SocketAddr::new(ADDRESS.parse().expect("an address"), PORT);
        wait::until("the seed", READY, || Peer::connect(address, &material.published.info_hash, true).ok());
        let torrent = material.torrent.clone();
        Self { address, announcing: torrent.clone(), torrent, api: None, _running: running }
    }

    /// Bytes that it has given so far, if it says so.
    pub fn uploaded(&self) -> Option<u64> {
        self.api.as_ref()?.item(NAME)?["uploaded_bytes"].as_u64()
    }
}

fn ours(material: &Material, folder: tempfile::TempDir) -> Seed {
    let daemon = material.site.start();
    // Its ports are others than before.
    let published = daemon.api.seeding_within(NAME, READY);
    let announcing = published.torrent_without_web_seeds(folder.path()).into();
    Seed {
        address: daemon.peer,
        torrent: material.torrent.clone(),
        announcing,
        api: Some(daemon.api),
        _running: Box::new((daemon, folder)),
    }
}

fn qbittorrent(material: &Material, own: &Path) -> Command {
    let folder = own.join("qBittorrent/config");
    fs::create_dir_all(&folder).expect("new folder");
    let settings = format!(
        "[LegalNotice]\nAccepted=true\n[BitTorrent]\nSession\\Port={PORT}\nSession\\BTProtocol=TCP\n\
         Session\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\QueueingSystemEnabled=false\n\
         Session\\GlobalUPSpeedLimit={}\nSession\\IgnoreLimitsOnLAN=false\n\
         [Preferences]\nWebUI\\Address=127.0.0.1\nWebUI\\Port={PAGE}\nWebUI\\LocalHostAuth=false\n\
         Connection\\UPnP=false\n",
        UPLINK >> 10
    );
    fs::write(folder.join("qBittorrent.conf"), settings).expect("new file");
    let mut command = Command::new("qbittorrent-nox");
    command.arg(format!("--profile={}", own.display()));
    command.arg(format!("--save-path={}", material.site.publish().display()));
    command.args(["--skip-dialog=true", "--add-paused=false"]).arg(&material.torrent).env("HOME", own);
    command
}

/// Tells qBittorrent to seed as BEP 16 has it; there is no setting for it.
fn set_super_seeding(info_hash: InfoHash) {
    let form = format!("hashes={info_hash}&value=true");
    let request = format!(
        "POST /api/v2/torrents/setSuperSeeding HTTP/1.1\r\nHost: 127.0.0.1:{PAGE}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", PAGE)).expect("qBittorrent's page");
    stream.write_all(request.as_bytes()).expect("a connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn transmission(material: &Material, own: &Path) -> Command {
    let watched = own.join("watched");
    fs::create_dir(&watched).expect("new folder");
    fs::copy(&material.torrent, watched.join("item.torrent")).expect("new file");
    let settings = serde_json::json!({
        "bind-address-ipv4": ADDRESS, "peer-port": PORT, "rpc-enabled": false,
        "dht-enabled": false, "lpd-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
        // It counts in thousands.
        "speed-limit-up": UPLINK / 1000, "speed-limit-up-enabled": true,
        "download-dir": material.site.publish(), "watch-dir": watched, "watch-dir-enabled": true,
    });
    fs::write(own.join("settings.json"), settings.to_string()).expect("new file");
    let mut command = Command::new("transmission-daemon");
    command.args(["--foreground", "--config-dir"]).arg(own).env("HOME", own);
    command
}
