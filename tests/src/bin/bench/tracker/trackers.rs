//! The trackers, each set to name up to 50 peers in an answer, as clients ask for.

use std::any::Any;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use system_tests::api::Hashes;
use system_tests::content::Chance;
use system_tests::daemon::{Daemon, Site};
use system_tests::network::local;
use system_tests::process::{Process, run};
use system_tests::tracker::udp_answer;
use system_tests::wait;
use tempfile::TempDir;
use torrent::InfoHash;

/// Swarms; the box publishes as many items.
const SWARMS: usize = 1000;

/// The box as it comes, which knows its items only; the box with a tracker that is open to all; and the limit of the
/// machine over UDP.
pub const BOX: &str = "box";
pub const OPEN_BOX: &str = "box-open";
pub const NULL: &str = "null";

/// Those over UDP, and those over HTTP.
pub const UDP: [&str; 6] = [NULL, BOX, OPEN_BOX, "aquatic_udp", "aquatic_udp-io-uring", "opentracker"];
pub const HTTP: [&str; 4] = [BOX, OPEN_BOX, "aquatic_http", "opentracker"];

/// Publishing all items, and whatever else comes before the first answer.
const READY: Duration = Duration::from_mins(3);

/// A tracker at work; it ends with the value.
pub struct Tracker {
    pub name: &'static str,
    pub address: SocketAddr,
    /// Its process.
    pub process: u32,
    _running: Box<dyn Any>,
}

/// What they track, and where their settings are.
pub struct Material {
    folder: TempDir,
    /// Info hashes, one in a line.
    pub hashes: PathBuf,
}

impl Material {
    /// Takes the info hashes of the box's items; all trackers get the same ones.
    pub fn new(daemon: Option<&Daemon>) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        let hashes = folder.path().join("hashes");
        let of = |item: &Value| Some(Hashes::of(item)?.v1.to_string());
        let lines: Vec<String> = if let Some(daemon) = daemon {
            daemon.api.items().iter().filter_map(of).collect()
        } else {
            let mut chance = Chance::new(7);
            let mut made_up = || InfoHash(chance.bytes(20).try_into().expect("as many as were asked for"));
            (0..SWARMS).map(|_| made_up().to_string()).collect()
        };
        fs::write(&hashes, lines.join("\n") + "\n").expect("new file");
        Self { folder, hashes }
    }

    /// A folder for the settings of a tracker.
    fn own(&self, name: &str) -> PathBuf {
        let own = self.folder.path().join(name);
        fs::create_dir(&own).expect("new folder");
        own
    }
}

/// A box with an item for each swarm.
pub fn start_box() -> Daemon {
    let site = Site::new();
    for number in 0..SWARMS {
        fs::write(site.publish().join(number.to_string()), number.to_string()).expect("room in memory");
    }
    let daemon = site.start();
    wait::until("all items", READY, || {
        let seeding = daemon.api.items().iter().filter(|item| item["state"] == "seeding").count();
        (seeding == SWARMS).then_some(())
    });
    daemon
}

impl Tracker {
    /// A box that was started before.
    pub fn of_box(daemon: Daemon) -> Self {
        Self { name: BOX, address: daemon.tracker, process: daemon.process.id(), _running: Box::new(daemon) }
    }

    /// Starts the one of that name.
    pub fn start(name: &'static str, material: &Material) -> Self {
        if name == OPEN_BOX {
            let daemon = Site::new().with_config("[tracker]\nopen = true\n").start();
            return Self { name, ..Self::of_box(daemon) };
        }
        let (port, command) = match name {
            NULL => (7201, null(7201)),
            "aquatic_udp" => (7202, aquatic_udp(name, "aquatic_udp", material, 7202)),
            "aquatic_udp-io-uring" => (7203, aquatic_udp(name, "io-uring/bin/aquatic_udp", material, 7203)),
            "aquatic_http" => (7204, aquatic_http(material, 7204)),
            _ => (7205, opentracker(material, 7205)),
        };
        let process = Process::start(command);
        Self { name, address: local(port), process: process.id(), _running: Box::new(process) }
    }

    /// Waits until it answers a connect over UDP, or takes connections.
    pub fn wait_until_ready(&self) {
        let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
        wait::until(self.name, READY, || {
            if UDP.contains(&self.name) {
                udp_answer(self.address, &connect, Duration::from_millis(200)).map(drop)
            } else {
                std::net::TcpStream::connect(self.address).ok().map(drop)
            }
        });
    }
}

fn null(port: u16) -> Command {
    let mut command = Command::new(super::swarmload());
    command.args(["null-tracker", "--listen", &local(port).to_string()]);
    command
}

/// Its settings with some of them changed; they must be there, or figures would mean something else.
fn aquatic(program: &str, own: &Path, port: u16, changes: &[[&str; 2]]) -> Command {
    let mut settings = run(program, ["--print-config"]).join("\n");
    for [from, to] in [&[["0.0.0.0:3000", local(port).to_string().as_str()]], changes].concat() {
        assert!(settings.contains(from), "{program} has no setting {from:?}");
        settings = settings.replace(from, to);
    }
    let path = own.join("settings.toml");
    fs::write(&path, settings).expect("new file");
    let mut command = Command::new(program);
    command.arg("-c").arg(path).current_dir(own);
    command
}

/// `program` is in the folder of the peers' programs, or below the folder above.
fn aquatic_udp(name: &str, program: &str, material: &Material, port: u16) -> Command {
    let peers = std::env::var("BENCH_PEERS").expect("scripts/bench sets BENCH_PEERS");
    let program = if program.contains('/') { format!("{peers}/{program}") } else { program.to_owned() };
    aquatic(&program, &material.own(name), port, &[["max_response_peers = 30", "max_response_peers = 50"]])
}

fn aquatic_http(material: &Material, port: u16) -> Command {
    aquatic("aquatic_http", &material.own("aquatic_http"), port, &[])
}

/// Debian's takes only torrents that it was told of.
fn opentracker(material: &Material, port: u16) -> Command {
    let own = material.own("opentracker");
    // It gives its rights away and reads the list as somebody else.
    let list = own.join("hashes");
    fs::copy(&material.hashes, &list).expect("new file");
    for path in [material.folder.path(), &own, &list] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }
    let address = local(port);
    let settings = format!(
        "listen.tcp {address}\nlisten.udp {address}\ntracker.rootdir {}\naccess.whitelist hashes\n",
        own.display()
    );
    fs::write(own.join("settings"), settings).expect("new file");
    let mut command = Command::new("opentracker");
    command.arg("-f").arg(own.join("settings")).current_dir(&own);
    command
}
