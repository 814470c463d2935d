//! Downloads by peers that keep to the protocol.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use system_tests::daemon::{Daemon, Site};
use system_tests::peer::{BLOCK, Message, Peer};
use torrent::{Info, InfoHash};

/// Blocks that a peer asks for ahead of what it has got, as most clients do at this rate.
const AHEAD: usize = 64;

/// Peers in each download.
pub const PEERS: usize = 2;

/// An item of the box.
pub struct Item {
    pub box_address: SocketAddr,
    pub info_hash: InfoHash,
    pub info: Info,
    content: Vec<u8>,
}

impl Item {
    /// Waits until the item of that name is seeded.
    #[track_caller]
    pub fn new(site: &Site, daemon: &Daemon, name: &str) -> Self {
        let item = daemon.api.seeding(name);
        let (_, info) = item.metainfo();
        let content = fs::read(site.publish().join(name)).unwrap();
        Self { box_address: daemon.peer, info_hash: item.info_hash, info, content }
    }

    /// Number of pieces.
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.info.total_length().div_ceil(self.info.piece_length.into())).unwrap()
    }

    fn connect(&self) -> Peer {
        let mut peer = Peer::connect(self.box_address, &self.info_hash, true).unwrap();
        peer.become_unchoked().unwrap();
        peer
    }
}

/// A way of downloading; tells how long it took.
pub type Download = fn(&Item) -> Duration;

/// Each peer takes everything from the box.
pub fn each_for_itself(item: &Item) -> Duration {
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..PEERS {
            scope.spawn(|| assert!(item.connect().download(&item.info).unwrap() == item.content));
        }
    });
    started.elapsed()
}

/// Peers take what the box hands out to each, and pass it on to each other, which takes them no time.
pub fn together(item: &Item) -> Duration {
    let started = Instant::now();
    let peers: Vec<Peer> =
        (0..PEERS).map(|_| Peer::connect(item.box_address, &item.info_hash, true).unwrap()).collect();
    let swarm = Swarm {
        item,
        content: Mutex::new(vec![0; item.content.len()]),
        missing: Mutex::new((0..item.pieces()).map(|index| blocks(item, index).count()).collect()),
        hands: peers.iter().map(|peer| Mutex::new(peer.other_hand().unwrap())).collect(),
    };
    thread::scope(|scope| {
        for (peer, hand) in peers.into_iter().zip(&swarm.hands) {
            let swarm = &swarm;
            scope.spawn(move || swarm.take_part(peer, hand));
        }
    });
    assert!(*lock(&swarm.content) == item.content, "other bytes than were published");
    started.elapsed()
}

/// Peers that pass on to each other what they get.
struct Swarm<'a> {
    item: &'a Item,
    content: Mutex<Vec<u8>>,
    /// Blocks that are missing of each piece.
    missing: Mutex<Vec<usize>>,
    /// By these the peers speak to the box.
    hands: Vec<Mutex<Peer>>,
}

impl Swarm<'_> {
    /// One of the peers; it listens until there is everything, when the box hangs up.
    fn take_part(&self, mut peer: Peer, hand: &Mutex<Peer>) {
        lock(hand).interested().unwrap();
        let mut revealed = VecDeque::new();
        let (mut is_choked, mut asked) = (true, 0);
        loop {
            match peer.read() {
                Ok(Message::Unchoke) => is_choked = false,
                Ok(Message::Have(index)) => revealed.extend(blocks(self.item, index)),
                Ok(Message::Piece { index, begin, block }) => {
                    asked -= 1;
                    self.got(index, begin, &block);
                }
                Ok(message @ (Message::Choke | Message::Reject { .. })) => {
                    panic!("refused what was handed out: {message:?}")
                }
                Ok(_) => {}
                Err(_) if self.missing() == 0 => return,
                Err(error) => panic!("hung up on {} blocks before the end: {error}", self.missing()),
            }
            while !is_choked
                && asked < AHEAD
                && let Some((index, begin, length)) = revealed.pop_front()
            {
                if lock(&self.missing)[index as usize] > 0 {
                    asked += 1;
                    // The last piece may come by another way just now: then the box hangs up.
                    let _ = lock(hand).request(index, begin, length);
                }
            }
        }
    }

    fn missing(&self) -> usize {
        lock(&self.missing).iter().sum()
    }

    fn got(&self, index: u32, begin: u32, block: &[u8]) {
        let offset = index as usize * self.item.info.piece_length as usize + begin as usize;
        lock(&self.content)[offset..offset + block.len()].copy_from_slice(block);
        let mut missing = lock(&self.missing);
        let left = &mut missing[index as usize];
        *left = left.saturating_sub(1);
        if *left == 0 {
            for hand in &self.hands {
                // Whoever has the last piece is hung up on.
                let _ = lock(hand).have(index);
            }
        }
    }
}

/// The blocks of a piece, as they are asked for: piece, offset and length.
fn blocks(item: &Item, index: u32) -> impl Iterator<Item = (u32, u32, u32)> + use<> {
    let offset = u64::from(index) * u64::from(item.info.piece_length);
    let length = (item.info.total_length() - offset).min(item.info.piece_length.into());
    let length = u32::try_from(length).unwrap();
    (0..length).step_by(BLOCK as usize).map(move |begin| (index, begin, BLOCK.min(length - begin)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
