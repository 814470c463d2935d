//! One item, one seed with a slow uplink, and clients that all want it: how long until the last of them has it?
//!
//! No seed can be quicker than the bound: each byte leaves the seed once, and all uplinks together carry what all want.

mod company;
mod scenarios;
mod seeds;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::network;
use system_tests::options::Options;
use system_tests::process::Process;
use tempfile::TempDir;

use crate::measure::median;
use company::Company;
use scenarios::{ALL, Scenario};
use seeds::{Material, Seed};

/// Uplink of the seed, in bytes a second.
const UPLINK: u64 = 8 << 20;

/// Port of the leechers, in `tests/clients/swarm_leechers.py`.
const PORT: u16 = 47000;

/// Time for sessions to start.
const READY: Duration = Duration::from_mins(1);

/// What came of a scenario.
struct Outcome {
    /// Until the last of those who count was complete.
    seconds: f64,
    /// Bytes that the seed gave, for each byte of the item.
    copies: f64,
}

/// Measures and prints everything, as the median of so many runs.
///
/// # Errors
/// A scenario that is not known.
pub fn run(runs: usize, options: &Options) -> Result<(), String> {
    let names = options.list::<String>("scenario")?;
    let names = names.unwrap_or_else(|| ALL.iter().map(|scenario| scenario.name.to_owned()).collect());
    let chosen: Vec<&Scenario> = names.iter().map(|name| scenario(name)).collect::<Result<_, _>>()?;
    // Transmission connects to no peer on a loopback address, so the swarm has others.
    if !network::make_private_with(&[&format!("{}/16", seeds::ADDRESS)]) {
        return Err("this needs a network of its own: start it as root".to_owned());
    }
    let material = Material::new();
    let mut outcomes: Vec<Vec<Option<Outcome>>> = chosen.iter().map(|_| Vec::new()).collect();
    for run in 1..=runs {
        for (scenario, outcomes) in chosen.iter().zip(&mut outcomes) {
            let outcome = measure(scenario, &material);
            let seconds = outcome.as_ref().map_or(f64::INFINITY, |outcome| outcome.seconds);
            eprintln!("run {run}, {}: {seconds:.1} s of {:.1} s", scenario.name, bound(scenario));
            outcomes.push(outcome);
        }
    }
    print(runs, &chosen, &outcomes);
    Ok(())
}

fn scenario(name: &str) -> Result<&'static Scenario, String> {
    ALL.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        format!("{name:?} is none of {}", known.join(", "))
    })
}

/// The least time in seconds: the seed sends the item once, or all uplinks together as often as it is wanted.
fn bound(scenario: &Scenario) -> f64 {
    let (item, uplink) = (seeds::ITEM as f64, UPLINK as f64);
    let wanted = f64::from(scenario.leechers + scenario.company.that_complete());
    let once = item / uplink;
    if scenario.upload_rate == 0 {
        return once;
    }
    once.max(wanted * item / (uplink + wanted * scenario.upload_rate as f64))
}

/// Plays a scenario; `None` when it takes far too long.
fn measure(scenario: &Scenario, material: &Material) -> Option<Outcome> {
    let limit = Duration::from_secs_f64(60.0 + 4.0 * bound(scenario));
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let seed = Seed::start(scenario.seed, material);
    let company = Company::new(scenario, &seed, folder.path());
    let mut leechers = start_leechers(scenario, &seed, &company, &folder);
    leechers.wait_for_line("ready", READY, |line| (line == "ready").then_some(()));
    let before = seed.uploaded();
    let started = Instant::now();
    let mut company = company.start();
    fs::write(folder.path().join("go"), "").expect("new file");
    let said = wait_for_end(&mut leechers, limit)?;
    let [seconds, downloaded, uploaded] = said[..] else { panic!("not three numbers: {said:?}") };
    let others = company.wait(started, limit)?;
    let given = match (before, seed.uploaded()) {
        (Some(before), Some(after)) => (after - before) as f64,
        // What leechers have and did not get from each other.
        _ => downloaded - uploaded,
    };
    Some(Outcome { seconds: seconds.max(others), copies: given / seeds::ITEM as f64 })
}

/// Waits until all leechers are complete, and returns the numbers that they then say.
fn wait_for_end(leechers: &mut Process, limit: Duration) -> Option<Vec<f64>> {
    system_tests::wait::try_until(limit, || {
        assert!(leechers.is_running(), "the leechers ended: {:?}", leechers.said());
        let said = leechers.said();
        let numbers = said.iter().find_map(|line| line.strip_prefix("complete "))?;
        Some(numbers.split(' ').map(|number| number.parse().expect("a number")).collect())
    })
}

fn start_leechers(scenario: &Scenario, seed: &Seed, company: &Company, folder: &TempDir) -> Process {
    let addresses: Vec<String> = (1..=scenario.leechers).map(|number| format!("10.77.1.{number}")).collect();
    let task = json!({
        "torrent": seed.torrent,
        "folder": folder.path(),
        "seed": seed.address.to_string(),
        "addresses": addresses,
        "others": company.addresses().iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
        "upload_rate": scenario.upload_rate,
        "unchoke_slots": scenario.unchoke_slots,
        "leavers": scenario.leavers,
    });
    let path = folder.path().join("task.json");
    fs::write(&path, task.to_string()).expect("new file");
    let mut command = python("swarm_leechers.py");
    command.arg(path);
    Process::start(command)
}

/// A script of `tests/clients`, run by a Python that has libtorrent.
fn python(script: &str) -> Command {
    let python = std::env::var_os("BENCH_PYTHON").expect("scripts/bench sets BENCH_PYTHON");
    let mut command = Command::new(python);
    command.arg(system_tests::root().join("tests/clients").join(script));
    command
}

fn print(runs: usize, chosen: &[&Scenario], outcomes: &[Vec<Option<Outcome>>]) {
    println!(
        "\n256 MiB, uplink of the seed 8 MiB/s, median of {runs} (a dash: not done in four times the bound and a minute):\n"
    );
    println!(
        "| scenario | seed | what | bound s | s | of the bound: all runs | median | wanted | copies sent |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (scenario, outcomes) in chosen.iter().zip(outcomes) {
        let bound = bound(scenario);
        let of = |pick: fn(&Outcome) -> f64| {
            outcomes.iter().map(move |outcome| outcome.as_ref().map_or(f64::INFINITY, pick))
        };
        let ratios: Vec<String> =
            of(|outcome| outcome.seconds).map(|seconds| number(seconds / bound)).collect();
        println!(
            "| {} | {} | {} | {bound:.1} | {} | {} | {} | {} | {} |",
            scenario.name,
            scenario.seed.name(),
            scenario.what,
            number(median(of(|outcome| outcome.seconds))),
            ratios.join(", "),
            number(median(of(|outcome| outcome.seconds)) / bound),
            scenario.wanted.map_or_else(String::new, number),
            number(median(of(|outcome| outcome.copies))),
        );
    }
}

fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "-".to_owned() }
}

/// A folder of its own below `folder`.
fn own_folder(folder: &Path, name: &str) -> std::path::PathBuf {
    let own = folder.join(name);
    fs::create_dir(&own).expect("new folder");
    own
}
