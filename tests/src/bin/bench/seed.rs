//! Giving: each seeder under the same load, with one connection and with many.

mod seeders;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use system_tests::network;
use system_tests::options::Options;

use crate::swarmload::{Row, measure, report, swarmload};
use seeders::{ALL, BOX, Material, NULL, Seeder};

/// How many connections there are by turns.
const CONNECTIONS: [u32; 4] = [1, 8, 100, 1000];

/// Connections of the encrypted load.
const ENCRYPTED: u32 = 8;

/// Seconds that are measured, after one to warm up. Some seeders unchoke in rounds of ten seconds, so that is waited for.
const WINDOW: &str = "3";

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
        let rows = measure(&seeders, runs, |seeder| leech(seeder, &material, count, &[]))?;
        print(&format!("{count} connections"), runs, &seeders, &rows);
    }
    let encrypting: Vec<Seeder> = seeders.into_iter().filter(|seeder| seeder.encrypts).collect();
    let rows = measure(&encrypting, runs, |seeder| leech(seeder, &material, ENCRYPTED, &["--encrypt"]))?;
    print(&format!("{ENCRYPTED} connections, encrypted (RC4)"), runs, &encrypting, &rows);
    Ok(())
}

/// Loads a seeder; what it did, as `swarmload` tells it.
fn leech(seeder: &Seeder, material: &Material, connections: u32, more: &[&str]) -> Result<Value, String> {
    let mut command = swarmload();
    command.arg("leech").arg("--torrent").arg(&material.torrent);
    command.args(["--peer", &seeder.address.to_string(), "--pid", &seeder.process.to_string()]);
    command.args(["--connections", &connections.to_string()]);
    if !more.contains(&"--seconds") {
        command.args(["--seconds", WINDOW]);
    }
    command.args(more);
    report(seeder.name, command)
}

/// Processor seconds for each gigabyte (10^9 bytes).
fn cpu(row: &Row) -> f64 {
    row.cpu_by("bytes") * 1e9
}

fn print(title: &str, runs: usize, seeders: &[Seeder], rows: &[Row]) {
    let cpu_of = |wanted: &dyn Fn(&str) -> bool| {
        let costs =
            seeders.iter().zip(rows).filter(|(seeder, _)| wanted(seeder.name)).map(|(_, row)| cpu(row));
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
            row.ratio("bytes", "seconds") / 1e6,
            cpu(row),
            row.field("anonymous") / 1e6,
            row.field("unchoked"),
            row.field("served"),
            row.field("unchoke_wait"),
            row.field("jain"),
            ratio(best / cpu(row)),
            ratio(if null.is_finite() { cpu(row) / null } else { null }),
            row.ratio("own_cpu", "seconds") * 100.0,
        );
    }
}
