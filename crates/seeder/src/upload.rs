//! A connection after the handshake: what the peer wants, and what it is given.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use torrent::bencode::{self, Problem};
use torrent::{Block, Lengths, NodeHash, PeerId, PieceIndex};

use crate::bounded_queue::BoundedQueue;
use crate::client;
use crate::close::Close;
use crate::extended::{ExtendedHandshake, HANDSHAKE_ID};
use crate::greeting::Torrent;
use crate::handshake::{Handshake, Reserved};
use crate::hash_request::{self, HashRequest};
use crate::message::{Message, Range};
use crate::metadata::{MetadataMessage, UT_METADATA_ID};
use crate::metadata_requests::{MetadataPiece, MetadataRequests};
use crate::peer_stats::PeerStats;
use crate::piece_set::PieceSet;
use crate::requests::{MAX_REQUESTS, Requests};

/// Time without a byte to the peer after which it gets a keep-alive: peers close after two minutes (BEP 3).
pub const KEEP_ALIVE: Duration = Duration::from_secs(100);

/// Time after which a peer is closed that could have blocks or metadata and asks for none.
pub const IDLE_LIMIT: Duration = Duration::from_mins(10);

/// Time for one block to be written; whoever is slower than 140 bytes a second does not read.
pub const WRITE_LIMIT: Duration = Duration::from_mins(2);

/// Rejects that may wait to be written. A peer that obeys `reqq` causes no more than this, twice over.
const MAX_UNSENT_REJECTS: usize = 2 * MAX_REQUESTS;

/// The state of the connection.
#[derive(Debug)]
pub(crate) struct Upload {
    lengths: Lengths,
    /// The extensions that the peer knows.
    reserved: Reserved,
    client: String,
    have: PieceSet,
    interested: bool,
    /// What the driver was last told of `interested`.
    interest_told: bool,
    choked: bool,
    /// Messages to be written.
    control: Vec<u8>,
    unsent_rejects: usize,
    requests: Requests,
    /// Pieces of which no block is given.
    withheld: BTreeSet<PieceIndex>,
    metadata: MetadataRequests,
    hashes: BoundedQueue<HashRequest>,
    /// Blocks that were handed out and are not yet written.
    in_flight: usize,
    bytes_sent: u64,
    sent_since_unchoked: u64,
    last_unchoked: Option<Instant>,
    waiting_since: Instant,
    last_sent: Instant,
    /// When the block that is being written was handed out or its predecessor written, if any is.
    writing_since: Instant,
    /// When the peer last made use of the connection.
    last_used: Instant,
}

impl Upload {
    pub(crate) fn new(now: Instant, our_peer_id: PeerId, theirs: &Handshake, torrent: Torrent) -> Self {
        let control = torrent.greeting(our_peer_id, theirs);
        let offered = torrent.offered(theirs.reserved);
        let Torrent { lengths, metadata_size, v2, withheld, .. } = torrent;
        Self {
            reserved: theirs.reserved,
            client: client::of_peer_id(theirs.peer_id),
            have: PieceSet::new(lengths.piece_count()),
            interested: false,
            interest_told: false,
            choked: true,
            control,
            unsent_rejects: 0,
            requests: Requests::new(offered, &lengths),
            withheld: withheld.into_iter().collect(),
            metadata: MetadataRequests::new(metadata_size),
            hashes: hash_request::queue(&lengths, v2.is_some()),
            in_flight: 0,
            bytes_sent: 0,
            sent_since_unchoked: 0,
            last_unchoked: None,
            waiting_since: now,
            last_sent: now,
            writing_since: now,
            last_used: now,
            lengths,
        }
    }

    pub(crate) fn piece_count(&self) -> u32 {
        self.lengths.piece_count()
    }

    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    pub(crate) fn stats(&self, connected: Instant) -> PeerStats {
        PeerStats {
            interested: self.interested,
            choked: self.choked,
            bytes_sent: self.bytes_sent,
            sent_since_unchoked: self.sent_since_unchoked,
            progress: f64::from(self.have.len()) / f64::from(self.piece_count().max(1)),
            piece_length: self.lengths.piece_length(),
            connected,
            waiting_since: self.waiting_since,
            last_unchoked: self.last_unchoked,
        }
    }

    /// Acts on a message of the peer.
    pub(crate) fn handle(&mut self, now: Instant, message: Message<'_>) -> Result<(), Close> {
        if message.needs_fast() && !self.reserved.fast() {
            return Err(Close::FastNotAgreed);
        }
        match message {
            Message::Interested => self.set_interested(now, true),
            Message::NotInterested => self.set_interested(now, false),
            Message::Have(index) => self.have.insert(index).then_some(()).ok_or(Close::NoSuchPiece(index))?,
            Message::Bitfield(bits) => self.have.replace(bits),
            Message::HaveAll => self.have.fill(),
            Message::HaveNone => self.have.replace(&[]),
            Message::Request(range) => self.request(now, range)?,
            Message::Cancel(range) => self.cancel(now, range)?,
            Message::Piece { .. } => return Err(Close::UnaskedBlock),
            Message::Extended { id, payload } => self.extended(now, id, payload)?,
            Message::HashRequest(request) => self.hash_request(now, request)?,
            Message::Hashes { .. } => return Err(Close::UnaskedHashes),
            // We never download, so what these say is of no use.
            Message::KeepAlive
            | Message::Choke
            | Message::Unchoke
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::Reject(_)
            | Message::AllowedFast(_)
            | Message::HashReject(_)
            | Message::Unknown(_) => {}
        }
        if self.have.is_complete() { Err(Close::BothSeeds) } else { Ok(()) }
    }

    /// Whether the peer is interested, if the driver has not been told so.
    pub(crate) fn poll_interest(&mut self) -> Option<bool> {
        let told = std::mem::replace(&mut self.interest_told, self.interested);
        (told != self.interested).then_some(self.interested)
    }

    pub(crate) fn poll_control(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.control.is_empty() {
            return None;
        }
        self.last_sent = now;
        self.unsent_rejects = 0;
        Some(std::mem::take(&mut self.control))
    }

    pub(crate) fn has_payload(&self) -> bool {
        !self.metadata.is_empty() || !self.hashes.is_empty() || !self.requests.is_empty()
    }

    pub(crate) fn poll_metadata(&mut self, now: Instant) -> Option<MetadataPiece> {
        let piece = self.metadata.pop()?;
        self.last_used = now;
        Some(piece)
    }

    pub(crate) fn metadata_message(
        &mut self,
        now: Instant,
        piece: MetadataPiece,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let message = self.metadata.answer(piece, bytes)?;
        self.last_sent = now;
        Some(message)
    }

    /// Not counted as a reject, since there are no more than requests that were taken on.
    pub(crate) fn metadata_unavailable(&mut self, piece: MetadataPiece) {
        self.control.extend(self.metadata.reject(piece.index).unwrap_or_default());
    }

    pub(crate) fn poll_hashes(&mut self, now: Instant) -> Option<HashRequest> {
        let request = self.hashes.pop()?;
        self.last_used = now;
        Some(request)
    }

    pub(crate) fn hashes_message(
        &mut self,
        now: Instant,
        request: HashRequest,
        hashes: &[NodeHash],
    ) -> Vec<u8> {
        self.last_sent = now;
        let mut bytes = Vec::new();
        Message::Hashes { request, hashes }.encode(&mut bytes);
        bytes
    }

    /// Not counted either.
    pub(crate) fn reject_hashes(&mut self, request: HashRequest) {
        self.write(Message::HashReject(request));
    }

    pub(crate) fn poll_block(&mut self, now: Instant) -> Option<Block> {
        let block = self.requests.pop()?;
        if self.in_flight == 0 {
            self.writing_since = now;
        }
        self.in_flight += 1;
        Some(block)
    }

    pub(crate) fn block_sent(&mut self, now: Instant, block: Block) {
        let length = u64::from(block.length);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes_sent += length;
        self.sent_since_unchoked += length;
        self.last_sent = now;
        self.writing_since = now;
        self.last_used = now;
    }

    pub(crate) fn set_choked(&mut self, now: Instant, choked: bool) -> Result<(), Close> {
        if choked == self.choked {
            return Ok(());
        }
        self.choked = choked;
        self.last_used = now;
        if !choked {
            self.last_unchoked = Some(now);
            self.sent_since_unchoked = 0;
            self.write(Message::Unchoke);
            return Ok(());
        }
        self.waiting_since = now;
        // First the choke, or the peer would repeat the requests that are rejected after it (BEP 6).
        self.write(Message::Choke);
        self.requests.choke().into_iter().try_for_each(|block| self.reject(block.into()))
    }

    pub(crate) fn withhold(&mut self, now: Instant, piece: PieceIndex) -> Result<(), Close> {
        if !self.withheld.insert(piece) {
            return Ok(());
        }
        self.last_used = now;
        self.requests.withdraw(piece).into_iter().try_for_each(|block| self.reject(block.into()))
    }

    pub(crate) fn release(&mut self, now: Instant, piece: PieceIndex) {
        if self.withheld.remove(&piece) {
            self.last_used = now;
            self.write(Message::Have(piece.get()));
        }
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        let mut deadline = self.last_sent + KEEP_ALIVE;
        if !self.is_waiting() {
            deadline = deadline.min(self.last_used + IDLE_LIMIT);
        }
        if self.in_flight > 0 {
            deadline = deadline.min(self.writing_since + WRITE_LIMIT);
        }
        deadline
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
        if self.in_flight > 0 && now >= self.writing_since + WRITE_LIMIT {
            return Err(Close::NotReading);
        }
        if !self.is_waiting() && now >= self.last_used + IDLE_LIMIT {
            return Err(Close::Idle);
        }
        if now >= self.last_sent + KEEP_ALIVE {
            self.last_sent = now;
            if self.control.is_empty() {
                self.write(Message::KeepAlive);
            }
            self.requests.shrink();
        }
        Ok(())
    }

    /// Whether it is on us that nothing happens.
    fn is_waiting(&self) -> bool {
        (self.interested && self.choked) || self.has_payload() || self.in_flight > 0
    }

    fn set_interested(&mut self, now: Instant, interested: bool) {
        if interested != self.interested {
            self.interested = interested;
            self.waiting_since = now;
            self.last_used = now;
        }
    }

    fn request(&mut self, now: Instant, range: Range) -> Result<(), Close> {
        let Range { index, begin, length } = range;
        let block = self.lengths.block(index, begin, length).ok_or(Close::BadRequest(range))?;
        self.last_used = now;
        let accept = !self.withheld.contains(&block.piece) && self.requests.push(block, self.choked);
        if accept { Ok(()) } else { self.reject(range) }
    }

    fn cancel(&mut self, now: Instant, range: Range) -> Result<(), Close> {
        let Range { index, begin, length } = range;
        let block = self.lengths.block(index, begin, length);
        // Else the block is on its way, which is an answer too (BEP 6).
        if block.is_some_and(|block| self.requests.cancel(block)) {
            self.last_used = now;
            return self.reject(range);
        }
        Ok(())
    }

    fn extended(&mut self, now: Instant, id: u8, payload: &[u8]) -> Result<(), Close> {
        match id {
            HANDSHAKE_ID => {
                let handshake = tolerate(ExtendedHandshake::parse(payload))?.unwrap_or_default();
                if let Some(id) = handshake.ut_metadata {
                    self.metadata.set_id(id);
                }
                let client = handshake.client.map(|name| client::printable(&name)).unwrap_or_default();
                if !client.is_empty() {
                    self.client = client;
                }
            }
            UT_METADATA_ID => {
                let message = tolerate(MetadataMessage::parse(payload))?.flatten();
                if let Some(MetadataMessage::Request(piece)) = message {
                    self.metadata_request(now, piece)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn metadata_request(&mut self, now: Instant, index: u32) -> Result<(), Close> {
        if !self.metadata.is_on() {
            return Ok(());
        }
        self.last_used = now;
        if !self.metadata.push(index) {
            self.count_reject()?;
            self.control.extend(self.metadata.reject(index).unwrap_or_default());
        }
        Ok(())
    }

    fn hash_request(&mut self, now: Instant, request: HashRequest) -> Result<(), Close> {
        self.last_used = now;
        if !(request.is_sound() && self.hashes.push(request)) {
            self.count_reject()?;
            self.write(Message::HashReject(request));
        }
        Ok(())
    }

    /// Says that a request will not be answered, if the peer understands it.
    fn reject(&mut self, range: Range) -> Result<(), Close> {
        if self.reserved.fast() {
            self.count_reject()?;
            self.write(Message::Reject(range));
        }
        Ok(())
    }

    fn count_reject(&mut self) -> Result<(), Close> {
        self.unsent_rejects += 1;
        if self.unsent_rejects > MAX_UNSENT_REJECTS { Err(Close::NotReading) } else { Ok(()) }
    }

    fn write(&mut self, message: Message<'_>) {
        message.encode(&mut self.control);
    }
}

/// Some clients write sloppy bencode: they can do without extensions. But nobody nests too deep by mistake.
fn tolerate<T>(parsed: Result<T, bencode::Error>) -> Result<Option<T>, Close> {
    match parsed {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.problem == Problem::TooDeep => Err(Close::Extended(error)),
        Err(_) => Ok(None),
    }
}
