//! Version 2: connections are upgraded to it, and the hashes of files are asked for and brought.

use seeder::{Close, HashRequest, MAX_HASHES, Message, Reserved, Torrent, Transmit};
use torrent::InfoHash;

use crate::support::{Connection, FAST, INFO_HASH, PLAIN, bytes, range, torrent};

use Message::{HashReject, Hashes, Unchoke};

/// The version 2 of the torrent, whose version 1 is [`INFO_HASH`].
const V2: InfoHash = InfoHash([0xbb; 20]);

/// For the piece layer of ten pieces, two blocks each.
const REQUEST: HashRequest =
    HashRequest { pieces_root: [7; 32], base_layer: 1, index: 8, length: 2, proof_layers: 3 };

fn hybrid() -> Torrent {
    Torrent { v2: Some(V2), ..torrent() }
}

/// How our handshake answers one for [`INFO_HASH`].
#[track_caller]
fn check_handshake(theirs: Reserved, v2: Option<InfoHash>, want: (Reserved, InfoHash)) {
    let mut connection = Connection::attached(theirs, Torrent { v2, ..torrent() });
    let ours = seeder::Handshake::parse(&connection.said().unwrap()).unwrap().unwrap();
    assert_eq!((ours.reserved, ours.info_hash), want);
}

#[test]
fn connections_are_upgraded_if_both_sides_know_version_2() {
    for theirs in [Reserved::OURS, Reserved::OURS.with_upgrade()] {
        check_handshake(theirs, None, (Reserved::OURS, INFO_HASH));
        check_handshake(theirs, Some(INFO_HASH), (Reserved::OURS, INFO_HASH));
    }
    check_handshake(Reserved::OURS, Some(V2), (Reserved::OURS.with_upgrade(), INFO_HASH));
    check_handshake(Reserved::OURS.with_upgrade(), Some(V2), (Reserved::OURS, V2));
}

#[test]
fn hashes_go_after_messages_and_before_blocks_choked_or_not() {
    let other = HashRequest { index: 0, length: 8, ..REQUEST };
    let asked = bytes(&[Message::HashRequest(REQUEST), Message::HashRequest(other)]);
    for reserved in [PLAIN, FAST] {
        let mut connection = Connection::greeted(reserved, hybrid());
        connection.receive(&asked).unwrap();
        let now = connection.now;
        assert!(connection.session.has_payload());
        assert_eq!(connection.session.poll_transmit(now), Some(Transmit::Hashes(REQUEST)));

        connection.session.set_choked(now, false).unwrap();
        connection.send(Message::Request(range(0, 0))).unwrap();
        assert_eq!(connection.session.poll_transmit(now), Some(Transmit::Bytes(bytes(&[Unchoke]))));
        assert_eq!(connection.session.poll_transmit(now), Some(Transmit::Hashes(other)));
        assert!(matches!(connection.session.poll_transmit(now), Some(Transmit::Block(_))));
        assert!(!connection.session.has_payload());

        let hashes = [[1; 32], [2; 32], [3; 32]];
        let message = connection.session.hashes_message(now, REQUEST, &hashes);
        assert_eq!(message, Some(bytes(&[Hashes { request: REQUEST, hashes: &hashes }])));
        connection.session.reject_hashes(other);
        assert_eq!(connection.said(), Some(bytes(&[HashReject(other)])));
    }
}

/// The request is rejected at once, and the driver does not see it.
#[track_caller]
fn check_rejected(torrent: Torrent, request: HashRequest) {
    let mut connection = Connection::greeted(FAST, torrent);
    connection.send(Message::HashRequest(request)).unwrap();
    assert_eq!(connection.session.poll_hashes(connection.now), None);
    assert_eq!(connection.said(), Some(bytes(&[HashReject(request)])));
    assert_eq!(connection.said(), None);
}

#[test]
fn requests_against_the_rules_and_of_version_1_are_rejected() {
    check_rejected(torrent(), REQUEST);
    for (index, length) in [(0, 0), (0, 3), (3, 2), (0, 2 * MAX_HASHES), (u32::MAX, u32::MAX)] {
        check_rejected(hybrid(), HashRequest { index, length, ..REQUEST });
    }
}

#[test]
fn hashes_that_were_not_asked_for_close() {
    for torrent in [torrent(), hybrid()] {
        let mut connection = Connection::greeted(FAST, torrent);
        connection.send(HashReject(REQUEST)).unwrap();
        let hashes = Hashes { request: REQUEST, hashes: &[[0; 32]] };
        assert_eq!(connection.send(hashes), Err(Close::UnaskedHashes));
    }
}

#[test]
fn hash_floods_are_answered_a_few_times() {
    let ask = bytes(&[Message::HashRequest(REQUEST)]);
    let mut connection = Connection::greeted(FAST, hybrid());
    let mut answered = 0;
    for _ in 0..500 {
        connection.receive(&ask).unwrap();
        answered += usize::from(connection.session.poll_hashes(connection.now).is_some());
        while connection.said().is_some() {}
    }
    assert_eq!(answered, 20, "four copies of ten pieces, in twos");
    assert_eq!(connection.receive(&ask.repeat(2000)), Err(Close::NotReading));
}
