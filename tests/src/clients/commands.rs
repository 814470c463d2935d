//! How each client is started: what it downloads, where to, and how it says that it is done.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::Demand;

/// One download.
pub(super) struct Work<'a> {
    /// URL or path of a `.torrent`, or a magnet link.
    pub source: &'a str,
    /// Where to.
    pub folder: &'a Path,
    /// For settings and state.
    pub own: &'a Path,
    /// One that the client can make.
    pub demand: Demand,
}

impl Work<'_> {
    /// A file that is made when everything is there, by a client that goes on to seed.
    pub(super) fn done(&self) -> PathBuf {
        self.own.join("done")
    }

    /// A program that makes it.
    fn done_script(&self) -> PathBuf {
        let script = self.own.join("done.sh");
        fs::write(&script, "#!/bin/sh\n: >\"$(dirname \"$0\")/done\"\n").expect("new file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        script
    }
}

/// Where `scripts/test` puts clients that Debian does not have.
fn peers() -> PathBuf {
    crate::root().join("target/peers")
}

pub(super) fn rqbit_program() -> PathBuf {
    peers().join("bin/rqbit")
}

/// Where npm puts what node runs.
pub fn node_modules() -> PathBuf {
    peers().join("node_modules")
}

pub(super) fn aria2(work: &Work) -> Command {
    let mut command = Command::new("aria2c");
    command.args(["--no-conf", "--seed-time=0", "--follow-torrent=mem", "--enable-dht=false"]);
    command.args(["--enable-dht6=false", "--enable-peer-exchange=false", "--bt-enable-lpd=false"]);
    command.args(["--file-allocation=none", "--summary-interval=1", "--show-console-readout=false"]);
    command.args(["--bt-tracker-interval=2", "--check-certificate=false"]);
    match work.demand {
        Demand::Rc4 => drop(command.args(["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"])),
        Demand::EncryptedHandshake => {
            command.args(["--bt-require-crypto=true", "--bt-min-crypto-level=plain"]);
        }
        Demand::Nothing | Demand::Utp => {}
    }
    command.arg("--dir").arg(work.folder).arg(work.source);
    command
}

/// One that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}

pub(super) fn transmission(work: &Work) -> Command {
    // It draws ports from the time: two that start together would draw the same.
    let port = free_port();
    let settings = format!(
        r#"{{ "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
              "port-forwarding-enabled": false, "rpc-enabled": false, "peer-port-random-on-start": false,
              "peer-port": {port} }}"#
    );
    fs::write(work.own.join("settings.json"), settings).expect("new file");
    let mut command = Command::new("transmission-cli");
    command.arg("--config-dir").arg(work.own).arg("--finish").arg(work.done_script());
    command.arg("--download-dir").arg(work.folder).arg("--no-portmap");
    if work.demand == Demand::Rc4 {
        command.arg("--encryption-required");
    }
    command.arg(work.source);
    command
}

pub(super) fn libtorrent(work: &Work) -> Command {
    // Policy 0 is to refuse all else; level 1 is the handshake, 2 is RC4.
    let encryption = |level: u8| {
        format!(
            r#"{{ "in_enc_policy": 0, "out_enc_policy": 0, "allowed_enc_level": {level}, "prefer_rc4": {} }}"#,
            level == 2
        )
    };
    let settings = match work.demand {
        Demand::Nothing => "{}".to_owned(),
        Demand::Rc4 => encryption(2),
        Demand::EncryptedHandshake => encryption(1),
        Demand::Utp => r#"{ "enable_outgoing_tcp": false, "enable_incoming_tcp": false }"#.to_owned(),
    };
    libtorrent_download(work.source, work.folder, &settings)
}

pub(super) fn libtorrent_download(source: &str, folder: &Path, settings: &str) -> Command {
    let mut command = super::libtorrent();
    command.arg("download").arg(source).arg(folder).arg(settings);
    command
}

pub(super) fn qbittorrent(work: &Work) -> Command {
    let mut command = qbittorrent_that_waits(work);
    command.arg(work.source);
    command
}

/// One that takes everything that appears in the feed at `work.source`, and looks every minute.
pub(super) fn qbittorrent_by_feed(work: &Work) -> Command {
    let command = qbittorrent_that_waits(work);
    let config = work.own.join("qBittorrent/config");
    let (feed, folder) = (work.source, work.folder.display().to_string());
    fs::create_dir_all(config.join("rss")).expect("new folder");
    let feeds = json!({ "box": { "url": feed } });
    let rules =
        json!({ "all": { "enabled": true, "affectedFeeds": [feed], "mustContain": "", "savePath": folder } });
    for (name, content) in [("feeds", feeds), ("download_rules", rules)] {
        fs::write(config.join("rss").join(format!("{name}.json")), content.to_string()).expect("new file");
    }
    let path = config.join("qBittorrent.conf");
    let settings = fs::read_to_string(&path).expect("a file of ours");
    let rss = "[RSS]\nSession\\EnableProcessing=true\nSession\\RefreshInterval=1\nAutoDownloader\\EnableProcessing=true\n";
    fs::write(path, settings + rss).expect("a file of ours");
    command
}

fn qbittorrent_that_waits(work: &Work) -> Command {
    let folder = work.own.join("qBittorrent/config");
    fs::create_dir_all(&folder).expect("new folder");
    work.done_script();
    // It can't do without its page, nor with one on a port that is in use.
    let page = free_port();
    // The script is run in this client's own folder; a path here would have to be written as Qt does.
    let protocol = if work.demand == Demand::Utp { "UTP" } else { "TCP" };
    let encryption = u8::from(work.demand == Demand::Rc4);
    let settings = format!(
        "[LegalNotice]\nAccepted=true\n\
        [AutoRun]\nenabled=true\nprogram=./done.sh\n\
        [BitTorrent]\nSession\\UseRandomPort=true\nSession\\BTProtocol={protocol}\nSession\\Encryption={encryption}\n\
        Session\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\nSession\\MultiConnectionsPerIp=true\n\
        [Preferences]\nWebUI\\Address=127.0.0.1\nWebUI\\Port={page}\nConnection\\UPnP=false\n"
    );
    fs::write(folder.join("qBittorrent.conf"), settings).expect("new file");
    let mut command = Command::new("qbittorrent-nox");
    command.arg(argument("--profile=", work.own)).arg(argument("--save-path=", work.folder));
    command.args(["--skip-dialog=true", "--add-paused=false"]).current_dir(work.own);
    command
}

pub(super) fn rtorrent(work: &Work) -> Command {
    let encryption = match work.demand {
        Demand::Nothing | Demand::Utp => "allow_incoming,try_outgoing,enable_retry",
        Demand::Rc4 => "allow_incoming,try_outgoing,require,require_RC4",
        Demand::EncryptedHandshake => "allow_incoming,try_outgoing,require,prefer_plaintext",
    };
    let settings = format!(
        "system.daemon.set = true\nnetwork.port_range.set = 20000-60000\nnetwork.port_random.set = yes\n\
         dht.mode.set = disable\nprotocol.pex.set = no\nprotocol.encryption.set = {encryption}\n\
         pieces.hash.on_completion.set = no\ndirectory.default.set = \"{}\"\nsession.path.set = \"{}\"\n\
         method.set_key = event.download.finished, done, \"execute2={{\\\"{}\\\"}}\"\n\
         load.start = \"{}\"\n",
        work.folder.display(),
        work.own.display(),
        work.done_script().display(),
        work.source,
    );
    fs::write(work.own.join("rc"), settings).expect("new file");
    let mut command = Command::new("rtorrent");
    command.args(["-n", "-o"]).arg(argument("import=", &work.own.join("rc"))).env("TERM", "xterm");
    command
}

pub(super) fn rqbit(work: &Work) -> Command {
    let mut command = Command::new(rqbit_program());
    command.args(["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward"]);
    command.args(["--http-api-listen-addr", "127.0.0.1:0"]);
    if work.demand == Demand::Utp {
        command.args(["--experimental-enable-utp-listen", "--disable-tcp-connect", "--disable-tcp-listen"]);
    }
    command.args(["download", "--exit-on-finish", "--output-folder"]);
    command.arg(work.folder).arg(work.source);
    command
}

pub(super) fn webtorrent(work: &Work) -> Command {
    let mut command = Command::new("node");
    command.arg(crate::root().join("tests/clients/webtorrent_client.js")).arg(work.source).arg(work.folder);
    command.env("NODE_PATH", node_modules());
    command
}

fn argument(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}
