//! A DHCP client (RFC 2131) for one link. Pure: packets, time and chance are arguments.
//!
//! Replies are asked for as broadcasts, so that an ordinary UDP socket receives them while the link has no address.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use smoltcp::wire::{DhcpMessageType, DhcpOpCode, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};

/// Longest packet (bytes) that is read: a UDP payload on Ethernet.
pub const MAX_PACKET: usize = 1500;

/// First wait for an answer; doubled with each try.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest wait for an answer: a router that comes back is noticed within a minute.
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Requests for one offer before another offer is sought.
const MAX_REQUESTS: u32 = 4;

/// Shortest time between renewal tries (RFC 2131 4.4.5).
const RENEW_RETRY: Duration = Duration::from_mins(1);

/// Leases shorter than this would have the box do nothing else.
const SHORTEST_LEASE: u32 = 60;

/// Longer leases, "infinite" included, are renewed as if they were this long.
const LONGEST_LEASE: u32 = 365 * 86_400;

/// Without any answer for this long something is wrong.
const SILENCE: Duration = Duration::from_secs(10);

/// Prefix length for servers that send no subnet mask.
const DEFAULT_PREFIX: u8 = 24;

/// Options asked for: subnet mask, router, DNS, time servers, lease times (RFC 2132).
const PARAMETERS: [u8; 7] = [1, 3, 6, TIME_SERVERS, 51, 58, 59];

/// Option number of the servers that tell the time (NTP).
const TIME_SERVERS: u8 = 42;

/// Time servers taken from one lease.
const MAX_TIME_SERVERS: usize = 3;

/// Option number of the routers.
const ROUTER: u8 = 3;

/// Option number of the host name.
const HOST_NAME: u8 = 12;

/// An address the box may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Prefix length of its network.
    pub prefix: u8,
    /// Default route.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Servers that tell the time.
    pub time_servers: Vec<Ipv4Addr>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send to everyone on the link.
    Broadcast(Vec<u8>),
    /// Send to this server.
    Unicast(Ipv4Addr, Vec<u8>),
    /// Use this lease from now on. Sent again after each renewal.
    Configure(Lease),
    /// The lease is lost.
    Deconfigure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    address: Ipv4Addr,
    server: Ipv4Addr,
}

#[derive(Debug, Clone)]
enum State {
    Selecting { tries: u32 },
    Requesting { offer: Offer, tries: u32 },
    Bound { lease: Lease, server: Ipv4Addr, renew: Instant, rebind: Instant, end: Instant },
}

/// The client's state.
#[derive(Debug)]
pub struct Client {
    mac: EthernetAddress,
    host_name: String,
    random: u64,
    transaction: u32,
    state: State,
    /// When the search for an address began.
    since: Instant,
    /// When to act without being asked.
    deadline: Instant,
}

impl Client {
    /// Starts the search at once. `random` tells this client's packets from those of others.
    pub fn new(mac: [u8; 6], host_name: &str, random: u64, now: Instant) -> Self {
        let mut client = Self {
            mac: EthernetAddress(mac),
            host_name: host_name.to_owned(),
            random,
            transaction: 0,
            state: State::Selecting { tries: 0 },
            since: now,
            deadline: now,
        };
        client.transaction = client.draw();
        client
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The lease in use.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Whether the search goes on for so long that people should know.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.lease().is_none() && now.duration_since(self.since) >= SILENCE
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Output> {
        if now < self.deadline {
            return Vec::new();
        }
        match self.state.clone() {
            State::Selecting { tries } => {
                self.state = State::Selecting { tries: tries + 1 };
                self.deadline = now + self.retry(tries);
                vec![Output::Broadcast(self.discover(now))]
            }
            State::Requesting { tries, .. } if tries >= MAX_REQUESTS => {
                self.search(now);
                self.handle_timeout(now)
            }
            State::Requesting { offer, tries } => {
                let packet = self.request(now, Some(&offer), Ipv4Addr::UNSPECIFIED);
                self.state = State::Requesting { offer, tries: tries + 1 };
                self.deadline = now + self.retry(tries);
                vec![Output::Broadcast(packet)]
            }
            State::Bound { end, .. } if now >= end => {
                self.since = now;
                self.search(now);
                let mut outputs = vec![Output::Deconfigure];
                outputs.extend(self.handle_timeout(now));
                outputs
            }
            State::Bound { lease, server, rebind, end, .. } => {
                let packet = self.request(now, None, lease.address);
                let next = if now < rebind { rebind } else { end };
                self.deadline = (now + RENEW_RETRY.max((next - now) / 2)).min(next);
                vec![if now < rebind { Output::Unicast(server, packet) } else { Output::Broadcast(packet) }]
            }
        }
    }

    /// Takes a packet from the link. What is not an answer to this client is ignored.
    pub fn receive(&mut self, now: Instant, packet: &[u8]) -> Vec<Output> {
        if packet.len() > MAX_PACKET {
            return Vec::new();
        }
        let Ok(packet) = DhcpPacket::new_checked(packet) else { return Vec::new() };
        let Ok(reply) = DhcpRepr::parse(&packet) else { return Vec::new() };
        if packet.opcode() != DhcpOpCode::Reply
            || reply.transaction_id != self.transaction
            || reply.client_hardware_address != self.mac
        {
            return Vec::new();
        }
        // Servers send several routers in order of preference; `DhcpRepr` only understands a single one.
        let lists = Lists {
            router: addresses(&packet, ROUTER).next(),
            time_servers: addresses(&packet, TIME_SERVERS).take(MAX_TIME_SERVERS).collect(),
        };
        match (&self.state, reply.message_type) {
            (State::Selecting { .. }, DhcpMessageType::Offer) => {
                let Some(server) = reply.server_identifier else { return Vec::new() };
                if !is_usable(reply.your_ip) {
                    return Vec::new();
                }
                self.state = State::Requesting { offer: Offer { address: reply.your_ip, server }, tries: 0 };
                self.deadline = now;
                self.handle_timeout(now)
            }
            (State::Requesting { offer, .. }, DhcpMessageType::Ack) if is_usable(reply.your_ip) => {
                let server = reply.server_identifier.unwrap_or(offer.server);
                self.bind(now, &reply, lists, server)
            }
            (State::Bound { server, .. }, DhcpMessageType::Ack) if is_usable(reply.your_ip) => {
                let server = reply.server_identifier.unwrap_or(*server);
                self.bind(now, &reply, lists, server)
            }
            (State::Requesting { .. }, DhcpMessageType::Nak) => {
                self.search(now);
                // Not at once, or a server that refuses everything is asked all the time.
                self.deadline = now + FIRST_RETRY;
                Vec::new()
            }
            (State::Bound { renew, .. }, DhcpMessageType::Nak) if now >= *renew => {
                self.since = now;
                self.search(now);
                let mut outputs = vec![Output::Deconfigure];
                outputs.extend(self.handle_timeout(now));
                outputs
            }
            _ => Vec::new(),
        }
    }

    fn search(&mut self, now: Instant) {
        self.transaction = self.draw();
        self.state = State::Selecting { tries: 0 };
        self.deadline = now;
    }

    fn bind(&mut self, now: Instant, reply: &DhcpRepr<'_>, lists: Lists, server: Ipv4Addr) -> Vec<Output> {
        let seconds = reply.lease_duration.unwrap_or(SHORTEST_LEASE).clamp(SHORTEST_LEASE, LONGEST_LEASE);
        let rebind = reply.rebind_duration.filter(|t2| *t2 < seconds).unwrap_or(seconds / 8 * 7);
        let renew =
            reply.renew_duration.filter(|t1| *t1 <= rebind && *t1 > 0).unwrap_or(rebind.min(seconds / 2));
        let at = |seconds: u32| now + Duration::from_secs(u64::from(seconds));
        let lease = Lease {
            address: reply.your_ip,
            prefix: reply.subnet_mask.and_then(prefix_of).unwrap_or(DEFAULT_PREFIX),
            router: lists.router,
            dns: reply.dns_servers.iter().flatten().copied().filter(|server| is_usable(*server)).collect(),
            time_servers: lists.time_servers,
        };
        self.transaction = self.draw();
        self.deadline = at(renew);
        self.state = State::Bound {
            lease: lease.clone(),
            server,
            renew: at(renew),
            rebind: at(rebind),
            end: at(seconds),
        };
        vec![Output::Configure(lease)]
    }

    fn discover(&self, now: Instant) -> Vec<u8> {
        self.packet(now, DhcpMessageType::Discover, None, Ipv4Addr::UNSPECIFIED)
    }

    /// A request for an offer, or for more time with the address `current`.
    fn request(&self, now: Instant, offer: Option<&Offer>, current: Ipv4Addr) -> Vec<u8> {
        self.packet(now, DhcpMessageType::Request, offer, current)
    }

    fn packet(
        &self,
        now: Instant,
        message_type: DhcpMessageType,
        offer: Option<&Offer>,
        client_ip: Ipv4Addr,
    ) -> Vec<u8> {
        let options = [DhcpOption { kind: HOST_NAME, data: self.host_name.as_bytes() }];
        let repr = DhcpRepr {
            message_type,
            transaction_id: self.transaction,
            secs: u16::try_from(now.duration_since(self.since).as_secs()).unwrap_or(u16::MAX),
            client_hardware_address: self.mac,
            client_ip,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            // With an address of its own the client receives unicasts.
            broadcast: client_ip.is_unspecified(),
            requested_ip: offer.map(|offer| offer.address),
            client_identifier: Some(self.mac),
            server_identifier: offer.map(|offer| offer.server),
            parameter_request_list: Some(&PARAMETERS),
            dns_servers: None,
            max_size: u16::try_from(MAX_PACKET).ok(),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &options,
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes))
            .expect("invariant: the buffer has the length asked for");
        bytes
    }

    /// Waits double; the part of a second keeps boxes that were switched on together apart.
    fn retry(&mut self, tries: u32) -> Duration {
        let jitter = Duration::from_millis(u64::from(self.draw() % 1000));
        (FIRST_RETRY * 2_u32.pow(tries.min(6))).min(LAST_RETRY) + jitter
    }

    /// The next random number (`SplitMix64`).
    fn draw(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}

/// What a reply has in lists of addresses.
struct Lists {
    router: Option<Ipv4Addr>,
    time_servers: Vec<Ipv4Addr>,
}

/// The addresses in an option that can be a host's.
fn addresses<'a>(packet: &'a DhcpPacket<&'a [u8]>, kind: u8) -> impl Iterator<Item = Ipv4Addr> + 'a {
    let data = packet.options().find(|option| option.kind == kind).map_or(&[][..], |option| option.data);
    data.chunks_exact(4)
        .map(|octets| Ipv4Addr::from([octets[0], octets[1], octets[2], octets[3]]))
        .filter(|address| is_usable(*address))
}

/// Whether an address can be a host's.
fn is_usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_loopback() || address.is_multicast())
}

/// Length of a mask whose ones all come first.
fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let prefix = u8::try_from(bits.leading_ones()).ok()?;
    (bits.count_ones() == u32::from(prefix) && prefix > 0).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::DhcpMessageType as Type;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    /// A server's answer to `request`.
    struct Answer {
        message_type: Type,
        address: Ipv4Addr,
        mask: Option<Ipv4Addr>,
        lease: Option<u32>,
        renew: Option<u32>,
        rebind: Option<u32>,
        routers: &'static [u8],
        time_servers: &'static [u8],
    }

    fn answer(message_type: Type) -> Answer {
        let mask = Some(Ipv4Addr::new(255, 255, 255, 0));
        Answer {
            message_type,
            address: ADDRESS,
            mask,
            lease: Some(3600),
            renew: None,
            rebind: None,
            routers: &[10, 0, 2, 2],
            time_servers: &[],
        }
    }

    impl Answer {
        fn to(&self, request: &[u8]) -> Vec<u8> {
            let packet = DhcpPacket::new_checked(request).unwrap();
            let mut repr = DhcpRepr::parse(&packet).unwrap();
            repr.message_type = self.message_type;
            repr.your_ip = self.address;
            repr.client_ip = Ipv4Addr::UNSPECIFIED;
            repr.requested_ip = None;
            repr.client_identifier = None;
            repr.parameter_request_list = None;
            repr.server_identifier = Some(SERVER);
            repr.subnet_mask = self.mask;
            // What `DhcpRepr` does not write itself.
            let times =
                [(58, self.renew), (59, self.rebind)].map(|(kind, time)| (kind, time.map(u32::to_be_bytes)));
            let times = times
                .iter()
                .filter_map(|(kind, time)| Some(DhcpOption { kind: *kind, data: time.as_ref()? }));
            let options: Vec<_> = times
                .chain([DhcpOption { kind: ROUTER, data: self.routers }])
                .chain([DhcpOption { kind: TIME_SERVERS, data: self.time_servers }])
                .collect();
            repr.additional_options = &options;
            repr.dns_servers = Some([Ipv4Addr::new(10, 0, 2, 3)].into_iter().collect());
            repr.lease_duration = self.lease;
            let mut bytes = vec![0; repr.buffer_len()];
            repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).unwrap();
            bytes
        }
    }

    fn client(now: Instant) -> Client {
        Client::new(MAC, "blackbox", 7, now)
    }

    /// The one packet that is sent when the deadline has come, and the time then.
    fn sent(client: &mut Client) -> (Instant, Output, Vec<u8>) {
        let now = client.deadline();
        let outputs = client.handle_timeout(now);
        let output = outputs.last().unwrap().clone();
        match output.clone() {
            Output::Broadcast(packet) | Output::Unicast(_, packet) => (now, output, packet),
            other => panic!("{other:?}"),
        }
    }

    fn kind(packet: &[u8]) -> Type {
        DhcpRepr::parse(&DhcpPacket::new_checked(packet).unwrap()).unwrap().message_type
    }

    fn bound(with: &Answer) -> (Client, Instant) {
        let mut client = client(Instant::now());
        let (now, _, discover) = sent(&mut client);
        let [Output::Broadcast(request)] = &client.receive(now, &answer(Type::Offer).to(&discover))[..]
        else {
            panic!("an offer is followed by a request");
        };
        let outputs = client.receive(now, &with.to(request));
        assert!(matches!(&outputs[..], [Output::Configure(_)]), "{outputs:?}");
        (client, now)
    }

    #[test]
    fn an_offer_is_requested_and_becomes_a_lease() {
        let (client, _) = bound(&answer(Type::Ack));
        let dns = vec![Ipv4Addr::new(10, 0, 2, 3)];
        assert_eq!(
            client.lease(),
            Some(&Lease { address: ADDRESS, prefix: 24, router: Some(SERVER), dns, time_servers: vec![] })
        );
    }

    #[test]
    fn the_discover_says_who_asks() {
        let mut client = client(Instant::now());
        let (_, _, packet) = sent(&mut client);
        let packet = DhcpPacket::new_checked(&packet[..]).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        assert_eq!(repr.message_type, Type::Discover);
        assert!(repr.broadcast && repr.client_hardware_address == EthernetAddress(MAC));
        let name = packet.options().find(|option| option.kind == HOST_NAME).unwrap();
        assert_eq!(name.data, b"blackbox");
    }

    #[test]
    fn waits_for_an_offer_double_up_to_a_minute_and_never_end() {
        let start = Instant::now();
        let mut client = client(start);
        let times: Vec<_> = (0..12).map(|_| sent(&mut client).0).collect();
        let waits: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]);
        assert!(!client.is_silent(start + SILENCE / 2) && client.is_silent(start + SILENCE));
        assert_eq!(client.handle_timeout(start), [], "nothing is due before the deadline");
    }

    #[test]
    fn a_server_that_offers_and_then_is_silent_is_given_up() {
        let mut client = client(Instant::now());
        let (now, _, discover) = sent(&mut client);
        client.receive(now, &answer(Type::Offer).to(&discover));
        let kinds: Vec<_> = (0..MAX_REQUESTS).map(|_| kind(&sent(&mut client).2)).collect();
        assert_eq!(kinds, [Type::Request, Type::Request, Type::Request, Type::Discover]);
    }

    #[test]
    fn a_refused_request_starts_the_search_again() {
        let mut client = client(Instant::now());
        let (now, _, discover) = sent(&mut client);
        let outputs = client.receive(now, &answer(Type::Offer).to(&discover));
        let [Output::Broadcast(request)] = &outputs[..] else { panic!() };
        assert_eq!(client.receive(now, &answer(Type::Nak).to(request)), []);
        assert!(client.deadline() > now);
        assert_eq!(kind(&sent(&mut client).2), Type::Discover);
    }

    #[test]
    fn a_lease_is_renewed_with_its_server_then_with_any_then_lost() {
        let (mut client, start) = bound(&answer(Type::Ack));
        let (now, output, _) = sent(&mut client);
        assert_eq!((now - start).as_secs(), 1800);
        assert!(matches!(output, Output::Unicast(server, _) if server == SERVER));
        let mut last = output;
        let mut broadcasts = 0;
        while client.lease().is_some() {
            let now = client.deadline();
            assert!(now - start <= Duration::from_hours(1));
            let outputs = client.handle_timeout(now);
            match &outputs[0] {
                Output::Broadcast(_) => {
                    broadcasts += 1;
                    assert!((now - start).as_secs() >= 3600 / 8 * 7);
                }
                Output::Unicast(..) => assert_eq!(broadcasts, 0, "the old server alone is not asked again"),
                Output::Configure(_) | Output::Deconfigure => {}
            }
            last = outputs[0].clone();
        }
        assert!(broadcasts > 0);
        assert_eq!(last, Output::Deconfigure);
    }

    #[test]
    fn a_renewed_lease_starts_anew() {
        let (mut client, start) = bound(&answer(Type::Ack));
        let (now, _, request) = sent(&mut client);
        let outputs = client.receive(now, &answer(Type::Ack).to(&request));
        assert_eq!(outputs, [Output::Configure(client.lease().unwrap().clone())]);
        assert_eq!((client.deadline() - start).as_secs(), 2 * 1800);
    }

    #[test]
    fn a_lease_that_is_refused_on_renewal_is_given_back() {
        let (mut client, _) = bound(&answer(Type::Ack));
        let (now, _, request) = sent(&mut client);
        let outputs = client.receive(now, &answer(Type::Nak).to(&request));
        assert!(matches!(&outputs[..], [Output::Deconfigure, Output::Broadcast(_)]), "{outputs:?}");
    }

    #[test]
    fn senseless_times_are_replaced() {
        for (lease, renew, rebind, first) in [
            (None, None, None, 30),
            (Some(0), None, None, 30),
            (Some(3600), Some(0), None, 1800),
            (Some(3600), Some(9999), Some(9999), 1800),
            (Some(3600), Some(100), None, 100),
            (Some(u32::MAX), None, None, u64::from(LONGEST_LEASE / 2)),
        ] {
            let (client, start) = bound(&Answer { lease, renew, rebind, ..answer(Type::Ack) });
            assert_eq!((client.deadline() - start).as_secs(), first, "{lease:?} {renew:?} {rebind:?}");
        }
    }

    #[test]
    fn the_first_of_several_routers_is_used() {
        for (routers, router) in [
            (&[10, 0, 2, 1, 10, 0, 2, 9][..], Some(Ipv4Addr::new(10, 0, 2, 1))),
            (&[10, 0, 2, 1], Some(Ipv4Addr::new(10, 0, 2, 1))),
            (&[0, 0, 0, 0], None),
            (&[10, 0], None),
        ] {
            let (client, _) = bound(&Answer { routers, ..answer(Type::Ack) });
            assert_eq!(client.lease().unwrap().router, router, "{routers:?}");
        }
    }

    #[test]
    fn a_few_servers_that_tell_the_time_are_taken() {
        for (time_servers, expected) in [
            (&[][..], &[][..]),
            (&[10, 0, 2, 1, 0, 0, 0, 0, 10, 0], &[1]),
            (&[10, 0, 2, 1, 10, 0, 2, 2, 10, 0, 2, 3, 10, 0, 2, 4], &[1, 2, 3]),
        ] {
            let (client, _) = bound(&Answer { time_servers, ..answer(Type::Ack) });
            let last: Vec<u8> =
                client.lease().unwrap().time_servers.iter().map(|ip| ip.octets()[3]).collect();
            assert_eq!(last, expected, "{time_servers:?}");
        }
    }

    #[test]
    fn masks_have_their_ones_first() {
        for (mask, prefix) in [
            ([255, 255, 255, 0], 24),
            ([255, 255, 255, 255], 32),
            ([255, 0, 255, 0], DEFAULT_PREFIX),
            ([0, 0, 0, 0], DEFAULT_PREFIX),
        ] {
            let (client, _) = bound(&Answer { mask: Some(mask.into()), ..answer(Type::Ack) });
            assert_eq!(client.lease().unwrap().prefix, prefix, "{mask:?}");
        }
    }

    #[test]
    fn answers_to_others_and_damage_are_ignored() {
        let mut client = client(Instant::now());
        let (now, _, discover) = sent(&mut client);
        let offer = answer(Type::Offer).to(&discover);
        let mut other_transaction = offer.clone();
        other_transaction[4] ^= 1;
        let mut other_mac = offer.clone();
        other_mac[28] ^= 1;
        let mut request = offer.clone();
        request[0] = 1;
        let unusable = Answer { address: Ipv4Addr::BROADCAST, ..answer(Type::Offer) }.to(&discover);
        for packet in [other_transaction, other_mac, request, unusable, vec![0; MAX_PACKET + 1], vec![]] {
            assert_eq!(client.receive(now, &packet), []);
        }
        for length in 0..offer.len() {
            let mut client = Client::new(MAC, "blackbox", 7, now);
            client.handle_timeout(now);
            client.receive(now, &offer[..length]);
        }
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut mutated = offer.clone();
            let at = usize::try_from(random >> 33).unwrap() % mutated.len();
            mutated[at] = random.to_be_bytes()[4];
            Client::new(MAC, "blackbox", 7, now).receive(now, &mutated);
        }
        assert!(!client.receive(now, &offer).is_empty(), "the right answer is still taken");
    }
}
