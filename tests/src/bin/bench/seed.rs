//! Giving: each seeder under the same load, with one connection and with many.

mod seeders;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use system_tests::network;
use system_tests::options::Options;
use system_tests::process::Process;

use crate::measure::median;
use seeders::{ALL, BOX, Material, NULL, Seeder};

/// How many connections there are by turns.
const CONNECTIONS: [u32; 4] = [1, 8, 100, 1000];

/// Connections of the encrypted load.
const ENCRYPTED: u32 = 8;

/// Seconds that are measured, after one to warm up. Some seeders unchoke in rounds of ten seconds, so that is waited for.
const WINDOW: &str = "3";

/// Longer than this no measurement takes.
const PATIENCE: Duration = Duration::from_mins(3);

/// What one seeder did under a load.
#[derive(Default)]
struct Row {
    runs: Vec<Value>,
}

impl Row {
    fn median(&self, of: impl Fn(&Value) -> f64) -> f64 {
        median(self.runs.iter().map(of))
    }

    fn field(&self, name: &str) -> f64 {
        self.median(|run| number(run, name))
    }

    /// Processor seconds for each gigabyte (10^9 bytes).
    fn cpu(&self) -> f64 {
        self.median(|run| number(run, "cpu") / number(run, "bytes").max(1.0) * 1e9)
    }
}

fn number(run: &Value, name: &str) -> f64 {
    run[name].as_f64().unwrap_or_else(|| panic!("no {name} in {run}"))
}

/// Measures and prints everything, as the median of so many runs.
///
/// # Errors
/// A seeder that is not known, or gives wrong bytes.
pub fn run(runs: usize, options: &Options) -> Result<(), String> {
    let names = options.list::<String>("peers")?.unwrap_or_else(|| ALL.map(str::to_owned).to_vec());
    let connections = options.list("connections")?.unwrap_or_else(|| CONNECTIONS.to_vec());
    if !network::make_private() {
        eprintln!("no network of its own: what the seeders do meets everything else on this machine");
    }
    // A descriptor for each connection, here and in the seeders.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|error| error.to_string())?;
    let material = Material::new();
    let seeders: Vec<Seeder> =
        names.iter().map(|name| Seeder::start(name, &material)).collect::<Result<_, _>>()?;
    for seeder in &seeders {
        seeder.wait_until_ready(&material);
        leech(seeder, &material, ENCRYPTED, &["--verify", "--seconds", "1"])?;
    }
    for count in connections {
        let rows = measure(&seeders, &material, runs, count, &[])?;
        print(&format!("{count} connections"), runs, &seeders, &rows);
    }
    let encrypting: Vec<Seeder> = seeders.into_iter().filter(|seeder| seeder.encrypts).collect();
    let rows = measure(&encrypting, &material, runs, ENCRYPTED, &["--encrypt"])?;
    print(&format!("{ENCRYPTED} connections, encrypted (RC4)"), runs, &encrypting, &rows);
    Ok(())
}

/// In turns: what else the machine does meets all of them.
fn measure(
    seeders: &[Seeder],
    material: &Material,
    runs: usize,
    connections: u32,
    more: &[&str],
) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = seeders.iter().map(|_| Row::default()).collect();
    for _ in 0..runs {
        for (seeder, row) in seeders.iter().zip(&mut rows) {
            row.runs.push(leech(seeder, material, connections, more)?);
        }
    }
    Ok(rows)
}

/// Loads a seeder; what it did, as `swarmload` tells it.
fn leech(seeder: &Seeder, material: &Material, connections: u32, more: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(swarmload());
    command.arg("leech").arg("--torrent").arg(&material.torrent);
    command.args(["--peer", &seeder.address.to_string(), "--pid", &seeder.process.to_string()]);
    command.args(["--connections", &connections.to_string()]);
    if !more.contains(&"--seconds") {
        command.args(["--seconds", WINDOW]);
    }
    command.args(more);
    let mut process = Process::start(command);
    let status = process.wait(PATIENCE);
    let said = process.said();
    let report =
        said.iter().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object));
    match report {
        Some(report) if status.success() => Ok(report),
        _ => Err(format!("{}: {}", seeder.name, said.join("\n"))),
    }
}

/// The program of that name beside this one.
fn swarmload() -> PathBuf {
    std::env::current_exe().expect("path of this program").with_file_name("swarmload")
}

fn print(title: &str, runs: usize, seeders: &[Seeder], rows: &[Row]) {
    let cpu_of = |wanted: &dyn Fn(&str) -> bool| {
        let costs =
            seeders.iter().zip(rows).filter(|(seeder, _)| wanted(seeder.name)).map(|(_, row)| row.cpu());
        costs.fold(f64::INFINITY, f64::min)
    };
    let ratio = |cost: f64| if cost.is_finite() { format!("{cost:.2}") } else { "-".to_owned() };
    println!("\n{title}, median of {runs}:\n");
    println!(
        "| seeder | MB/s | CPU s/GB | anonymous MB | unchoked / served | unchoked after s | Jain | bytes per CPU s, of the best \
         peer's | CPU, of null's | CPU of the load |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let best = cpu_of(&|name| name != BOX && name != NULL);
    let null = cpu_of(&|name| name == NULL);
    for (seeder, row) in seeders.iter().zip(rows) {
        if row.field("bytes") == 0.0 {
            println!("| {} | nothing: {} | | | | | | | | |", seeder.name, row.runs[0]["lost"]);
            continue;
        }
        println!(
            "| {} | {:.0} | {:.2} | {:.1} | {} / {} | {:.1} | {:.3} | {} | {} | {:.0} % |",
            seeder.name,
            row.median(|run| number(run, "bytes") / number(run, "seconds")) / 1e6,
            row.cpu(),
            row.field("anonymous") / 1e6,
            row.field("unchoked"),
            row.field("served"),
            row.field("unchoke_wait"),
            row.field("jain"),
            ratio(best / row.cpu()),
            ratio(if null.is_finite() { row.cpu() / null } else { null }),
            row.median(|run| number(run, "own_cpu") / number(run, "seconds")) * 100.0,
        );
    }
}
