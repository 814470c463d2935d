//! Making torrents: one large file, and a tree of many small ones, both in memory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::content::{Chance, write_file};

use super::measure::{self, Cost, median};

/// Bytes of the large file.
const FILE: u64 = 4 << 30;

/// Files of the tree, and in each of its folders.
const FILES: u64 = 20_000;
const IN_FOLDER: u64 = 200;

/// Bytes in half of the tree's files at most, and in any.
const MEDIAN: f64 = 27_000.0;
const LARGEST: f64 = 4e6;

/// What is to be hashed: the path, the length of pieces, where a torrent may be written.
struct Work {
    path: PathBuf,
    bytes: u64,
    piece_length: u32,
    output: PathBuf,
}

/// A torrent maker.
struct Tool {
    name: &'static str,
    /// Versions that it makes in one run.
    versions: &'static str,
    command: fn(&Work) -> Command,
}

const V1: &str = "v1";
const BOTH: &str = "v1+v2";

const TOOLS: [Tool; 8] = [
    Tool { name: "blackboxd", versions: V1, command: |work| ours(work, &["--v1"]) },
    Tool { name: "blackboxd", versions: BOTH, command: |work| ours(work, &[]) },
    Tool { name: "mktorrent -t1", versions: V1, command: |work| mktorrent(work, "-t1") },
    Tool { name: "mktorrent -t2", versions: V1, command: |work| mktorrent(work, "-t2") },
    Tool { name: "imdl", versions: V1, command: imdl },
    Tool { name: "torf", versions: V1, command: |work| python(work, "torf") },
    Tool { name: "libtorrent", versions: V1, command: |work| python(work, "v1") },
    Tool { name: "libtorrent", versions: BOTH, command: |work| python(work, "hybrid") },
];

/// What our names begin with.
const OURS: &str = "blackboxd";

fn ours(work: &Work, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("BLACKBOXD").expect("scripts/bench sets BLACKBOXD"));
    command.arg("--hash").arg(&work.path).args(arguments);
    command
}

fn mktorrent(work: &Work, threads: &str) -> Command {
    let mut command = Command::new("mktorrent");
    command
        .arg(threads)
        .args(["-l", &work.piece_length.ilog2().to_string(), "-o"])
        .arg(&work.output)
        .arg(&work.path);
    command
}

fn imdl(work: &Work) -> Command {
    let mut command = Command::new("imdl");
    command.args(["torrent", "create", "--piece-length", &work.piece_length.to_string(), "--input"]);
    command.arg(&work.path).arg("--output").arg(&work.output);
    command
}

fn python(work: &Work, how: &str) -> Command {
    let mut command = Command::new(env::var_os("BENCH_PYTHON").expect("scripts/bench sets BENCH_PYTHON"));
    command.arg("-c").arg(include_str!("make_torrent.py")).arg(how);
    command.arg(&work.path).arg(work.piece_length.to_string()).arg(&work.output);
    command
}

/// Measures and prints everything, as the median of so many runs.
pub fn run(runs: usize) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let mut chance = Chance::new(7);
    let output = folder.path().join("out.torrent");
    let file = folder.path().join("file");
    write_file(&mut chance, &file, FILE);
    report(
        "one file of 4 GiB",
        &Work { path: file, bytes: FILE, piece_length: 2 << 20, output: output.clone() },
        runs,
    );
    let tree = folder.path().join("tree");
    let bytes = write_tree(&mut chance, &tree);
    report("20,000 files", &Work { path: tree, bytes, piece_length: 1 << 20, output }, runs);
}

/// Files of all sizes, log-normally distributed; returns how many bytes they have.
fn write_tree(chance: &mut Chance, tree: &Path) -> u64 {
    let sizes = (0..FILES).map(|number| {
        // The sum of twelve evenly distributed numbers is nearly normal.
        let normal = (0..12).map(|_| chance.below(1 << 32) as f64 / f64::from(u32::MAX)).sum::<f64>() - 6.0;
        let size = (MEDIAN * (1.3 * normal).exp()).clamp(1.0, LARGEST);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and LARGEST")]
        let size = size as u64;
        let path = tree.join(format!("d{:03}/f{number:05}.dat", number / IN_FOLDER));
        write_file(chance, &path, size);
        size
    });
    sizes.sum()
}

fn report(title: &str, work: &Work, runs: usize) {
    let mut costs: Vec<Vec<Cost>> = TOOLS.iter().map(|_| Vec::new()).collect();
    // In turns: what else the machine does meets all of them.
    for _ in 0..runs {
        for (tool, costs) in TOOLS.iter().zip(&mut costs) {
            // Not there at first; some makers refuse to replace it.
            let _ = fs::remove_file(&work.output);
            costs.push(measure::run(&mut (tool.command)(work)));
        }
    }
    let gib = work.bytes as f64 / f64::from(1 << 30);
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu.as_secs_f64())) / gib;
    println!("\n{title} ({gib:.2} GiB), median of {runs}:\n");
    println!("| maker | versions | wall s | GB/s | CPU s per GiB | of the best peer's CPU |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (tool, own) in TOOLS.iter().zip(&costs) {
        let peers = TOOLS
            .iter()
            .zip(&costs)
            .filter(|(peer, _)| peer.versions == tool.versions && !peer.name.starts_with(OURS));
        let best = peers.map(|(_, costs)| cpu(costs)).fold(f64::INFINITY, f64::min);
        let wall = median(own.iter().map(|cost| cost.wall.as_secs_f64()));
        println!(
            "| {} | {} | {wall:.2} | {:.2} | {:.2} | {:.2} |",
            tool.name,
            tool.versions,
            work.bytes as f64 / 1e9 / wall,
            cpu(own),
            cpu(own) / best
        );
    }
}
