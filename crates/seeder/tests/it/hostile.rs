//! Peers that mean no good, or can't.

use seeder::{
    Close, HANDSHAKE_ID, HashRequest, MAX_REQUESTS, Message, MessageError, MetadataMessage, Range, Reserved,
    Torrent,
};
use torrent::InfoHash;
use torrent::bencode::Problem;

use crate::support::{
    BLOCK, BOTH, Connection, EXTENDED, FAST, OURS, PIECE_LENGTH, PLAIN, Xorshift, bytes, handshake, range,
    their_extended_handshake, torrent,
};

#[track_caller]
fn check(reserved: Reserved, sent: &[u8], want: Close) {
    let mut connection = Connection::greeted(reserved, torrent());
    assert_eq!(connection.receive(sent), Err(want), "{}", sent.escape_ascii());
    assert!(!want.to_string().is_empty());
}

#[test]
fn lengths_beyond_all_limits_close_at_once() {
    let too_long = |length| Close::Message(MessageError::TooLong { length, limit: seeder::MAX_MESSAGE });
    check(PLAIN, b"\xff\xff\xff\xff", too_long(u32::MAX));
    check(PLAIN, b"\x00\x01\x00\x00", too_long(0x1_0000));
    check(FAST, b"\0\0\0\x02\x0e", Close::Message(MessageError::WrongLength { id: 14, length: 2 }));
    check(PLAIN, b"\0\0\0\x02\x05", Close::Message(MessageError::WrongLength { id: 5, length: 2 }));
}

#[test]
fn requests_for_what_does_not_exist_close() {
    for (index, begin, length) in [
        (10, 0, BLOCK),
        (u32::MAX, 0, BLOCK),
        (0, 0, 0),
        (0, 0, BLOCK + 1),
        (0, 0, u32::MAX),
        (0, PIECE_LENGTH, 1),
        (0, PIECE_LENGTH - 1, 2),
        (0, u32::MAX, u32::MAX),
        (9, BLOCK, 101),
    ] {
        let range = Range { index, begin, length };
        check(PLAIN, &bytes(&[Message::Request(range)]), Close::BadRequest(range));
    }
}

#[test]
fn messages_that_make_no_sense_close() {
    for (reserved, message, close) in [
        (PLAIN, Message::Have(10), Close::NoSuchPiece(10)),
        (PLAIN, Message::Have(u32::MAX), Close::NoSuchPiece(u32::MAX)),
        (PLAIN, Message::Piece { index: 0, begin: 0, block: b"x" }, Close::UnaskedBlock),
        (PLAIN, Message::HaveAll, Close::FastNotAgreed),
        (EXTENDED, Message::HaveNone, Close::FastNotAgreed),
        (PLAIN, Message::Suggest(0), Close::FastNotAgreed),
        (PLAIN, Message::AllowedFast(0), Close::FastNotAgreed),
        (PLAIN, Message::Reject(range(0, 0)), Close::FastNotAgreed),
    ] {
        check(reserved, &bytes(&[message]), close);
    }
}

#[test]
fn deep_extension_messages_close() {
    for id in [HANDSHAKE_ID, 1] {
        let payload = [&b"d1:m"[..], &b"l".repeat(16_000)].concat();
        let sent = bytes(&[Message::Extended { id, payload: &payload }]);
        let mut connection = Connection::greeted(BOTH, torrent());
        let Err(Close::Extended(error)) = connection.receive(&sent) else { panic!("not closed") };
        assert_eq!(error.problem, Problem::TooDeep);
    }
}

#[test]
fn other_protocols_and_the_box_itself_are_no_peers() {
    let mut connection = Connection::new();
    assert!(matches!(connection.receive(b"GET / HTTP/1.1\r\n"), Err(Close::NotAHandshake(_))));
    let mut connection = Connection::new();
    let mut ours = handshake(FAST);
    ours[48..].copy_from_slice(OURS.as_bytes());
    assert_eq!(connection.receive(&ours), Err(Close::Itself));
}

#[test]
fn requests_beyond_the_limit_are_rejected() {
    for (reserved, rejected) in [(PLAIN, 0), (FAST, 300)] {
        let mut connection = Connection::unchoked(reserved);
        for _ in 0..MAX_REQUESTS + 300 {
            connection.send(Message::Request(range(0, 0))).unwrap();
        }
        let rejects = std::iter::from_fn(|| connection.said());
        assert_eq!(rejects.filter(|said| *said == bytes(&[Message::Reject(range(0, 0))])).count(), rejected);
        let blocks = std::iter::from_fn(|| connection.session.poll_block(connection.now)).count();
        assert_eq!(blocks, MAX_REQUESTS);
    }
}

#[test]
fn answers_that_are_not_read_do_not_pile_up() {
    let flood = bytes(&vec![Message::Request(range(0, 0)); 4 * MAX_REQUESTS]);
    // Choked: each request is rejected.
    let mut connection = Connection::greeted(FAST, torrent());
    assert_eq!(connection.receive(&flood), Err(Close::NotReading));
    // As long as the rejects can be written there may be any number of them.
    let mut connection = Connection::greeted(FAST, torrent());
    for chunk in flood.chunks(10_000) {
        connection.receive(chunk).unwrap();
        while connection.said().is_some() {}
    }
    // Without the fast extension there is no answer that could pile up.
    let mut connection = Connection::greeted(PLAIN, torrent());
    connection.receive(&flood).unwrap();
    assert_eq!(connection.session.poll_transmit(connection.now), None);
}

#[test]
fn metadata_floods_are_answered_a_few_times() {
    let payload = MetadataMessage::Request(0).to_bytes();
    let theirs = their_extended_handshake();
    let ask = bytes(&[Message::Extended { id: 1, payload: &payload }]);
    let mut connection = Connection::greeted(BOTH, torrent());
    connection.send(Message::Extended { id: HANDSHAKE_ID, payload: &theirs }).unwrap();
    let (mut data, mut rejects) = (0, 0);
    for _ in 0..500 {
        connection.receive(&ask).unwrap();
        let answer = connection.said().unwrap();
        *(if answer.len() > 1000 { &mut data } else { &mut rejects }) += 1;
    }
    assert_eq!((data, rejects), (12, 488), "four copies of three pieces");
    let flood = bytes(&vec![Message::Extended { id: 1, payload: &payload }; 2000]);
    assert_eq!(connection.receive(&flood), Err(Close::NotReading));
}

#[test]
fn what_waits_for_the_torrent_is_bounded() {
    let mut connection = Connection::new();
    connection.receive(&handshake(FAST)).unwrap();
    let kib = [0; 1024];
    let taken = (0..1000).take_while(|_| connection.receive(&kib).is_ok()).count();
    assert!((64..=256).contains(&taken), "{taken} KiB were taken");
    assert_eq!(connection.receive(&kib), Err(Close::TooEager));
}

/// Streams that begin like those of peers, and go wrong somewhere.
#[test]
fn no_bytes_make_a_session_panic() {
    let theirs = their_extended_handshake();
    let payload = MetadataMessage::Request(1).to_bytes();
    let hashes = HashRequest { pieces_root: [7; 32], base_layer: 1, index: 8, length: 2, proof_layers: 3 };
    let messages = [
        Message::HaveNone,
        Message::Extended { id: HANDSHAKE_ID, payload: &theirs },
        Message::Extended { id: 1, payload: &payload },
        Message::Bitfield(&[0x12, 0x40]),
        Message::Interested,
        Message::Have(9),
        Message::Request(range(1, 0)),
        Message::Request(range(9, 0)),
        Message::Cancel(range(9, 0)),
        Message::HashRequest(hashes),
        Message::Unknown(33),
        Message::KeepAlive,
    ];
    let good = bytes(&messages);
    let mut random = Xorshift(0x5eed);
    let (mut survived, mut closed) = (0, 0);
    for round in 0..20_000 {
        let mut stream = if round % 4 == 0 {
            (0..random.below(200)).map(|_| random.byte()).collect()
        } else {
            good.repeat(1 + round % 3)
        };
        for _ in 0..random.below(4) {
            if !stream.is_empty() {
                let at = random.below(stream.len());
                match random.below(4) {
                    0 => stream[at] = random.byte(),
                    1 => stream.insert(at, random.byte()),
                    2 => drop(stream.remove(at)),
                    _ => stream.truncate(at),
                }
            }
        }
        let v2 = (round % 3 > 0).then_some(InfoHash([0xbb; 20]));
        let mut connection = Connection::greeted(BOTH, Torrent { v2, ..torrent() });
        connection.session.set_choked(connection.now, round % 2 == 0).unwrap();
        match connection.receive(&stream) {
            Ok(()) => survived += 1,
            Err(_) => closed += 1,
        }
        while connection.session.poll_event().is_some() {}
        while let Some(block) = connection.session.poll_block(connection.now) {
            assert!(block.piece.get() < 10 && block.length <= BLOCK);
            connection.session.block_sent(connection.now, block);
        }
        while connection.session.poll_transmit(connection.now).is_some() {}
    }
    assert!(survived > 1000 && closed > 1000, "{survived} survived, {closed} were closed: too much alike");
}

#[test]
fn no_bytes_make_the_handshake_panic() {
    let good = handshake(BOTH);
    let mut random = Xorshift(0xbad_5eed);
    for _ in 0..5000 {
        let mut bytes = good.to_vec();
        bytes.truncate(random.below(good.len() + 1));
        if !bytes.is_empty() && random.below(2) == 0 {
            let at = random.below(bytes.len());
            bytes[at] = random.byte();
        }
        let mut connection = Connection::new();
        if connection.receive(&bytes).is_ok() && connection.session.poll_event().is_some() {
            connection.session.attach(connection.now, torrent()).unwrap();
        }
    }
}

#[test]
fn who_says_again_and_again_what_it_has_is_hung_up_on() {
    let mut connection = Connection::greeted(BOTH, torrent());
    let said: Vec<_> = (0..100).map(|_| connection.send(Message::HaveNone)).collect();
    assert!(said[0].is_ok() && said[1].is_ok());
    assert_eq!(said[99], Err(Close::TooManyBitfields));
}
