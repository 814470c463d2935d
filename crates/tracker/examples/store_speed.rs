//! How long announces take in the store, without any I/O: 1,000 swarms of 1,000 peers, and one of 200,000.

#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::net::Ipv4Addr;
use std::time::Instant;

use torrent::{InfoHash, PeerId};
use tracker::swarm::Limits;
use tracker::{Announce, Event, SwarmStore};

fn announce(number: u32, swarms: u32) -> Announce {
    let mut info_hash = [0; 20];
    info_hash[..4].copy_from_slice(&(number % swarms).to_be_bytes());
    let mut peer_id = *b"-XX0000-000000000000";
    peer_id[12..16].copy_from_slice(&number.to_be_bytes());
    Announce {
        info_hash: InfoHash(info_hash),
        peer_id: PeerId(peer_id),
        address: Ipv4Addr::from(0x0800_0000 + number).into(),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: u64::from(number / swarms % 2),
        event: Event::None,
        numwant: Some(50),
        key: 0,
        compact: true,
    }
}

fn main() {
    for (swarms, peers) in [(1_000, 1_000_000), (1, 200_000)] {
        let now = Instant::now();
        let store = SwarmStore::new(Limits::default(), &[1; 16], now);
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state ^ (state >> 32)
        };
        for (round, numwant) in [("new", 50), ("known", 50), ("known, no peers", 0)] {
            let started = Instant::now();
            let mut told = 0;
            for number in 0..peers {
                let announce = Announce { numwant: Some(numwant), ..announce(number, swarms) };
                told += store.announce(now, &announce, None, &mut random).peers_v4.len();
            }
            let each = started.elapsed().as_nanos() / u128::from(peers);
            println!("{swarms} swarms, {peers} peers, {round}: {each} ns ({told} told)");
        }
        let started = Instant::now();
        store.expire(now);
        println!("looking for whom to expire: {:?}", started.elapsed());
    }
}
