//! Load for seeders and trackers, and the limits of the machine to compare them with: `scripts/bench` runs it.
//!
//! It is written apart from the box's own code and stores nothing: it measures. Those who are compared get the same load
//! in the same run.
//!
//! - [`leech`] seeders: the measurement: opens connections, keeps them busy, reports
//! - [`load`] all connections, worked by one thread
//! - [`connection`] one of them: handshake, requests, what comes in; [`wire`] cuts the stream into messages
//! - [`encryption`] the initiator's side of message stream encryption
//! - [`null_seeder`] a seeder that does nothing but give
//! - [`announce`] trackers: who announces, and the measurement; [`announce_udp`] and [`announce_http`] are the protocols
//! - [`null_tracker`] a tracker that does nothing but answer
//! - [`usage`] what a process has used

mod announce;
mod announce_http;
mod announce_udp;
mod connection;
mod encryption;
mod leech;
mod load;
mod null_seeder;
mod null_tracker;
mod usage;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use sha1::{Digest, Sha1};
use system_tests::options::Options;
use torrent::{InfoHash, Metainfo};

const USAGE: &str = "usage:
  swarmload leech --torrent FILE --peer ADDRESS:PORT [--connections 1] [--pipeline 64] [--warmup 1] [--seconds 3]
                  [--settle 15] [--pid SEEDER] [--encrypt] [--verify]
  swarmload null-seeder --torrent FILE --data FILE --listen ADDRESS:PORT
  swarmload announce-udp|announce-http --tracker ADDRESS:PORT --hashes FILE [--peers 100 for each hash] [--window 64]
                  [--numwant 50] [--warmup 1] [--seconds 3] [--once] [--close] [--pid TRACKER]
  swarmload null-tracker --listen ADDRESS:PORT";

/// What is downloaded: the content of a version 1 torrent.
struct Content {
    info_hash: InfoHash,
    total: u64,
    piece_length: u32,
    /// SHA-1 of each piece.
    hashes: Vec<[u8; 20]>,
}

impl Content {
    fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{path:?}: {error}"))?;
        let (metainfo, info) = Metainfo::parse(&bytes).map_err(|error| format!("{path:?}: {error}"))?;
        let hashes = info.pieces().ok_or_else(|| format!("{path:?} is not of version 1"))?;
        Ok(Self {
            info_hash: metainfo.info_hash(),
            total: info.total_length(),
            piece_length: info.piece_length,
            hashes: hashes.as_chunks::<20>().0.to_vec(),
        })
    }

    /// Number of pieces.
    fn pieces(&self) -> u32 {
        u32::try_from(self.hashes.len()).expect("pieces have 32 bit numbers")
    }

    /// Bytes of a piece.
    fn length_of(&self, piece: u32) -> u32 {
        let left = self.total - u64::from(piece) * u64::from(self.piece_length);
        u32::try_from(left).map_or(self.piece_length, |left| left.min(self.piece_length))
    }

    fn is_right(&self, piece: u32, bytes: &[u8]) -> bool {
        Sha1::digest(bytes)[..] == self.hashes[piece as usize]
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("leech") => leech::run(arguments),
        Some("null-seeder") => null_seeder::run(arguments),
        Some("announce-udp") => announce_udp::run(arguments),
        Some("announce-http") => announce_http::run(arguments),
        Some("null-tracker") => null_tracker::run(arguments),
        _ => Err(USAGE.to_owned()),
    };
    if let Err(why) = done {
        eprintln!("{why}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// Reads options, none of which is a surprise.
fn options(
    arguments: impl IntoIterator<Item = String>,
    valued: &[&str],
    switches: &[&str],
) -> Result<Options, String> {
    Options::parse(arguments, valued, switches).map_err(|why| format!("{why}\n{USAGE}"))
}
