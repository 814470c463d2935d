//! A driver without sockets, for a torrent of ten pieces.

use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use seeder::{
    Close, Event, ExtendedHandshake, HANDSHAKE_LENGTH, Handshake, Message, PeerSession, Range, Reserved,
    Torrent,
};
use torrent::{InfoHash, Lengths, PeerId, PieceIndex};

pub(crate) const PIECE_LENGTH: u32 = 0x8000;
pub(crate) const PIECES: u32 = 10;
/// The last piece has one whole block and 100 bytes.
pub(crate) const TOTAL: u64 = 9 * PIECE_LENGTH as u64 + 0x4000 + 100;

pub(crate) const METADATA_SIZE: u32 = 40_000;
pub(crate) const BLOCK: u32 = 0x4000;
pub(crate) const INFO_HASH: InfoHash = InfoHash([0xaa; 20]);
pub(crate) const OURS: PeerId = PeerId(*b"-bB0000-ourpeerid123");
pub(crate) const THEIRS: PeerId = PeerId(*b"-TR4050-theirpeerid1");

pub(crate) const PLAIN: Reserved = Reserved([0; 8]);
pub(crate) const FAST: Reserved = Reserved([0, 0, 0, 0, 0, 0, 0, 0x04]);
pub(crate) const EXTENDED: Reserved = Reserved([0, 0, 0, 0, 0, 0x10, 0, 0]);
pub(crate) const BOTH: Reserved = Reserved::OURS;

/// Some instant. Time is virtual in all tests; only its differences mean something.
#[expect(clippy::disallowed_methods, reason = "there is no other way to get an origin")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}

/// Says how something did; `scripts/test` prints it at its end.
#[expect(clippy::disallowed_types, reason = "only the crate itself does no I/O")]
pub(crate) fn figure(what: &str, value: &str) {
    println!("{what}: {value}");
    if let Some(path) = std::env::var_os("BLACKBOX_FIGURES") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{what}: {value}").unwrap();
    }
}

pub(crate) fn lengths() -> Lengths {
    Lengths::new(TOTAL, PIECE_LENGTH).unwrap()
}

/// Not an info dictionary, but of a size that takes three metadata pieces.
pub(crate) static INFO_BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..METADATA_SIZE).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect());

pub(crate) fn torrent() -> Torrent {
    Torrent {
        lengths: lengths(),
        metadata_size: METADATA_SIZE,
        v2: None,
        allowed_fast: Vec::new(),
        hand_out: false,
        exchange: false,
        port: None,
        dht_port: None,
        your_ip: None,
        withheld: Vec::new(),
    }
}

pub(crate) fn piece(index: u32) -> PieceIndex {
    lengths().piece(index).unwrap()
}

/// A request for a block of 16 KiB.
pub(crate) fn range(index: u32, begin: u32) -> Range {
    Range { index, begin, length: BLOCK }
}

pub(crate) fn bytes(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        message.encode(&mut bytes);
    }
    bytes
}

pub(crate) fn handshake(reserved: Reserved) -> [u8; HANDSHAKE_LENGTH] {
    Handshake { reserved, info_hash: INFO_HASH, peer_id: THEIRS }.to_bytes()
}

pub(crate) fn their_extended_handshake() -> Vec<u8> {
    ExtendedHandshake { ut_metadata: Some(9), client: Some(b"Client 1.2".to_vec()), ..Default::default() }
        .to_bytes()
}

/// A session and the time in which it lives.
pub(crate) struct Connection {
    pub(crate) now: Instant,
    pub(crate) session: PeerSession,
    /// What the session said and the test has not looked at.
    said: Vec<u8>,
}

impl Connection {
    /// A connection over which nothing went.
    pub(crate) fn new() -> Self {
        Self::opened(origin())
    }

    /// A connection over which nothing went, opened at this time.
    pub(crate) fn opened(now: Instant) -> Self {
        Self { now, session: PeerSession::new(now, OURS), said: Vec::new() }
    }

    /// A connection after both handshakes.
    pub(crate) fn attached(reserved: Reserved, torrent: Torrent) -> Self {
        let mut connection = Self::new();
        connection.receive(&handshake(reserved)).unwrap();
        let event = Event::Handshake { info_hash: INFO_HASH, peer_id: THEIRS };
        assert_eq!(connection.session.poll_event(), Some(event));
        connection.session.attach(connection.now, torrent).unwrap();
        connection
    }

    /// A connection over which all that comes first has been said.
    pub(crate) fn greeted(reserved: Reserved, torrent: Torrent) -> Self {
        let mut connection = Self::attached(reserved, torrent);
        while connection.said().is_some() {}
        connection
    }

    /// One that is interested and unchoked.
    pub(crate) fn unchoked(reserved: Reserved) -> Self {
        let mut connection = Self::greeted(reserved, torrent());
        connection.send(Message::Interested).unwrap();
        connection.session.set_choked(connection.now, false).unwrap();
        assert_eq!(connection.said(), Some(bytes(&[Message::Unchoke])));
        connection
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), Close> {
        self.session.receive(self.now, bytes)
    }

    pub(crate) fn send(&mut self, message: Message) -> Result<(), Close> {
        self.receive(&bytes(&[message]))
    }

    /// These pieces turn out to be damaged, and no others.
    pub(crate) fn withhold(&mut self, pieces: &[u32]) -> Result<(), Close> {
        let pieces: Vec<_> = pieces.iter().map(|index| piece(*index)).collect();
        self.session.set_withheld(self.now, &pieces)
    }

    /// The next message that is not a block, as it is on the wire.
    pub(crate) fn said(&mut self) -> Option<Vec<u8>> {
        if self.said.is_empty() {
            self.said = self.session.poll_control(self.now).or_else(|| self.metadata())?;
        }
        let size = match Message::decode(&self.said, PIECES) {
            Ok(Some((_, size))) => size,
            // The handshake is no message.
            _ => HANDSHAKE_LENGTH,
        };
        Some(self.said.drain(..size).collect())
    }

    /// The next piece of metadata, as a driver sends it that has it at hand.
    fn metadata(&mut self) -> Option<Vec<u8>> {
        let piece = self.session.poll_metadata(self.now)?;
        let (start, length) = (piece.offset as usize, piece.length as usize);
        self.session.metadata_message(self.now, piece, &INFO_BYTES[start..start + length])
    }

    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), Close> {
        self.now += time;
        self.session.handle_timeout(self.now)
    }
}

/// Marsaglia's xorshift64: repeatable chance.
pub(crate) struct Xorshift(pub(crate) u64);

impl Xorshift {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}
