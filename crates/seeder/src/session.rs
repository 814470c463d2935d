//! One connected peer.

use std::time::{Duration, Instant};

use torrent::{Block, InfoHash, NodeHash, PeerId, PieceIndex};

use crate::call::Call;
use crate::close::Close;
use crate::event::{Event, Transmit};
use crate::greeting::Torrent;
use crate::handshake::{self, Handshake};
use crate::hash_request::HashRequest;
use crate::message::Message;
use crate::metadata_requests::MetadataPiece;
use crate::peer_stats::PeerStats;
use crate::upload::Upload;

/// Time for the peer's handshake to be complete. A handshake is one packet; slow ones are mostly no peers.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Time without a byte from the peer after which it is given up. BEP 3 lets peers be silent for two minutes;
/// twice that forgives a lost keep-alive.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(4);

/// Bytes that may arrive between the handshake and [`PeerSession::attach`]; more than a driver reads at once.
const MAX_BACKLOG: usize = 256 * 1024;

/// The upload side of a connection. It does no I/O: whoever owns the socket, the driver,
///
/// - hands in what was read ([`receive`](Self::receive)) and then looks what happened
///   ([`poll_event`](Self::poll_event));
/// - writes what it is given by [`poll_transmit`](Self::poll_transmit) in this order, and says so for blocks
///   ([`block_sent`](Self::block_sent));
/// - calls [`handle_timeout`](Self::handle_timeout) at [`next_deadline`](Self::next_deadline), which may have
///   changed after any other call;
/// - closes the connection when it is told [`Close`]; the session is of no use then.
///
/// Everything the peer can make grow is bounded. What it sends is not answered faster than it is read, so that
/// the driver should stop reading while much is left to write.
#[derive(Debug)]
pub struct PeerSession {
    our_peer_id: PeerId,
    connected: Instant,
    last_received: Instant,
    /// Start of a message that has not arrived whole.
    inbox: Vec<u8>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Waiting for the peer's handshake.
    Handshake,
    /// The same, after our own.
    Called(Box<Call>),
    /// Waiting for the driver to find the torrent.
    Greeted { handshake: Handshake, told: bool },
    /// Boxed, since most who connect never come so far.
    Attached(Box<Upload>),
}

impl PeerSession {
    /// A connection that a peer has just opened.
    pub fn new(now: Instant, our_peer_id: PeerId) -> Self {
        let phase = Phase::Handshake;
        Self { our_peer_id, connected: now, last_received: now, inbox: Vec::new(), phase }
    }

    /// A connection that this side has just opened for a torrent under one of its names: it speaks first.
    pub fn call(now: Instant, our_peer_id: PeerId, info_hash: InfoHash, torrent: Torrent) -> Self {
        let phase = Phase::Called(Box::new(Call::new(our_peer_id, info_hash, torrent)));
        Self { our_peer_id, connected: now, last_received: now, inbox: Vec::new(), phase }
    }

    /// Takes bytes from the peer, in pieces of any size.
    ///
    /// # Errors
    /// When the connection is to be closed.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Close> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.last_received = now;
        if self.inbox.is_empty() {
            let used = self.consume(now, bytes)?;
            self.inbox.extend_from_slice(&bytes[used..]);
        } else {
            self.inbox.extend_from_slice(bytes);
            self.consume_inbox(now)?;
        }
        if matches!(self.phase, Phase::Greeted { .. }) && self.inbox.len() > MAX_BACKLOG {
            return Err(Close::TooEager);
        }
        Ok(())
    }

    /// Gives the session the torrent that the peer asked for ([`Event::Handshake`]).
    ///
    /// # Errors
    /// When what the peer sent after its handshake closes the connection.
    pub fn attach(&mut self, now: Instant, torrent: Torrent) -> Result<(), Close> {
        let Phase::Greeted { handshake, .. } = self.phase else {
            debug_assert!(false, "only a session that has told its handshake can be attached");
            return Ok(());
        };
        let greeting = torrent.answer(self.our_peer_id, &handshake).to_bytes().to_vec();
        let upload = Upload::new(now, &handshake, torrent, greeting);
        self.phase = Phase::Attached(Box::new(upload));
        self.consume_inbox(now)
    }

    /// What happened, until there is nothing more.
    pub fn poll_event(&mut self) -> Option<Event> {
        match &mut self.phase {
            Phase::Handshake | Phase::Called(_) => None,
            Phase::Greeted { handshake: Handshake { info_hash, peer_id, .. }, told } => {
                let event = Event::Handshake { info_hash: *info_hash, peer_id: *peer_id };
                (!std::mem::replace(told, true)).then_some(event)
            }
            Phase::Attached(upload) => upload.poll_event(),
        }
    }

    /// What is to be written next: messages first, then metadata, hashes and blocks, each as they were requested.
    ///
    /// What is handed out can't be cancelled any more, so ask for as many blocks as can be written now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(bytes) = self.poll_control(now) {
            return Some(Transmit::Bytes(bytes));
        }
        if let Some(piece) = self.poll_metadata(now) {
            return Some(Transmit::Metadata(piece));
        }
        if let Some(request) = self.poll_hashes(now) {
            return Some(Transmit::Hashes(request));
        }
        self.poll_block(now).map(Transmit::Block)
    }

    /// The part of [`poll_transmit`](Self::poll_transmit) that is no payload; for drivers that limit the rate of
    /// payload. To be written before what is asked for later.
    pub fn poll_control(&mut self, now: Instant) -> Option<Vec<u8>> {
        match &mut self.phase {
            Phase::Called(call) => call.poll_handshake(),
            Phase::Attached(upload) => upload.poll_control(now),
            Phase::Handshake | Phase::Greeted { .. } => None,
        }
    }

    /// Whether there is payload to be written: metadata, hashes or blocks.
    pub fn has_payload(&self) -> bool {
        self.upload().is_some_and(Upload::has_payload)
    }

    /// The next piece of metadata (BEP 9), to be answered with [`metadata_message`](Self::metadata_message) or
    /// [`metadata_unavailable`](Self::metadata_unavailable). The answers may take their time, but should come in
    /// the order of the requests.
    pub fn poll_metadata(&mut self, now: Instant) -> Option<MetadataPiece> {
        self.upload_mut()?.poll_metadata(now)
    }

    /// The message with a piece of metadata that was asked for, whose bytes these are; other than its own number
    /// of bytes reject the request. `None` when the peer has turned metadata messages off meanwhile.
    pub fn metadata_message(&mut self, now: Instant, piece: MetadataPiece, bytes: &[u8]) -> Option<Vec<u8>> {
        self.upload_mut()?.metadata_message(now, piece, bytes)
    }

    /// Rejects a request for metadata that was handed out.
    pub fn metadata_unavailable(&mut self, piece: MetadataPiece) {
        if let Some(upload) = self.upload_mut() {
            upload.metadata_unavailable(piece);
        }
    }

    /// The next request for hashes (BEP 52), to be answered with [`hashes_message`](Self::hashes_message) or
    /// [`reject_hashes`](Self::reject_hashes). It is for at most [`MAX_HASHES`](crate::MAX_HASHES), but perhaps
    /// of no file of this torrent. Whether the peer is choked makes no difference.
    pub fn poll_hashes(&mut self, now: Instant) -> Option<HashRequest> {
        self.upload_mut()?.poll_hashes(now)
    }

    /// The message with hashes that were asked for; `None` before a torrent is attached.
    pub fn hashes_message(
        &mut self,
        now: Instant,
        request: HashRequest,
        hashes: &[NodeHash],
    ) -> Option<Vec<u8>> {
        Some(self.upload_mut()?.hashes_message(now, request, hashes))
    }

    /// Rejects a request for hashes that was handed out.
    pub fn reject_hashes(&mut self, request: HashRequest) {
        if let Some(upload) = self.upload_mut() {
            upload.reject_hashes(request);
        }
    }

    /// The block that [`poll_block`](Self::poll_block) would give.
    pub fn peek_block(&self) -> Option<Block> {
        self.upload()?.peek_block()
    }

    /// The next block, whatever else is to be written.
    pub fn poll_block(&mut self, now: Instant) -> Option<Block> {
        self.upload_mut()?.poll_block(now)
    }

    /// A block that was handed out is written.
    pub fn block_sent(&mut self, now: Instant, block: Block) {
        if let Some(upload) = self.upload_mut() {
            upload.block_sent(now, block);
        }
    }

    /// Chokes or unchokes the peer. It is choked at first.
    ///
    /// # Errors
    /// When the connection is to be closed.
    pub fn set_choked(&mut self, now: Instant, choked: bool) -> Result<(), Close> {
        self.upload_mut().map_or(Ok(()), |upload| upload.set_choked(now, choked))
    }

    /// Gives no block of these pieces from now on, since their bytes turned out not to be what they should, and
    /// blocks of all others, which the peer is told of if they were withheld before. Blocks that were handed out
    /// before can't be cancelled. BEP 3 has no message that takes back a piece; requests for it are rejected
    /// (BEP 6), or, if the peer does not know what that is, not answered.
    ///
    /// # Errors
    /// When the connection is to be closed.
    pub fn set_withheld(&mut self, now: Instant, pieces: &[PieceIndex]) -> Result<(), Close> {
        self.upload_mut().map_or(Ok(()), |upload| upload.set_withheld(now, pieces))
    }

    /// Tells the peer of a piece that is [handed out](Torrent::hand_out) to it: it will ask for it.
    pub fn reveal(&mut self, now: Instant, piece: PieceIndex) {
        if let Some(upload) = self.upload_mut() {
            upload.reveal(now, piece);
        }
    }

    /// The pieces that the peer has.
    pub fn have(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.upload().into_iter().flat_map(Upload::have)
    }

    /// The last message about other peers (BEP 11) that the peer has sent and that was not looked at.
    pub fn poll_exchange(&mut self) -> Option<Vec<u8>> {
        self.upload_mut()?.extensions_mut().exchange.take()
    }

    /// The UDP port of the peer's DHT node (BEP 5), once after it was told.
    pub fn poll_dht_port(&mut self) -> Option<u16> {
        self.upload_mut()?.extensions_mut().dht_port.take()
    }

    /// Whether the peer can be told of others (BEP 11).
    pub fn can_exchange(&self) -> bool {
        self.upload().is_some_and(|upload| upload.extensions().can_exchange())
    }

    /// Tells the peer of others, if it [can be](Self::can_exchange).
    pub fn exchange(&mut self, payload: &[u8]) {
        if let Some(upload) = self.upload_mut() {
            upload.exchange(payload);
        }
    }

    /// The port at which the peer says it takes connections (BEP 10).
    pub fn listen_port(&self) -> Option<u16> {
        self.upload()?.extensions().port
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if nothing happens before.
    pub fn next_deadline(&self) -> Instant {
        match &self.phase {
            Phase::Handshake | Phase::Called(_) | Phase::Greeted { .. } => self.connected + HANDSHAKE_LIMIT,
            Phase::Attached(upload) => upload.next_deadline().min(self.last_received + SILENCE_LIMIT),
        }
    }

    /// Does what is due; calling it early is harmless.
    ///
    /// # Errors
    /// When the connection is to be closed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
        match &mut self.phase {
            Phase::Handshake | Phase::Called(_) | Phase::Greeted { .. } => {
                let is_late = now >= self.connected + HANDSHAKE_LIMIT;
                if is_late { Err(Close::HandshakeTimeout) } else { Ok(()) }
            }
            Phase::Attached(_) if now >= self.last_received + SILENCE_LIMIT => Err(Close::Silent),
            Phase::Attached(upload) => upload.handle_timeout(now),
        }
    }

    /// Figures for the choker and for people; `None` before a torrent is attached.
    pub fn stats(&self) -> Option<PeerStats> {
        Some(self.upload()?.stats(self.connected))
    }

    /// The peer's name for itself, which is whatever it likes; `None` before a torrent is attached.
    pub fn peer_id(&self) -> Option<PeerId> {
        Some(self.upload()?.peer_id())
    }

    /// Name and version of the peer's program, safe to show; `None` before a torrent is attached.
    pub fn client(&self) -> Option<&str> {
        Some(self.upload()?.client())
    }

    fn upload(&self) -> Option<&Upload> {
        if let Phase::Attached(upload) = &self.phase { Some(upload) } else { None }
    }

    fn upload_mut(&mut self) -> Option<&mut Upload> {
        if let Phase::Attached(upload) = &mut self.phase { Some(upload) } else { None }
    }

    /// Reads whole messages from the inbox. The rest that is moved came with the last bytes, which keeps the
    /// work in proportion to what is received.
    fn consume_inbox(&mut self, now: Instant) -> Result<(), Close> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let used = self.consume(now, &inbox)?;
        // Most reads end with a message: then the memory goes back, as most connections are idle.
        if used < inbox.len() {
            inbox.drain(..used);
            self.inbox = inbox;
        }
        Ok(())
    }

    /// Reads whole messages from the start of `bytes`, and tells how many bytes they took.
    fn consume(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, Close> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match &mut self.phase {
                Phase::Handshake => {
                    let Some(handshake) = read_handshake(rest, self.our_peer_id)? else { return Ok(used) };
                    self.phase = Phase::Greeted { handshake, told: false };
                    used += handshake::LENGTH;
                }
                Phase::Called(call) => {
                    let Some(handshake) = read_handshake(rest, self.our_peer_id)? else { return Ok(used) };
                    let upload = call.answered(now, &handshake)?;
                    self.phase = Phase::Attached(Box::new(upload));
                    used += handshake::LENGTH;
                }
                Phase::Greeted { .. } => return Ok(used),
                Phase::Attached(upload) => {
                    let Some((message, size)) = Message::decode(rest, upload.piece_count())? else {
                        return Ok(used);
                    };
                    upload.handle(now, message)?;
                    used += size;
                }
            }
        }
    }
}

/// Reads a handshake of another.
fn read_handshake(bytes: &[u8], ours: PeerId) -> Result<Option<Handshake>, Close> {
    let handshake = Handshake::parse(bytes)?;
    if handshake.is_some_and(|theirs| theirs.peer_id == ours) { Err(Close::Itself) } else { Ok(handshake) }
}
