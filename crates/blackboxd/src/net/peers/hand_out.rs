//! Hands out items of which the box is the only complete source: tells [`Swarm`] what its members do, and its members
//! what it reveals to them.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seeder::{Event, Member, PeerSession, Reveal, Standing, Swarm, Uplink};
use tokio::sync::Notify;
use tokio::time::sleep_until;
use torrent::{Block, InfoHash, Lengths, PieceIndex};

use super::wanted::Wanted;
use crate::net::lock;

/// For so long it is remembered what became of an item's pieces when all have left: many come back.
const MEMORY: Duration = Duration::from_mins(10);

/// All items that are being handed out, by the names of their torrents.
type Items = Mutex<HashMap<InfoHash, Arc<HandOut>>>;

/// All hand-outs, and the uplink that they share.
#[derive(Debug)]
pub(super) struct HandOuts {
    items: Arc<Items>,
    uplink: Mutex<Uplink>,
}

/// One of them.
#[derive(Debug)]
struct HandOut {
    state: Mutex<State>,
    /// Its next deadline may be another.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    swarm: Swarm,
    mailboxes: BTreeMap<Member, Arc<Mailbox>>,
    /// Whether anything was sent that is worth remembering.
    has_sent: bool,
    /// Until when it is remembered, while it has no members.
    keep_until: Instant,
}

/// What a member is to be told and was not yet.
#[derive(Debug, Default)]
struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Mail {
    pieces: Vec<PieceIndex>,
    all: bool,
}

/// A peer's part in a hand-out; dropping it is leaving.
#[derive(Debug)]
pub(super) struct Membership<'a> {
    all: &'a HandOuts,
    hand_out: Arc<HandOut>,
    member: Member,
    mailbox: Arc<Mailbox>,
    is_blocked: bool,
}

impl HandOuts {
    /// None yet. What the uplink carries at most, in bytes a second, if that is set.
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { items: Arc::default(), uplink: Uplink::new(Instant::now(), limit).into() }
    }

    /// A peer at this address joins those to whom what it wants is handed out.
    pub(super) fn join(&self, wanted: &Wanted, address: IpAddr) -> Membership<'_> {
        let (now, info_hash, lengths) = (Instant::now(), wanted.torrent.info_hash(), &wanted.torrent.lengths);
        let uplink = lock(&self.uplink).bytes_per_second();
        let mut items = lock(&self.items);
        let hand_out = Arc::clone(items.entry(info_hash).or_insert_with(|| {
            let hand_out = Arc::new(HandOut::new(now, lengths.clone()));
            tokio::spawn(run(Arc::clone(&self.items), info_hash, Arc::clone(&hand_out)));
            hand_out
        }));
        // Within the lock, or it might be forgotten before.
        let mut state = lock(&hand_out.state);
        if let Some(uplink) = uplink {
            state.swarm.set_uplink(now, uplink);
        }
        // A member that had everything may have left for good: if the tracker knew of it, nobody would join any more.
        state.swarm.others_seed(now, false);
        state.swarm.set_withheld(now, &wanted.withheld);
        let member = state.swarm.join(now, address);
        let mailbox = Arc::<Mailbox>::default();
        state.mailboxes.insert(member, Arc::clone(&mailbox));
        state.deliver(now);
        drop(state);
        hand_out.changed.notify_one();
        Membership { all: self, hand_out, member, mailbox, is_blocked: false }
    }

    /// So much was sent to those to whom anything is handed out.
    fn count_sent(&self, now: Instant, bytes: u64) {
        let mut uplink = lock(&self.uplink);
        let measured = uplink.sent(now, bytes).then(|| uplink.bytes_per_second()).flatten();
        drop(uplink);
        let Some(bytes_per_second) = measured else { return };
        for hand_out in lock(&self.items).values() {
            lock(&hand_out.state).swarm.set_uplink(now, bytes_per_second);
        }
    }
}

impl HandOut {
    fn new(now: Instant, lengths: Lengths) -> Self {
        let swarm = Swarm::new(now, lengths);
        let state = State { swarm, mailboxes: BTreeMap::new(), has_sent: false, keep_until: now };
        Self { state: state.into(), changed: Notify::new() }
    }
}

/// Does for a hand-out what time requires, until it is forgotten.
async fn run(items: Arc<Items>, info_hash: InfoHash, hand_out: Arc<HandOut>) {
    loop {
        let deadline = lock(&hand_out.state).next_deadline();
        let timeout = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = hand_out.changed.notified() => continue,
            () = timeout => {}
        }
        let now = Instant::now();
        let is_over = {
            let mut state = lock(&hand_out.state);
            state.swarm.handle_timeout(now);
            state.deliver(now);
            state.is_over(now)
        };
        if is_over {
            let mut items = lock(&items);
            // Somebody may have joined meanwhile.
            if lock(&hand_out.state).is_over(now) {
                items.remove(&info_hash);
                return;
            }
        }
    }
}

impl State {
    /// Puts into the members' mailboxes what they are to be told.
    fn deliver(&mut self, now: Instant) {
        while let Some(reveal) = self.swarm.poll_reveal(now) {
            let (Reveal::Piece(member, _) | Reveal::All(member)) = reveal;
            let Some(mailbox) = self.mailboxes.get(&member) else { continue };
            let mut mail = lock(&mailbox.mail);
            match reveal {
                Reveal::Piece(_, piece) => mail.pieces.push(piece),
                Reveal::All(_) => mail.all = true,
            }
            mailbox.arrived.notify_one();
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.mailboxes.is_empty() && now >= self.keep_until
    }

    fn next_deadline(&self) -> Option<Instant> {
        let forget = self.mailboxes.is_empty().then_some(self.keep_until);
        self.swarm.next_deadline().into_iter().chain(forget).min()
    }
}

impl Membership<'_> {
    /// Waits for news: then it is time to [`reveal`](Self::reveal).
    pub(super) async fn news(&self) {
        self.mailbox.arrived.notified().await;
    }

    /// Tells the peer of the pieces that it is to know.
    pub(super) fn reveal(&self, session: &mut PeerSession, lengths: &Lengths) {
        let now = Instant::now();
        let Mail { pieces, all } = std::mem::take(&mut *lock(&self.mailbox.mail));
        let rest = all.then(|| lengths.pieces());
        for piece in pieces.into_iter().chain(rest.into_iter().flatten()) {
            session.reveal(now, piece);
        }
    }

    /// The peer did something.
    pub(super) fn tell(&self, event: Event, session: &PeerSession) {
        self.with(|State { swarm, .. }, member, now| match event {
            Event::Has(piece) => swarm.has(now, member, piece),
            Event::HasSeveral => swarm.has_many(now, member, session.have()),
            Event::Requested(block) => swarm.requested(now, member, block),
            Event::Cancelled(block) => swarm.cancelled(member, block),
            Event::Interested(interested) => swarm.interested(now, member, interested),
            Event::Handshake { .. } => {}
        });
    }

    /// Whether the peer wants something and there is no slot for it.
    pub(super) fn set_without_slot(&self, without: bool) {
        self.with(|State { swarm, .. }, member, now| swarm.choked(now, member, without));
    }

    /// Pieces, in order, that can't be given to anybody at present.
    pub(super) fn set_withheld(&self, withheld: &[PieceIndex]) {
        self.with(|State { swarm, .. }, _, now| swarm.set_withheld(now, withheld));
    }

    /// The peer has everything: it can serve the others who are here as well as this side.
    pub(super) fn has_all(&self) {
        self.with(|State { swarm, .. }, _, now| swarm.others_seed(now, true));
    }

    /// Whether the peer's socket is known to take no more.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Blocks were sent to the peer, and whether its socket takes more.
    pub(super) fn sent(&mut self, blocks: &[Block], is_blocked: bool) {
        let was_blocked = std::mem::replace(&mut self.is_blocked, is_blocked);
        if blocks.is_empty() && was_blocked == is_blocked {
            return;
        }
        self.with(|State { swarm, has_sent, .. }, member, now| {
            *has_sent |= !blocks.is_empty();
            for block in blocks {
                swarm.sent(now, member, *block);
            }
            swarm.blocked(now, member, is_blocked);
        });
        let bytes = blocks.iter().map(|block| u64::from(block.length)).sum();
        self.all.count_sent(Instant::now(), bytes);
    }

    /// The peer's place before the upload limit, given the block that is next for it.
    pub(super) fn standing(&self, next: Block) -> Standing {
        lock(&self.hand_out.state).swarm.standing(self.member, next)
    }

    fn with(&self, change: impl FnOnce(&mut State, Member, Instant)) {
        let now = Instant::now();
        let mut state = lock(&self.hand_out.state);
        let before = state.swarm.next_deadline();
        change(&mut state, self.member, now);
        state.deliver(now);
        let is_sooner = match (state.swarm.next_deadline(), before) {
            (Some(after), Some(before)) => after < before,
            (after, before) => after.is_some() && before.is_none(),
        };
        drop(state);
        if is_sooner {
            self.hand_out.changed.notify_one();
        }
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = lock(&self.hand_out.state);
        state.mailboxes.remove(&self.member);
        state.swarm.leave(now, self.member);
        state.keep_until = if state.has_sent { now + MEMORY } else { now };
        state.deliver(now);
        drop(state);
        self.hand_out.changed.notify_one();
    }
}
