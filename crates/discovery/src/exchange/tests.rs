use torrent::bencode::Problem;

use super::*;
use crate::testing::start;

fn contact(address: &str, flags: Flags) -> Contact {
    Contact { address: address.parse().unwrap(), flags }
}

/// A peer with a global address and a number.
fn numbered(number: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]], 6881))
}

fn roster(numbers: std::ops::Range<u16>) -> Roster {
    let mut roster = Roster::default();
    numbers.for_each(|n| roster.insert(Contact { address: numbered(n), flags: Flags::UTP }));
    roster
}

#[track_caller]
fn check(payload: &[u8], added: &[Contact], dropped: &[&str]) {
    let dropped = dropped.iter().map(|address| address.parse().unwrap()).collect();
    let want = PexMessage { added: added.to_vec(), dropped };
    assert_eq!(PexMessage::parse(payload).unwrap(), want, "{}", payload.escape_ascii());
}

#[test]
fn messages_of_clients_are_read() {
    // libtorrent 2.0.
    check(
        b"d5:added12:\x0a\0\x02\x0f\x1a\xe1\xc0\0\x02\x01\xc8\xd57:added.f2:\x14\x026:added60:8:added6.f0:7:dropped6:\
          \xc0\0\x02\x07\x1a\xe18:dropped60:e",
        &[contact("10.0.2.15:6881", Flags::UTP | Flags::REACHABLE), contact("192.0.2.1:51413", Flags::SEED)],
        &["192.0.2.7:6881"],
    );
    // Transmission 3.00 leaves out the address family that it has no peers of.
    check(
        b"d6:added618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe18:added6.f1:\x018:dropped60:e",
        &[contact("[2001:db8::1]:6881", Flags::ENCRYPTION)],
        &[],
    );
    // Without flags, with half an address at the end, and with nothing.
    check(b"d5:added7:\xc0\0\x02\x01\0\x50\xffe", &[contact("192.0.2.1:80", Flags(0))], &[]);
    for nothing in [&b"de"[..], b"le", b"d5:addedi1e7:droppedlee", b"d7:added.f3:abce"] {
        check(nothing, &[], &[]);
    }
}

#[test]
fn hostile_messages_are_bounded() {
    let many = [&b"d5:added12000:"[..], &vec![1; 12_000], b"e"].concat();
    assert_eq!(PexMessage::parse(&many).unwrap().added.len(), MAX_FIRST);
    let long = [&b"d5:added18000:"[..], &vec![1; 18_000], b"e"].concat();
    assert!(PexMessage::parse(&long).is_err());
    let deep = [&b"d1:x"[..], &b"l".repeat(1000)].concat();
    assert_eq!(PexMessage::parse(&deep).unwrap_err().problem, Problem::TooDeep);
}

#[test]
fn what_is_written_is_read_again() {
    let message = PexMessage {
        added: vec![contact("192.0.2.1:80", Flags::SEED), contact("[2001:db8::1]:6881", Flags::UTP)],
        dropped: vec!["192.0.2.2:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap()],
    };
    assert_eq!(PexMessage::parse(&message.to_bytes()), Ok(message));
    assert_eq!(
        PexMessage::default().to_bytes().escape_ascii().to_string(),
        "d5:added0:7:added.f0:6:added60:8:added6.f0:7:dropped0:8:dropped60:e"
    );
}

#[test]
fn a_peer_hears_of_all_others_and_never_of_itself() {
    let start = start();
    let (mut telling, mut roster) = (Telling::default(), roster(0..120));
    let itself = numbered(7);
    let first = telling.message(start, &roster, itself, 99).unwrap();
    assert_eq!((first.added.len(), first.dropped.len()), (MAX_FIRST, 0));
    assert_eq!(telling.message(start + INTERVAL / 2, &roster, itself, 99), None, "once a minute");
    let second = telling.message(start + INTERVAL, &roster, itself, 5).unwrap();
    let mut heard: Vec<_> = first.added.iter().chain(&second.added).map(|contact| contact.address).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..120).filter(|n| *n != 7).map(numbered).collect::<Vec<_>>());
    assert_eq!(telling.message(start + 2 * INTERVAL, &roster, itself, 0), None, "no news, no message");

    roster.remove(numbered(3));
    roster.remove(numbered(4));
    roster.insert(contact("203.0.113.9:1", Flags::REACHABLE));
    let third = telling.message(start + 2 * INTERVAL, &roster, itself, 1).unwrap();
    assert_eq!(third.added, [contact("203.0.113.9:1", Flags::REACHABLE)]);
    assert_eq!(third.dropped, [numbered(3), numbered(4)]);
}

#[test]
fn what_a_peer_knows_from_us_is_bounded_in_a_large_swarm() {
    let start = start();
    let (mut telling, mut roster) = (Telling::default(), roster(0..5000));
    let mut heard = 0;
    for minute in 0..60 {
        let now = start + minute * INTERVAL;
        let message =
            telling.message(now, &roster, numbered(0), 4711 * u64::from(minute)).unwrap_or_default();
        assert!(message.added.len() <= if minute == 0 { MAX_FIRST } else { MAX_CHANGES });
        heard += message.added.len();
    }
    assert_eq!(heard, MAX_TOLD);
    (0..5000).for_each(|n| roster.remove(numbered(n)));
    assert!(roster.is_empty());
    let message = telling.message(start + 60 * INTERVAL, &roster, numbered(0), 0).unwrap();
    assert_eq!((message.added.len(), message.dropped.len()), (0, MAX_CHANGES));
}

#[test]
fn addresses_are_told_where_they_are_of_use() {
    let mut roster = Roster::default();
    for address in [
        "127.0.0.1:1",
        "192.168.1.2:2",
        "203.0.113.1:3",
        "0.0.0.0:4",
        "203.0.113.2:0",
        "[::ffff:203.0.113.1]:3",
    ] {
        roster.insert(contact(address, Flags(0)));
    }
    for (itself, told) in [
        ("198.51.100.1:9", &["203.0.113.1:3"][..]),
        ("192.168.1.9:9", &["192.168.1.2:2", "203.0.113.1:3"]),
        ("127.0.0.1:9", &["127.0.0.1:1", "192.168.1.2:2", "203.0.113.1:3"]),
        ("[::ffff:192.168.1.2]:2", &["203.0.113.1:3"]),
    ] {
        let message = Telling::default().message(start(), &roster, itself.parse().unwrap(), 0).unwrap();
        let addresses: Vec<_> = message.added.iter().map(|contact| contact.address.to_string()).collect();
        assert_eq!(addresses, told, "{itself}");
    }
}

#[test]
fn a_peer_is_told_of_until_its_last_connection_ends() {
    let mut roster = roster(0..3);
    roster.insert(Contact { address: numbered(1), flags: Flags::REACHABLE });
    assert_eq!(roster.len(), 3);
    let told = Telling::default().message(start(), &roster, numbered(99), 1).unwrap().added;
    assert_eq!(told[0], Contact { address: numbered(1), flags: Flags::UTP | Flags::REACHABLE });
    roster.remove(numbered(1));
    assert_eq!(roster.len(), 3);
    roster.remove(numbered(1));
    roster.remove(numbered(1));
    roster.remove(numbered(0));
    let told = Telling::default().message(start(), &roster, numbered(99), 0).unwrap().added;
    assert_eq!(told, [Contact { address: numbered(2), flags: Flags::UTP }]);
}

#[test]
fn what_comes_too_often_is_not_heard() {
    let (start, mut hearing) = (start(), Hearing::default());
    let message = PexMessage { added: vec![contact("192.0.2.1:80", Flags::SEED)], dropped: vec![] };
    let heard = [0, 1, 29, 30, 59, 60]
        .map(|second| hearing.message(start + Duration::from_secs(second), &message.to_bytes()).is_some());
    assert_eq!(heard, [true, false, false, true, false, true]);
}
