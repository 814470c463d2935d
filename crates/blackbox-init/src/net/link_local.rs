//! An IPv4 address without anybody who gives one (RFC 3927), for one link: a cable to a laptop is enough. Pure: packets, time
//! and chance are arguments.
//!
//! An address is picked by chance, asked for three times, and then used. It is given up when somebody else has it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};

/// Bytes of a packet.
pub const PACKET: usize = 28;

/// Prefix length of the network that all these addresses are in.
pub const PREFIX: u8 = 16;

/// Times and counts of RFC 3927 section 9.
const PROBE_WAIT: u64 = 1000;
const PROBES: u8 = 3;
const PROBE_INTERVAL: (u64, u64) = (1000, 2000);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const MAX_CONFLICTS: u32 = 10;
const CONFLICT_PAUSE: Duration = Duration::from_mins(1);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send to everyone on the link.
    Broadcast(Vec<u8>),
    /// Use this address from now on.
    Configure(Ipv4Addr),
    /// The address is somebody else's.
    Deconfigure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Probing { sent: u8 },
    Announcing { sent: u8 },
    Settled { defended: Option<Instant> },
}

/// The state of one link.
#[derive(Debug)]
pub struct Claim {
    mac: EthernetAddress,
    random: u64,
    address: Ipv4Addr,
    conflicts: u32,
    state: State,
    deadline: Option<Instant>,
}

impl Claim {
    /// Starts at once. With the same `random` it picks the same addresses.
    pub fn new(mac: [u8; 6], random: u64, now: Instant) -> Self {
        let mut claim = Self {
            mac: EthernetAddress(mac),
            random,
            address: Ipv4Addr::UNSPECIFIED,
            conflicts: 0,
            state: State::Probing { sent: 0 },
            deadline: None,
        };
        claim.pick(now);
        claim
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Output> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match self.state {
            State::Probing { sent } if sent < PROBES => {
                self.state = State::Probing { sent: sent + 1 };
                let (least, most) = PROBE_INTERVAL;
                let wait = if sent + 1 < PROBES { self.draw(least, most) } else { ANNOUNCE_WAIT };
                self.deadline = Some(now + wait);
                vec![self.packet(Ipv4Addr::UNSPECIFIED)]
            }
            State::Probing { .. } => {
                self.state = State::Announcing { sent: 1 };
                self.deadline = Some(now + ANNOUNCE_INTERVAL);
                vec![Output::Configure(self.address), self.packet(self.address)]
            }
            State::Announcing { sent } if sent < ANNOUNCEMENTS => {
                self.state = State::Announcing { sent: sent + 1 };
                self.deadline = Some(now + ANNOUNCE_INTERVAL);
                vec![self.packet(self.address)]
            }
            State::Announcing { .. } | State::Settled { .. } => {
                self.state = State::Settled { defended: None };
                self.conflicts = 0;
                self.deadline = None;
                Vec::new()
            }
        }
    }

    /// Takes an ARP packet from the link.
    pub fn receive(&mut self, now: Instant, packet: &[u8]) -> Vec<Output> {
        let Ok(packet) = ArpPacket::new_checked(packet) else { return Vec::new() };
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return Vec::new();
        };
        if source_hardware_addr == self.mac {
            return Vec::new();
        }
        let is_probing = matches!(self.state, State::Probing { .. });
        let is_used = source_protocol_addr == self.address;
        let is_wanted = operation == ArpOperation::Request
            && source_protocol_addr.is_unspecified()
            && target_protocol_addr == self.address;
        match self.state {
            State::Probing { .. } if is_used || is_wanted => {
                self.lose(now);
                Vec::new()
            }
            _ if is_probing || !is_used => Vec::new(),
            State::Settled { defended }
                if defended.is_none_or(|last| now.duration_since(last) >= DEFEND_INTERVAL) =>
            {
                self.state = State::Settled { defended: Some(now) };
                vec![self.packet(self.address)]
            }
            _ => {
                self.lose(now);
                vec![Output::Deconfigure]
            }
        }
    }

    /// The address is somebody else's: picks another one.
    fn lose(&mut self, now: Instant) {
        self.conflicts += 1;
        self.pick(now);
        if self.conflicts > MAX_CONFLICTS {
            self.deadline = Some(now + CONFLICT_PAUSE);
        }
    }

    fn pick(&mut self, now: Instant) {
        // The first and the last 256 are kept for later use.
        let host = 0x0100 + (self.next() % 0xfe00) as u32;
        self.address = Ipv4Addr::from_bits(Ipv4Addr::new(169, 254, 0, 0).to_bits() | host);
        self.state = State::Probing { sent: 0 };
        self.deadline = Some(now + self.draw(0, PROBE_WAIT));
    }

    /// A request for our own address: as its owner, or with no address as one who would like to have it.
    fn packet(&self, source: Ipv4Addr) -> Output {
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: self.mac,
            source_protocol_addr: source,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: self.address,
        };
        let mut bytes = vec![0; PACKET];
        repr.emit(&mut ArpPacket::new_unchecked(&mut bytes));
        Output::Broadcast(bytes)
    }

    /// A wait of some milliseconds.
    fn draw(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least))
    }

    /// The next random number (`SplitMix64`).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    /// Lets the claim run for some seconds; what it did, with the seconds at which it did it.
    fn run(claim: &mut Claim, from: Instant, seconds: u64) -> Vec<(u64, Output)> {
        let mut done = Vec::new();
        let mut now = from;
        while let Some(due) = claim.deadline()
            && due <= from + Duration::from_secs(seconds)
        {
            now = now.max(due);
            done.extend(
                claim.handle_timeout(now).into_iter().map(|out| (now.duration_since(from).as_secs(), out)),
            );
        }
        done
    }

    fn sent_by(mac: [u8; 6], source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        let other =
            Claim { mac: EthernetAddress(mac), address: target, ..Claim::new(mac, 1, Instant::now()) };
        match other.packet(source) {
            Output::Broadcast(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_is_asked_for_and_then_used() {
        let now = Instant::now();
        let mut claim = Claim::new(MAC, 7, now);
        let done = run(&mut claim, now, 20);
        let address = claim.address;
        assert!(address.is_link_local() && (1..=254).contains(&address.octets()[2]), "{address}");
        let what: Vec<_> = done.iter().map(|(_, output)| output.clone()).collect();
        let probe = Output::Broadcast(sent_by(MAC, Ipv4Addr::UNSPECIFIED, address));
        let told = Output::Broadcast(sent_by(MAC, address, address));
        let expected = [&probe, &probe, &probe, &Output::Configure(address), &told, &told].map(Clone::clone);
        assert_eq!(what, expected);
        assert!((4..=7).contains(&done[3].0), "{done:?}");
        assert_eq!(claim.deadline(), None);
        assert_eq!(Claim::new(MAC, 7, now).address, address);
        assert_ne!(Claim::new(MAC, 8, now).address, address);
    }

    #[test]
    fn what_somebody_has_or_wants_is_left_to_him() {
        let now = Instant::now();
        for is_wanted in [true, false] {
            let mut claim = Claim::new(MAC, 7, now);
            run(&mut claim, now, 2);
            let first = claim.address;
            let source = if is_wanted { Ipv4Addr::UNSPECIFIED } else { first };
            assert_eq!(claim.receive(now, &sent_by(MAC, source, first)), [], "our own packet");
            assert_eq!(claim.receive(now, &sent_by(OTHER, Ipv4Addr::new(169, 254, 1, 1), first)), []);
            assert_eq!(claim.address, first);
            assert_eq!(claim.receive(now, &sent_by(OTHER, source, first)), []);
            assert_ne!(claim.address, first);
            let done = run(&mut claim, now, 30);
            assert!(done.iter().any(|(_, output)| *output == Output::Configure(claim.address)), "{done:?}");
        }
    }

    #[test]
    fn an_address_in_use_is_defended_once() {
        let start = Instant::now();
        let mut claim = Claim::new(MAC, 7, start);
        run(&mut claim, start, 30);
        let address = claim.address;
        let theirs = sent_by(OTHER, address, address);
        let later = start + Duration::from_secs(40);
        assert_eq!(claim.receive(later, &theirs), [claim.packet(address)]);
        let asks = sent_by(OTHER, Ipv4Addr::UNSPECIFIED, address);
        assert_eq!(claim.receive(later, &asks), [], "the kernel answers who only asks");
        assert_eq!(claim.receive(later + Duration::from_secs(20), &theirs), [claim.packet(address)]);
        assert_eq!(claim.receive(later + Duration::from_secs(21), &theirs), [Output::Deconfigure]);
        assert_ne!(claim.address, address);
    }

    #[test]
    fn who_wants_every_address_is_not_raced() {
        let mut now = Instant::now();
        let end = now + Duration::from_mins(10);
        let mut claim = Claim::new(MAC, 7, now);
        let mut sent = 0;
        while now < end {
            sent += claim.handle_timeout(now).len();
            claim.receive(now, &sent_by(OTHER, Ipv4Addr::UNSPECIFIED, claim.address));
            now += Duration::from_millis(500);
        }
        assert!(sent < 20, "{sent}");
        for bytes in [&[][..], &[0; 27], &[0xff; PACKET]] {
            assert_eq!(claim.receive(now, bytes), []);
        }
    }
}
