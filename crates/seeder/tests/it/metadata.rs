//! Magnet links: the info dictionary is asked for and brought, a piece at a time.

use seeder::{HANDSHAKE_ID, METADATA_PIECE, Message, MetadataMessage, Transmit};

use crate::script::Line::{self, Peer, Quiet, Says};
use crate::script::check;
use crate::support::{
    BOTH, Connection, INFO_BYTES, METADATA_SIZE, bytes, range, their_extended_handshake, torrent,
};

/// What the peer says to turn metadata messages off.
const OFF: Message = Message::Extended { id: HANDSHAKE_ID, payload: b"d1:md11:ut_metadatai0eee" };

fn piece(index: usize) -> &'static [u8] {
    INFO_BYTES.chunks(METADATA_PIECE).nth(index).unwrap()
}

fn ask(piece: u32) -> Vec<u8> {
    MetadataMessage::Request(piece).to_bytes()
}

fn data(piece: u32, bytes: &[u8]) -> Vec<u8> {
    MetadataMessage::Data { piece, total_size: METADATA_SIZE, bytes }.to_bytes()
}

/// A connection over which the peer has told its number for metadata messages, 9, and asked for pieces.
fn asked(pieces: &[u32]) -> Connection {
    let mut connection = Connection::greeted(BOTH, torrent());
    let theirs = their_extended_handshake();
    connection.send(Message::Extended { id: HANDSHAKE_ID, payload: &theirs }).unwrap();
    for piece in pieces {
        connection.send(Message::Extended { id: 1, payload: &ask(*piece) }).unwrap();
    }
    connection
}

/// A message to the peer.
fn says(message: MetadataMessage) -> Vec<u8> {
    bytes(&[Message::Extended { id: 9, payload: &message.to_bytes() }])
}

#[test]
fn magnet_links_get_their_metadata() {
    let theirs = their_extended_handshake();
    let (first, last, beyond) = (ask(0), ask(2), ask(3));
    let (first_data, last_data) = (data(0, piece(0)), data(2, piece(2)));
    let reject = MetadataMessage::Reject(3).to_bytes();
    // The peer numbers our messages as its handshake says, we number its messages as ours did.
    let peer = |payload| Peer(Message::Extended { id: 1, payload });
    let says = |payload| Says(Message::Extended { id: 9, payload });
    let script: &[Line] = &[
        peer(&first),
        Quiet,
        Peer(Message::HaveNone),
        Peer(Message::Extended { id: HANDSHAKE_ID, payload: &theirs }),
        peer(&first),
        peer(&last),
        says(&first_data),
        says(&last_data),
        peer(&beyond),
        says(&reject),
        peer(&first),
        says(&first_data),
        peer(&first),
        Peer(OFF),
        peer(&first),
        Quiet,
    ];
    check(BOTH, torrent(), script);
}

#[test]
fn metadata_goes_after_messages_and_before_blocks() {
    let mut connection = asked(&[2, 9, 0]);
    connection.session.set_choked(connection.now, false).unwrap();
    connection.send(Message::Request(range(0, 0))).unwrap();
    let now = connection.now;
    let session = &mut connection.session;
    assert!(session.has_payload());
    let Some(Transmit::Bytes(control)) = session.poll_transmit(now) else { panic!("no message") };
    let reject = says(MetadataMessage::Reject(9));
    assert_eq!(control, [reject, bytes(&[Message::Unchoke])].concat());
    for index in [2, 0] {
        let Some(Transmit::Metadata(piece)) = session.poll_transmit(now) else { panic!("no metadata") };
        assert_eq!(piece.index, index);
    }
    assert!(matches!(session.poll_transmit(now), Some(Transmit::Block(_))));
    assert_eq!(session.poll_transmit(now), None);
    assert!(!session.has_payload());
}

#[test]
fn metadata_that_is_not_to_be_had_is_rejected() {
    let mut connection = asked(&[0, 1, 2]);
    let [first, second, third] = [(); 3].map(|()| connection.session.poll_metadata(connection.now).unwrap());
    assert_eq!((third.offset, third.length), (0x8000, METADATA_SIZE - 0x8000));
    connection.session.metadata_unavailable(second);
    assert_eq!(connection.said(), Some(says(MetadataMessage::Reject(1))));
    // Somebody has put another info dictionary in its place.
    let mut answer = |piece, bytes| connection.session.metadata_message(connection.now, piece, bytes);
    assert_eq!(answer(third, b"short"), Some(says(MetadataMessage::Reject(2))));
    // The others are answered as ever.
    let whole = MetadataMessage::Data { piece: 0, total_size: METADATA_SIZE, bytes: piece(0) };
    assert_eq!(answer(first, piece(0)), Some(says(whole)));
}

#[test]
fn metadata_that_is_no_longer_wanted_is_not_sent() {
    let mut connection = asked(&[0, 1]);
    let [first, second] = [(); 2].map(|()| connection.session.poll_metadata(connection.now).unwrap());
    connection.send(OFF).unwrap();
    assert_eq!(connection.session.metadata_message(connection.now, first, piece(0)), None);
    connection.session.metadata_unavailable(second);
    assert_eq!(connection.said(), None);
}
