use super::desk::MAX_ANSWERS;
use super::*;
use crate::testing::start;

/// The same sequence for the same seed (a linear congruential generator).
fn random(seed: u64) -> Random {
    let mut state = seed;
    Box::new(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.rotate_right(29) ^ state
    })
}

/// Nodes that send each other packets in no time.
struct Network {
    now: Instant,
    nodes: BTreeMap<SocketAddr, Dht>,
    events: Vec<(SocketAddr, Event)>,
    /// Nodes that are switched off.
    silent: Vec<SocketAddr>,
    packets: usize,
}

fn address(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    ([203, 0, high, low], 6881).into()
}

impl Network {
    fn new(count: u16) -> Self {
        let now = start();
        let node = |number: u16| {
            let mut random = random(number.into());
            let id = NodeId::at(address(number).ip(), std::array::from_fn(|_| random().to_be_bytes()[0]));
            let config = Config { id, v6: false, port: 7000 + number, key: [1; 16], random };
            (address(number), Dht::new(now, config))
        };
        Self {
            now,
            nodes: (0..count).map(node).collect(),
            events: Vec::new(),
            silent: Vec::new(),
            packets: 0,
        }
    }

    /// All enter by the first.
    fn of_acquainted(count: u16) -> Self {
        let mut network = Self::new(count);
        for number in 1..count {
            let now = network.now;
            network.node(number).enter(now, [address(0)]);
            network.settle();
        }
        network
    }

    fn node(&mut self, number: u16) -> &mut Dht {
        self.nodes.get_mut(&address(number)).unwrap()
    }

    /// Delivers packets until there are none.
    fn settle(&mut self) {
        loop {
            let mut packets = Vec::new();
            for (source, node) in &mut self.nodes {
                while let Some((target, packet)) = node.poll_transmit() {
                    assert!(packet.len() <= MAX_PACKET);
                    packets.push((*source, target, packet));
                }
                self.events.extend(std::iter::from_fn(|| node.poll_event()).map(|event| (*source, event)));
            }
            if packets.is_empty() {
                return;
            }
            self.packets += packets.len();
            for (source, target, packet) in packets {
                if let Some(node) = self.nodes.get_mut(&target).filter(|_| !self.silent.contains(&target)) {
                    node.receive(self.now, &packet, source);
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let awake = self.nodes.iter_mut().filter(|(address, _)| !self.silent.contains(address));
            let due = awake.map(|(_, node)| node.next_deadline()).min().unwrap();
            self.now = due.clamp(self.now, end);
            for (_, node) in self.nodes.iter_mut().filter(|(address, _)| !self.silent.contains(address)) {
                node.handle_timeout(self.now);
            }
            self.settle();
            if self.now == end {
                return;
            }
        }
    }

    /// Announces, and returns to how many nodes, and which peers were found.
    fn announce(&mut self, number: u16, info_hash: InfoHash) -> (usize, Vec<SocketAddr>) {
        let now = self.now;
        self.events.clear();
        self.node(number).announce(now, info_hash);
        self.settle();
        self.pass(Duration::from_mins(1));
        let mut announced = None;
        let mut peers = Vec::new();
        for (node, event) in std::mem::take(&mut self.events) {
            assert_eq!(node, address(number));
            match event {
                Event::Announced { nodes, .. } => assert_eq!(announced.replace(nodes), None),
                Event::Peer { address, .. } => peers.push(address),
            }
        }
        peers.sort_unstable();
        peers.dedup();
        (announced.expect("it comes to an end"), peers)
    }
}

#[test]
fn what_one_announces_others_find() {
    let mut network = Network::of_acquainted(100);
    let info_hash = InfoHash([0x5a; 20]);
    assert_eq!(network.announce(5, info_hash), (K, vec![]));
    let told = |number: u16| SocketAddr::new(address(number).ip(), 7000 + number);
    assert_eq!(network.announce(70, info_hash), (K, vec![told(5)]));
    assert_eq!(network.announce(42, info_hash), (K, vec![told(5), told(70)]));
    assert_eq!(network.announce(42, InfoHash([9; 20])), (K, vec![]));
    // It is forgotten by those who don't announce again.
    network.pass(Duration::from_hours(1));
    assert_eq!(network.announce(43, info_hash), (K, vec![]));
}

#[test]
fn a_lookup_takes_few_queries() {
    let mut network = Network::of_acquainted(300);
    network.packets = 0;
    network.announce(200, InfoHash([0x77; 20]));
    // Upkeep of all nodes in a minute is a part of these.
    assert!(network.packets < 2000, "{}", network.packets);
    let before = network.packets;
    let now = network.now;
    network.node(200).announce(now, InfoHash([0x33; 20]));
    network.settle();
    assert!(network.packets - before < 120, "{}", network.packets - before);
}

#[test]
fn nodes_that_are_switched_off_are_gone_around_and_forgotten() {
    let mut network = Network::of_acquainted(60);
    let info_hash = InfoHash([0x5a; 20]);
    network.silent = (1..60).step_by(2).map(address).collect();
    // Half of what the others know of is gone, and with it some of the way.
    assert!(network.announce(4, info_hash).0 >= K / 2);
    let (_, peers) = network.announce(8, info_hash);
    assert_eq!(peers.len(), 1);
    network.pass(Duration::from_hours(2));
    let silent = network.silent.clone();
    assert!(network.node(4).nodes().all(|node| !silent.contains(&node.address)));
    assert!(!network.node(4).is_alone());
}

#[test]
fn without_other_nodes_it_says_so() {
    let mut network = Network::new(2);
    assert!(network.node(0).is_alone() && network.node(0).lookups() == 0);
    assert_eq!(network.announce(0, InfoHash([1; 20])), (0, vec![]));
    network.silent = vec![address(1)];
    let now = network.now;
    network.node(0).enter(now, [address(1)]);
    network.settle();
    network.pass(Duration::from_mins(1));
    assert!(network.node(0).is_alone());
    network.silent.clear();
    let now = network.now;
    network.node(0).enter(now, [address(1)]);
    network.settle();
    assert!(!network.node(0).is_alone() && !network.node(1).is_alone(), "both know each other");
}

#[test]
fn announcements_of_others_need_their_own_token() {
    let mut network = Network::new(1);
    let now = network.now;
    let node = network.node(0);
    let id = NodeId([9; 20]);
    let info_hash = InfoHash([1; 20]);
    let mut ask = |query: Query<'_>, source: SocketAddr| {
        let packet =
            Message { transaction: b"x", body: Body::Query { id, query, read_only: true } }.to_bytes();
        node.receive(now, &packet, source);
        let (target, answer) = node.poll_transmit().unwrap();
        assert_eq!(target, source);
        assert!(node.poll_transmit().is_none(), "who is read-only is not asked");
        answer
    };
    let token_of = |answer: &[u8]| match Message::parse(answer).unwrap().body {
        Body::Response { response, .. } => response.token.unwrap().to_vec(),
        other => panic!("{other:?}"),
    };
    let token = token_of(&ask(Query::GetPeers(info_hash), address(5)));
    let announce = |port| Query::AnnouncePeer { info_hash, port, token: &token };
    let is_refused = |answer: Vec<u8>| matches!(Message::parse(&answer).unwrap().body, Body::Error(_));
    assert!(is_refused(ask(announce(Some(1)), address(6))));
    assert!(!is_refused(ask(announce(Some(1)), address(5))));
    assert!(!is_refused(ask(announce(None), address(5))));
    assert!(is_refused(ask(Query::AnnouncePeer { info_hash, port: None, token: b"" }, address(5))));
    let answer = ask(Query::GetPeers(info_hash), address(7));
    let Body::Response { response, seen_at } = Message::parse(&answer).unwrap().body else { panic!() };
    let mut values = response.values;
    values.sort_unstable();
    assert_eq!(values, [SocketAddr::new(address(5).ip(), 1), address(5)]);
    assert_eq!(seen_at, Some(address(7)));
}

#[test]
fn a_flood_is_not_answered_in_full() {
    let mut network = Network::new(1);
    let (now, node) = (network.now, network.nodes.values_mut().next().unwrap());
    let query =
        |id| Message { transaction: b"x", body: Body::Query { id, query: Query::Ping, read_only: false } };
    for number in 0..10_000_u16 {
        let mut id = [0xff; 20];
        id[..2].copy_from_slice(&number.to_be_bytes());
        node.receive(now, &query(NodeId(id)).to_bytes(), address(number));
    }
    let sent = std::iter::from_fn(|| node.poll_transmit()).count();
    assert!(sent <= 2 * MAX_ANSWERS as usize, "{sent}");
    assert!(node.is_alone(), "who asks is not believed before it has answered");
    assert!(node.pending.len() <= MAX_PENDING);
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut network = Network::new(2);
    let now = network.now;
    network.node(0).enter(now, [address(1)]);
    let (_, packet) = network.node(0).poll_transmit().unwrap();
    let transaction = Message::parse(&packet).unwrap().transaction.to_vec();
    let node = Node { id: NodeId([7; 20]), address: address(9) };
    let response = Response { id: NodeId([6; 20]), nodes: vec![node], values: vec![], token: None };
    let answer = |transaction: &[u8]| {
        Message { transaction, body: Body::Response { response: response.clone(), seen_at: None } }.to_bytes()
    };
    for (transaction, source) in [(&transaction[..], address(8)), (b"none", address(1)), (b"", address(1))] {
        network.node(0).receive(now, &answer(transaction), source);
        assert!(network.node(0).is_alone() && network.node(0).poll_transmit().is_none());
    }
    network.node(0).receive(now, &answer(&transaction), address(1));
    assert_eq!(network.node(0).poll_transmit().map(|(target, _)| target), Some(address(9)));
}

#[test]
fn nobody_is_led_into_a_network_that_is_not_the_tellers() {
    let mut network = Network::new(1);
    let now = network.now;
    network.node(0).enter(now, [address(1)]);
    let (_, packet) = network.node(0).poll_transmit().unwrap();
    let transaction = Message::parse(&packet).unwrap().transaction.to_vec();
    let places = ["192.168.1.1:80", "127.0.0.1:80", "203.0.113.1:0", "[2001:db8::1]:80", "224.0.0.1:80"];
    let nodes = places.iter().enumerate().map(|(number, place)| Node {
        id: NodeId([u8::try_from(number).unwrap(); 20]),
        address: place.parse().unwrap(),
    });
    let response = Response { id: NodeId([6; 20]), nodes: nodes.collect(), values: vec![], token: None };
    let body = Body::Response { response, seen_at: None };
    network.node(0).receive(now, &Message { transaction: &transaction, body }.to_bytes(), address(1));
    assert_eq!(network.node(0).poll_transmit(), None);
}

#[test]
fn an_id_that_does_not_fit_the_address_is_changed() {
    let mut network = Network::of_acquainted(30);
    let now = network.now;
    let stranger = address(999);
    let config = Config { id: NodeId([0; 20]), v6: false, port: 1, key: [0; 16], random: random(1) };
    network.nodes.insert(stranger, Dht::new(now, config));
    network.node(999).enter(now, [address(0)]);
    network.settle();
    // Some have to say so; it hears it while it looks around.
    network.pass(Duration::from_mins(30));
    let node = network.node(999);
    assert!(node.id().fits(stranger.ip()));
    assert!(!node.is_alone());
    assert!(network.nodes[&address(3)].id().fits(address(3).ip()));
}

#[test]
fn a_lookup_ends_even_if_chance_repeats_itself() {
    let now = start();
    let config = Config { id: NodeId([9; 20]), v6: false, port: 1, key: [0; 16], random: Box::new(|| 7) };
    let mut node = Dht::new(now, config);
    node.enter(now, (1..4).map(address));
    let packets: Vec<_> = std::iter::from_fn(|| node.poll_transmit()).map(|(_, packet)| packet).collect();
    let transactions = packets.iter().map(|packet| Message::parse(packet).unwrap().transaction);
    assert_eq!(transactions.collect::<std::collections::BTreeSet<_>>().len(), 3);
    node.handle_timeout(now + ANSWER_LIMIT);
    assert_eq!(node.lookups(), 0);
}

#[test]
fn who_answers_as_another_holds_nobodys_place() {
    let mut lookup = Lookup::find(NodeId([0; 20]));
    let nodes = (1..=12).map(|n| Node { id: NodeId([n; 20]), address: address(n.into()) });
    nodes.for_each(|node| lookup.add(node));
    let mut asked = 0;
    while let Some((address, id)) = lookup.next() {
        lookup.answered(id, Node { id: NodeId([0xff; 20]), address }, None);
        asked += 1;
    }
    assert_eq!(asked, 12);
    assert!(lookup.is_done());
}
