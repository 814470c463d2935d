//! Load for trackers: clients that announce one after the other, so many at a time, over UDP or HTTP.
//!
//! The clients are spread over swarms of equal size. Each has a peer id and, in its swarm, a port of its own; in each swarm
//! every other one has everything. One that is heard of for the first time says that it starts.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::options::Options;
use torrent::InfoHash;

use crate::usage::Usage;

/// Options that both protocols know.
pub const VALUED: [&str; 8] = ["tracker", "hashes", "peers", "window", "numwant", "warmup", "seconds", "pid"];

/// The same, without a value.
pub const SWITCHES: [&str; 2] = ["once", "close"];

/// Ports of the clients of one swarm, from this one on.
const FIRST_PORT: u16 = 1024;
const PORTS: u64 = 64_000;

/// Longest time (seconds) of a run, in which no connection id of BEP 15 gets too old.
const LONGEST: f64 = 100.0;

/// What is to be done.
pub struct Task {
    pub tracker: SocketAddr,
    hashes: Vec<InfoHash>,
    /// Clients in all swarms together.
    clients: u64,
    /// Announces under way at a time.
    pub window: u16,
    /// Peers that a client wants.
    pub numwant: u32,
    /// Whether everybody announces but once.
    once: bool,
    warm_up: Duration,
    time: Duration,
    process: String,
}

impl Task {
    /// Reads it from the command line.
    ///
    /// # Errors
    /// A wrong option, or info hashes that can't be read.
    pub fn new(options: &Options) -> Result<Self, String> {
        let once = options.has("once");
        let seconds = |name, default: f64| -> Result<Duration, String> {
            let seconds = options.value(name)?.unwrap_or(default).min(LONGEST);
            Duration::try_from_secs_f64(seconds).map_err(|error| format!("--{name}: {error}"))
        };
        let path: PathBuf = options.required("hashes")?;
        let text = fs::read_to_string(&path).map_err(|error| format!("{path:?}: {error}"))?;
        let hashes = text.split_whitespace().map(str::parse).collect::<Result<Vec<InfoHash>, _>>();
        let hashes = hashes.map_err(|error| format!("{path:?}: {error}"))?;
        let tracker: SocketAddr = options.required("tracker")?;
        if !tracker.ip().is_loopback() {
            return Err("only trackers on a loopback address are measured".to_owned());
        }
        let swarms = hashes.len() as u64;
        Ok(Self {
            tracker,
            clients: options.value("peers")?.unwrap_or(100 * swarms).clamp(1, PORTS * swarms.max(1)),
            hashes: if swarms > 0 { hashes } else { return Err(format!("{path:?} is empty")) },
            window: options.value("window")?.unwrap_or(64).clamp(1, 4096),
            numwant: options.value("numwant")?.unwrap_or(50),
            once,
            warm_up: seconds("warmup", if once { 0.0 } else { 1.0 })?,
            time: seconds("seconds", if once { LONGEST } else { 3.0 })?,
            process: options.value("pid")?.unwrap_or_default(),
        })
    }
}

/// One client that announces.
pub struct Client {
    pub info_hash: InfoHash,
    pub peer_id: [u8; 20],
    pub port: u16,
    /// Bytes it lacks.
    pub left: u64,
    /// Whether it announces for the first time.
    pub is_new: bool,
}

/// The clients in their turns, again and again unless each has but one.
pub struct Clients<'a> {
    task: &'a Task,
    next: u64,
}

impl<'a> Clients<'a> {
    pub fn new(task: &'a Task) -> Self {
        Self { task, next: 0 }
    }

    /// Whether there will be no more.
    pub fn have_ended(&self) -> bool {
        self.task.once && self.next >= self.task.clients
    }
}

impl Iterator for Clients<'_> {
    type Item = Client;

    fn next(&mut self) -> Option<Client> {
        if self.have_ended() {
            return None;
        }
        let (number, swarms) = (self.next % self.task.clients, self.task.hashes.len() as u64);
        let (swarm, place) = (usize::try_from(number % swarms).ok()?, number / swarms);
        let mut peer_id = *b"-SL0100-000000000000";
        // Digits and letters, as clients have them.
        for (at, byte) in peer_id[8..].iter_mut().enumerate() {
            *byte = b'A' + u8::try_from(number >> (4 * at) & 15).ok()?;
        }
        let client = Client {
            info_hash: self.task.hashes[swarm],
            peer_id,
            port: FIRST_PORT + u16::try_from(place % PORTS).ok()?,
            left: if place.is_multiple_of(2) { 0 } else { 1 << 20 },
            is_new: self.next < self.task.clients,
        };
        self.next += 1;
        Some(client)
    }
}

/// What has come of the announces.
#[derive(Default)]
pub struct Tally {
    /// Time (microseconds) that each good answer took.
    latencies: Vec<u32>,
    /// Peers in all answers.
    peers: u64,
    /// Answers that were none, by what they said.
    failures: BTreeMap<String, u64>,
    /// Announces that were not answered in time.
    pub lost: u64,
}

impl Tally {
    /// A good answer, with so many peers.
    pub fn answered(&mut self, took: Duration, peers: usize) {
        self.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.peers += peers as u64;
    }

    /// An answer that is none, or a connection that ended.
    pub fn failed(&mut self, why: &[u8]) {
        let why = String::from_utf8_lossy(&why[..why.len().min(80)]).into_owned();
        *self.failures.entry(why).or_default() += 1;
    }
}

/// Clients at work in one protocol.
pub trait Load {
    /// Works until `end`, or until all have had their turn.
    fn run(&mut self, end: Instant);

    /// What has come of it since the last time.
    fn tally(&mut self) -> Tally;
}

/// Measures and prints one line of JSON.
pub fn measure(task: &Task, load: &mut impl Load) {
    load.run(Instant::now() + task.warm_up);
    drop(load.tally());
    let (started, before, own) = (Instant::now(), Usage::of(&task.process), Usage::of("self"));
    load.run(started + task.time);
    let seconds = started.elapsed().as_secs_f64();
    let (after, own_after) = (Usage::of(&task.process), Usage::of("self"));
    let mut tally = load.tally();
    tally.latencies.sort_unstable();
    let count = tally.latencies.len();
    let percentile = |percent: usize| tally.latencies.get(count * percent / 100).copied().unwrap_or(0);
    let report = json!({
        "announces": count,
        "seconds": seconds,
        "cpu": after.seconds - before.seconds,
        "own_cpu": own_after.seconds - own.seconds,
        "anonymous": after.anonymous,
        "peers_per_answer": tally.peers as f64 / count.max(1) as f64,
        "p50_us": percentile(50),
        "p99_us": percentile(99),
        "lost": tally.lost,
        "failures": tally.failures,
    });
    println!("{report}");
}
