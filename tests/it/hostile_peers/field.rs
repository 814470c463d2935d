//! What all attackers have in common: where they attack, for how long, and the connections over which they do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use seeder::mse::{CHANCE, Initiator, Offer, Rc4};
use seeder::{Handshake, Reserved};
use socket2::SockRef;
use system_tests::http::connect_from;
use torrent::{InfoHash, PeerId};

use super::honest::Item;

/// All attackers share an address, which is not that of the honest.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Time between two volleys. What attackers send is then some times what the box may send, and they leave others the
/// processor: it is not attacked from so near.
pub const NAP: Duration = Duration::from_millis(1);

/// Where and how long is attacked.
pub struct Field<'a> {
    pub item: &'a Item,
    blows: AtomicUsize,
    is_over: AtomicBool,
}

impl<'a> Field<'a> {
    pub fn new(item: &'a Item) -> Self {
        Self { item, blows: AtomicUsize::new(0), is_over: AtomicBool::new(false) }
    }

    /// Whether to attack on.
    pub fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// All attackers stop.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// How often something reached the box.
    pub fn blows(&self) -> usize {
        self.blows.load(Ordering::Relaxed)
    }

    /// A connection over which nothing was said yet; `None` if there is none to be had now.
    pub fn connect(&self) -> Option<Hose<'_>> {
        let stream = connect_from(ADDRESS, self.item.box_address).ok();
        let hose = stream.and_then(|stream| Hose::new(self, stream).ok());
        if hose.is_none() {
            thread::sleep(NAP);
        }
        hose
    }

    /// A connection after our handshake for the item; the box's answer is read with all the rest.
    pub fn greet(&self) -> Option<Hose<'_>> {
        self.greet_for(self.item.info_hash)
    }

    /// As [`Field::greet`], for any torrent.
    pub fn greet_for(&self, info_hash: InfoHash) -> Option<Hose<'_>> {
        let mut hose = self.connect()?;
        let handshake = hose.handshake(info_hash).to_bytes();
        hose.pour(&handshake).then_some(hose)
    }

    /// As [`Field::greet_for`], over a connection that is encrypted as soon as the box agrees.
    pub fn greet_encrypted(&self, info_hash: InfoHash) -> Option<Hose<'_>> {
        let mut hose = self.connect()?;
        let mut out = Vec::new();
        let chance = std::array::from_fn::<u8, CHANCE, _>(|at| at.to_le_bytes()[0]);
        let mut initiator = Initiator::new(hose.handshake(info_hash), Offer::Rc4, &chance, &mut out);
        while self.goes_on() && hose.pour(&out) {
            thread::sleep(NAP);
            out.clear();
            let received = std::mem::take(&mut hose.received);
            if let Some(agreed) = initiator.receive(&received, &mut out).ok()? {
                hose.pour(&out);
                hose.rc4 = agreed.encrypt;
                return Some(hose);
            }
        }
        None
    }
}

/// A connection into which everything is poured that it takes, and from which everything is read.
pub struct Hose<'a> {
    field: &'a Field<'a>,
    stream: TcpStream,
    rc4: Option<Box<Rc4>>,
    /// What was not taken yet.
    rest: Vec<u8>,
    /// What was read last.
    received: Vec<u8>,
}

impl<'a> Hose<'a> {
    fn new(field: &'a Field<'a>, stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Or the many connections would use up all ports of the attackers' address.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(Self { field, stream, rc4: None, rest: Vec::new(), received: Vec::new() })
    }

    fn handshake(&self, info_hash: InfoHash) -> Handshake {
        let port = self.stream.local_addr().map_or(0, |address| address.port());
        let mut peer_id = *b"-TS0666-            ";
        peer_id[8..10].copy_from_slice(&port.to_be_bytes());
        Handshake { reserved: Reserved::OURS, info_hash, peer_id: PeerId(peer_id) }
    }

    /// Pours these bytes, unless there are some left of before. Whether the box has not hung up.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            if let Some(rc4) = &mut self.rc4 {
                rc4.apply(&mut self.rest);
            }
        }
        match self.stream.write(&self.rest) {
            Ok(count) => {
                self.rest.drain(..count);
                self.field.blows.fetch_add(usize::from(count > 0), Ordering::Relaxed);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// As [`Hose::push`], and reads what there is.
    pub fn pour(&mut self, bytes: &[u8]) -> bool {
        let is_open = self.push(bytes);
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received = buffer[..count].to_vec();
                is_open
            }
            Err(error) => is_open && error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Has the kernel keep little of what arrives.
    pub fn turn_deaf(&self) {
        SockRef::from(&self.stream).set_recv_buffer_size(4096).unwrap();
    }

    /// Pours the same again and again, until the box hangs up.
    pub fn flood(&mut self, bytes: &[u8]) {
        while self.field.goes_on() && self.pour(bytes) {
            thread::sleep(NAP);
        }
    }
}
