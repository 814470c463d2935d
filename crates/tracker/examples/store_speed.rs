//! What announces cost in the store alone: in 1,000 swarms of 1,000 peers, and in one of 200,000.
//!
//!     cargo run --release -p tracker --example store_speed

use std::net::Ipv4Addr;
use std::time::Instant;

use torrent::{InfoHash, PeerId};
use tracker::swarm::Limits;
use tracker::{Announce, Event, SwarmStore};

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    for (swarms, peers) in [(1_000, 1_000_000), (1, 200_000)] {
        println!("{swarms} swarms, {peers} peers:");
        measure(swarms, peers);
    }
}

fn measure(swarms: u32, peers: u32) {
    let start = now();
    let store = SwarmStore::new(Limits::default(), &[1; 16], start);
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state ^ (state >> 32)
    };
    for (what, numwant) in [("new ones", 50), ("known ones", 50), ("known ones, who want nobody", 0)] {
        let begun = now();
        for number in 0..peers {
            let announce = Announce { numwant: Some(numwant), ..announce(number, swarms) };
            store.announce(start, &announce, None, &mut random);
        }
        println!("  {what}: {} ns each", begun.elapsed().as_nanos() / u128::from(peers));
    }
    let begun = now();
    store.expire(start);
    println!("  looking for those who are gone: {:?}", begun.elapsed());
}

fn announce(number: u32, swarms: u32) -> Announce {
    let mut info_hash = [0; 20];
    info_hash[..4].copy_from_slice(&(number % swarms).to_le_bytes());
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
        passkey: None,
    }
}
