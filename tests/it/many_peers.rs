//! As many peers at once as a machine of 512 MB is to serve.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use system_tests::content::{Chance, write_file};
use system_tests::daemon::Site;
use system_tests::peer::{BLOCK, Message, Peer};
use system_tests::{figure, left_out};

/// Connected peers, where there are descriptors for them: nearly all that may be, of which some are for others.
const PEERS: u64 = 9900;

/// Peers that are worth the name of the test.
const AT_LEAST: u64 = 1000;

/// Descriptors of this process that are not for peers.
const OTHERS: u64 = 200;

/// Peers from one address: fewer than may be.
const FROM_ONE_ADDRESS: u64 = 100;

/// Memory that a connected peer costs at most once it has what it wanted, in bytes: 10,000 of them leave two thirds of the
/// smallest machine free.
const MEMORY: u64 = 16 * 1024;

/// How many peers this process and a daemon that it starts can have.
fn peers() -> u64 {
    let hard = system_tests::all_descriptors();
    // The daemon takes half of its own for peers, and of these not all from here.
    PEERS.min(hard.saturating_sub(OTHERS)).min((hard / 2) - (hard / 200))
}

fn source(number: u64) -> IpAddr {
    let [.., third, fourth] = (number / FROM_ONE_ADDRESS).to_be_bytes();
    Ipv4Addr::new(127, 1, third, fourth).into()
}

#[test]
fn thousands_of_peers_are_served_at_once_and_take_little_memory() {
    if !system_tests::thorough() {
        return left_out("thousands of peers at once", "only with BLACKBOX_THOROUGH=1");
    }
    let count = peers();
    if count < AT_LEAST {
        return left_out("thousands of peers at once", "too few descriptors");
    }
    let site = Site::new();
    let path = site.publish().join("file");
    write_file(&mut Chance::fresh(), &path, 16 << 20);
    let daemon = site.start();
    let item = daemon.api.seeding("file");
    let piece_length = item.metainfo().1.piece_length;
    let content = fs::read(path).unwrap();
    let before = daemon.own_memory();

    let mut peers: Vec<_> = (0..count)
        .map(|number| Peer::connect_from(source(number), daemon.peer, &item.info_hash).unwrap())
        .collect();
    figure("thousands of peers, connected", count);
    let unchoked = |message: &Message| (*message == Message::Unchoke).then_some(());
    for peer in &mut peers {
        peer.interested().unwrap();
    }
    // Nobody waits for a slot, and what they ask for is different for each of many.
    let offset = |number: usize| u32::try_from(number).unwrap() * BLOCK % (16 << 20);
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.read_until(unchoked).unwrap();
        peer.request(offset(number) / piece_length, offset(number) % piece_length, BLOCK).unwrap();
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        let answer = peer.read_until(|message| match message {
            Message::Piece { block, .. } => Some(Some(block.clone())),
            Message::Choke => Some(None),
            _ => None,
        });
        let block = answer.unwrap().unwrap_or_else(|| panic!("peer {number} lost its slot"));
        assert!(block == content[offset(number) as usize..][..BLOCK as usize], "peer {number}: other bytes");
    }
    assert_eq!(daemon.api.metric("blackbox_peers"), count);
    let each = daemon.own_memory().saturating_sub(before) / count;
    figure("thousands of peers, memory of each (bytes)", each);
    assert!(each < MEMORY, "{each} bytes for each of {count} peers");
    drop(peers);
    daemon.end();
}
