//! Time, chance and peers for the tests.

use std::net::IpAddr;
use std::time::Instant;

use torrent::{InfoHash, PeerId};

use crate::{Announce, Event};

/// Some instant; tests count from it.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to an Instant; nothing depends on which it is"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// The same sequence for the same seed (`SplitMix64`).
pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Peer number `peer` at `address`, port 1000 + `peer`, who has nothing yet.
pub(crate) fn announce(peer: u16, address: &str) -> Announce {
    let mut peer_id = *b"-XX0000-000000000000";
    peer_id[18..].copy_from_slice(&peer.to_be_bytes());
    Announce {
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId(peer_id),
        address: address.parse::<IpAddr>().unwrap(),
        port: 1000 + peer,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: Event::Started,
        numwant: None,
        key: 0,
        compact: true,
        passkey: None,
    }
}
