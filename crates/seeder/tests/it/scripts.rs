//! What is said in the usual course of things, as tables.

use seeder::{
    CLIENT, Close, Event, ExtendedHandshake, HANDSHAKE_ID, Handshake, MAX_REQUESTS, Message, PIECE_HEADER,
    Range, Reserved, Torrent, Transmit, piece_header,
};

use crate::script::Line::{self, Choke, Closes, Gives, Peer, Quiet, Says, Sent, Tells};
use crate::script::check;
use crate::support::{
    BLOCK, BOTH, Connection, EXTENDED, FAST, INFO_HASH, METADATA_SIZE, OURS, PIECES, PLAIN, TOTAL, bytes,
    handshake, lengths, range, their_extended_handshake, torrent,
};

use Message::{Cancel, Interested, NotInterested, Reject, Request, Unchoke};

#[test]
fn greeting_depends_on_what_the_peer_knows() {
    let all = [0xff, 0xc0];
    let extended = ExtendedHandshake {
        ut_metadata: Some(1),
        metadata_size: Some(METADATA_SIZE),
        reqq: Some(u32::try_from(MAX_REQUESTS).unwrap()),
        upload_only: Some(true),
        client: Some(CLIENT.into()),
        ..ExtendedHandshake::default()
    }
    .to_bytes();
    let extended = Message::Extended { id: HANDSHAKE_ID, payload: &extended };
    for (reserved, messages) in [
        (PLAIN, &[Message::Bitfield(&all)][..]),
        (FAST, &[Message::HaveAll]),
        (EXTENDED, &[Message::Bitfield(&all), extended]),
        (BOTH, &[Message::HaveAll, extended]),
        (Reserved([0xff; 8]), &[Message::HaveAll, extended]),
    ] {
        let mut connection = Connection::attached(reserved, torrent());
        let ours = Handshake { reserved: Reserved::OURS, info_hash: INFO_HASH, peer_id: OURS };
        assert_eq!(connection.said(), Some(ours.to_bytes().to_vec()));
        for message in messages {
            assert_eq!(connection.said(), Some(bytes(&[*message])), "{reserved:?}");
        }
        assert_eq!(connection.said(), None, "{reserved:?}");
    }
}

#[test]
fn an_unchoked_peer_gets_what_it_asks_for_in_order() {
    let last = Range { index: 9, begin: BLOCK, length: 100 };
    for (reserved, first) in [(PLAIN, Message::Bitfield(&[0x80, 0])), (FAST, Message::HaveNone)] {
        check(
            reserved,
            torrent(),
            &[
                Peer(first),
                Peer(Interested),
                Tells(Event::Interested(true)),
                Quiet,
                Choke(false),
                Says(Unchoke),
                Peer(Request(range(3, 0))),
                Peer(Request(range(3, BLOCK))),
                Peer(Request(last)),
                Gives(range(3, 0)),
                Gives(range(3, BLOCK)),
                Sent(range(3, 0)),
                Gives(last),
                Quiet,
                Sent(range(3, BLOCK)),
                Sent(last),
                Peer(Message::Have(3)),
                Peer(NotInterested),
                Tells(Event::Interested(false)),
                Quiet,
            ],
        );
    }
}

#[test]
fn choking_forgets_requests_and_rejects_them_to_fast_peers() {
    let before = [
        Peer(Interested),
        Tells(Event::Interested(true)),
        Choke(false),
        Says(Unchoke),
        Peer(Request(range(0, 0))),
        Peer(Request(range(1, 0))),
        Peer(Request(range(2, 0))),
        Gives(range(0, 0)),
        Choke(true),
        Says(Message::Choke),
    ];
    let again = [
        Quiet,
        Choke(true),
        Quiet,
        Choke(false),
        Says(Unchoke),
        Peer(Request(range(2, 0))),
        Gives(range(2, 0)),
        Quiet,
    ];
    // What was handed out before is on its way and is not rejected.
    let rejects = [
        Says(Reject(range(1, 0))),
        Says(Reject(range(2, 0))),
        Peer(Request(range(4, 0))),
        Says(Reject(range(4, 0))),
    ];
    check(FAST, torrent(), &[&before[..], &rejects, &again].concat());
    check(PLAIN, torrent(), &[&before[..], &[Peer(Request(range(4, 0)))], &again].concat());
}

#[test]
fn a_cancelled_request_is_not_answered_with_a_block() {
    let script = |answer: &[Line<'static>]| {
        [
            &[
                Choke(false),
                Says(Unchoke),
                Peer(Request(range(0, 0))),
                Peer(Request(range(1, 0))),
                Peer(Request(range(2, 0))),
                Gives(range(0, 0)),
                Peer(Cancel(range(1, 0))),
            ][..],
            answer,
            &[
                // Too late, never asked for, and of nothing.
                Peer(Cancel(range(0, 0))),
                Peer(Cancel(range(7, 0))),
                Peer(Cancel(range(99, 0))),
                Gives(range(2, 0)),
                Quiet,
            ],
        ]
        .concat()
    };
    check(FAST, torrent(), &script(&[Says(Reject(range(1, 0)))]));
    check(PLAIN, torrent(), &script(&[]));
}

#[test]
fn a_choked_peer_may_have_allowed_fast_pieces_once() {
    let piece = lengths().piece(5).unwrap();
    let allowed = || Torrent { allowed_fast: vec![piece], ..torrent() };
    let mut connection = Connection::attached(FAST, allowed());
    let greeting: Vec<_> = std::iter::from_fn(|| connection.said()).collect();
    assert_eq!(greeting.last(), Some(&bytes(&[Message::AllowedFast(5)])));
    check(
        FAST,
        allowed(),
        &[
            Peer(Request(range(4, 0))),
            Says(Reject(range(4, 0))),
            Peer(Request(range(5, 0))),
            Peer(Request(range(5, BLOCK))),
            Gives(range(5, 0)),
            Gives(range(5, BLOCK)),
            Peer(Request(range(5, 0))),
            Says(Reject(range(5, 0))),
            Quiet,
        ],
    );
    // A choke leaves them in the queue.
    check(
        FAST,
        allowed(),
        &[
            Choke(false),
            Says(Unchoke),
            Peer(Request(range(5, 0))),
            Peer(Request(range(4, 0))),
            Choke(true),
            Says(Message::Choke),
            Says(Reject(range(4, 0))),
            Gives(range(5, 0)),
            Quiet,
        ],
    );
    // A peer without the extension is offered nothing and may not ask.
    check(PLAIN, allowed(), &[Peer(Request(range(5, 0))), Quiet]);
}

#[test]
fn sloppy_or_unknown_extension_messages_are_ignored() {
    let extended = |id, payload| Peer(Message::Extended { id, payload });
    check(
        BOTH,
        torrent(),
        &[
            extended(HANDSHAKE_ID, b""),
            extended(HANDSHAKE_ID, b"d1:v1:x1:mdee"),
            extended(1, b"not bencode"),
            extended(77, b"?"),
            Peer(Message::Unknown(99)),
            Peer(Message::Port(6881)),
            Peer(Message::Choke),
            Peer(Message::Unchoke),
            Peer(Message::Suggest(3)),
            Peer(Message::KeepAlive),
            Quiet,
        ],
    );
}

#[test]
fn a_peer_that_has_everything_is_let_go() {
    let seeds = Close::BothSeeds;
    check(FAST, torrent(), &[Closes(Message::HaveAll, seeds)]);
    check(PLAIN, torrent(), &[Closes(Message::Bitfield(&[0xff, 0xff]), seeds)]);
    check(
        PLAIN,
        torrent(),
        &[
            Peer(Message::Bitfield(&[0xff, 0x80])),
            Peer(Message::Have(8)),
            Quiet,
            Closes(Message::Have(9), seeds),
        ],
    );
}

#[test]
fn messages_may_come_with_the_handshake() {
    let mut connection = Connection::new();
    let mut stream = handshake(FAST).to_vec();
    stream.extend(bytes(&[Message::HaveNone, Message::Have(2), Interested]));
    stream.extend(&bytes(&[NotInterested])[..3]);
    connection.receive(&stream).unwrap();
    assert!(matches!(connection.session.poll_event(), Some(Event::Handshake { .. })));
    assert_eq!(connection.session.poll_event(), None, "told once");
    assert_eq!(
        connection.session.poll_transmit(connection.now),
        None,
        "nothing is said before it is attached"
    );
    assert!(connection.session.stats().is_none() && connection.session.client().is_none());
    connection.session.attach(connection.now, torrent()).unwrap();
    assert_eq!(connection.session.poll_event(), Some(Event::Interested(true)));
    connection.receive(&bytes(&[NotInterested])[3..]).unwrap();
    assert_eq!(connection.session.poll_event(), Some(Event::Interested(false)));
}

#[test]
fn changes_of_mind_between_two_looks_are_no_event() {
    let flip = [Interested, NotInterested].repeat(1000);
    let mut connection = Connection::greeted(PLAIN, torrent());
    connection.receive(&bytes(&flip)).unwrap();
    assert_eq!(connection.session.poll_event(), None);
}

#[test]
fn other_messages_go_before_blocks() {
    let mut connection = Connection::unchoked(FAST);
    connection.receive(&bytes(&[Request(range(0, 0)), Request(range(1, 0)), Cancel(range(1, 0))])).unwrap();
    let Some(Transmit::Bytes(reject)) = connection.session.poll_transmit(connection.now) else {
        panic!("no message")
    };
    assert_eq!(reject, bytes(&[Reject(range(1, 0))]));
    let block = lengths().block(0, 0, BLOCK).unwrap();
    assert!(connection.session.has_payload());
    assert_eq!(connection.session.poll_transmit(connection.now), Some(Transmit::Block(block)));
    assert!(!connection.session.has_payload());
    assert_eq!(connection.session.poll_transmit(connection.now), None);
}

#[test]
fn header_and_bytes_make_a_piece_message() {
    let block = lengths().block(9, BLOCK, 100).unwrap();
    let content = [7; 100];
    let wire = [&piece_header(block)[..], &content].concat();
    let message = Message::Piece { index: 9, begin: BLOCK, block: &content };
    assert_eq!(wire.len(), PIECE_HEADER + 100);
    assert_eq!(Message::decode(&wire, PIECES), Ok(Some((message, wire.len()))));
}

#[test]
fn figures_follow_what_happens() {
    let mut connection = Connection::unchoked(EXTENDED);
    let start = connection.now;
    assert_eq!(connection.session.client(), Some("Transmission 4.0.5"));
    let theirs = their_extended_handshake();
    connection.send(Message::Extended { id: HANDSHAKE_ID, payload: &theirs }).unwrap();
    assert_eq!(connection.session.client(), Some("Client 1.2"));
    connection.send(Message::Bitfield(&[0b1010_0000, 0])).unwrap();
    connection.send(Request(range(0, 0))).unwrap();
    let block = connection.session.poll_block(connection.now).unwrap();
    connection.session.block_sent(connection.now, block);

    let stats = connection.session.stats().unwrap();
    assert!(stats.interested && !stats.choked);
    assert_eq!((stats.bytes_sent, stats.sent_since_unchoked), (u64::from(BLOCK), u64::from(BLOCK)));
    assert!((stats.progress - 0.2).abs() < 1e-9, "{}", stats.progress);
    assert_eq!((stats.connected, stats.last_unchoked), (start, Some(start)));

    connection.now += std::time::Duration::from_secs(5);
    connection.session.set_choked(connection.now, true).unwrap();
    let stats = connection.session.stats().unwrap();
    assert!(stats.choked);
    assert_eq!(stats.waiting_since, connection.now);
    connection.session.set_choked(connection.now, false).unwrap();
    let stats = connection.session.stats().unwrap();
    assert_eq!((stats.bytes_sent, stats.sent_since_unchoked), (u64::from(BLOCK), 0));
    assert_eq!(stats.last_unchoked, Some(connection.now));
    assert_eq!(u64::from(stats.piece_length) * 10, TOTAL + 0x4000 - 100);
}
