//! The tracker while strangers send it whatever they like over UDP, as fast as they can.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use system_tests::content::Chance;
use system_tests::daemon::{Daemon, Site};
use system_tests::network;
use system_tests::tracker::Announce;
use system_tests::{figure, left_out};
use torrent::InfoHash;

/// Packets a second.
const RATE: u32 = 100_000;

/// How long they come, in seconds.
const SECONDS: u32 = 10;

/// Clients that announce meanwhile, one after the other and evenly over that time. Each has an address of its own.
const HONEST: u16 = 1_000;

/// Networks that packets come from; few enough of each for none to be refused for its network's sake.
const NETWORKS: u8 = 250;

/// After that an honest client asks again. BEP 15 lets it wait for longer, when the flood would be over.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it asks at most.
const ATTEMPTS: u32 = 4;

/// Requests that may have to be sent again before it is clear that this machine is too slow for such a flood.
const MOST_IN_VAIN: u32 = 100;

/// Memory that the daemon may take for all of it, in bytes: for the honest clients, and for what it has never done before.
const MEMORY: u64 = 2 << 20;

/// The box, and the networks that everybody else is in.
const ADDRESSES: [&str; 2] = ["198.51.100.1/32", "198.18.0.0/15"];

/// What a request for a connection id has in its place.
const CONNECT: [u8; 8] = 0x0417_2710_1980_u64.to_be_bytes();

fn request(connection: [u8; 8], action: u8, body: &[u8]) -> Vec<u8> {
    [&connection[..], &[0, 0, 0, action, 5, 6, 7, 8], body].concat()
}

/// A client at an address of its own.
struct Client {
    socket: UdpSocket,
    /// How often it has asked in vain.
    in_vain: u32,
}

impl Client {
    fn new(address: IpAddr, tracker: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(tracker).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, in_vain: 0 }
    }

    /// Asks until there is an answer; what it says.
    fn ask(&mut self, connection: [u8; 8], action: u8, body: &[u8]) -> Option<Vec<u8>> {
        let mut answer = [0; 2048];
        for _ in 0..ATTEMPTS {
            self.socket.send(&request(connection, action, body)).unwrap();
            if let Ok(length) = self.socket.recv(&mut answer) {
                assert_eq!(answer[..8], [0, 0, 0, action, 5, 6, 7, 8], "{:?}", &answer[..length]);
                return Some(answer[8..length].to_vec());
            }
            self.in_vain += 1;
        }
        None
    }

    fn connect(&mut self) -> Option<[u8; 8]> {
        self.ask(CONNECT, 0, &[])?.try_into().ok()
    }

    /// Connects and announces; whether it was told of the box.
    fn announce(&mut self, announce: &Announce, seed: SocketAddr) -> bool {
        let Some(connection) = self.connect() else { return false };
        let Some(answer) = self.ask(connection, 1, &announce.udp_body()) else { return false };
        let SocketAddr::V4(seed) = seed else { return false };
        let told = [&seed.ip().octets()[..], &seed.port().to_be_bytes()].concat();
        answer[12..].chunks(6).any(|peer| peer == told)
    }
}

/// The number-th packet of the flood from a source that was given this connection id.
fn nuisance(chance: &mut Chance, number: u32, connection: [u8; 8]) -> Vec<u8> {
    let announce = |hash: &[u8]| [hash, &[1; 62]].concat();
    let mut random = |count| chance.bytes(count);
    match number % 4 {
        0 => random(1 + number as usize % 200),
        1 => request(random(8).try_into().unwrap(), 1, &announce(&random(20))),
        2 => request(random(8).try_into().unwrap(), 2, &random(20)),
        _ => request(connection, 1, &announce(&random(20))),
    }
}

/// Floods until told to end; how many packets were sent in how long.
fn flood(sources: &[(UdpSocket, [u8; 8])], is_over: &AtomicBool) -> (u32, Duration) {
    let mut chance = Chance::fresh();
    let packets =
        |connection| (0..64).map(|number| nuisance(&mut chance, number, connection)).collect::<Vec<_>>();
    let mut packets: Vec<_> = sources.iter().map(|(_, connection)| *connection).map(packets).collect();
    let started = Instant::now();
    let mut sent = 0_u32;
    loop {
        for ((socket, _), packets) in sources.iter().zip(&mut packets) {
            for packet in packets {
                // Another torrent each time, where there is one.
                if let Some(hash) = packet.get_mut(16..20) {
                    hash.copy_from_slice(&sent.to_be_bytes());
                }
                // What does not fit into the kernel's queue is lost, like any of them.
                let _ = socket.send(packet);
                sent += 1;
            }
            let elapsed = started.elapsed();
            if is_over.load(Ordering::Relaxed) {
                return (sent, elapsed);
            }
            std::thread::sleep((Duration::from_secs(1) * sent / RATE).saturating_sub(elapsed));
        }
    }
}

/// All honest clients announce, evenly over the time; how many are not told of the box, and how often one asked in vain.
fn announce_all(daemon: &Daemon, info_hash: InfoHash, tracker: SocketAddr) -> (usize, u32) {
    let seed = SocketAddr::new(tracker.ip(), daemon.peer.port());
    let started = Instant::now();
    let (mut failed, mut in_vain) = (0, 0);
    for number in 0..HONEST {
        let due = Duration::from_secs(SECONDS.into()) * number.into() / HONEST.into();
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        let [high, low] = number.to_be_bytes();
        let mut client = Client::new(Ipv4Addr::new(198, 19, high, low).into(), tracker);
        let is_told = client.announce(&Announce::new(info_hash, number).event("started"), seed);
        failed += usize::from(!is_told);
        in_vain += client.in_vain;
        assert!(in_vain < MOST_IN_VAIN, "{number} clients had to ask again so often");
    }
    (failed, in_vain)
}

#[test]
fn honest_clients_are_answered_in_a_flood_and_it_takes_no_memory() {
    if !network::make_private_with(&ADDRESSES) {
        return left_out("a flood of packets", "no network of its own");
    }
    let site = Site::new().listening_on("[::]").with_config("[discovery]\nlocal = false\ndht = false\n");
    let (daemon, info_hash) = site.start_with_file();
    let tracker = SocketAddr::new([198, 51, 100, 1].into(), daemon.tracker.port());
    let sources: Vec<_> = (0..NETWORKS)
        .map(|network| {
            let mut client = Client::new(Ipv4Addr::new(198, 18, network, 1).into(), tracker);
            let connection = client.connect().unwrap();
            (client.socket, connection)
        })
        .collect();
    let said = daemon.process.said().len();
    let before = daemon.own_memory();

    let is_over = AtomicBool::new(false);
    let ((failed, in_vain), (sent, time)) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&sources, &is_over));
        let answered = announce_all(&daemon, info_hash, tracker);
        is_over.store(true, Ordering::Relaxed);
        (answered, flood.join().unwrap())
    });
    let more = daemon.own_memory().saturating_sub(before);
    let dropped = dropped(daemon.tracker.port());
    let each_second = |packets: u32| f64::from(packets) / time.as_secs_f64();
    figure(
        "flood, packets each second, and those that the kernel dropped",
        (each_second(sent), each_second(dropped)),
    );
    figure("flood, honest requests that were sent again", in_vain);
    figure("flood, memory (KiB)", more >> 10);
    assert_eq!(failed, 0, "honest clients without an answer");
    assert!(in_vain == 0 || dropped > 0, "{in_vain} requests were received and not answered");
    assert!(more < MEMORY, "{more} bytes");
    assert_eq!(
        daemon.api.item("file").unwrap()["leechers"],
        HONEST,
        "all of them are in the swarm, and nobody else"
    );
    assert_eq!(daemon.process.said()[said..], [""; 0], "nothing of this is worth a line");
    daemon.end();
}

/// Packets that the kernel has not kept for the tracker's socket, for want of room.
fn dropped(port: u16) -> u32 {
    let table =
        ["udp", "udp6"].map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap());
    let at_port = |line: &&str| {
        line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
    };
    let last = |line: &str| line.split_whitespace().last()?.parse::<u32>().ok();
    table.iter().flat_map(|table| table.lines()).filter(at_port).filter_map(last).sum()
}
