//! How fast each method of `torrent::hash` is on this processor, and from how many messages on.
//!
//!     cargo run --release -p torrent --example hash_speed
//!
//! Figures are medians of 1e9 bytes per second of processor time of one core, so other programs disturb little.
//! All methods are measured in turn in the same run; what counts is the ratio to the crates `sha1` and `sha2`,
//! which is method `OneByOne`.

use std::error::Error;
use std::fs;
use std::hint::black_box;

use torrent::hash::{self, Method};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs of each method.
const RUNS: usize = 5;
/// Seconds per run: enough that the accounting of processor time, a few milliseconds late, doesn't matter.
const RUN: f64 = 0.1;
/// More than caches hold, as content that was just read.
const CONTENT: usize = 64 << 20;

fn main() -> Result<()> {
    println!("chosen for many messages: {}", hash::description());
    let content = content();
    for length in [1 << 20, 16 << 10, 64] {
        println!("\nmessages of {length} bytes, all lanes filled:");
        print_methods(&content.chunks_exact(length).collect::<Vec<_>>())?;
    }
    let blocks: Vec<&[u8]> = content.chunks_exact(16 << 10).collect();
    println!("\nSHA-1 of a few messages of 16 KiB at a time, GB/s:");
    print_counts(&blocks, Method::sha1, |messages| hash::hash_pieces(messages))?;
    println!("\nSHA-256 of a few messages of 16 KiB at a time, GB/s:");
    print_counts(&blocks, Method::sha256, |messages| hash::sha256_blocks(messages))?;
    Ok(())
}

/// A table of methods.
fn print_methods(messages: &[&[u8]]) -> Result<()> {
    let methods = available();
    let sha1 = medians(methods.len(), messages, messages.len(), |method, messages| {
        black_box(methods[method].sha1(messages));
    })?;
    let sha256 = medians(methods.len(), messages, messages.len(), |method, messages| {
        black_box(methods[method].sha256(messages));
    })?;
    println!("{:<10} {:>7} {:>6}   {:>7} {:>6}", "", "SHA-1", "ratio", "SHA-256", "ratio");
    for (row, method) in methods.iter().enumerate() {
        let (sha1_ratio, sha256_ratio) = (sha1[row] / sha1[0], sha256[row] / sha256[0]);
        let name = format!("{method:?}");
        println!(
            "{name:<10} {:>7.2} {sha1_ratio:>6.2}   {:>7.2} {sha256_ratio:>6.2}",
            sha1[row], sha256[row]
        );
    }
    Ok(())
}

/// A table of methods by the number of messages they are given at a time; the last column is what is chosen.
fn print_counts<const SIZE: usize>(
    blocks: &[&[u8]],
    hash: impl Fn(Method, &[&[u8]]) -> Vec<[u8; SIZE]>,
    chosen: impl Fn(&[&[u8]]) -> Vec<[u8; SIZE]>,
) -> Result<()> {
    let methods = available();
    let names: Vec<String> = methods.iter().map(|method| format!("{method:?}")).collect();
    println!("  {}     chosen", names.join("  "));
    for count in (1..=17).chain([31]) {
        let speeds =
            medians(methods.len() + 1, blocks, count, |method, messages| match methods.get(method) {
                Some(&method) => drop(black_box(hash(method, messages))),
                None => drop(black_box(chosen(messages))),
            })?;
        let columns: Vec<String> = speeds.iter().map(|speed| format!("{speed:8.2}")).collect();
        println!("{count:2} {}", columns.join(""));
    }
    Ok(())
}

fn available() -> Vec<Method> {
    Method::ALL.into_iter().filter(|method| method.is_available()).collect()
}

/// The median speed of each of `candidates` (GB/s) when it hashes `messages`, `count` at a time.
fn medians(
    candidates: usize,
    messages: &[&[u8]],
    count: usize,
    hash: impl Fn(usize, &[&[u8]]),
) -> Result<Vec<f64>> {
    let mut speeds = vec![Vec::new(); candidates];
    for _ in 0..RUNS {
        for (candidate, speeds) in speeds.iter_mut().enumerate() {
            let begin = processor_seconds()?;
            let mut bytes = 0;
            let mut taken = 0.0;
            while taken < RUN {
                for batch in messages.chunks_exact(count) {
                    hash(candidate, batch);
                    bytes += batch.iter().map(|message| message.len()).sum::<usize>();
                }
                taken = processor_seconds()? - begin;
            }
            speeds.push(bytes as f64 / 1e9 / taken);
        }
    }
    Ok(speeds.into_iter().map(median).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processor time of this thread.
fn processor_seconds() -> Result<f64> {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = statistics.split_whitespace().next().ok_or("/proc/thread-self/schedstat is empty")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}

fn content() -> Vec<u8> {
    (0..CONTENT as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}
