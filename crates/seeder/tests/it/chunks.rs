//! How the network cuts what a peer sends makes no difference.

use seeder::{Close, Event, HANDSHAKE_ID, Message, MetadataMessage, PeerStats};
use torrent::Block;

use crate::support::{
    BLOCK, BOTH, Connection, Xorshift, bytes, handshake, origin, range, their_extended_handshake, torrent,
};

/// Everything that can be seen of a session at the end.
#[derive(Debug, PartialEq)]
struct Outcome {
    control: Vec<u8>,
    blocks: Vec<Block>,
    event: Option<Event>,
    stats: Option<PeerStats>,
    client: Option<String>,
    close: Option<Close>,
}

/// What becomes of a stream that arrives in chunks of these sizes.
fn run(now: std::time::Instant, stream: &[u8], mut chunk_size: impl FnMut() -> usize) -> Outcome {
    let mut connection = Connection::opened(now);
    let mut rest = stream;
    let mut close = None;
    while !rest.is_empty() && close.is_none() {
        let (chunk, after) = rest.split_at(chunk_size().clamp(1, rest.len()));
        rest = after;
        close = connection.receive(chunk).err();
        // Only the first event is looked at on the way: how often interest changes depends on who looks when.
        if connection.session.stats().is_none() && connection.session.poll_event().is_some() {
            close = close.or(connection.session.attach(now, torrent()).err());
        }
    }
    Outcome {
        control: std::iter::from_fn(|| connection.said()).flatten().collect(),
        blocks: std::iter::from_fn(|| connection.session.poll_block(now)).collect(),
        event: connection.session.poll_event(),
        stats: connection.session.stats(),
        client: connection.session.client().map(str::to_owned),
        close,
    }
}

/// A handshake and messages drawn at random.
fn stream(random: &mut Xorshift) -> Vec<u8> {
    let theirs = their_extended_handshake();
    let payload = MetadataMessage::Request(1).to_bytes();
    let mut stream = handshake(BOTH).to_vec();
    for _ in 0..random.below(60) {
        let index = u32::from(random.byte()) % 10;
        let message = match random.below(12) {
            0 => Message::KeepAlive,
            1 => Message::Interested,
            2 => Message::NotInterested,
            3 => Message::Have(index),
            4 => Message::Bitfield(&[0x12, 0x40]),
            5 => Message::Cancel(range(index, 0)),
            6 => Message::Extended { id: HANDSHAKE_ID, payload: &theirs },
            7 => Message::Extended { id: 1, payload: &payload },
            8 if random.below(40) == 0 => Message::HaveAll,
            9 if random.below(40) == 0 => Message::Request(range(index, BLOCK + 1)),
            // Choked, these are rejected, or else taken for allowed fast pieces.
            _ => Message::Request(range(index, 0)),
        };
        stream.extend(bytes(&[message]));
    }
    stream
}

#[test]
fn any_chunks_come_to_the_same() {
    let mut random = Xorshift(0x0c0f_fee5);
    let now = origin();
    let mut closed = 0;
    for _ in 0..500 {
        let stream = stream(&mut random);
        let whole = run(now, &stream, || usize::MAX);
        assert!(!whole.control.is_empty());
        closed += usize::from(whole.close.is_some());
        assert_eq!(run(now, &stream, || 1), whole, "byte by byte");
        for longest in [2, 5, 20, 100] {
            assert_eq!(run(now, &stream, || 1 + random.below(longest)), whole, "up to {longest} bytes");
        }
    }
    assert!((10..490).contains(&closed), "{closed} of 500 were closed");
}
