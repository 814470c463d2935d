//! The page under load: what seeding at full speed loses by it.

mod visitors;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use system_tests::api::SOON;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::network;
use system_tests::options::Options;

use crate::swarmload::{Row, measure, report, swarmload};
use visitors::{TARGETS, Visitors};

/// Bytes of the file that is given away: more than any cache of a processor holds.
const FILE: u64 = 1 << 30;

/// Connections that it is given over.
const CONNECTIONS: u32 = 8;

/// Items besides: more than fit on a page of the index.
const ITEMS: usize = 100;

/// Hashing all of it, and until it is settled.
const READY: Duration = Duration::from_mins(2);

/// Requests a second, and seconds that are measured.
const RATE: u32 = 200;
const WINDOW: u32 = 10;

/// A box with something to look at and something to give.
struct Material {
    daemon: Daemon,
    torrent: PathBuf,
    /// The page of an item.
    item: String,
    _site: Site,
}

impl Material {
    fn new() -> Self {
        let site = Site::new();
        let mut chance = Chance::new(7);
        write_file(&mut chance, &site.publish().join("file"), FILE);
        for number in 0..ITEMS {
            write_file(&mut chance, &site.publish().join(format!("Item with a name {number:03}.iso")), 5000);
        }
        let daemon = site.start();
        let published = daemon.api.seeding_within("file", READY);
        for number in 0..ITEMS {
            daemon.api.seeding_within(&format!("Item with a name {number:03}.iso"), SOON);
        }
        let torrent = site.folder().join("file.torrent");
        fs::write(&torrent, published.metainfo().0.to_bytes()).expect("new file");
        Self { torrent, item: format!("/items/{}", published.info_hash), daemon, _site: site }
    }
}

/// Measures and prints what the page costs, as the median of so many runs.
///
/// # Errors
/// A wrong option, or the box does not answer.
pub fn run(runs: usize, options: &Options) -> Result<(), String> {
    let rate = options.value("rate")?.unwrap_or(RATE);
    let seconds = options.value("seconds")?.unwrap_or(WINDOW);
    if !network::make_private() {
        eprintln!("no network of its own: what the box does meets everything else on this machine");
    }
    let material = Material::new();
    let loads = [("none", 0), ("visitors", rate)];
    let rows = measure(&loads, runs, |(name, rate)| load(&material, name, *rate, seconds))?;
    println!("\n{rate} requests a second for {seconds} s, of {}, median of {runs}:\n", TARGETS.join(", "));
    println!(
        "| load | seeding MB/s | CPU s/GB | CPU % | requests a second | answer ms | 99 of 100 within ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for ((name, _), row) in loads.iter().zip(&rows) {
        println!(
            "| {name} | {:.0} | {:.3} | {:.0} | {:.0} | {:.1} | {:.1} |",
            row.ratio("bytes", "seconds") / 1e6,
            row.cpu_by("bytes") * 1e9,
            row.ratio("cpu", "seconds") * 100.0,
            row.field("answers") / f64::from(seconds),
            row.field("median_ms"),
            row.field("late_ms"),
        );
    }
    let kept = |of: &dyn Fn(&Row) -> f64| of(&rows[1]) / of(&rows[0]) * 100.0;
    println!(
        "\nOf what it seeds without them: {:.1} % of the bytes a second, {:.1} % of the bytes per processor second.",
        kept(&|row| row.ratio("bytes", "seconds")),
        kept(&|row| 1.0 / row.cpu_by("bytes")),
    );
    Ok(())
}

/// Seeds for so many seconds while so many requests come in each; what both came to.
fn load(material: &Material, name: &str, rate: u32, seconds: u32) -> Result<Value, String> {
    let mut command = swarmload();
    command.arg("leech").arg("--torrent").arg(&material.torrent);
    command.args(["--peer", &material.daemon.peer.to_string()]);
    command.args(["--pid", &material.daemon.process.id().to_string()]);
    command.args(["--connections", &CONNECTIONS.to_string(), "--seconds", &seconds.to_string()]);
    let visitors = Visitors::start(material.daemon.api.address, &material.item, rate);
    let mut told = report(name, command)?;
    let visits = visitors.end();
    // They came while it warmed up too.
    told["answers"] = (f64::from(seconds) * visits.rate()).into();
    told["median_ms"] = visits.wait_ms(50).into();
    told["late_ms"] = visits.wait_ms(99).into();
    Ok(told)
}
