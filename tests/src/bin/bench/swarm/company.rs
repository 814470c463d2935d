//! Those in a swarm that are no libtorrent.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use system_tests::process::Process;
use system_tests::wait;

use super::scenarios::{CompanyKind, Scenario};
use super::seeds::Seed;

/// Those that have not started yet.
pub struct Company {
    members: Vec<Member>,
}

struct Member {
    /// Where the others reach it, if it takes connections.
    address: Option<SocketAddr>,
    command: Command,
    /// A file that appears when it is complete, if it will ever be.
    done: Option<PathBuf>,
}

/// Those that are at work.
pub struct Working {
    processes: Vec<Process>,
    done: Vec<PathBuf>,
}

impl Company {
    /// The company of a scenario.
    pub fn new(scenario: &Scenario, seed: &Seed, folder: &Path) -> Self {
        let members = match scenario.company {
            CompanyKind::Nobody => Vec::new(),
            CompanyKind::Bad(kind, count) => vec![bad(kind, count, seed)],
            CompanyKind::Aria2(count) => each(count, folder, |own, address| aria2(seed, own, address)),
            CompanyKind::Transmission(count) => {
                each(count, folder, |own, address| transmission(seed, own, address))
            }
        };
        Self { members }
    }

    /// Where the others reach them.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().filter_map(|member| member.address).collect()
    }

    /// They begin.
    pub fn start(self) -> Working {
        let done = self.members.iter().filter_map(|member| member.done.clone()).collect();
        let processes = self.members.into_iter().map(|member| Process::start(member.command)).collect();
        Working { processes, done }
    }
}

impl Working {
    /// Waits until all that ever will be are complete; the time of the last one in seconds, `None` when it is past `limit`.
    pub fn wait(&mut self, started: Instant, limit: Duration) -> Option<f64> {
        wait::try_until(limit.saturating_sub(started.elapsed()), || {
            assert!(self.processes.iter_mut().all(Process::is_running), "a client ended");
            self.done.iter().all(|done| done.exists()).then_some(())
        })?;
        let written =
            |done: &PathBuf| done.metadata().and_then(|file| file.modified()).expect("a file of ours");
        // By the time of the file: they may have been complete long before the leechers were.
        let seconds = |done| {
            let ago = written(done).elapsed().unwrap_or_default();
            started.elapsed().saturating_sub(ago).as_secs_f64()
        };
        Some(self.done.iter().map(seconds).fold(0.0, f64::max))
    }
}

/// So many, each with a folder and an address of its own.
fn each(count: u32, folder: &Path, member: impl Fn(&Path, SocketAddr) -> Command) -> Vec<Member> {
    let make = |number| {
        let own = super::own_folder(folder, &format!("other {number}"));
        let address = format!("10.77.2.{number}:{}", super::PORT).parse().expect("an address");
        let command = member(&own, address);
        Member { address: Some(address), command, done: Some(own.join("done")) }
    };
    (1..=count).map(make).collect()
}

/// A program in `own` that makes the file `done` there.
fn done_script(own: &Path) -> PathBuf {
    let script = own.join("done.sh");
    fs::write(&script, format!("#!/bin/sh\n: >'{}'\n", own.join("done").display())).expect("new file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    script
}

fn bad(kind: &str, count: u32, seed: &Seed) -> Member {
    let mut command = super::python("bad_leechers.py");
    command.arg(kind).arg(seed.address.to_string()).arg(&seed.torrent);
    command.args((1..=count).map(|number| format!("10.77.3.{number}")));
    Member { address: None, command, done: None }
}

fn aria2(seed: &Seed, own: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new("aria2c");
    command.args(["--no-conf", "--seed-ratio=0.0", "--file-allocation=none", "--enable-dht=false"]);
    command.args([
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--bt-max-peers=100",
        "--summary-interval=0",
    ]);
    command.args(["--show-console-readout=false", "--bt-request-peer-speed-limit=100M", "--interface"]);
    command.arg(address.ip().to_string()).arg(format!("--listen-port={}", address.port()));
    command.arg("--on-bt-download-complete").arg(done_script(own));
    command.arg("--dir").arg(own).arg(&seed.announcing).env("HOME", own);
    command
}

fn transmission(seed: &Seed, own: &Path, address: SocketAddr) -> Command {
    let settings = serde_json::json!({
        "bind-address-ipv4": address.ip(), "peer-port": address.port(), "rpc-enabled": false,
        "dht-enabled": false, "lpd-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
    });
    fs::write(own.join("settings.json"), settings.to_string()).expect("new file");
    let mut command = Command::new("transmission-cli");
    command.arg("--config-dir").arg(own).arg("--finish").arg(done_script(own));
    command.args(["--port", &address.port().to_string(), "--no-portmap", "--download-dir"]);
    command.arg(own).arg(&seed.announcing).env("HOME", own);
    command
}
