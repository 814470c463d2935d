//! A connection after the handshake: what the peer wants, and what it is given.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use torrent::{Block, Lengths, NodeHash, PeerId, PieceIndex};

use crate::client;
use crate::close::Close;
use crate::event::Event;
use crate::extensions::Extensions;
use crate::greeting::Torrent;
use crate::handshake::{Handshake, Reserved};
use crate::hash_request::HashRequest;
use crate::have::Have;
use crate::message::{Message, Range};
use crate::metadata_requests::MetadataPiece;
use crate::offer::{Change, Offer};
use crate::outbox::Outbox;
use crate::peer_stats::PeerStats;
use crate::piece_set::PieceSet;
use crate::requests::Requests;

/// Time without a byte to the peer after which it gets a keep-alive: peers close after two minutes (BEP 3).
pub const KEEP_ALIVE: Duration = Duration::from_secs(100);

/// Time after which a peer is closed that could have blocks or metadata and asks for none.
pub const IDLE_LIMIT: Duration = Duration::from_mins(10);

/// Time for one block to be written; whoever is slower than 140 bytes a second does not read.
pub const WRITE_LIMIT: Duration = Duration::from_mins(2);

/// The state of the connection.
#[derive(Debug)]
pub(crate) struct Upload {
    lengths: Lengths,
    /// The extensions that the peer knows.
    reserved: Reserved,
    peer_id: PeerId,
    /// The program that its peer id tells of.
    client: String,
    have: Have,
    interested: bool,
    /// What the driver was last told of `interested`.
    interest_told: bool,
    choked: bool,
    offer: Offer,
    outbox: Outbox,
    requests: Requests,
    extensions: Extensions,
    /// What whoever hands out the pieces has not been told: at most one for each request or Have that was received at once.
    news: VecDeque<Event>,
    /// Blocks that were handed out and are not yet written.
    in_flight: usize,
    bytes_sent: u64,
    sent_since_unchoked: u64,
    last_unchoked: Option<Instant>,
    waiting_since: Instant,
    /// When the block that is being written was handed out or its predecessor written, if any is.
    writing_since: Instant,
    /// When the peer last made use of the connection.
    last_used: Instant,
}

impl Upload {
    /// With a peer that has said this handshake. `greeting` goes before everything else.
    pub(crate) fn new(now: Instant, theirs: &Handshake, torrent: Torrent, mut greeting: Vec<u8>) -> Self {
        torrent.introduce(theirs.reserved, &mut greeting);
        let offered = torrent.offered(theirs.reserved);
        let Torrent { lengths, metadata_size, v2, withheld, hand_out, exchange, .. } = torrent;
        Self {
            reserved: theirs.reserved,
            peer_id: theirs.peer_id,
            client: client::of_peer_id(theirs.peer_id),
            have: Have::new(lengths.piece_count()),
            interested: false,
            interest_told: false,
            choked: true,
            offer: Offer::new(lengths.piece_count(), hand_out, withheld),
            outbox: Outbox::new(now, greeting),
            requests: Requests::new(offered, &lengths),
            extensions: Extensions::new(metadata_size, &lengths, v2.is_some(), exchange),
            news: VecDeque::new(),
            in_flight: 0,
            bytes_sent: 0,
            sent_since_unchoked: 0,
            last_unchoked: None,
            waiting_since: now,
            writing_since: now,
            last_used: now,
            lengths,
        }
    }

    pub(crate) fn piece_count(&self) -> u32 {
        self.lengths.piece_count()
    }

    pub(crate) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    pub(crate) fn client(&self) -> &str {
        self.extensions.client.as_ref().unwrap_or(&self.client)
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    pub(crate) fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The pieces that the peer has.
    pub(crate) fn have(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.lengths.pieces().filter(|piece| self.have.pieces().contains(piece.get()))
    }

    pub(crate) fn stats(&self, connected: Instant) -> PeerStats {
        PeerStats {
            interested: self.interested,
            choked: self.choked,
            backlogged: self.in_flight > 0 || !self.requests.is_empty(),
            bytes_sent: self.bytes_sent,
            sent_since_unchoked: self.sent_since_unchoked,
            progress: self.have.part(),
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
            Message::Have(index) => self.has(index)?,
            Message::Bitfield(bits) => self.has_all_of(|have| have.replace(bits))?,
            Message::HaveAll => self.has_all_of(PieceSet::fill)?,
            Message::HaveNone => self.has_all_of(|have| have.replace(&[]))?,
            Message::Request(range) => self.request(now, range)?,
            Message::Cancel(range) => self.cancel(now, range)?,
            Message::Piece { .. } => return Err(Close::UnaskedBlock),
            Message::Extended { id, payload } => {
                if self.extensions.handle(id, payload, &mut self.outbox)? {
                    self.last_used = now;
                }
            }
            Message::HashRequest(request) => {
                self.last_used = now;
                self.extensions.hash_request(request, &mut self.outbox)?;
            }
            Message::Hashes { .. } => return Err(Close::UnaskedHashes),
            Message::Port(port) => self.extensions.dht_port = Some(port),
            // We never download, so what these say is of no use.
            Message::KeepAlive
            | Message::Choke
            | Message::Unchoke
            | Message::Suggest(_)
            | Message::Reject(_)
            | Message::AllowedFast(_)
            | Message::HashReject(_)
            | Message::Unknown(_) => {}
        }
        if self.have.pieces().is_complete() { Err(Close::BothSeeds) } else { Ok(()) }
    }

    /// What happened that the driver has not been told.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        if let Some(news) = self.news.pop_front() {
            return Some(news);
        }
        // Most connections are idle: the memory goes back.
        self.news.shrink_to(0);
        let told = std::mem::replace(&mut self.interest_told, self.interested);
        (told != self.interested).then_some(Event::Interested(self.interested))
    }

    pub(crate) fn poll_control(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.outbox.take(now)
    }

    pub(crate) fn has_payload(&self) -> bool {
        !self.extensions.is_empty() || !self.requests.is_empty()
    }

    pub(crate) fn poll_metadata(&mut self, now: Instant) -> Option<MetadataPiece> {
        let piece = self.extensions.metadata.pop()?;
        self.last_used = now;
        Some(piece)
    }

    pub(crate) fn metadata_message(
        &mut self,
        now: Instant,
        piece: MetadataPiece,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let message = self.extensions.metadata.answer(piece, bytes)?;
        self.outbox.last_sent = now;
        Some(message)
    }

    /// Not counted as a reject, since there are no more than requests that were taken on.
    pub(crate) fn metadata_unavailable(&mut self, piece: MetadataPiece) {
        if let Some(message) = self.extensions.metadata.reject(piece.index) {
            self.outbox.append(&message);
        }
    }

    pub(crate) fn poll_hashes(&mut self, now: Instant) -> Option<HashRequest> {
        let request = self.extensions.hashes.pop()?;
        self.last_used = now;
        Some(request)
    }

    pub(crate) fn hashes_message(
        &mut self,
        now: Instant,
        request: HashRequest,
        hashes: &[NodeHash],
    ) -> Vec<u8> {
        self.outbox.last_sent = now;
        let mut bytes = Vec::new();
        Message::Hashes { request, hashes }.encode(&mut bytes);
        bytes
    }

    /// Not counted either.
    pub(crate) fn reject_hashes(&mut self, request: HashRequest) {
        self.outbox.write(Message::HashReject(request));
    }

    pub(crate) fn exchange(&mut self, payload: &[u8]) {
        self.extensions.exchange(payload, &mut self.outbox);
    }

    pub(crate) fn peek_block(&self) -> Option<Block> {
        self.requests.peek()
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
        self.outbox.last_sent = now;
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
            self.outbox.write(Message::Unchoke);
            return Ok(());
        }
        self.waiting_since = now;
        // First the choke, or the peer would repeat the requests that are rejected after it (BEP 6).
        self.outbox.write(Message::Choke);
        self.requests.choke().into_iter().try_for_each(|block| {
            self.tell(Event::Cancelled(block));
            self.reject(block.into())
        })
    }

    pub(crate) fn set_withheld(&mut self, now: Instant, withheld: &[PieceIndex]) -> Result<(), Close> {
        let Change { withdrawn, released } = self.offer.set_withheld(withheld);
        for piece in released {
            self.last_used = now;
            self.outbox.write(Message::Have(piece.get()));
        }
        for piece in withdrawn {
            self.last_used = now;
            for block in self.requests.withdraw(piece) {
                self.tell(Event::Cancelled(block));
                self.reject(block.into())?;
            }
        }
        Ok(())
    }

    pub(crate) fn reveal(&mut self, now: Instant, piece: PieceIndex) {
        if self.offer.reveal(piece) {
            self.last_used = now;
            self.outbox.write(Message::Have(piece.get()));
        }
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        let mut deadline = self.outbox.last_sent + KEEP_ALIVE;
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
        if now >= self.outbox.last_sent + KEEP_ALIVE {
            self.outbox.last_sent = now;
            if self.outbox.is_empty() {
                self.outbox.write(Message::KeepAlive);
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

    fn has(&mut self, index: u32) -> Result<(), Close> {
        self.have.insert(index)?;
        if let Some(piece) = self.lengths.piece(index) {
            self.tell(Event::Has(piece));
        }
        Ok(())
    }

    fn has_all_of(&mut self, change: impl FnOnce(&mut PieceSet)) -> Result<(), Close> {
        self.have.change(change)?;
        self.tell(Event::HasSeveral);
        Ok(())
    }

    fn request(&mut self, now: Instant, range: Range) -> Result<(), Close> {
        let Range { index, begin, length } = range;
        let block = self.lengths.block(index, begin, length).ok_or(Close::BadRequest(range))?;
        self.last_used = now;
        if self.offer.has(block.piece) && self.requests.push(block, self.choked) {
            self.tell(Event::Requested(block));
            return Ok(());
        }
        self.reject(range)
    }

    fn cancel(&mut self, now: Instant, range: Range) -> Result<(), Close> {
        let Range { index, begin, length } = range;
        let block = self.lengths.block(index, begin, length);
        // Else the block is on its way, which is an answer too (BEP 6).
        if let Some(block) = block.filter(|block| self.requests.cancel(*block)) {
            self.last_used = now;
            self.tell(Event::Cancelled(block));
            return self.reject(range);
        }
        Ok(())
    }

    /// Tells whoever hands out the pieces.
    fn tell(&mut self, news: Event) {
        if self.offer.is_handed_out() {
            self.news.push_back(news);
        }
    }

    /// Says that a request will not be answered, if the peer understands it.
    fn reject(&mut self, range: Range) -> Result<(), Close> {
        if self.reserved.fast() { self.outbox.reject(Message::Reject(range)) } else { Ok(()) }
    }
}
