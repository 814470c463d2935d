//! Pieces that are told one by one.

use seeder::{Event, HANDSHAKE_LENGTH, Message, Reserved, Torrent};
use torrent::Block;

use crate::support::{BLOCK, Connection, FAST, PLAIN, bytes, lengths, piece, range, torrent};

use Message::{Have, HaveNone, Interested, Request, Unchoke};

fn handed_out() -> Torrent {
    Torrent { hand_out: true, allowed_fast: vec![piece(4)], ..torrent() }
}

fn unchoked(reserved: Reserved) -> Connection {
    let mut connection = Connection::greeted(reserved, handed_out());
    connection.send(Interested).unwrap();
    connection.session.set_choked(connection.now, false).unwrap();
    assert_eq!(connection.said(), Some(bytes(&[Unchoke])));
    connection
}

fn block(index: u32, begin: u32) -> Block {
    lengths().block(index, begin, BLOCK).unwrap()
}

#[test]
fn there_seems_to_be_nothing_at_first() {
    for (reserved, says) in [(FAST, &[HaveNone][..]), (PLAIN, &[])] {
        let mut connection = Connection::attached(reserved, handed_out());
        let greeting = std::iter::from_fn(|| connection.said()).collect::<Vec<_>>().concat();
        assert_eq!(greeting[HANDSHAKE_LENGTH..], bytes(says), "{reserved:?}");
    }
}

#[test]
fn a_piece_is_revealed_once_and_who_asks_for_another_is_not_left_waiting() {
    let mut connection = unchoked(FAST);
    connection.session.reveal(connection.now, piece(3));
    connection.session.reveal(connection.now, piece(3));
    assert_eq!(connection.said(), Some(bytes(&[Have(3)])));
    connection.send(Request(range(3, 0))).unwrap();
    connection.send(Request(range(4, 0))).unwrap();
    assert_eq!(connection.said(), None);
    for index in [3, 4] {
        assert_eq!(connection.session.poll_block(connection.now), Some(block(index, 0)));
    }
}

#[test]
fn what_is_withheld_is_revealed_when_it_is_released() {
    let mut connection =
        Connection::greeted(FAST, Torrent { withheld: vec![piece(3), piece(5)], ..handed_out() });
    connection.session.reveal(connection.now, piece(3));
    connection.withhold(&[3]).unwrap();
    assert_eq!(connection.said(), None);
    connection.withhold(&[]).unwrap();
    assert_eq!(connection.said(), Some(bytes(&[Have(3)])));
}

#[test]
fn the_driver_is_told_what_the_peer_does() {
    let mut connection = unchoked(FAST);
    connection.session.reveal(connection.now, piece(3));
    connection.send(Message::Bitfield(&[0x40, 0])).unwrap();
    connection.send(Have(7)).unwrap();
    for message in [Request(range(3, 0)), Request(range(3, BLOCK)), Message::Cancel(range(3, 0))] {
        connection.send(message).unwrap();
    }
    connection.session.set_choked(connection.now, true).unwrap();
    let told: Vec<Event> = std::iter::from_fn(|| connection.session.poll_event()).collect();
    let want = [
        Event::HasSeveral,
        Event::Has(piece(7)),
        Event::Requested(block(3, 0)),
        Event::Requested(block(3, BLOCK)),
        Event::Cancelled(block(3, 0)),
        Event::Cancelled(block(3, BLOCK)),
        Event::Interested(true),
    ];
    assert_eq!(told, want);
    assert!(connection.session.have().eq([piece(1), piece(7)]));
}
