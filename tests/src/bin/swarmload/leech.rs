//! The measurement: so many connections to one seeder, each with so many requests outstanding, for some seconds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::Scope;
use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::content::Chance;

use crate::Content;
use crate::connection::{Connection, Counts};
use crate::load::Load;
use crate::usage::Usage;

/// Connections that are being opened at a time.
const OPENERS: u32 = 128;

/// Most connections: each comes from an address of its own.
const MOST: u32 = 60_000;

/// What is to be done.
struct Task {
    content: Content,
    peer: SocketAddr,
    connections: u32,
    is_encrypted: bool,
    is_verified: bool,
}

/// Measures and prints one line of JSON.
///
/// # Errors
/// A wrong option, a torrent that can't be read, or a wrong piece.
pub fn run(arguments: impl IntoIterator<Item = String>) -> Result<(), String> {
    const VALUED: [&str; 8] =
        ["torrent", "peer", "connections", "pipeline", "warmup", "seconds", "settle", "pid"];
    let options = crate::options(arguments, &VALUED, &["encrypt", "verify"])?;
    let seconds = |name, default| -> Result<Duration, String> {
        let seconds = options.value(name)?.unwrap_or(default);
        Duration::try_from_secs_f64(seconds).map_err(|error| format!("--{name}: {error}"))
    };
    let task = Task {
        content: Content::read(&options.required::<std::path::PathBuf>("torrent")?)?,
        peer: options.required("peer")?,
        connections: options.value("connections")?.unwrap_or(1).min(MOST),
        is_encrypted: options.has("encrypt"),
        is_verified: options.has("verify"),
    };
    if !task.peer.ip().is_loopback() {
        return Err("only seeders on a loopback address are measured".to_owned());
    }
    let (warm_up, window, settle) =
        (seconds("warmup", 1.0)?, seconds("seconds", 3.0)?, seconds("settle", 15.0)?);
    let process: String = options.value("pid")?.unwrap_or_default();
    let mut load = Load::new(&task.content, options.value("pipeline")?.unwrap_or(64))?;

    std::thread::scope(|scope| load.fill(&open(scope, &task)));
    let opened = Instant::now();
    load.run(opened + settle, Load::are_unchoked);
    let unchoke_wait = opened.elapsed();
    load.start_asking();
    load.run(Instant::now() + warm_up, |_| false);

    let counts = |load: &Load| load.connections.iter().map(|one| one.counts).collect::<Vec<_>>();
    let (before, started, used, own) =
        (counts(&load), Instant::now(), Usage::of(&process), Usage::of("self"));
    load.run(started + window, |_| false);
    let took = started.elapsed();
    let (used_after, own_after) = (Usage::of(&process), Usage::of("self"));
    let wrong = load.connections.iter().map(|one| one.counts.pieces[1]).sum::<u64>();
    let report = json!({
        "connections": task.connections,
        "seconds": took.as_secs_f64(),
        "unchoke_wait": unchoke_wait.as_secs_f64(),
        "cpu": used_after.seconds - used.seconds,
        "anonymous": used_after.anonymous,
        "own_cpu": own_after.seconds - own.seconds,
        "lost": load.lost,
    });
    println!("{}", merged(report, shares(&load, &before)));
    if wrong > 0 { Err(format!("{wrong} pieces are wrong")) } else { Ok(()) }
}

/// Opens all connections, several at a time, each from an address of its own: several seeders take but one from each.
fn open<'scope>(
    scope: &'scope Scope<'scope, '_>,
    task: &'scope Task,
) -> Receiver<Result<Connection, String>> {
    let (sender, receiver) = mpsc::channel();
    let next = std::sync::Arc::new(AtomicU32::new(0));
    let mut chance = Chance::fresh();
    for _ in 0..OPENERS.min(task.connections) {
        let (sender, next, mut chance) = (sender.clone(), next.clone(), chance.fork());
        scope.spawn(move || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= task.connections {
                    return;
                }
                let [.., high, low] = number.to_be_bytes();
                let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)), 0);
                let opened = Connection::open(
                    &task.content,
                    [source, task.peer],
                    task.is_encrypted,
                    task.is_verified,
                    chance.fork(),
                );
                if sender.send(opened).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// How the bytes since `before` are shared out.
fn shares(load: &Load, before: &[Counts]) -> serde_json::Value {
    let connections = &load.connections;
    let given: Vec<f64> = connections
        .iter()
        .zip(before)
        .filter(|(one, _)| one.was_unchoked)
        .map(|(one, before)| (one.counts.bytes - before.bytes) as f64)
        .collect();
    let (sum, squares) = (given.iter().sum::<f64>(), given.iter().map(|bytes| bytes * bytes).sum::<f64>());
    let total = |count: fn(&Counts) -> u64| connections.iter().map(|one| count(&one.counts)).sum::<u64>();
    json!({
        "handshaken": connections.len(),
        "unchoked": given.len(),
        "served": given.iter().filter(|bytes| **bytes > 0.0).count(),
        "bytes": sum,
        // Jain's index of fairness: 1 when all get the same, 1/n when one gets everything.
        "jain": if squares > 0.0 { sum * sum / (given.len() as f64 * squares) } else { 0.0 },
        "rejects": total(|counts| counts.rejects),
        "unasked": total(|counts| counts.unasked),
        "pieces": [total(|counts| counts.pieces[0]), total(|counts| counts.pieces[1])],
    })
}

fn merged(mut one: serde_json::Value, mut other: serde_json::Value) -> serde_json::Value {
    let (Some(into), Some(from)) = (one.as_object_mut(), other.as_object_mut()) else { return one };
    into.append(from);
    one
}
