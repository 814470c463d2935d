//! Announces as clients make them, written apart from the box's own code.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use torrent::InfoHash;
use torrent::bencode::{self, Dictionary, Limits, Value};

use crate::http::{Request, Response};

const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 4 };

/// Longer than this no answer over UDP takes on one machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// An announce, to be sent over HTTP or UDP.
#[derive(Debug, Clone)]
pub struct Announce {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Number of the client: its peer id is made of it.
    pub client: u16,
    /// Its port.
    pub port: u16,
    /// Bytes it lacks.
    pub left: u64,
    /// BEP 3; empty for none.
    pub event: &'static str,
    /// Further parameters of an HTTP announce, such as `&compact=0`.
    pub more: &'static str,
    /// What stands before `/announce` in the URL: nothing, or a slash and a member's passkey.
    pub base: &'static str,
    /// Bytes it says it has downloaded.
    pub downloaded: u64,
}

impl Announce {
    /// A client that begins to download; clients of different numbers have different ports.
    pub fn new(info_hash: InfoHash, client: u16) -> Self {
        Self {
            info_hash,
            client,
            port: 20_000 + client,
            left: 1,
            event: "",
            more: "",
            base: "",
            downloaded: 0,
        }
    }

    /// The same client, at another time.
    #[must_use]
    pub fn event(mut self, event: &'static str) -> Self {
        self.event = event;
        self
    }

    /// The same client, with so many bytes to go.
    #[must_use]
    pub fn left(mut self, left: u64) -> Self {
        self.left = left;
        self
    }

    /// With further parameters.
    #[must_use]
    pub fn more(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    /// As a member.
    #[must_use]
    pub fn member(mut self, base: &'static str) -> Self {
        self.base = base;
        self
    }

    fn peer_id(&self) -> String {
        format!("-TS0001-{:012}", self.client)
    }

    /// The request of an HTTP announce.
    pub fn request(&self) -> Request {
        let hash = escape(self.info_hash.as_bytes());
        let (id, port, left, more) = (self.peer_id(), self.port, self.left, self.more);
        let (base, downloaded) = (self.base, self.downloaded);
        let event = if self.event.is_empty() { String::new() } else { format!("&event={}", self.event) };
        Request::get(&format!(
            "{base}/announce?info_hash={hash}&peer_id={id}&port={port}&uploaded=0&downloaded={downloaded}&left={left}{event}{more}"
        ))
    }

    /// What follows the header of an announce over UDP (BEP 15).
    pub fn udp_body(&self) -> Vec<u8> {
        let event = match self.event {
            "" => 0_u32,
            "completed" => 1,
            "started" => 2,
            "stopped" => 3,
            other => panic!("no such event: {other}"),
        };
        let mut body = self.info_hash.as_bytes().to_vec();
        body.extend_from_slice(self.peer_id().as_bytes());
        for number in [self.downloaded, self.left, 0] {
            body.extend_from_slice(&number.to_be_bytes());
        }
        // Event, IP address (never believed), key, number wanted.
        for number in [event, 0xc000_0201, 7, u32::MAX] {
            body.extend_from_slice(&number.to_be_bytes());
        }
        body.extend_from_slice(&self.port.to_be_bytes());
        if !self.base.is_empty() {
            // The path of its URL (BEP 41).
            let path = format!("{}/announce", self.base);
            body.extend_from_slice(&[2, u8::try_from(path.len()).expect("a short path")]);
            body.extend_from_slice(path.as_bytes());
        }
        body
    }

    /// Announces over HTTP.
    ///
    /// # Panics
    /// When no proper answer comes.
    #[track_caller]
    pub fn http(&self, tracker: SocketAddr) -> Answer {
        Answer::parse(&self.request().send(tracker))
    }

    /// Announces over HTTP from another address of this machine.
    ///
    /// # Panics
    /// When no proper answer comes.
    #[track_caller]
    pub fn http_from(&self, source: IpAddr, tracker: SocketAddr) -> Answer {
        Answer::parse(&self.request().send_from(source, tracker))
    }
}

/// Every byte as `%xx`.
pub fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"))
}

/// What a tracker answers to an announce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Words for the user instead of peers.
    pub failure: Option<String>,
    /// Seconds until the next announce.
    pub interval: i64,
    /// Seeders.
    pub complete: i64,
    /// Leechers.
    pub incomplete: i64,
    /// Whom to connect to, sorted.
    pub peers: Vec<SocketAddr>,
}

impl Answer {
    #[track_caller]
    fn parse(response: &Response) -> Self {
        assert_eq!(response.status, 200, "a tracker says everything in bencode");
        let value = bencode::scan(&response.body, LIMITS).expect("canonical bencode");
        let answer = value.as_dictionary().expect("a dictionary");
        let integer = |key: &[u8]| answer.get(key).and_then(Value::as_integer).unwrap_or_default();
        let mut peers = peers(answer);
        peers.sort_unstable();
        Self {
            failure: answer.get(b"failure reason").map(|value| value.as_str().expect("words").to_owned()),
            interval: integer(b"interval"),
            complete: integer(b"complete"),
            incomplete: integer(b"incomplete"),
            peers,
        }
    }
}

fn peers(answer: Dictionary<'_>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    match answer.get(b"peers") {
        Some(Value::Bytes(compact)) => found.extend(compact_v4(compact)),
        Some(Value::List(list)) => found.extend(list.iter().map(|peer| {
            let peer = peer.as_dictionary().expect("a peer");
            let ip = peer.get(b"ip").and_then(Value::as_str).expect("ip").parse().expect("an address");
            let port = peer.get(b"port").and_then(Value::as_integer).expect("port");
            SocketAddr::new(ip, u16::try_from(port).expect("a port"))
        })),
        _ => {}
    }
    if let Some(compact) = answer.get(b"peers6").and_then(Value::as_bytes) {
        found.extend(compact_v6(compact));
    }
    found
}

fn compact_v4(compact: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (peers, rest) = compact.as_chunks::<6>();
    assert!(rest.is_empty(), "six bytes a peer");
    peers.iter().map(|&[a, b, c, d, e, f]| {
        SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, f])).into()
    })
}

fn compact_v6(compact: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (peers, rest) = compact.as_chunks::<18>();
    assert!(rest.is_empty(), "eighteen bytes a peer");
    peers.iter().map(|peer| {
        let ip: [u8; 16] = peer[..16].try_into().expect("16 bytes");
        SocketAddr::new(IpAddr::from(ip), u16::from_be_bytes([peer[16], peer[17]]))
    })
}

/// A UDP client that has its connection id (BEP 15).
#[derive(Debug)]
pub struct UdpClient {
    socket: UdpSocket,
    connection: [u8; 8],
}

impl UdpClient {
    /// Connects from `source` (port 0 picks one).
    ///
    /// # Panics
    /// When the tracker does not answer properly.
    #[track_caller]
    pub fn connect(source: SocketAddr, tracker: SocketAddr) -> Self {
        let socket = udp_socket(source, tracker);
        let mut request = 0x0417_2710_1980_u64.to_be_bytes().to_vec();
        request.extend_from_slice(&[0, 0, 0, 0, 1, 2, 3, 4]);
        let answer = exchange(&socket, &request).expect("an answer to connect");
        assert_eq!((answer.len(), &answer[..8]), (16, &[0, 0, 0, 0, 1, 2, 3, 4][..]), "connect");
        Self { socket, connection: answer[8..].try_into().expect("eight bytes") }
    }

    /// Announces; the error is what the tracker says.
    ///
    /// # Panics
    /// When the tracker does not answer properly.
    #[track_caller]
    pub fn announce(&self, announce: &Announce) -> Result<Answer, String> {
        let body = announce.udp_body();
        let answer = self.request(1, &body)?;
        let number =
            |at: usize| i64::from(u32::from_be_bytes(answer[at..at + 4].try_into().expect("four bytes")));
        let is_v4 = self.socket.local_addr().expect("bound").is_ipv4();
        let mut peers: Vec<_> =
            if is_v4 { compact_v4(&answer[12..]).collect() } else { compact_v6(&answer[12..]).collect() };
        peers.sort_unstable();
        Ok(Answer { failure: None, interval: number(0), incomplete: number(4), complete: number(8), peers })
    }

    /// Scrapes one torrent: seeders, completed downloads, leechers.
    ///
    /// # Panics
    /// When the tracker does not answer properly.
    #[track_caller]
    pub fn scrape(&self, info_hash: &InfoHash) -> Result<[u32; 3], String> {
        let answer = self.request(2, info_hash.as_bytes())?;
        assert_eq!(answer.len(), 12, "one torrent");
        let (numbers, _) = answer.as_chunks::<4>();
        Ok([0, 1, 2].map(|at| u32::from_be_bytes(numbers[at])))
    }

    /// Sends so many scrapes and reads no answer.
    ///
    /// # Panics
    /// When they can't be sent.
    pub fn flood(&self, info_hash: &InfoHash, count: usize) {
        let mut packet = self.connection.to_vec();
        packet.extend_from_slice(&[0, 0, 0, 2, 5, 6, 7, 8]);
        packet.extend_from_slice(info_hash.as_bytes());
        for _ in 0..count {
            self.socket.send(&packet).expect("a packet that fits");
        }
    }

    fn request(&self, action: u8, body: &[u8]) -> Result<Vec<u8>, String> {
        let mut packet = self.connection.to_vec();
        packet.extend_from_slice(&[0, 0, 0, action, 5, 6, 7, 8]);
        packet.extend_from_slice(body);
        let answer = exchange(&self.socket, &packet).expect("an answer");
        assert_eq!(answer.get(4..8), Some(&[5, 6, 7, 8][..]), "the transaction");
        match answer[3] {
            3 => Err(String::from_utf8_lossy(&answer[8..]).into_owned()),
            other => {
                assert_eq!(other, action);
                Ok(answer[8..].to_vec())
            }
        }
    }
}

/// Sends a packet and waits for the answer; `None` when there is none within `limit`.
///
/// # Panics
/// When it can't be sent.
#[track_caller]
pub fn udp_answer(tracker: SocketAddr, packet: &[u8], limit: Duration) -> Option<Vec<u8>> {
    let source = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let socket = udp_socket(source, tracker);
    socket.set_read_timeout(Some(limit)).expect("a time above zero");
    exchange(&socket, packet)
}

fn udp_socket(source: SocketAddr, tracker: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(source).expect("an address of ours");
    socket.connect(tracker).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time above zero");
    socket
}

fn exchange(socket: &UdpSocket, packet: &[u8]) -> Option<Vec<u8>> {
    socket.send(packet).expect("a packet that fits");
    let mut answer = vec![0; 2048];
    let length = socket.recv(&mut answer).ok()?;
    answer.truncate(length);
    Some(answer)
}
