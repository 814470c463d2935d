//! What happens when nothing happens.

use std::time::Duration;

use seeder::{
    Close, HANDSHAKE_LIMIT, IDLE_LIMIT, KEEP_ALIVE, MAX_REQUESTS, Message, Reserved, SILENCE_LIMIT,
    WRITE_LIMIT,
};

use crate::support::{BLOCK, Connection, FAST, PLAIN, bytes, handshake, range, torrent};

const TICK: Duration = Duration::from_secs(1);

/// Lets time pass from deadline to deadline, as a driver does, until the session closes; `each` is done at each
/// deadline. Gives up after a day.
fn close_of(connection: &mut Connection, mut each: impl FnMut(&mut Connection)) -> (Close, Duration) {
    let start = connection.now;
    for _ in 0..10_000 {
        let wait = connection.session.next_deadline().saturating_duration_since(connection.now);
        assert!(wait > Duration::ZERO, "a deadline that has passed would keep the driver busy");
        if let Err(close) = connection.pass(wait) {
            return (close, connection.now - start);
        }
        each(connection);
        if connection.now - start > Duration::from_hours(24) {
            break;
        }
    }
    panic!("still open after {:?}", connection.now - start);
}

fn keep_alive(connection: &mut Connection) {
    connection.send(Message::KeepAlive).unwrap();
}

#[test]
fn handshakes_have_a_limit() {
    let whole = handshake(FAST);
    for sent in [0, 1, 67, 68] {
        let mut connection = Connection::new();
        connection.receive(&whole[..sent]).unwrap();
        connection.pass(HANDSHAKE_LIMIT.saturating_sub(TICK)).unwrap();
        // Bytes that trickle in don't extend it.
        connection.receive(&whole[sent..whole.len().min(sent + 1)]).unwrap();
        assert_eq!(close_of(&mut connection, |_| ()), (Close::HandshakeTimeout, TICK), "{sent} bytes");
    }
}

#[test]
fn quiet_peers_get_keep_alives_within_two_minutes() {
    assert!(KEEP_ALIVE < Duration::from_mins(2));
    let mut connection = Connection::greeted(PLAIN, torrent());
    for _ in 0..5 {
        keep_alive(&mut connection);
        connection.pass(KEEP_ALIVE.saturating_sub(TICK)).unwrap();
        assert_eq!(connection.said(), None);
        connection.pass(TICK).unwrap();
        assert_eq!(connection.said(), Some(bytes(&[Message::KeepAlive])));
        assert_eq!(connection.said(), None);
    }
}

#[test]
fn blocks_and_messages_are_signs_of_life_too() {
    let mut connection = Connection::unchoked(FAST);
    for _ in 0..5 {
        connection.send(Message::Request(range(0, 0))).unwrap();
        let block = connection.session.poll_block(connection.now).unwrap();
        connection.pass(KEEP_ALIVE.saturating_sub(TICK)).unwrap();
        connection.session.block_sent(connection.now, block);
    }
    for _ in 0..5 {
        connection.send(Message::Request(range(0, 0))).unwrap();
        connection.send(Message::Cancel(range(0, 0))).unwrap();
        assert_eq!(connection.said(), Some(bytes(&[Message::Reject(range(0, 0))])));
        connection.pass(KEEP_ALIVE.saturating_sub(TICK)).unwrap();
        assert_eq!(connection.said(), None);
    }
}

#[test]
fn a_peer_that_is_gone_is_dropped() {
    for reserved in [PLAIN, Reserved::OURS] {
        let mut connection = Connection::greeted(reserved, torrent());
        assert_eq!(close_of(&mut connection, |_| ()), (Close::Silent, SILENCE_LIMIT));
        let mut connection = Connection::greeted(reserved, torrent());
        connection.send(Message::Interested).unwrap();
        assert_eq!(close_of(&mut connection, |_| ()), (Close::Silent, SILENCE_LIMIT));
    }
}

#[test]
fn a_peer_that_wants_nothing_is_dropped() {
    let mut connection = Connection::greeted(PLAIN, torrent());
    assert_eq!(close_of(&mut connection, keep_alive), (Close::Idle, IDLE_LIMIT));
    // Nor does it help to say one thing and do another.
    let mut connection = Connection::unchoked(PLAIN);
    assert_eq!(close_of(&mut connection, keep_alive), (Close::Idle, IDLE_LIMIT));
}

#[test]
fn a_peer_that_waits_for_us_stays() {
    let mut choked = Connection::greeted(PLAIN, torrent());
    choked.send(Message::Interested).unwrap();
    // The driver has no bandwidth for it.
    let mut queued = Connection::unchoked(PLAIN);
    queued.send(Message::Request(range(0, 0))).unwrap();
    for mut connection in [choked, queued] {
        for _ in 0..100 {
            connection.pass(Duration::from_mins(1)).unwrap();
            keep_alive(&mut connection);
        }
    }
}

#[test]
fn a_peer_that_does_not_read_is_dropped() {
    let mut connection = Connection::unchoked(PLAIN);
    for _ in 0..MAX_REQUESTS {
        connection.send(Message::Request(range(0, 0))).unwrap();
    }
    // Slow is not dead: one block a minute of those that were handed out together.
    let blocks: Vec<_> =
        std::iter::from_fn(|| connection.session.poll_block(connection.now)).take(30).collect();
    for block in blocks {
        connection.pass(Duration::from_mins(1)).unwrap();
        connection.session.block_sent(connection.now, block);
        keep_alive(&mut connection);
    }
    assert_eq!(connection.session.stats().unwrap().bytes_sent, 30 * u64::from(BLOCK));
    // The time before a block was handed out is not the peer's fault.
    connection.pass(Duration::from_mins(3)).unwrap();
    keep_alive(&mut connection);
    let _stuck = connection.session.poll_block(connection.now).unwrap();
    assert_eq!(close_of(&mut connection, keep_alive), (Close::NotReading, WRITE_LIMIT));
}

#[test]
fn early_timeouts_are_harmless() {
    let mut connection = Connection::new();
    connection.pass(Duration::ZERO).unwrap();
    let mut connection = Connection::greeted(PLAIN, torrent());
    let deadline = connection.session.next_deadline();
    connection.pass(TICK).unwrap();
    assert_eq!(connection.session.next_deadline(), deadline);
    assert_eq!(connection.said(), None);
}
