//! What is for members is found by the box's tracker alone (BEP 27): the box tells neither peers, nor the DHT, nor the local
//! network of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use seeder::{Handshake, Reserved};
use socket2::{Domain, Socket, Type};
use system_tests::{network, wait};
use torrent::{InfoHash, PeerId};

use super::*;

/// The group of local discovery (BEP 14).
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);
const GROUP_PORT: u16 = 6771;

/// From its start on a box that may speak has done all of that by then: it speaks to the local network once a minute, and
/// tells peers of each other after ten seconds.
const LONG_ENOUGH: Duration = Duration::from_secs(75);

/// The number that [`Insider`] has for messages that tell of peers.
const EXCHANGE: u8 = 7;

/// What a box has let others know.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// To everybody in the local network.
    local: bool,
    /// To the node by which it enters the DHT, and to one that a peer told of.
    dht: [bool; 2],
    /// That it is a node of the DHT: by the bit in its handshake, and by the message with its port.
    is_node: [bool; 2],
    /// That it tells of peers, and of whom.
    exchange: [bool; 2],
}

impl Heard {
    fn everything() -> Self {
        Self { local: true, dht: [true; 2], is_node: [true; 2], exchange: [true; 2] }
    }
}

/// A peer that has been let in, knows everything by which peers are found, and listens.
struct Insider {
    stream: TcpStream,
    said: Vec<u8>,
}

impl Insider {
    /// As number so-and-so, that takes connections at this port and knows a node of the DHT at that one.
    fn new(address: SocketAddr, info_hash: InfoHash, number: u8, port: u16, node: u16) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let reserved = Reserved([0, 0, 0, 0, 0, 0x10, 0, 5]);
        let mut peer_id = PeerId(*b"-TS0001-00000000000.");
        peer_id.0[19] = b'0' + number;
        let handshake = Handshake { reserved, info_hash, peer_id }.to_bytes();
        let extended = format!("\x14\0d1:md6:ut_pexi{EXCHANGE}ee1:pi{port}ee").into_bytes();
        let length = u32::try_from(extended.len()).unwrap().to_be_bytes();
        let [high, low] = node.to_be_bytes();
        let first = [&handshake[..], &length, &extended, &[0, 0, 0, 3, 9, high, low]].concat();
        stream.write_all(&first).unwrap();
        Self { stream, said: Vec::new() }
    }

    fn hear(&mut self, heard: &mut Heard) {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = self.stream.read(&mut bytes) {
            self.said.extend_from_slice(&bytes[..count]);
        }
        let Some((handshake, mut rest)) = self.said.split_at_checked(68) else { return };
        heard.is_node[0] |= handshake[27] & 1 != 0;
        while let Some((length, after)) = rest.split_first_chunk()
            && let Some((message, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize)
        {
            match message {
                [9, ..] => heard.is_node[1] = true,
                [20, 0, names @ ..] => heard.exchange[0] |= String::from_utf8_lossy(names).contains("ut_pex"),
                [20, EXCHANGE, ..] => heard.exchange[1] = true,
                _ => {}
            }
            rest = after;
        }
    }

    /// Whether the box has shaken hands and says what it has.
    fn is_in(&self) -> bool {
        self.said.len() > 68
    }
}

/// A socket that hears what is sent to this group or address.
fn ear(address: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((address, port)).into()).unwrap();
    if address.is_multicast() {
        socket.join_multicast_v4(&address, &network::CLIENT.parse().unwrap()).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

/// Whether anything has come.
fn has_heard(ear: &UdpSocket) -> bool {
    ear.recv(&mut [0; 2048]).is_ok()
}

/// What a box with these members lets others know of an item; `None` where there can be no network like a LAN.
fn heard_of_a_box(members: &str, base: &'static str) -> Option<Heard> {
    if !network::make_lan() {
        return None;
    }
    let client = network::CLIENT.parse().unwrap();
    let (local, nodes) = (ear(GROUP, GROUP_PORT), [ear(client, 0), ear(client, 0)]);
    let [entrance, told] = nodes.each_ref().map(|node| node.local_addr().unwrap());
    let config = format!("[discovery]\ndht_nodes = [\"{entrance}\"]\n{members}");
    let started = Instant::now();
    let published = publish(Site::new().listening_on(network::BOX).with_config(&config));
    let (item, daemon) = (published.item(base), &published.daemon);
    let announce = Announce::new(item.info_hash, 1).member(base);
    assert_eq!(announce.event("started").http(daemon.tracker).failure, None);
    let mut peers = [1, 2].map(|number| {
        Insider::new(daemon.peer, item.info_hash, number, 2000 + u16::from(number), told.port())
    });
    let mut heard = Heard::default();
    wait::try_until(LONG_ENOUGH.saturating_sub(started.elapsed()), || {
        heard.local |= has_heard(&local);
        heard.dht.iter_mut().zip(&nodes).for_each(|(heard, node)| *heard |= has_heard(node));
        for peer in &mut peers {
            peer.hear(&mut heard);
        }
        (heard == Heard::everything()).then_some(())
    });
    assert!(peers.iter().all(Insider::is_in), "they were not let in");
    published.daemon.end();
    Some(heard)
}

#[test]
fn nothing_tells_of_what_is_for_members() {
    let members = config(&[("alice", ALICE)]);
    let [public, private] = std::thread::scope(|scope| {
        let boxes = [("", ""), (&*members, ALICE)];
        // Each in a network of its own.
        boxes
            .map(|(members, base)| scope.spawn(move || heard_of_a_box(members, base)))
            .map(|heard| heard.join().expect("see above"))
    });
    let Some((public, private)) = public.zip(private) else {
        return system_tests::left_out("what is told of members' items", "no network of its own");
    };
    assert_eq!(public, Heard::everything(), "without members all of it is heard here");
    assert_eq!(private, Heard::default());
}
