//! The codecs: what is written is read, and no bytes make them panic.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use torrent::InfoHash;
use torrent::bencode::{Limits, Value, scan};
use tracker::connection_id::ConnectionId;
use tracker::udp::{self, MAX_PACKET, MAX_RESPONSE, Reject, Request};
use tracker::{Answer, Event, MAX_SCRAPE, Scrape, http};

use crate::Dice;

const ID: u64 = 0x1122_3344_5566_7788;
const V4: &str = "198.51.100.1";

fn source() -> IpAddr {
    V4.parse().unwrap()
}

/// Escaped as some client might.
fn escaped(dice: &mut Dice, bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match *byte {
            plain if plain.is_ascii_alphanumeric() && dice.roll(2) == 0 => text.push(char::from(plain)),
            b' ' if dice.roll(2) == 0 => text.push('+'),
            other if dice.roll(2) == 0 => write!(text, "%{other:02x}").unwrap(),
            other => write!(text, "%{other:02X}").unwrap(),
        }
        text
    })
}

/// Parameters in any order, with others among them.
fn shuffled(dice: &mut Dice, mut parameters: Vec<String>) -> String {
    for last in (1..parameters.len()).rev() {
        parameters.swap(last, dice.roll(last + 1));
    }
    parameters.join("&")
}

#[test]
fn a_query_is_read_as_it_was_meant() {
    for seed in 0..3_000 {
        let dice = &mut Dice::new(seed);
        let (info_hash, peer_id) = (dice.bytes(), dice.bytes());
        let port = u16::from_be_bytes(dice.bytes());
        let [uploaded, downloaded, left] = [0; 3].map(|_| dice.next() >> dice.roll(64));
        let key = u32::from_be_bytes(dice.bytes());
        let numwant = u32::from_be_bytes(dice.bytes()) >> dice.roll(32);
        let (event, word) = dice.choose(&[
            (Event::None, ""),
            (Event::Started, "started"),
            (Event::Stopped, "stopped"),
            (Event::Completed, "completed"),
        ]);
        let compact = dice.roll(2) == 1;
        let parameters = vec![
            format!("info_hash={}", escaped(dice, &info_hash)),
            format!("peer_id={}", escaped(dice, &peer_id)),
            format!("port={port}"),
            format!("uploaded={uploaded}"),
            format!("downloaded={downloaded}"),
            format!("left={left}"),
            format!("key={key:08x}"),
            format!("numwant={numwant}"),
            format!("event={word}"),
            format!("compact={}", u8::from(compact)),
            "ip=192.0.2.1".to_owned(),
            format!("x{}=%", dice.roll(100)),
        ];
        let query = shuffled(dice, parameters);
        let read =
            http::parse_announce(&query, source()).unwrap_or_else(|failure| panic!("{query}: {failure}"));
        assert_eq!((read.info_hash.0, read.peer_id.0), (info_hash, peer_id), "{query}");
        assert_eq!((read.uploaded, read.downloaded, read.left), (uploaded, downloaded, left), "{query}");
        assert_eq!((read.port, read.key, read.event), (port, key, event), "{query}");
        assert_eq!((read.numwant, read.compact, read.address), (Some(numwant), compact, source()), "{query}");
    }
}

#[test]
fn a_scrape_names_what_it_was_meant_to() {
    for seed in 0..500 {
        let dice = &mut Dice::new(seed);
        let hashes: Vec<InfoHash> = (0..=dice.roll(MAX_SCRAPE)).map(|_| InfoHash(dice.bytes())).collect();
        let query: Vec<String> =
            hashes.iter().map(|hash| format!("info_hash={}", escaped(dice, &hash.0))).collect();
        assert_eq!(http::parse_scrape(&query.join("&")), Ok(hashes.clone()));
        let packet: Vec<u8> = [&ID.to_be_bytes()[..], &[0, 0, 0, 2, 0, 0, 0, 9]]
            .concat()
            .into_iter()
            .chain(hashes.iter().flat_map(|hash| hash.0))
            .collect();
        assert_eq!(read(&packet), Ok(Request::Scrape(9, hashes)));
    }
}

#[test]
fn no_mutation_of_a_query_panics() {
    let good = format!(
        "info_hash={}&peer_id=-XX0000-000000000001&port=6881&uploaded=0&downloaded=0&left=1&numwant=50&key=1f&event=started&compact=1",
        "%ff".repeat(20)
    );
    let dice = &mut Dice::new(1);
    for turn in 0..20_000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..dice.roll(8) {
            let at = dice.roll(bytes.len());
            match dice.roll(4) {
                0 => bytes[at] = dice.byte(),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, dice.choose(b"%&=+-0f\xff")),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let query = String::from_utf8_lossy(&bytes);
        if let Ok(read) = http::parse_announce(&query, source()) {
            assert_eq!(read.address, source(), "turn {turn}");
        }
        if let Ok(hashes) = http::parse_scrape(&query) {
            assert!((1..=MAX_SCRAPE).contains(&hashes.len()), "turn {turn}");
        }
    }
}

fn read(packet: &[u8]) -> Result<Request, Reject> {
    udp::parse(packet, source(), |id| id == ConnectionId(ID))
}

/// A packet after a connection id that is accepted.
fn packet(action: u32, transaction: u32, body: &[u8]) -> Vec<u8> {
    [&ID.to_be_bytes()[..], &action.to_be_bytes(), &transaction.to_be_bytes(), body].concat()
}

#[test]
fn a_packet_is_read_as_it_was_meant() {
    for seed in 0..3_000 {
        let dice = &mut Dice::new(seed);
        let body: [u8; 82] = dice.bytes();
        let transaction = u32::from_be_bytes(dice.bytes());
        let Ok(Request::Announce(answered, announce)) = read(&packet(1, transaction, &body)) else {
            panic!("seed {seed}");
        };
        let number = |at: usize| u64::from_be_bytes(body[at..at + 8].try_into().unwrap());
        let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        assert_eq!((answered, announce.address), (transaction, source()));
        assert_eq!((&announce.info_hash.0[..], &announce.peer_id.0[..]), (&body[..20], &body[20..40]));
        assert_eq!(
            (announce.downloaded, announce.left, announce.uploaded),
            (number(40), number(48), number(56))
        );
        assert_eq!(announce.key, word(72));
        assert_eq!(announce.numwant, Some(word(76)).filter(|count| count >> 31 == 0));
        assert_eq!(announce.port, u16::from_be_bytes([body[80], body[81]]));
        assert_eq!(announce.event == Event::Started, word(64) == 2);
    }
}

#[test]
fn no_packet_of_any_length_panics_and_none_is_answered_without_proof() {
    let dice = &mut Dice::new(2);
    for length in 0..MAX_PACKET + 100 {
        for action in [0, 1, 2, 3, 0xff] {
            let noise: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
            let mut packet = packet(action, 7, &noise);
            packet.truncate(length);
            match read(&packet) {
                Ok(Request::Connect(_)) => panic!("a connect begins with the number of the protocol"),
                Ok(Request::Announce(7, announce)) => assert_eq!(announce.address, source()),
                Ok(Request::Scrape(7, hashes)) => assert_eq!(hashes.len() * 20 + 16, length),
                Err(Reject::Answer(7, failure)) => assert!(!failure.reason.is_empty()),
                Err(Reject::Silent) => {
                    assert!(!(16..=MAX_PACKET).contains(&length), "{action}, {length} bytes");
                }
                other => panic!("{action}, {length} bytes: {other:?}"),
            }
            if let Some(first) = packet.first_mut() {
                *first ^= 0x80;
                assert_eq!(read(&packet), Err(Reject::Silent), "{action}, {length} bytes, without proof");
            }
        }
    }
}

/// What the store might say, with peers of random addresses.
fn answer(dice: &mut Dice) -> Answer {
    let peers = [0; 2].map(|_| dice.roll(250));
    Answer {
        interval: Duration::from_secs(120 + dice.roll(3_000) as u64),
        min_interval: Duration::from_mins(1),
        scrape: Scrape { complete: 3, incomplete: 2, downloaded: 1 },
        peers_v4: (0..peers[0])
            .map(|_| SocketAddrV4::new(dice.bytes::<4>().into(), u16::from_be_bytes(dice.bytes())))
            .collect(),
        peers_v6: (0..peers[1])
            .map(|_| SocketAddrV6::new(dice.bytes::<16>().into(), u16::from_be_bytes(dice.bytes()), 0, 0))
            .collect(),
        ..Answer::default()
    }
}

#[test]
fn answers_over_http_are_read_as_they_were_meant() {
    for seed in 0..500 {
        let dice = &mut Dice::new(seed);
        let answer = answer(dice);
        let query = format!("info_hash={0}&peer_id={0}&port=1&left=0", "%00".repeat(20));
        let announce = http::parse_announce(&query, source()).unwrap();
        let body = http::announce_response(&answer, &announce);
        let read = scan(&body, Limits { bytes: body.len(), depth: 4 }).unwrap().as_dictionary().unwrap();
        let bytes = |key: &[u8]| read.get(key).and_then(Value::as_bytes).unwrap_or_default().to_vec();
        let v4 =
            answer.peers_v4.iter().flat_map(|it| [&it.ip().octets()[..], &it.port().to_be_bytes()].concat());
        let v6 =
            answer.peers_v6.iter().flat_map(|it| [&it.ip().octets()[..], &it.port().to_be_bytes()].concat());
        assert_eq!(bytes(b"peers"), v4.collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(bytes(b"peers6"), v6.collect::<Vec<_>>(), "seed {seed}");
        let interval = i64::try_from(answer.interval.as_secs()).unwrap();
        assert_eq!(read.get(b"interval").and_then(Value::as_integer), Some(interval));
    }
}

#[test]
fn answers_over_udp_are_read_as_they_were_meant_and_need_no_fragments() {
    for seed in 0..500 {
        let dice = &mut Dice::new(seed);
        let answer = answer(dice);
        for (asker, size, count) in
            [(V4, 6, answer.peers_v4.len()), ("2001:db8::1", 18, answer.peers_v6.len())]
        {
            let mut packet = Vec::new();
            udp::announce_response(&mut packet, 7, &answer, asker.parse().unwrap());
            assert!(packet.len() <= MAX_RESPONSE, "seed {seed}: {} bytes", packet.len());
            assert_eq!(&packet[..8], [0, 0, 0, 1, 0, 0, 0, 7]);
            let listed = (packet.len() - 20) / size;
            assert!(
                listed == count || packet.len() + size > MAX_RESPONSE,
                "seed {seed}: {listed} of {count}"
            );
            for (number, peer) in packet[20..].chunks(size).enumerate() {
                let written = match answer.peers_v4.get(number) {
                    Some(v4) if size == 6 => [&v4.ip().octets()[..], &v4.port().to_be_bytes()].concat(),
                    _ => {
                        let v6 = answer.peers_v6[number];
                        [&v6.ip().octets()[..], &v6.port().to_be_bytes()].concat()
                    }
                };
                assert_eq!(peer, written, "seed {seed}, peer {number}");
            }
        }
    }
}
