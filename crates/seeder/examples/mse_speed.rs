//! What message stream encryption costs on this processor: an exchange, and each byte after it.
//!
//!     cargo run --release -p seeder --example mse_speed
//!
//! Figures are medians of processor time of one core, so other programs disturb little.

use std::error::Error;
use std::fs;
use std::hint::black_box;

use seeder::mse::{self, Agreed, CHANCE, Initiator, Offer, Responder};
use seeder::{Handshake, Reserved};
use torrent::{InfoHash, PeerId};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs of each.
const RUNS: usize = 9;
/// Exchanges, and bytes, in a run: enough that the accounting of processor time doesn't matter.
const EXCHANGES: usize = 500;
const BYTES: usize = 200 << 20;
/// Bytes at a time, a block.
const BLOCK: usize = 16 << 10;

fn main() -> Result<()> {
    let exchange = median(|| (0..EXCHANGES).try_for_each(|_| exchange().map(drop)))?;
    println!("exchange, each side: {:.0} µs", exchange / EXCHANGES as f64 / 2.0 * 1e6);

    let mut rc4 = exchange_encrypted()?;
    let mut block = vec![0; BLOCK];
    let seconds = median(|| {
        (0..BYTES / BLOCK).for_each(|_| rc4.apply(black_box(&mut block)));
        Ok(())
    })?;
    println!("RC4: {:.0} MB/s, {:.2} s/GB", BYTES as f64 / 1e6 / seconds, seconds / BYTES as f64 * 1e9);
    Ok(())
}

fn exchange_encrypted() -> Result<Box<mse::Rc4>> {
    exchange()?.encrypt.ok_or_else(|| "the connection is plain".into())
}

/// Both sides of an exchange; what the responder has of it.
fn exchange() -> Result<Agreed> {
    let info_hash = InfoHash([0xaa; 20]);
    let handshake = Handshake { reserved: Reserved::OURS, info_hash, peer_id: PeerId([0x2d; 20]) };
    let (mut said, mut answer) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(handshake, Offer::Rc4, &[0xa7; CHANCE], &mut said);
    let mut responder = Responder::new(&[0x7a; CHANCE]);
    loop {
        let agreed = responder.receive(&said, |_| Some(info_hash), &mut answer)?;
        said.clear();
        initiator.receive(&answer, &mut said)?;
        answer.clear();
        if let Some(agreed) = agreed {
            return Ok(agreed);
        }
    }
}

/// The median of the processor time (seconds) that it takes.
fn median(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let begin = processor_seconds()?;
        run()?;
        times.push(processor_seconds()? - begin);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

/// Processor time of this thread.
fn processor_seconds() -> Result<f64> {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = statistics.split_whitespace().next().ok_or("/proc/thread-self/schedstat is empty")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}
