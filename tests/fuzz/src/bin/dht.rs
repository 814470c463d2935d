//! A node of the DHT among nodes that say what they like, and a network that says what it wants.

#![no_main]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use discovery::dht::{Config, Dht, MAX_PACKET, NodeId};
use discovery::local::{GROUP_V4, MAX_HASHES, Search};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use torrent::InfoHash;

/// Packets that one packet may cause: an answer, a question, and the announcements at the end of a lookup.
const MAX_BURST: usize = 16;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Node(Vec<Step<'a>>),
    Search(&'a [u8]),
}

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    /// A packet from the node with this number.
    Packet(u8, &'a [u8]),
    /// The oldest question is answered with this dictionary.
    Answer(&'a [u8]),
    /// Nothing for so many seconds.
    Pause(u8),
    Announce(u8),
}

fn address(number: u8) -> SocketAddr {
    ([203, 0, 113, number], 6881).into()
}

fn node(steps: &[Step<'_>]) {
    let mut now = Instant::now();
    let mut chance = 0_u64;
    let random = Box::new(move || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chance.rotate_left(32)
    });
    let config = Config { id: NodeId([7; 20]), v6: false, port: 6881, key: [0; 16], random };
    let mut dht = Dht::new(now, config);
    dht.enter(now, (0..8).map(address));
    let mut questions: VecDeque<(SocketAddr, [u8; 4])> = VecDeque::new();
    for step in steps {
        match step {
            Step::Packet(number, packet) => dht.receive(now, packet, address(*number)),
            Step::Answer(dictionary) => {
                let Some((target, transaction)) = questions.pop_front() else { continue };
                let packet = [b"d1:r", *dictionary, b"1:t4:", &transaction[..], b"1:y1:re"].concat();
                dht.receive(now, &packet, target);
            }
            Step::Pause(seconds) => now += Duration::from_secs(u64::from(*seconds)),
            Step::Announce(byte) => {
                if dht.lookups() < 8 {
                    dht.announce(now, InfoHash([*byte; 20]));
                }
            }
        }
        dht.handle_timeout(now);
        assert!(dht.next_deadline() > now, "what was due is done");
        let mut sent = 0;
        while let Some((target, packet)) = dht.poll_transmit() {
            assert!(packet.len() <= MAX_PACKET);
            sent += 1;
            // Questions end so, as the transaction ids of this node have four bytes.
            if let Some(transaction) = packet.strip_suffix(b"1:y1:qe").and_then(<[u8]>::last_chunk::<4>) {
                questions.push_back((target, *transaction));
            }
        }
        // After a pause many questions have gone without an answer, and each makes room for another.
        assert!(sent <= MAX_BURST || matches!(step, Step::Pause(_)), "{sent} packets after {step:?}");
        questions.truncate(64);
        while dht.poll_event().is_some() {}
    }
}

fuzz_target!(|input: Input| match input {
    Input::Node(steps) => node(&steps),
    Input::Search(packet) => {
        if let Some(mut search) = Search::parse(packet) {
            search.info_hashes.truncate(MAX_HASHES);
            search.cookie = search.cookie.filter(|cookie| cookie.len() <= 16);
            assert_eq!(Search::parse(&search.to_bytes(GROUP_V4.into())), Some(search));
        }
    }
});
