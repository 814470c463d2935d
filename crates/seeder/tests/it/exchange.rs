//! What peers are told of others and of this side: only where it is offered.

use seeder::{ExtendedHandshake, Message, Reserved, Torrent};

use crate::support::{BOTH, Connection, bytes, torrent};

fn offered() -> Torrent {
    let your_ip = Some([192, 0, 2, 7].into());
    Torrent { exchange: true, port: Some(6881), dht_port: Some(6882), your_ip, ..torrent() }
}

fn connected(torrent: Torrent, reserved: Reserved) -> Connection {
    let mut connection = Connection::greeted(reserved, torrent);
    let payload = ExtendedHandshake { ut_pex: Some(7), port: Some(51413), ..Default::default() }.to_bytes();
    connection.send(Message::Extended { id: 0, payload: &payload }).unwrap();
    connection
}

#[test]
fn peers_are_told_how_to_reach_this_side() {
    let mut connection = Connection::attached(BOTH.with_dht(), offered());
    let greeting = std::iter::from_fn(|| connection.said()).collect::<Vec<_>>().concat();
    assert_eq!(greeting[27] & 1, 1, "the bit of the DHT");
    let expected = b"6:ut_pexi2e";
    assert!(greeting.windows(expected.len()).any(|window| window == expected));
    assert!(greeting.windows(9).any(|window| window == b"1:pi6881e"));
    assert!(greeting.windows(14).any(|window| window == b"6:yourip4:\xc0\0\x02\x07"));
    assert!(greeting.ends_with(&bytes(&[Message::Port(6882)])));
}

#[test]
fn messages_go_both_ways() {
    let mut connection = connected(offered(), BOTH);
    assert_eq!(connection.session.listen_port(), Some(51413));
    assert!(connection.session.can_exchange());
    connection.session.exchange(b"de");
    assert_eq!(connection.said(), Some(bytes(&[Message::Extended { id: 7, payload: b"de" }])));
    assert_eq!(connection.session.poll_exchange(), None);
    for payload in [b"d5:added0:e", b"d5:added1:e"] {
        connection.send(Message::Extended { id: 2, payload }).unwrap();
    }
    assert_eq!(connection.session.poll_exchange().unwrap(), b"d5:added1:e", "the last one");
    assert_eq!(connection.session.poll_exchange(), None);
}

#[test]
fn nothing_is_exchanged_where_it_was_not_offered() {
    let mut connection = connected(torrent(), BOTH);
    assert!(!connection.session.can_exchange());
    connection.session.exchange(b"de");
    connection.send(Message::Extended { id: 2, payload: b"de" }).unwrap();
    assert_eq!((connection.said(), connection.session.poll_exchange()), (None, None));
}
