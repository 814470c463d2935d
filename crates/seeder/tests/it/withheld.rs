//! Pieces that the box has but can't give, since the disk no longer holds what was hashed.

use seeder::{Close, HANDSHAKE_LENGTH, MAX_REQUESTS, Message, Reserved, Torrent};

use crate::script::Line::{self, Choke, Gives, Peer, Quiet, Says, Withhold};
use crate::script::check;
use crate::support::{BLOCK, Connection, FAST, PIECES, PLAIN, bytes, piece, range, torrent};

use Message::{AllowedFast, Bitfield, Have, HaveAll, Reject, Request, Unchoke};

fn without(pieces: &[u32]) -> Torrent {
    Torrent { withheld: pieces.iter().map(|index| piece(*index)).collect(), ..torrent() }
}

/// What follows our handshake.
#[track_caller]
fn check_greeting(reserved: Reserved, torrent: Torrent, want: &[Message]) {
    let mut connection = Connection::attached(reserved, torrent);
    let greeting = std::iter::from_fn(|| connection.said()).collect::<Vec<_>>().concat();
    assert_eq!(greeting[HANDSHAKE_LENGTH..], bytes(want), "{reserved:?}");
}

#[test]
fn withheld_pieces_are_not_announced() {
    for reserved in [PLAIN, FAST] {
        check_greeting(reserved, without(&[0, 9]), &[Bitfield(&[0x7f, 0x80])]);
        check_greeting(reserved, without(&[8, 3, 3]), &[Bitfield(&[0xef, 0x40])]);
        let all: Vec<_> = (0..PIECES).collect();
        check_greeting(reserved, without(&all), &[Bitfield(&[0, 0])]);
    }
    check_greeting(FAST, without(&[]), &[HaveAll]);
}

#[test]
fn withheld_pieces_are_not_allowed_fast() {
    let offer = || Torrent { allowed_fast: vec![piece(4), piece(5)], ..without(&[5]) };
    check_greeting(FAST, offer(), &[Bitfield(&[0xfb, 0xc0]), AllowedFast(4)]);
    check_greeting(PLAIN, offer(), &[Bitfield(&[0xfb, 0xc0])]);
    check(
        FAST,
        offer(),
        &[
            Peer(Request(range(5, 0))),
            Says(Reject(range(5, 0))),
            Peer(Request(range(4, 0))),
            Peer(Request(range(4, BLOCK))),
            Gives(range(4, 0)),
            Withhold(&[5, 4]),
            Says(Reject(range(4, BLOCK))),
            Quiet,
        ],
    );
}

#[test]
fn blocks_of_withheld_pieces_are_not_given() {
    let before = [
        Choke(false),
        Says(Unchoke),
        Peer(Request(range(1, 0))),
        Peer(Request(range(2, 0))),
        Peer(Request(range(1, BLOCK))),
        Peer(Request(range(3, 0))),
        Peer(Request(range(2, BLOCK))),
        Gives(range(1, 0)),
        Withhold(&[1, 3]),
    ];
    let later = [Peer(Request(range(1, 0))), Peer(Request(range(0, 0)))];
    let given = [
        Gives(range(2, 0)),
        Gives(range(2, BLOCK)),
        Gives(range(0, 0)),
        Quiet,
        Withhold(&[3, 1]),
        Quiet,
        Withhold(&[1]),
        Says(Have(3)),
        Quiet,
        Peer(Request(range(3, 0))),
        Gives(range(3, 0)),
        Quiet,
    ];
    let rejects = [Says(Reject(range(1, BLOCK))), Says(Reject(range(3, 0)))];
    let reject = [Says(Reject(range(1, 0)))];
    check(FAST, torrent(), &[&before[..], &rejects, &later, &reject, &given].concat());
    check(PLAIN, torrent(), &[&before[..], &later, &given].concat());
}

#[test]
fn a_piece_that_was_withheld_from_the_start_is_announced_once_repaired() {
    for reserved in [PLAIN, FAST] {
        let script = |answer: &[Line<'static>]| {
            let before = [Choke(false), Says(Unchoke), Peer(Request(range(7, 0)))];
            let after = [Withhold(&[]), Says(Have(7)), Peer(Request(range(7, 0))), Gives(range(7, 0)), Quiet];
            [&before[..], answer, &after].concat()
        };
        let reject = [Says(Reject(range(7, 0)))];
        check(reserved, without(&[7]), &script(if reserved == FAST { &reject } else { &[] }));
    }
}

#[test]
fn rejects_of_withheld_pieces_do_not_pile_up() {
    let flood = bytes(&vec![Request(range(1, 0)); 4 * MAX_REQUESTS]);
    for (reserved, want) in [(FAST, Err(Close::NotReading)), (PLAIN, Ok(()))] {
        let mut connection = Connection::unchoked(reserved);
        connection.withhold(&[1]).unwrap();
        assert_eq!(connection.receive(&flood), want);
        assert_eq!(connection.session.poll_block(connection.now), None);
    }
}
