//! Tracking: each tracker with the same swarms under the same load, over UDP and HTTP.

mod trackers;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use system_tests::network;
use system_tests::options::Options;
use system_tests::process::Process;

use crate::measure::median;
use trackers::{BOX, HTTP, Material, Tracker, UDP};

/// Peers over UDP, and over HTTP: there a million would take all day for some.
const UDP_PEERS: u64 = 1_000_000;
const HTTP_PEERS: u64 = 100_000;

/// Announces under way at a time.
const UDP_WINDOWS: [u32; 3] = [1, 64, 256];
const HTTP_WINDOWS: [u32; 2] = [32, 256];

/// Longer than this no measurement takes.
const PATIENCE: Duration = Duration::from_mins(3);

/// What one tracker did under a load.
#[derive(Default)]
struct Row {
    runs: Vec<Value>,
}

impl Row {
    fn median(&self, of: impl Fn(&Value) -> f64) -> f64 {
        median(self.runs.iter().map(of))
    }

    /// Microseconds of processor time for each announce.
    fn cpu(&self) -> f64 {
        self.median(|run| number(run, "cpu") / number(run, "announces").max(1.0) * 1e6)
    }
}

fn number(run: &Value, name: &str) -> f64 {
    run[name].as_f64().unwrap_or_else(|| panic!("no {name} in {run}"))
}

/// Measures and prints everything, as the median of so many runs.
///
/// # Errors
/// A tracker that is not known, or does not answer.
pub fn run(runs: usize, options: &Options) -> Result<(), String> {
    let all: Vec<&'static str> =
        UDP.into_iter().chain(HTTP.into_iter().filter(|name| !UDP.contains(name))).collect();
    let names = match options.list::<String>("peers")? {
        Some(names) => names
            .iter()
            .map(|name| all.iter().copied().find(|known| known == name))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| format!("{} is not all of {}", names.join(","), all.join(", ")))?,
        None => all,
    };
    if !network::make_private() {
        eprintln!("no network of its own: what the trackers do meets everything else on this machine");
    }
    let daemon = names.contains(&BOX).then(trackers::start_box);
    let material = Material::new(daemon.as_ref());
    let mut ours = daemon.map(Tracker::of_box);
    let trackers: Vec<Tracker> = names
        .iter()
        .map(|name| match ours.take_if(|tracker| tracker.name == *name) {
            Some(tracker) => tracker,
            None => Tracker::start(name, &material),
        })
        .collect();
    trackers.iter().for_each(Tracker::wait_until_ready);
    udp(runs, &trackers, &material)?;
    http(runs, &trackers, &material)
}

fn udp(runs: usize, trackers: &[Tracker], material: &Material) -> Result<(), String> {
    let trackers: Vec<&Tracker> = trackers.iter().filter(|tracker| UDP.contains(&tracker.name)).collect();
    println!(
        "\nmemory of {UDP_PEERS} IPv4 peers:\n\n| tracker | MB before | bytes for each peer |\n| --- | --- | --- |"
    );
    for tracker in &trackers {
        // One announce wakes everything that there is of a tracker.
        let before = number(&load(tracker, material, "udp", 1, &["--once"])?, "anonymous");
        let filled = load(tracker, material, "udp", UDP_PEERS, &["--once"])?;
        let bytes = (number(&filled, "anonymous") - before) / UDP_PEERS as f64;
        println!("| {} | {:.1} | {bytes:.1} |", tracker.name, before / 1e6);
    }
    for window in UDP_WINDOWS {
        let window = window.to_string();
        let rows = measure(&trackers, material, runs, "udp", UDP_PEERS, &["--window", &window])?;
        print(&format!("UDP, {window} announces at a time"), runs, "aquatic_udp", &trackers, &rows);
    }
    Ok(())
}

fn http(runs: usize, trackers: &[Tracker], material: &Material) -> Result<(), String> {
    // opentracker keeps no connection.
    let speak = |tracker: &&Tracker| HTTP.contains(&tracker.name);
    let keep: Vec<_> = trackers.iter().filter(speak).filter(|one| one.name != "opentracker").collect();
    let all: Vec<_> = trackers.iter().filter(speak).collect();
    for tracker in &all {
        load(tracker, material, "http", HTTP_PEERS, &["--once", "--close"])?;
    }
    for window in HTTP_WINDOWS {
        let window = window.to_string();
        let rows = measure(&keep, material, runs, "http", HTTP_PEERS, &["--window", &window])?;
        print(&format!("HTTP, {window} connections that are kept"), runs, "aquatic_http", &keep, &rows);
    }
    let rows = measure(&all, material, runs, "http", HTTP_PEERS, &["--window", "32", "--close"])?;
    print("HTTP, a connection for each announce, 32 at a time", runs, "opentracker", &all, &rows);
    Ok(())
}

/// In turns: what else the machine does meets all of them.
fn measure(
    trackers: &[&Tracker],
    material: &Material,
    runs: usize,
    protocol: &str,
    peers: u64,
    more: &[&str],
) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = trackers.iter().map(|_| Row::default()).collect();
    for _ in 0..runs {
        for (tracker, row) in trackers.iter().zip(&mut rows) {
            row.runs.push(load(tracker, material, protocol, peers, more)?);
        }
    }
    Ok(rows)
}

/// Loads a tracker; what it did, as `swarmload` tells it.
fn load(
    tracker: &Tracker,
    material: &Material,
    protocol: &str,
    peers: u64,
    more: &[&str],
) -> Result<Value, String> {
    let mut command = Command::new(swarmload());
    command.arg(format!("announce-{protocol}")).arg("--hashes").arg(&material.hashes);
    command.args(["--tracker", &tracker.address.to_string(), "--pid", &tracker.process.to_string()]);
    command.args(["--peers", &peers.to_string()]).args(more);
    let mut process = Process::start(command);
    let status = process.wait(PATIENCE);
    let said = process.said();
    let report =
        said.iter().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object));
    match report {
        Some(report) if status.success() && number(&report, "announces") > 0.0 => Ok(report),
        _ => Err(format!("{}: {}", tracker.name, said.join("\n"))),
    }
}

/// The program of that name beside this one.
fn swarmload() -> PathBuf {
    std::env::current_exe().expect("path of this program").with_file_name("swarmload")
}

fn print(title: &str, runs: usize, other: &str, trackers: &[&Tracker], rows: &[Row]) {
    println!("\n{title}, median of {runs}:\n");
    println!(
        "| tracker | announces/s | CPU µs each | CPU, of {other}'s | p50 ms | p99 ms | peers in an answer | lost | failures | \
         CPU of the load |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let theirs = trackers.iter().zip(rows).find(|(tracker, _)| tracker.name == other);
    for (tracker, row) in trackers.iter().zip(rows) {
        let field = |name: &str| row.median(|run| number(run, name));
        println!(
            "| {} | {:.0} | {:.2} | {} | {:.3} | {:.3} | {:.1} | {} | {} | {:.0} % |",
            tracker.name,
            row.median(|run| number(run, "announces") / number(run, "seconds")),
            row.cpu(),
            theirs.map_or("-".to_owned(), |(_, theirs)| format!("{:.2}", row.cpu() / theirs.cpu())),
            field("p50_us") / 1e3,
            field("p99_us") / 1e3,
            field("peers_per_answer"),
            field("lost"),
            row.runs[0]["failures"],
            row.median(|run| number(run, "own_cpu") / number(run, "seconds")) * 100.0,
        );
    }
}
