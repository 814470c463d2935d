//! The attackers. Each goes on until the field is left.

use std::iter;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use seeder::{ExtendedHandshake, MetadataMessage};
use system_tests::content::Chance;
use system_tests::peer::BLOCK;
use torrent::InfoHash;
use torrent::bencode::dictionary;

use super::field::{Field, Hose, NAP};

/// An attacker.
pub type Attack = fn(&Field<'_>);

/// Messages that are sent in one go.
const VOLLEY: usize = 1000;

/// Time between two bytes of a slow sender.
const DRIP: Duration = Duration::from_millis(50);

/// Calls that the box makes at a time, as long as they are not answered. No attack lasts until it gives one up.
const HALF_OPEN: usize = 30;

/// Connections of those who never read.
pub const DEAF: usize = 8;

/// Connections of those who hold many.
pub const MANY: usize = 50;

/// A message of the wire protocol.
fn message(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + payload.len()).unwrap();
    [&length.to_be_bytes(), &[id][..], payload].concat()
}

fn numbers(id: u8, numbers: &[u32]) -> Vec<u8> {
    message(id, &numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>())
}

fn request(index: u32, begin: u32) -> Vec<u8> {
    numbers(6, &[index, begin, BLOCK])
}

fn interested() -> Vec<u8> {
    numbers(2, &[])
}

/// The extended handshake of somebody who knows all extensions.
fn extended_handshake() -> Vec<u8> {
    let handshake =
        ExtendedHandshake { ut_metadata: Some(1), ut_pex: Some(2), ..ExtendedHandshake::default() };
    message(20, &[&[0], &handshake.to_bytes()[..]].concat())
}

fn metadata_request(index: u32) -> Vec<u8> {
    message(20, &[&[1], &MetadataMessage::Request(index).to_bytes()[..]].concat())
}

/// Sends `first` over a connection and then `volley` again and again, and over the next when the box hangs up.
fn flood(field: &Field<'_>, first: &[u8], volley: &[u8]) {
    flood_over(field, Field::greet, first, volley);
}

fn flood_over<'a>(
    field: &'a Field<'a>,
    greet: fn(&'a Field<'a>) -> Option<Hose<'a>>,
    first: &[u8],
    volley: &[u8],
) {
    while field.goes_on() {
        if let Some(mut hose) = greet(field)
            && hose.pour(first)
        {
            hose.flood(volley);
        }
    }
}

/// Many connections whose bytes come one by one: handshakes, or public keys of the encrypted exchange.
pub fn drip_handshakes(field: &Field<'_>) {
    let starts = [&b"\x13BitTorrent protocol"[..], &[0x99; 96]];
    let mut dripping: Vec<(Hose<'_>, iter::Cycle<std::slice::Iter<'_, u8>>)> = Vec::new();
    while field.goes_on() {
        for start in starts.iter().cycle().take(MANY - dripping.len()) {
            dripping.extend(field.connect().map(|hose| (hose, start.iter().cycle())));
        }
        dripping.retain_mut(|(hose, bytes)| hose.pour(&[*bytes.next().unwrap()]));
        thread::sleep(DRIP);
    }
}

/// Something like a public key, and padding that never ends.
pub fn endless_padding(field: &Field<'_>) {
    let noise = Chance::new(1).bytes(64 * 1024);
    while field.goes_on() {
        if let Some(mut hose) = field.connect() {
            hose.flood(&noise);
        }
    }
}

/// Handshakes for what is not here, plain and encrypted.
pub fn ask_for_unknown_torrents(field: &Field<'_>) {
    for number in (0..=u8::MAX).cycle() {
        let unknown = InfoHash([number; 20]);
        if !field.goes_on() {
            return;
        }
        let hose = if number % 8 == 0 { field.greet_encrypted(unknown) } else { field.greet_for(unknown) };
        if let Some(mut hose) = hose {
            hose.flood(&[]);
        }
        thread::sleep(NAP);
    }
}

/// Connects and leaves, with a handshake or without.
pub fn come_and_go(field: &Field<'_>) {
    while field.goes_on() {
        drop(field.connect());
        drop(field.greet());
        if let Some(mut hose) = field.greet() {
            hose.pour(&interested());
        }
        thread::sleep(NAP);
    }
}

/// Wants everything over as many connections as it gets.
pub fn crowd(field: &Field<'_>) {
    let mut held = Vec::new();
    let wish = interested();
    while field.goes_on() {
        held.extend(iter::repeat_with(|| field.greet()).take(MANY).flatten());
        held.retain_mut(|hose| hose.pour(&wish));
        thread::sleep(DRIP);
    }
}

/// Asks for the same blocks again and again, and takes what it gets.
pub fn flood_requests(field: &Field<'_>) {
    let volley: Vec<u8> = (0..VOLLEY).flat_map(|_| request(0, 0)).collect();
    flood(field, &interested(), &volley);
}

/// The same over an encrypted connection.
pub fn flood_requests_encrypted(field: &Field<'_>) {
    let volley: Vec<u8> = (0..VOLLEY).flat_map(|_| request(0, 0)).collect();
    flood_over(field, |field| field.greet_encrypted(field.item.info_hash), &interested(), &volley);
}

/// Asks without ever wanting anything: all is rejected.
pub fn flood_refused_requests(field: &Field<'_>) {
    let volley: Vec<u8> = (0..VOLLEY).flat_map(|_| request(field.item.pieces() - 1, 0)).collect();
    flood(field, &[], &volley);
}

/// Takes every request back.
pub fn storm_of_cancels(field: &Field<'_>) {
    let requests = (0..VOLLEY).flat_map(|_| request(0, 0));
    let cancels = (0..VOLLEY).flat_map(|_| numbers(8, &[0, 0, BLOCK]));
    let volley: Vec<u8> = requests.chain(cancels).collect();
    flood(field, &interested(), &volley);
}

/// Asks for much over some connections and reads nothing, but says that it is there.
pub fn never_read(field: &Field<'_>) {
    let volley: Vec<u8> = (0..VOLLEY).flat_map(|_| request(0, 0)).collect();
    let keep_alive = [0; 4];
    let mut deaf: Vec<Hose<'_>> = Vec::new();
    while field.goes_on() {
        while deaf.len() < DEAF
            && let Some(mut hose) = field.greet()
        {
            hose.turn_deaf();
            hose.push(&[interested(), volley.clone()].concat());
            deaf.push(hose);
        }
        deaf.retain_mut(|hose| hose.push(&keep_alive));
        thread::sleep(DRIP);
    }
}

/// Says what no peer may say.
pub fn talk_nonsense(field: &Field<'_>) {
    let deep = [&[0][..], &b"l".repeat(16_000)].concat();
    let nonsense = [
        [&u32::MAX.to_be_bytes(), &[6][..]].concat(),
        [&(i32::MAX as u32).to_be_bytes(), &[20][..]].concat(),
        message(6, &[0]),
        numbers(6, &[0, 0, 1 << 30]),
        numbers(6, &[0, u32::MAX - 5, BLOCK]),
        request(field.item.pieces(), 0),
        numbers(4, &[u32::MAX]),
        message(5, &[0xff; 2]),
        message(20, &deep),
        message(7, &[0; 9]),
    ];
    for bytes in nonsense.iter().cycle() {
        if !field.goes_on() {
            return;
        }
        if let Some(mut hose) = field.greet()
            && hose.pour(bytes)
        {
            hose.flood(&[]);
        }
    }
}

/// Says all the time that it has other pieces, and wants them or does not.
pub fn waver(field: &Field<'_>) {
    let pieces = field.item.pieces();
    let mut some = vec![0xaa; pieces.div_ceil(8) as usize];
    *some.last_mut().unwrap() = 0;
    let haves = (0..pieces - 1).flat_map(|index| numbers(4, &[index]));
    let whims = [message(5, &some), message(15, &[]), interested(), numbers(3, &[]), interested()];
    let volley: Vec<u8> = haves.chain(whims.into_iter().flatten()).collect();
    flood(field, &interested(), &volley);
}

/// Takes what is handed out to it and never says so.
pub fn hoard(field: &Field<'_>) {
    while field.goes_on() {
        let Some(mut hose) = field.greet() else { continue };
        hose.pour(&interested());
        let pieces = (0..field.item.pieces()).cycle();
        for index in pieces {
            if !field.goes_on() || !hose.pour(&request(index, 0)) {
                break;
            }
            thread::sleep(DRIP / 10);
        }
    }
}

/// Introduces itself without end.
pub fn repeat_extended_handshakes(field: &Field<'_>) {
    flood(field, &interested(), &extended_handshake().repeat(VOLLEY));
}

/// Asks for metadata without end.
pub fn flood_metadata_requests(field: &Field<'_>) {
    flood(field, &extended_handshake(), &metadata_request(0).repeat(VOLLEY));
}

/// Metadata messages that make no sense.
pub fn bogus_metadata(field: &Field<'_>) {
    let data = MetadataMessage::Data { piece: u32::MAX, total_size: u32::MAX, bytes: &[0; 1000] };
    let payloads = [
        &data.to_bytes()[..],
        &MetadataMessage::Reject(7).to_bytes(),
        b"d8:msg_typei0e5:piecei-1ee",
        b"d8:msg_typei0e5:piecei99999999999999999999ee",
        b"d8:msg_typei1e5:piecei0e10:total_sizei-5ee",
        b"d8:msg_typei9e5:piecei0ee",
        b"d8:msg_type",
        b"",
    ];
    let sense: Vec<u8> =
        payloads.iter().flat_map(|payload| message(20, &[&[1], *payload].concat())).collect();
    let beyond: Vec<u8> = (0..VOLLEY).flat_map(|_| metadata_request(9999)).collect();
    flood(field, &extended_handshake(), &[sense, beyond].concat());
}

/// Tells of thousands of peers. All of them are one that takes every connection and never says a word.
pub fn tell_of_thousands(field: &Field<'_>) {
    let silent = TcpListener::bind("0.0.0.0:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let port = silent.local_addr().unwrap().port().to_be_bytes();
    let volley: Vec<u8> = (0..100_u8)
        .flat_map(|network| {
            let added: Vec<u8> =
                (1..=50).flat_map(|host| [&[127, 1, network, host], &port[..]].concat()).collect();
            message(20, &[&[2], &dictionary(|top| top.bytes(b"added", &added))[..]].concat())
        })
        .collect();
    let mut called = Vec::new();
    while field.goes_on() {
        let Some(mut hose) = field.greet() else { continue };
        hose.pour(&extended_handshake());
        while field.goes_on() && hose.pour(&volley) {
            thread::sleep(NAP);
            called.extend(iter::from_fn(|| silent.accept().ok()));
        }
    }
    assert!(called.len() <= HALF_OPEN, "{} peers were called", called.len());
}
