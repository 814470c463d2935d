//! One peer's connection.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use seeder::{Close, Event, PeerSession, Standing, WRITE_LIMIT};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep_until;
use torrent::MAX_BLOCK;

use super::about::About;
use super::acquaintance::Acquaintance;
use super::end::End;
use super::greet::{Greeted, receive};
use super::hand_out::Membership;
use super::identities::Claim;
use super::metadata::Found;
use super::outgoing::{Outgoing, Written};
use super::registry::{Place, Verdict};
use super::source::Source;
use super::stream::{Reader, Writer};
use super::wanted::Wanted;
use crate::app::{App, SharedApp};
use crate::limit::Turn;
use crate::storage::ServeError;

/// Bytes of messages that are sent without a turn under the upload limit. A peer can cause as many as it likes, by requests
/// that are rejected: beyond this it waits for its turn as for blocks.
const FREE_MESSAGES: usize = 4 * 1024;

/// Bytes of blocks that are written to a peer who takes them all, before others have the processor.
const BURST: u64 = 1 << 20;

/// Serves a peer until one side has enough; tells why.
pub(super) async fn serve(app: &SharedApp, greeted: Greeted, claim: &Claim<'_>) -> End {
    let Greeted { reader, mut writer, session, wanted, address, is_called, hand_out } = greeted;
    let Some(stats) = session.stats() else { return End::Hangup };
    let info_hash = wanted.torrent.info_hash();
    if hand_out || app.upload.bytes_per_second().is_some() {
        writer.keep_queue_short();
    }
    let place = app.peers.registry.enter(About::new(address, &wanted.content, &reader, &writer), stats);
    place.introduce(session.client().unwrap_or_default());
    let membership = hand_out.then(|| app.peers.hand_outs.join(&wanted, address.ip()));
    let connection = Connection {
        app,
        reader,
        writer,
        session,
        wanted: &wanted,
        claim,
        place,
        acquaintance: Acquaintance::new(app, info_hash, address, is_called),
        membership,
        outgoing: Outgoing::default(),
        progress: Instant::now(),
        burst: 0,
        has_more: false,
        owed: 0,
        turn: None,
        disk: None,
        lookup: None,
        damage: wanted.damage.clone(),
    };
    let end = tokio::select! {
        result = connection.run() => result.map_or_else(|end| end, |never| match never {}),
        () = wanted.online.cancelled() => End::Offline,
        () = claim.replaced() => End::Twice,
    };
    if let End::Serve(error) = &end {
        app.look_again(&wanted.content, error);
    }
    end
}

/// Writes what is queued, as much as the peer takes. `None` if its socket takes nothing, which is said only where that
/// `is_news`: else it waits.
async fn write(
    app: &App,
    wanted: &Wanted,
    outgoing: &mut Outgoing,
    writer: &mut Writer,
    is_news: bool,
) -> io::Result<Option<Written>> {
    poll_fn(|context| {
        let source = Source::new(&app.storage, &wanted.content);
        match outgoing.poll_write(context, writer, source) {
            Poll::Pending if is_news => Poll::Ready(Ok(None)),
            polled => polled.map_ok(Some),
        }
    })
    .await
}

/// Something that is waited for.
type Waiting<'a, T> = Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>;

/// Waits for it, if for anything; may be dropped and called again.
async fn arrival<T>(waiting: &mut Waiting<'_, T>) -> T {
    let Some(future) = waiting else { return pending().await };
    let output = future.await;
    *waiting = None;
    output
}

/// Waits for news of a hand-out, where there is one.
async fn news(membership: Option<&Membership<'_>>) {
    match membership {
        Some(membership) => membership.news().await,
        None => pending().await,
    }
}

/// A connection whose item is known.
struct Connection<'a> {
    app: &'a SharedApp,
    reader: Reader,
    writer: Writer,
    session: PeerSession,
    wanted: &'a Wanted,
    claim: &'a Claim<'a>,
    place: Place<'a>,
    acquaintance: Acquaintance<'a>,
    /// Where pieces are handed out.
    membership: Option<Membership<'a>>,
    outgoing: Outgoing,
    /// When the peer last took something, or there was nothing for it.
    progress: Instant,
    /// Bytes of blocks written since there was last nothing more to write.
    burst: u64,
    /// There is more to write, but others should have the processor before.
    has_more: bool,
    /// Bytes of messages that no turn was spent on yet.
    owed: usize,
    /// The place in the queue before the upload limit.
    turn: Waiting<'a, Turn<'a>>,
    /// The bytes of a block that are on their way from the disk.
    disk: Waiting<'a, Result<Vec<u8>, ServeError>>,
    /// Metadata or hashes that are on their way from the catalog.
    lookup: Waiting<'a, Found>,
    /// What tells of pieces that can't be given.
    damage: watch::Receiver<Vec<Range<u64>>>,
}

impl Connection<'_> {
    async fn run(mut self) -> Result<Infallible, End> {
        loop {
            self.act_on_events();
            self.acquaintance.hear(&mut self.session);
            self.acquaintance.tell(&mut self.session);
            // Before anything is written that was asked for.
            if self.damage.has_changed().unwrap_or(false) {
                self.damage_changed()?;
            }
            self.fill();
            let can_write = !self.outgoing.is_empty() && self.disk.is_none() && !self.has_more;
            let is_news = self.membership.as_ref().is_some_and(|membership| !membership.is_blocked());
            let deadline = self.next_deadline();
            let writing = write(self.app, self.wanted, &mut self.outgoing, &mut self.writer, is_news);
            tokio::select! {
                received = receive(&mut self.reader, &mut self.session) => self.received(received)?,
                written = writing, if can_write => self.written(written?),
                turn = arrival(&mut self.turn) => self.take(turn),
                bytes = arrival(&mut self.disk) => self.outgoing.supply(bytes?),
                found = arrival(&mut self.lookup) => self.answer(found),
                // The content outlives the connection, and with it who tells of damage.
                Ok(()) = self.damage.changed() => self.damage.mark_changed(),
                () = yield_now(), if self.has_more => self.has_more = false,
                () = news(self.membership.as_ref()) => {}
                verdict = self.place.verdict() => self.judged(verdict)?,
                () = sleep_until(deadline.into()) => self.handle_timeout()?,
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let deadline = self.session.next_deadline().min(self.acquaintance.next_deadline());
        if self.outgoing.is_empty() { deadline } else { deadline.min(self.progress + WRITE_LIMIT) }
    }

    fn handle_timeout(&mut self) -> Result<(), End> {
        let now = Instant::now();
        // The session knows of blocks only. What the own disk holds up is not the peer's fault.
        let is_stuck = !self.outgoing.is_empty() && self.disk.is_none();
        if is_stuck && now >= self.progress + WRITE_LIMIT {
            return Err(Close::NotReading.into());
        }
        Ok(self.session.handle_timeout(now)?)
    }

    /// Something has come, or the peer is to be left; what it said before that counts.
    fn received(&mut self, received: Result<(), End>) -> Result<(), End> {
        self.claim.heard();
        if let Err(End::Protocol(Close::BothSeeds)) = &received {
            self.act_on_events();
            if let Some(membership) = &self.membership {
                membership.has_all();
            }
        }
        received
    }

    /// Tells all who have to know what happened.
    fn act_on_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if let Event::Interested(_) = event {
                self.update();
                self.place.introduce(self.session.client().unwrap_or_default());
                self.place.interest_changed();
            }
            if let Some(membership) = &self.membership {
                membership.tell(event, &self.session);
            }
        }
        if let Some(membership) = &self.membership {
            membership.reveal(&mut self.session, &self.wanted.torrent.lengths);
        }
    }

    /// Takes note of what came of writing: nothing, if the socket is full.
    fn written(&mut self, written: Option<Written>) {
        match written {
            Some(Written::Some) => self.progress = Instant::now(),
            Some(Written::NeedsDisk { offset, length }) => {
                let Wanted { content, online, .. } = self.wanted;
                let reads = &self.app.peers.reads;
                self.disk = Some(Box::pin(reads.read(self.app, content, online, offset, length)));
                return;
            }
            None => {}
        }
        let finished = self.outgoing.finished();
        if let Some(membership) = &mut self.membership {
            membership.sent(&finished, !self.outgoing.is_empty());
        }
        if finished.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut bytes = 0;
        for block in &finished {
            self.session.block_sent(now, *block);
            bytes += u64::from(block.length);
        }
        self.wanted.content.counters.uploaded.fetch_add(bytes, Ordering::Relaxed);
        self.app.peers.uploaded.fetch_add(bytes, Ordering::Relaxed);
        if let Some(member) = self.wanted.member {
            self.app.members.sent(member, bytes);
        }
        self.burst = if self.session.has_payload() { self.burst + bytes } else { 0 };
        if self.burst >= BURST {
            (self.burst, self.has_more) = (0, true);
        }
        self.update();
    }

    /// Queues what is to be written, as far as the upload limit allows and metadata is at hand.
    fn fill(&mut self) {
        if self.outgoing.is_empty() {
            self.progress = Instant::now();
        }
        while self.lookup.is_none() && self.outgoing.has_room() {
            if self.owed < FREE_MESSAGES
                && let Some(bytes) = self.session.poll_control(Instant::now())
            {
                self.owed += bytes.len();
                self.outgoing.push_bytes(bytes);
            }
            if self.owed < FREE_MESSAGES && !self.session.has_payload() {
                // All was cancelled: others come sooner.
                self.turn = None;
                return;
            }
            match self.app.upload.free_turn() {
                Some(turn) => self.take(turn),
                // What is taken from the limit is to be sent at once: nobody waits while the socket takes no more.
                None if self.turn.is_none() && self.outgoing.is_empty() => self.wait_for_turn(),
                None => return,
            }
        }
    }

    fn wait_for_turn(&mut self) {
        let membership = self.membership.as_ref();
        let next = self.session.peek_block();
        let standing = match (membership, next) {
            (Some(membership), Some(next)) => membership.standing(next),
            // Messages alone: those to whom pieces are handed out come before.
            (Some(_), None) if self.owed >= FREE_MESSAGES => Standing::LAST,
            _ => Standing::default(),
        };
        let item = self.wanted.content.info_hash();
        self.turn = Some(Box::pin(self.app.upload.turn(item, standing)));
    }

    /// Uses a turn under the upload limit.
    fn take(&mut self, turn: Turn<'_>) {
        let (now, torrent) = (Instant::now(), &self.wanted.torrent);
        let owed = std::mem::take(&mut self.owed);
        if owed >= FREE_MESSAGES {
            turn.spend(owed);
            return;
        }
        if let Some(piece) = self.session.poll_metadata(now) {
            turn.spend(owed + piece.length as usize);
            match self.app.catalog.metadata_at_hand(&torrent.info_hash()) {
                Some(metadata) => self.answer(Found::Metadata(piece, Some(metadata))),
                None => self.lookup = Some(Box::pin(Found::metadata(self.app, torrent, piece))),
            }
            return;
        }
        if let Some(request) = self.session.poll_hashes(now) {
            // They are few bytes, but as much work as a block.
            turn.spend(owed + MAX_BLOCK as usize);
            self.lookup = Some(Box::pin(Found::hashes(self.app, torrent, request)));
            return;
        }
        let mut bytes = 0;
        while bytes < turn.bytes()
            && self.outgoing.has_room()
            && let Some(block) = self.session.poll_block(now)
        {
            bytes += block.length as usize;
            self.outgoing.push_block(&torrent.lengths, block);
        }
        turn.spend(owed + bytes);
    }

    fn answer(&mut self, found: Found) {
        if let Some(message) = found.message(&mut self.session, Instant::now()) {
            self.outgoing.push_bytes(message);
        }
    }

    /// The choker has looked.
    fn judged(&mut self, verdict: Verdict) -> Result<(), End> {
        self.session.set_choked(Instant::now(), verdict != Verdict::Unchoked)?;
        self.update();
        if let Some(membership) = &self.membership {
            membership.set_without_slot(verdict == Verdict::WithoutSlot);
        }
        Ok(())
    }

    /// Gives no more what has been found damaged, and again what is good again.
    fn damage_changed(&mut self) -> Result<(), End> {
        self.damage.mark_unchanged();
        let withheld = self.wanted.content.damage.pieces(&self.wanted.torrent.lengths);
        if let Some(membership) = &self.membership {
            membership.set_withheld(&withheld);
        }
        Ok(self.session.set_withheld(Instant::now(), &withheld)?)
    }

    fn update(&self) {
        if let Some(stats) = self.session.stats() {
            self.place.update(stats);
        }
    }
}
