//! Connections that this side opens.

use seeder::{Close, Handshake, Message, PeerSession, Reserved, Torrent};
use torrent::InfoHash;

use crate::support::{BOTH, FAST, INFO_HASH, OURS, THEIRS, bytes, handshake, origin, torrent};

const V2: InfoHash = InfoHash([0xbb; 20]);

/// What is said until there is nothing more.
fn said(session: &mut PeerSession) -> Vec<u8> {
    std::iter::from_fn(|| session.poll_control(origin())).collect::<Vec<_>>().concat()
}

#[test]
fn the_handshake_comes_first_and_the_rest_after_theirs() {
    let mut session = PeerSession::call(origin(), OURS, INFO_HASH, torrent());
    let ours = Handshake { reserved: Reserved::OURS, info_hash: INFO_HASH, peer_id: OURS };
    assert_eq!(said(&mut session), ours.to_bytes());
    for byte in handshake(FAST) {
        assert_eq!(said(&mut session), b"");
        session.receive(origin(), &[byte]).unwrap();
    }
    assert_eq!(said(&mut session), bytes(&[Message::HaveAll]));
    assert!(session.stats().is_some());
}

#[test]
fn a_peer_that_answers_before_it_was_greeted_is_greeted_all_the_same() {
    let mut session = PeerSession::call(origin(), OURS, INFO_HASH, torrent());
    session.receive(origin(), &handshake(FAST)).unwrap();
    let said = said(&mut session);
    assert_eq!(
        said[..68],
        Handshake { reserved: Reserved::OURS, info_hash: INFO_HASH, peer_id: OURS }.to_bytes()
    );
    assert_eq!(said[68..], bytes(&[Message::HaveAll]));
}

#[test]
fn a_peer_must_answer_for_the_torrent_it_was_called_for() {
    for (v2, theirs, expected) in [
        (None, INFO_HASH, Ok(())),
        (Some(V2), V2, Ok(())),
        (None, V2, Err(Close::AnotherTorrent(V2))),
        (Some(V2), InfoHash([0xcc; 20]), Err(Close::AnotherTorrent(InfoHash([0xcc; 20])))),
    ] {
        let mut session = PeerSession::call(origin(), OURS, INFO_HASH, Torrent { v2, ..torrent() });
        let answer = Handshake { reserved: BOTH, info_hash: theirs, peer_id: THEIRS };
        assert_eq!(session.receive(origin(), &answer.to_bytes()), expected);
    }
}

#[test]
fn who_answers_is_not_this_side_itself() {
    let mut session = PeerSession::call(origin(), OURS, INFO_HASH, torrent());
    let echo = said(&mut session);
    assert_eq!(session.receive(origin(), &echo), Err(Close::Itself));
}
