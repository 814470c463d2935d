//! Connections as their peers see them, over real sockets.

mod calls;
mod hand_out;
mod twice;

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seeder::{Handshake, Message, Range, Reserved, Standing};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use torrent::{InfoHash, MIN_PIECE_LENGTH, PeerId};
use tracker::Announce;

use super::end::End;
use super::listen;
use super::outgoing::{Outgoing, Written};
use super::registry;
use super::source::Source;
use super::stream::Stream;
use crate::app::SharedApp;
use crate::app::testing::app;
use crate::catalog::{Content, testing};
use crate::limit::Turn;
use crate::storage::ServeError;
use crate::storage::tests::bytes;

const BLOCK: u32 = 16 * 1024;

/// Bytes in a piece of so little content.
const PIECE: u32 = MIN_PIECE_LENGTH;

/// Nothing here takes so long, unless it takes for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// A box that seeds one item.
struct Seeding {
    folder: TempDir,
    app: SharedApp,
    content: Arc<Content>,
    bytes: Vec<u8>,
    /// Connections so far, and how often they were polled.
    connections: AtomicUsize,
    polls: Arc<AtomicUsize>,
}

impl Seeding {
    /// One file of that size under that upload limit, of which the box is not the only seed.
    fn new(size: usize, rate: Option<&str>) -> Self {
        let seeding = Self::alone(size, rate);
        announce_another_seed(&seeding.app, seeding.content.info_hash());
        seeding
    }

    /// The same, of which nobody else has all.
    fn alone(size: usize, rate: Option<&str>) -> Self {
        let folder_ = tempfile::tempdir().unwrap();
        let bytes = bytes(size);
        let publication =
            testing::folder(&folder_.path().join("publish"), "item", &[("file".into(), bytes.clone())]);
        let content = Arc::clone(&publication.content);
        let app = app(folder_.path(), rate.map(|rate| rate.parse().unwrap()));
        app.catalog.publish("item", publication).unwrap();
        app.catalog.set_online(None).unwrap();
        tokio::spawn(registry::unchoke(Arc::clone(&app), app.ending.clone()));
        let limited = Arc::clone(&app);
        tokio::spawn(async move { limited.upload.run().await });
        Self { folder: folder_, app, content, bytes, connections: AtomicUsize::new(0), polls: Arc::default() }
    }

    async fn turn(&self) -> Turn<'_> {
        self.app.upload.turn(self.content.info_hash(), Standing::default()).await
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("publish/item/file")
    }

    /// A peer that has said its handshake, and what serves it.
    async fn connect(&self) -> (Peer, JoinHandle<End>) {
        let number = self.connections.fetch_add(1, Ordering::Relaxed).to_ne_bytes();
        let mut peer_id = [2; 20];
        peer_id[..number.len()].copy_from_slice(&number);
        self.connect_as(PeerId(peer_id), [127, 0, 0, 1].into()).await
    }

    /// The same, of that name and from there.
    async fn connect_as(&self, peer_id: PeerId, address: IpAddr) -> (Peer, JoinHandle<End>) {
        let (stream, served) = pair().await;
        let (app, polls) = (Arc::clone(&self.app), Arc::clone(&self.polls));
        let address = SocketAddr::new(address, served.peer_addr().unwrap().port());
        let served = tokio::spawn(async move {
            let mut serving = pin!(listen(&app, Stream::Tcp(served), address));
            std::future::poll_fn(|context| {
                polls.fetch_add(1, Ordering::Relaxed);
                serving.as_mut().poll(context)
            })
            .await
        });
        let info_hash = self.content.info_hash();
        let handshake = Handshake { reserved: Reserved::OURS, info_hash, peer_id };
        let mut peer = Peer { stream, inbox: Vec::new() };
        peer.stream.write_all(&handshake.to_bytes()).await.unwrap();
        peer.stream.read_exact(&mut [0; 68]).await.unwrap();
        (peer, served)
    }

    /// A peer that may download.
    async fn leech(&self) -> (Peer, JoinHandle<End>) {
        let (mut peer, served) = self.connect().await;
        peer.become_unchoked().await;
        (peer, served)
    }
}

/// With another one nothing is handed out bit by bit.
fn announce_another_seed(app: &SharedApp, info_hash: InfoHash) {
    let announce = Announce {
        info_hash,
        peer_id: PeerId([3; 20]),
        address: [127, 0, 0, 3].into(),
        port: 1,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: tracker::Event::Started,
        numwant: None,
        key: 0,
        compact: true,
        passkey: None,
    };
    app.swarms.announce(Instant::now(), &announce, None, &mut || 0);
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// The block with that number, counted over all pieces.
fn block(number: u32) -> Range {
    let offset = number * BLOCK;
    Range { index: offset / PIECE, begin: offset % PIECE, length: BLOCK }
}

struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Peer {
    async fn say(&mut self, messages: &[Message<'_>]) {
        let mut bytes = Vec::new();
        for message in messages {
            message.encode(&mut bytes);
        }
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Reads messages until `wanted` finds what it is for; `None` at the end of the connection.
    async fn hear<T>(&mut self, mut wanted: impl FnMut(&Message<'_>) -> Option<T>) -> Option<T> {
        let hear = async {
            loop {
                while let Some(length) = self.inbox.first_chunk::<4>() {
                    let size = 4 + u32::from_be_bytes(*length) as usize;
                    if self.inbox.len() < size {
                        break;
                    }
                    let message: Vec<u8> = self.inbox.drain(..size).collect();
                    let found = match message.get(4) {
                        Some(7) => wanted(&Message::Piece {
                            index: u32::from_be_bytes(message[5..9].try_into().unwrap()),
                            begin: u32::from_be_bytes(message[9..13].try_into().unwrap()),
                            block: &message[13..],
                        }),
                        _ => wanted(&Message::decode(&message, u32::MAX).unwrap().unwrap().0),
                    };
                    if found.is_some() {
                        return found;
                    }
                }
                match self.stream.read_buf(&mut self.inbox).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        timeout(PATIENCE, hear).await.expect("nothing more was said")
    }

    /// Asks for the block with that number and gets it.
    async fn check_given(&mut self, seeding: &Seeding, number: u32) {
        self.say(&[Message::Request(block(number))]).await;
        let (offset, given) = self.block().await.unwrap();
        assert_eq!(offset, (number * BLOCK) as usize);
        assert!(seeding.bytes[offset..][..BLOCK as usize] == given);
    }

    async fn become_unchoked(&mut self) {
        self.say(&[Message::Interested]).await;
        self.hear(|message| matches!(message, Message::Unchoke).then_some(())).await.unwrap();
    }

    /// The next block's offset in the content and its bytes.
    async fn block(&mut self) -> Option<(usize, Vec<u8>)> {
        self.hear(|message| match message {
            Message::Piece { index, begin, block } => {
                Some(((index * PIECE + begin) as usize, block.to_vec()))
            }
            _ => None,
        })
        .await
    }
}

async fn end(served: JoinHandle<End>) -> End {
    timeout(PATIENCE, served).await.expect("it went on").unwrap()
}

#[tokio::test]
async fn who_asks_once_and_then_only_reads_gets_all() {
    const BLOCKS: u32 = 480;
    let seeding = Seeding::new((BLOCKS * BLOCK) as usize, None);
    let (mut peer, _served) = seeding.leech().await;
    peer.say(&(0..BLOCKS).map(|number| Message::Request(block(number))).collect::<Vec<_>>()).await;
    for number in 0..BLOCKS {
        let start = (number * BLOCK) as usize;
        let got = peer.block().await.unwrap();
        assert!(got == (start, seeding.bytes[start..start + BLOCK as usize].to_vec()), "block {number}");
    }
}

#[tokio::test]
async fn a_connection_whose_requests_are_cancelled_sleeps() {
    let seeding = Seeding::new(1 << 20, Some("64 KiB/s"));
    let (mut peer, _served) = seeding.leech().await;
    let requests: Vec<_> = (0..8).map(block).collect();
    peer.say(&requests.iter().copied().map(Message::Request).collect::<Vec<_>>()).await;
    // The next one waits for its turn by then.
    peer.block().await.unwrap();
    peer.say(&requests.iter().copied().map(Message::Cancel).collect::<Vec<_>>()).await;
    let last = requests[7];
    peer.hear(|message| (*message == Message::Reject(last)).then_some(())).await.unwrap();
    drop(seeding.turn().await);
    let before = seeding.polls.load(Ordering::Relaxed);
    for _ in 0..10_000 {
        yield_now().await;
    }
    let polls = seeding.polls.load(Ordering::Relaxed) - before;
    assert!(polls < 10, "{polls} polls for nothing");
}

#[tokio::test]
async fn peers_that_leave_do_not_hold_up_others() {
    let seeding = Seeding::new(1 << 20, Some("64 KiB/s"));
    let mut all_served = Vec::new();
    for _ in 0..200 {
        // Choked: these may ask for what is allowed fast.
        let (mut peer, served) = seeding.connect().await;
        let allowed = peer.hear(|message| match message {
            Message::AllowedFast(piece) => Some(*piece),
            _ => None,
        });
        let index = allowed.await.unwrap();
        peer.say(&[Message::Request(Range { index, begin: 0, length: BLOCK })]).await;
        all_served.push(served);
    }
    for served in all_served {
        end(served).await;
    }
    // Booked in advance that would be 50 s.
    let (mut peer, _served) = seeding.leech().await;
    peer.say(&[Message::Request(block(0))]).await;
    assert_eq!(peer.block().await.unwrap().0, 0);
}

#[tokio::test]
async fn metadata_is_under_the_upload_limit() {
    let seeding = Seeding::new(1 << 20, Some("1 KiB/s"));
    let (mut peer, _served) = seeding.leech().await;
    seeding.turn().await.spend(1 << 20);
    peer.say(&[Message::Extended { id: 0, payload: b"d1:md11:ut_metadatai9eee" }]).await;
    peer.say(&[Message::Extended { id: 1, payload: b"d8:msg_typei0e5:piecei0ee" }]).await;
    // There is no piece 5, and to say so can't wait. The second time piece 0 would have been sent before.
    for _ in 0..2 {
        peer.say(&[Message::Extended { id: 1, payload: b"d8:msg_typei0e5:piecei5ee" }]).await;
        let answer = peer.hear(|message| match message {
            Message::Extended { id: 9, payload } => Some(payload.to_vec()),
            _ => None,
        });
        assert_eq!(answer.await.unwrap(), b"d8:msg_typei2e5:piecei5ee", "nobody paid for piece 0");
    }
}

#[tokio::test]
async fn connections_end_when_the_item_goes_offline() {
    let seeding = Seeding::new(1 << 20, None);
    let (mut peer, served) = seeding.leech().await;
    seeding.app.catalog.set_offline();
    assert!(matches!(end(served).await, End::Offline));
    assert_eq!(peer.block().await, None);
    let (stream, other) = pair().await;
    let serving = listen(&seeding.app, Stream::Tcp(other), ([127, 0, 0, 1], 1).into());
    let mut stream = stream;
    let handshake = Handshake {
        reserved: Reserved::OURS,
        info_hash: seeding.content.info_hash(),
        peer_id: PeerId([2; 20]),
    };
    stream.write_all(&handshake.to_bytes()).await.unwrap();
    assert!(matches!(timeout(PATIENCE, serving).await.unwrap(), End::Unknown(_)));
}

#[tokio::test]
async fn a_file_that_changes_is_not_sent_on_to_a_slow_reader() {
    let seeding = Seeding::new(1 << 20, None);
    let Seeding { app, content, .. } = &seeding;
    let (mut peer, stream) = pair().await;
    let (_reader, mut writer) = Stream::Tcp(stream).split();
    // So that it is open.
    app.storage.read(content, &content.online(), 0, 1).unwrap();
    let mut outgoing = Outgoing::default();
    let lengths = &content.torrent().lengths;
    let first = lengths.block(0, 0, BLOCK).unwrap();
    let mut write = async |outgoing: &mut Outgoing| {
        poll_fn(|context| outgoing.poll_write(context, &mut writer, Source::new(&app.storage, content)))
            .await
            .unwrap()
    };
    // Until the socket takes no more.
    loop {
        while outgoing.has_room() {
            outgoing.push_block(lengths, first);
        }
        tokio::select! {
            biased;
            written = write(&mut outgoing) => assert_eq!(written, Written::Some),
            () = std::future::ready(()) => break,
        }
        outgoing.finished();
    }
    let file = std::fs::File::options().write(true).open(seeding.path()).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let mut read = Vec::with_capacity(1 << 20);
    let (offset, length) = loop {
        read.clear();
        // The socket takes more as soon as the peer has read what was queued.
        tokio::select! {
            count = peer.read_buf(&mut read) => assert!(count.unwrap() > 0),
            written = write(&mut outgoing) => match written {
                Written::NeedsDisk { offset, length } => break (offset, length),
                Written::Some => panic!("more was sent after the change"),
            },
        }
    };
    let read = app.peers.reads.read(app, content, &content.online(), offset, length).await;
    assert!(matches!(read, Err(ServeError::Changed(_))), "{read:?}");
}

#[tokio::test]
async fn a_change_ends_the_connection_and_is_looked_at() {
    let seeding = Seeding::new(1 << 20, None);
    let (mut peer, served) = seeding.leech().await;
    peer.say(&[Message::Request(block(0))]).await;
    peer.block().await.unwrap();
    std::fs::write(seeding.path(), b"shorter").unwrap();
    peer.say(&[Message::Request(block(1))]).await;
    assert!(matches!(end(served).await, End::Serve(ServeError::Changed(_))));
    assert!(peer.block().await.is_none());
}

#[tokio::test]
async fn pieces_that_are_found_damaged_are_rejected_and_the_others_are_given() {
    let seeding = Seeding::new(1 << 20, None);
    let (mut peer, _served) = seeding.leech().await;
    let damaged = u64::from(PIECE)..u64::from(PIECE) + 1;
    seeding.app.catalog.verified("item", &seeding.content, damaged, true).unwrap();
    peer.say(&[Message::Request(block(1))]).await;
    let rejected = peer.hear(|message| match message {
        Message::Reject(range) => Some(*range),
        _ => None,
    });
    assert_eq!(rejected.await, Some(block(1)));
    peer.say(&[Message::Request(block(2))]).await;
    let (offset, given) = peer.block().await.unwrap();
    assert_eq!((offset, given.as_slice()), (2 * BLOCK as usize, &seeding.bytes[offset..][..given.len()]));
    let all = seeding.app.storage.read(&seeding.content, &seeding.content.online(), 0, 1 << 20);
    assert!(matches!(all, Err(ServeError::Damaged(_))), "nobody else gets it either");
}
