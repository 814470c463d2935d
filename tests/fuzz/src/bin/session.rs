//! A whole connection, from its first byte on, and a driver that does what drivers do.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use seeder::{
    Close, Event, HANDSHAKE_LENGTH, Handshake, PeerSession, Reserved, Torrent, Transmit, allowed_fast,
};
use torrent::{InfoHash, Lengths, PeerId};

const INFO_HASH: InfoHash = InfoHash([0xaa; 20]);
const INFO_HASH_V2: InfoHash = InfoHash([0xbb; 20]);
const OURS: PeerId = PeerId(*b"-bB0000-ourpeerid123");
const THEIRS: PeerId = PeerId(*b"-TR4050-theirpeerid1");
const PIECE_LENGTH: u32 = 0x8000;
const PIECES: u32 = 10;
const TOTAL: u64 = 9 * PIECE_LENGTH as u64 + 0x4000 + 100;
const METADATA_SIZE: u32 = 20_000;

/// Bytes of messages that few bytes may cause: rejects of all requests that wait.
const MAX_BURST: usize = 16 * 1024;

#[derive(Debug, Arbitrary)]
#[expect(clippy::struct_excessive_bools, reason = "all combinations are to be tried")]
struct Input<'a> {
    is_called: bool,
    has_v2: bool,
    hand_out: bool,
    exchange: bool,
    withholds: bool,
    /// The extensions that the peer knows, if it begins with a sound handshake.
    greets: Option<[u8; 8]>,
    /// Seconds from one read to the next.
    pace: u8,
    /// Bytes of a read, less one.
    read: u8,
    stream: &'a [u8],
}

struct Driver {
    now: Instant,
    pace: Duration,
    torrent: Torrent,
    session: PeerSession,
}

impl Driver {
    /// Takes one read, and does all that follows from it.
    fn read(&mut self, number: u32, bytes: &[u8]) -> Result<(), Close> {
        self.session.receive(self.now, bytes)?;
        while let Some(event) = self.session.poll_event() {
            self.act(event)?;
        }
        let piece = self.torrent.lengths.piece(number % PIECES).expect("the torrent has it");
        match number % 8 {
            1 => self.session.set_choked(self.now, false)?,
            3 | 4 => self.session.reveal(self.now, piece),
            5 => self.session.set_withheld(self.now, &[piece])?,
            6 => self.session.set_withheld(self.now, &[])?,
            7 => self.session.set_choked(self.now, true)?,
            _ => self.session.exchange(b"de"),
        }
        self.write(bytes.len());
        self.now += self.pace;
        self.session.handle_timeout(self.now)?;
        assert!(self.session.next_deadline() > self.now, "what was due is done");
        Ok(())
    }

    fn act(&mut self, event: Event) -> Result<(), Close> {
        match event {
            Event::Handshake { .. } => self.session.attach(self.now, self.torrent.clone()),
            Event::Requested(block) | Event::Cancelled(block) => {
                assert!(block.piece.get() < PIECES);
                Ok(())
            }
            Event::Interested(_) | Event::Has(_) | Event::HasSeveral => Ok(()),
        }
    }

    /// Writes all that is to be written after a read of so many bytes.
    fn write(&mut self, read: usize) {
        let mut control = 0;
        while let Some(transmit) = self.session.poll_transmit(self.now) {
            match transmit {
                Transmit::Bytes(bytes) => control += bytes.len(),
                Transmit::Metadata(piece) if piece.index == 0 => {
                    let bytes = vec![0; piece.length as usize];
                    self.session.metadata_message(self.now, piece, &bytes);
                }
                Transmit::Metadata(piece) => self.session.metadata_unavailable(piece),
                Transmit::Hashes(request) => {
                    match request.answer(&[[7; 32]; PIECES as usize], PIECE_LENGTH) {
                        Some(hashes) => drop(self.session.hashes_message(self.now, request, &hashes)),
                        None => self.session.reject_hashes(request),
                    }
                }
                Transmit::Block(block) => {
                    let (begin, end) =
                        (u64::from(block.begin), u64::from(block.begin) + u64::from(block.length));
                    assert!(
                        begin < end && end <= self.torrent.lengths.piece_size(block.piece).into(),
                        "{block:?}"
                    );
                    self.session.block_sent(self.now, block);
                }
            }
        }
        assert!(control <= 2 * read + MAX_BURST, "{control} bytes are the answer to {read}");
    }
}

fn torrent(input: &Input) -> Torrent {
    let lengths = Lengths::new(TOTAL, PIECE_LENGTH).expect("a sound torrent");
    Torrent {
        metadata_size: METADATA_SIZE,
        v2: input.has_v2.then_some(INFO_HASH_V2),
        allowed_fast: allowed_fast([127, 0, 0, 1].into(), &INFO_HASH, &lengths, 2),
        hand_out: input.hand_out,
        exchange: input.exchange,
        port: Some(6881),
        dht_port: Some(6881),
        your_ip: Some([127, 0, 0, 1].into()),
        withheld: if input.withholds { lengths.piece(3).into_iter().collect() } else { Vec::new() },
        lengths,
    }
}

fuzz_target!(|input: Input| {
    let now = Instant::now();
    let torrent = torrent(&input);
    let session = if input.is_called {
        PeerSession::call(now, OURS, INFO_HASH, torrent.clone())
    } else {
        PeerSession::new(now, OURS)
    };
    let mut driver = Driver { now, pace: Duration::from_secs(input.pace.into()), torrent, session };
    let handshake = input.greets.map(|reserved| {
        Handshake { reserved: Reserved(reserved), info_hash: INFO_HASH, peer_id: THEIRS }.to_bytes()
    });
    let reads = input.stream.chunks(1 + usize::from(input.read));
    for (number, bytes) in (0..).zip(handshake.iter().map(<[u8; HANDSHAKE_LENGTH]>::as_slice).chain(reads)) {
        if driver.read(number, bytes).is_err() {
            return;
        }
    }
});
