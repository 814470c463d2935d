//! Clients that mean harm, or are broken: they get nothing, and nobody else notices.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::peer::{BLOCK, Message, Peer};
use system_tests::wait;
use torrent::InfoHash;

/// Time in which a nonsense peer is hung up on.
const SOON: Duration = Duration::from_secs(5);

/// The daemon's own limit on handshakes, `HANDSHAKE_LIMIT` of crate `seeder`.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A slow sender is hung up on within this.
const HANDSHAKE: Duration = Duration::from_secs(40);

fn publish(site: &Site) -> (Daemon, InfoHash) {
    write_file(&mut Chance::fresh(), &site.publish().join("file"), 1 << 20);
    let daemon = site.start();
    let info_hash = daemon.api.seeding("file").info_hash;
    (daemon, info_hash)
}

/// A proper peer still gets a block.
#[track_caller]
fn assert_serves(daemon: &Daemon, info_hash: &InfoHash) {
    let mut peer = Peer::connect(daemon.peer, info_hash, true).unwrap();
    peer.become_unchoked().unwrap();
    assert_eq!(peer.block(0, 0, BLOCK).unwrap().len(), BLOCK as usize);
    assert_eq!(daemon.api.get("/healthz").status, 200);
}

#[test]
fn peers_that_break_the_protocol_are_hung_up_on() {
    let site = Site::new();
    let (daemon, info_hash) = publish(&site);
    let request = |index: u32, begin: u32, length: u32| {
        let numbers = [index, begin, length].map(u32::to_be_bytes);
        [&[0, 0, 0, 13, 6], numbers.as_flattened()].concat()
    };
    let deep = [b"\0\x01\x86\xa2\x14\0".as_slice(), &b"l".repeat(100_000)].concat();
    for (bytes, what) in [
        (vec![0xff, 0xff, 0xff, 0xff, 6], "a message of 4 GiB"),
        (vec![0x7f, 0xff, 0xff, 0xff, 20], "an extension message of 2 GiB"),
        (vec![0, 0, 0, 2, 6, 0], "a request that is cut short"),
        (request(0, 0, 1 << 30), "a request of 1 GiB"),
        (request(9999, 0, BLOCK), "a piece that is not there"),
        (request(0, u32::MAX - 5, BLOCK), "an offset that overflows"),
        (deep, "bencode nested 100,000 deep"),
        (vec![0, 0, 0, 3, 5, 0xff, 0xff], "a bitfield that is too short"),
    ] {
        let mut peer = Peer::connect(daemon.peer, &info_hash, true).unwrap();
        peer.interested().unwrap();
        // It may have been hung up on before all was sent.
        let _ = peer.send_raw(&bytes);
        eprintln!("{what}");
        peer.wait_for_hang_up(SOON);
    }
    assert_serves(&daemon, &info_hash);
    daemon.end();
}

#[test]
fn what_is_not_a_peer_is_hung_up_on() {
    let site = Site::new();
    let (daemon, info_hash) = publish(&site);
    let strangers = [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0; 68],
        &[0xff; 4096],
        b"\x13BitTorrent protocoL\0\0\0\0\0\0\0\0",
    ];
    let strangers = strangers.map(|bytes| {
        let mut stream = TcpStream::connect(daemon.peer).unwrap();
        // What is shorter than a public key may become one until there is no more time for it.
        stream.set_read_timeout(Some(HANDSHAKE_LIMIT + SOON)).unwrap();
        let _ = stream.write_all(bytes);
        (stream, bytes)
    });
    for (mut stream, bytes) in strangers {
        assert!(is_hung_up_on(&mut stream), "{bytes:?}");
    }
    assert_serves(&daemon, &info_hash);
}

/// Waits until the other side hangs up; `false` if it sends something, or nothing happens in the time there is for reads.
fn is_hung_up_on(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn requests_without_end_are_bounded() {
    let site = Site::new();
    let (daemon, info_hash) = publish(&site);
    let before = memory(&daemon);
    let mut flood = Peer::connect(daemon.peer, &info_hash, true).unwrap();
    flood.become_unchoked().unwrap();
    for _ in 0..100_000 {
        if flood.request(0, 0, BLOCK).is_err() {
            break;
        }
    }
    let grown = memory(&daemon).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert_serves(&daemon, &info_hash);
}

/// Bytes of memory that are its own.
fn memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process.id())).unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    kilobytes.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn slow_senders_are_hung_up_on() {
    let site = Site::new();
    let (daemon, info_hash) = publish(&site);
    let mut senders: Vec<(TcpStream, &[u8])> = [daemon.api.address, daemon.tracker, daemon.peer]
        .into_iter()
        .zip([&b"GET / HTTP/1.1\r\nX: "[..], b"GET /announce?", b"\x13BitTorrent"])
        .map(|(address, start)| (TcpStream::connect(address).unwrap(), start))
        .collect();
    for (stream, start) in &mut senders {
        stream.write_all(start).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    // A byte now and then does not count as progress.
    wait::until_holds("all are hung up on", HANDSHAKE, || {
        std::thread::sleep(Duration::from_millis(500));
        senders.retain_mut(|(stream, _)| {
            let sent = stream.write_all(b"x");
            let waits =
                matches!(stream.read(&mut [0; 512]), Err(error) if error.kind() == ErrorKind::WouldBlock);
            sent.is_ok() && waits
        });
        senders.is_empty()
    });
    assert_serves(&daemon, &info_hash);
}

#[test]
fn hundreds_of_idle_connections_leave_room_for_others() {
    let site = Site::new();
    let (daemon, info_hash) = publish(&site);
    let hold = |address: SocketAddr| (0..300).map(move |_| TcpStream::connect(address).unwrap());
    let held: Vec<TcpStream> =
        hold(daemon.peer).chain(hold(daemon.api.address)).chain(hold(daemon.tracker)).collect();
    assert_serves(&daemon, &info_hash);
    drop(held);
    daemon.end();
}

#[test]
fn a_head_without_end_is_refused() {
    let site = Site::new();
    let (daemon, info_hash) = publish(&site);
    for address in [daemon.api.address, daemon.tracker] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let field = format!("X: {}\r\n", "y".repeat(1000));
        let endless = (0..10_000).try_for_each(|_| stream.write_all(field.as_bytes()));
        assert!(endless.is_err(), "10 MB of header fields were taken");
    }
    assert_serves(&daemon, &info_hash);
}

#[test]
fn a_peer_that_cancels_and_chokes_itself_does_no_harm() {
    let site = Site::new();
    let (daemon, info_hash) = publish(&site);
    let mut peer = Peer::connect(daemon.peer, &info_hash, true).unwrap();
    // Requests while choked are rejected, one by one, but for the ten pieces that it may have all the same.
    for index in 0..=10 {
        peer.request(index, 0, BLOCK).unwrap();
    }
    let rejected = |message: &Message| matches!(message, Message::Reject { begin: 0, length: BLOCK, .. });
    peer.read_until(|message| rejected(message).then_some(()))
        .expect("a choked peer that knows BEP 6 is told no");
    peer.become_unchoked().unwrap();
    for id in [0, 3, 2, 8, 1] {
        let numbers: &[u32] = if id == 8 { &[0, 0, BLOCK] } else { &[] };
        peer.send(id, numbers).unwrap();
    }
    assert_serves(&daemon, &info_hash);
}
