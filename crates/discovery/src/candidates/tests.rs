use super::*;
use crate::testing::start;

const ITEM: InfoHash = InfoHash([1; 20]);
const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A peer with a global address and a number.
fn numbered(number: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]], 6881))
}

/// A peer that tells of itself, or a stranger with a global address.
fn tip(address: SocketAddr, source: Source) -> Tip {
    let stranger = Ipv4Addr::new(198, 51, 100, 1).into();
    Tip {
        info_hash: ITEM,
        address,
        source,
        teller: if source.tells_of_itself() { address.ip() } else { stranger },
    }
}

/// All who are called now.
fn calls(candidates: &mut Candidates, now: Instant) -> Vec<SocketAddr> {
    std::iter::from_fn(|| candidates.poll(now)).map(|(_, address)| address).collect()
}

#[test]
fn who_announces_is_given_the_time_to_come_by_itself() {
    let start = start();
    let mut candidates = Candidates::default();
    candidates.add(start, &tip(numbered(1), Source::Tracker));
    candidates.add(start, &tip(numbered(2), Source::Tracker));
    candidates.add(start, &tip(numbered(3), Source::Tracker));
    assert_eq!(candidates.poll(start), None);
    assert_eq!(candidates.next_due(), Some(start + GRACE));
    candidates.arrived(ITEM, numbered(1));
    candidates.remove(ITEM, numbered(3));
    assert_eq!(calls(&mut candidates, start + GRACE), [numbered(2)]);
    // It announces again and again, but it is connected.
    candidates.connected(ITEM, numbered(2));
    candidates.add(start + GRACE, &tip(numbered(1), Source::Tracker));
    candidates.add(start + GRACE, &tip(numbered(2), Source::Tracker));
    assert_eq!(calls(&mut candidates, start + 10 * GRACE), []);
    // One who has come and gone, and announces again, may be called.
    candidates.departed(start + GRACE, ITEM, numbered(1));
    assert_eq!(calls(&mut candidates, start + GRACE + REST), []);
    candidates.add(start + GRACE + REST, &tip(numbered(1), Source::Tracker));
    assert_eq!(calls(&mut candidates, start + 2 * GRACE + REST), [numbered(1)]);
}

#[test]
fn addresses_that_make_no_sense_are_not_called() {
    let here = [address("203.0.113.5:6881"), address("127.0.0.1:6881")];
    for (called, source, teller, sensible) in [
        ("198.51.100.2:1", Source::Tracker, "198.51.100.2", true),
        ("198.51.100.2:0", Source::Tracker, "198.51.100.2", false),
        ("203.0.113.5:6881", Source::Tracker, "203.0.113.5", false),
        ("203.0.113.5:6882", Source::Tracker, "203.0.113.5", true),
        ("[::ffff:127.0.0.1]:6881", Source::Tracker, "127.0.0.1", false),
        ("127.0.0.1:51413", Source::Tracker, "127.0.0.1", true),
        ("192.168.1.2:51413", Source::Local, "192.168.1.2", true),
        ("192.168.1.2:80", Source::Local, "192.168.1.2", false),
        ("192.168.1.2:51413", Source::Exchange, "192.168.1.3", true),
        ("192.168.1.2:51413", Source::Exchange, "198.51.100.2", false),
        ("127.0.0.1:51413", Source::Exchange, "192.168.1.3", false),
        ("192.168.1.2:51413", Source::Dht, "198.51.100.2", false),
        ("198.51.100.2:80", Source::Exchange, "198.51.100.3", false),
        ("0.0.0.0:51413", Source::Dht, "127.0.0.1", false),
        ("224.0.0.1:51413", Source::Dht, "127.0.0.1", false),
        ("255.255.255.255:51413", Source::Exchange, "127.0.0.1", false),
        ("[ff02::1]:51413", Source::Exchange, "127.0.0.1", false),
    ] {
        let start = start();
        let mut candidates = Candidates::default();
        candidates.set_own(here.to_vec());
        let teller = teller.parse().unwrap();
        candidates.add(start, &Tip { info_hash: ITEM, address: address(called), source, teller });
        let found = candidates.poll(start + GRACE);
        assert_eq!(found.is_some(), sensible, "{called} from {source:?} at {teller}");
    }
}

#[test]
fn failures_back_off_and_are_forgotten_after_a_few() {
    let start = start();
    let mut candidates = Candidates::default();
    let tip = tip(numbered(1), Source::Exchange);
    let mut called = Vec::new();
    let mut now = start;
    while now < start + UNREACHABLE {
        // Somebody tells of it all the time.
        candidates.add(now, &tip);
        if let Some((item, address)) = candidates.poll(now) {
            called.push((now - start).as_secs());
            candidates.ended(now, item, address);
        }
        now += SECOND;
    }
    assert_eq!(called, [0, 60, 360]);
    assert_eq!(candidates.poll(now + UNREACHABLE), None);
    assert!(candidates.is_empty(), "forgotten");
}

#[test]
fn calls_that_could_not_be_made_are_no_failures() {
    let mut now = start();
    let mut candidates = Candidates::default();
    candidates.add(now, &tip(numbered(1), Source::Exchange));
    for _ in 0..10 {
        assert_eq!(calls(&mut candidates, now), [numbered(1)]);
        candidates.put_off(now, ITEM, numbered(1));
        assert_eq!(candidates.poll(now), None);
        now += PUT_OFF;
    }
    // What has become a connection is none of them.
    assert_eq!(calls(&mut candidates, now), [numbered(1)]);
    candidates.connected(ITEM, numbered(1));
    candidates.put_off(now, ITEM, numbered(1));
    assert_eq!(candidates.poll(now + PUT_OFF), None);
}

#[test]
fn hearsay_that_failed_makes_room() {
    let start = start();
    let limits = Limits { per_item: 8, all: 12, half_open: 100, ..Limits::default() };
    let mut candidates = Candidates::new(limits);
    let mut fail = |info_hash, numbers: std::ops::Range<u16>| {
        numbers.for_each(|n| {
            candidates.add(start, &Tip { info_hash, ..tip(numbered(n), Source::Dht) });
        });
        let called = calls(&mut candidates, start);
        for address in &called {
            candidates.ended(start, info_hash, *address);
        }
        (called.len(), candidates.len())
    };
    assert_eq!(fail(ITEM, 0..10), (4, 4), "those who were not called yet hold their place");
    assert_eq!(fail(ITEM, 10..12), (2, 4));
    assert_eq!(fail(InfoHash([2; 20]), 0..4), (4, 6), "of another item too, where all are too many");
    // Those who asked themselves keep theirs.
    let limits = Limits { per_item: 2, ..Limits::default() };
    let mut candidates = Candidates::new(limits);
    (0..2).for_each(|n| candidates.add(start, &tip(numbered(n), Source::Tracker)));
    for address in calls(&mut candidates, start + GRACE) {
        candidates.ended(start + GRACE, ITEM, address);
    }
    candidates.add(start + GRACE, &tip(numbered(3), Source::Tracker));
    assert_eq!(calls(&mut candidates, start + GRACE + GRACE), []);
}

#[test]
fn a_connection_that_has_ended_is_not_made_again_at_once() {
    let start = start();
    let mut candidates = Candidates::default();
    let tip = tip(numbered(1), Source::Exchange);
    candidates.add(start, &tip);
    assert_eq!(calls(&mut candidates, start), [numbered(1)]);
    candidates.connected(ITEM, numbered(1));
    candidates.ended(start, ITEM, numbered(1));
    candidates.add(start, &tip);
    assert_eq!(candidates.poll(start + REST / 2), None);
    assert_eq!(candidates.poll(start + REST), None);
    candidates.add(start + REST, &tip);
    assert_eq!(calls(&mut candidates, start + REST), [numbered(1)]);
}

#[test]
fn calls_and_connections_are_bounded() {
    let start = start();
    let limits = Limits { half_open: 3, outgoing: 5, ..Limits::default() };
    let mut candidates = Candidates::new(limits);
    (0..20).for_each(|n| candidates.add(start, &tip(numbered(n), Source::Exchange)));
    let first = calls(&mut candidates, start);
    assert_eq!(first.len(), 3);
    for address in &first {
        candidates.connected(ITEM, *address);
    }
    let second = calls(&mut candidates, start);
    assert_eq!(second.len(), 2, "five in all");
    candidates.ended(start, ITEM, second[0]);
    assert_eq!(calls(&mut candidates, start).len(), 1);
    candidates.ended(start, ITEM, first[0]);
    assert_eq!(calls(&mut candidates, start).len(), 1);
    // Those who come by themselves are bounded elsewhere.
    candidates.connected(ITEM, second[1]);
    candidates.arrived(ITEM, numbered(100));
    candidates.ended(start, ITEM, first[1]);
    assert_eq!(calls(&mut candidates, start).len(), 1);
}

#[test]
fn calls_that_fail_at_once_are_not_made_without_end() {
    let start = start();
    let limits = Limits { half_open: 4, per_second: 10, ..Limits::default() };
    let mut candidates = Candidates::new(limits);
    (0..25).for_each(|n| candidates.add(start, &tip(numbered(n), Source::Exchange)));
    let mut times = Vec::new();
    let mut now = start;
    while times.len() < 25 {
        while let Some((info_hash, address)) = candidates.poll(now) {
            candidates.ended(now, info_hash, address);
            times.push(now - start);
        }
        now = candidates.next_due().unwrap().max(now);
    }
    let expected = [(0, 10), (1, 10), (2, 5)].map(|(second, calls)| vec![second * SECOND; calls]);
    assert_eq!(times, expected.concat());
    // With enough under way it is their end that counts.
    let mut candidates = Candidates::new(limits);
    (0..5).for_each(|n| candidates.add(start, &tip(numbered(n), Source::Exchange)));
    let called = calls(&mut candidates, start);
    assert_eq!((called.len(), candidates.next_due()), (4, None));
    candidates.ended(start, ITEM, called[0]);
    assert!(candidates.next_due().is_some_and(|due| due <= start));
    assert_eq!(calls(&mut candidates, start).len(), 1);
}

#[test]
fn hearsay_leaves_room_for_those_who_ask_themselves() {
    let start = start();
    let limits = Limits { per_item: 40, per_address: 2, all: 60, ..Limits::default() };
    let mut candidates = Candidates::new(limits);
    let fill = |candidates: &mut Candidates, info_hash, source| {
        (0..100).for_each(|n| candidates.add(start, &Tip { info_hash, ..tip(numbered(n), source) }));
        candidates.len()
    };
    assert_eq!(fill(&mut candidates, ITEM, Source::Exchange), 20);
    assert_eq!(fill(&mut candidates, ITEM, Source::Tracker), 40);
    assert_eq!(fill(&mut candidates, InfoHash([2; 20]), Source::Dht), 40, "half of all is full");
    assert_eq!(fill(&mut candidates, InfoHash([2; 20]), Source::Tracker), 60);

    candidates.forget(&ITEM);
    candidates.forget(&InfoHash([2; 20]));
    assert!(candidates.is_empty());
    let one_host = (2000..2010).map(|port| SocketAddr::new(numbered(1).ip(), port));
    one_host.for_each(|address| candidates.add(start, &tip(address, Source::Tracker)));
    assert_eq!(candidates.len(), 2);
}

#[test]
fn the_order_is_by_source_then_by_priority() {
    let start = start();
    let mut candidates = Candidates::default();
    let here = address("123.213.32.10:6881");
    candidates.set_own(vec![here]);
    (0..10).for_each(|n| candidates.add(start, &tip(numbered(n), Source::Exchange)));
    candidates.add(start, &tip(numbered(11), Source::Dht));
    candidates.add(start, &tip(numbered(12), Source::Tracker));
    // It was hearsay, and now it has asked itself.
    candidates.add(start, &tip(numbered(9), Source::Tracker));
    let called = calls(&mut candidates, start + GRACE);
    let mut asked = vec![numbered(9), numbered(12)];
    let mut told: Vec<_> = (0..9).map(numbered).collect();
    for group in [&mut asked, &mut told] {
        group.sort_by_key(|peer| Reverse(priority(here, *peer)));
    }
    assert_eq!(called, [asked, vec![numbered(11)], told].concat());
}

#[test]
fn who_is_connected_takes_no_room_from_others() {
    let start = start();
    let limits = Limits { per_item: 10, all: 10, ..Limits::default() };
    let mut candidates = Candidates::new(limits);
    (0..500).for_each(|n| candidates.arrived(ITEM, numbered(n)));
    candidates.add(start, &tip(numbered(600), Source::Tracker));
    candidates.add(start, &tip(numbered(7), Source::Tracker));
    assert_eq!(calls(&mut candidates, start + GRACE), [numbered(600)]);
    // All go at once: few are remembered.
    (0..500).for_each(|n| candidates.departed(start, ITEM, numbered(n)));
    assert_eq!(candidates.len(), 10);
    candidates.ended(start, ITEM, numbered(600));
    assert_eq!(calls(&mut candidates, start + UNREACHABLE), [numbered(600)]);
    assert_eq!(candidates.len(), 1);
}
