//! The proof that the daemon serves, for init, which keeps an update only with it: as a client of itself it fetches the page,
//! an answer of the tracker, and a piece of a published item, through the listeners that everybody uses.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use appliance::message::ToInit;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use seeder::{HANDSHAKE_LENGTH, Handshake, Message, Range, Reserved};
use torrent::bencode::{self, Limits};
use torrent::{Info, InfoHash, PeerId, PieceHash, PieceIndex, hash_piece};

use crate::app::{App, SharedApp};
use crate::catalog::{Catalog, Content, State};
use crate::history::Kind;
use crate::init_link::InitLink;
use crate::random;

/// Pause before the next try: what is published comes online one after the other.
const PAUSE: Duration = Duration::from_secs(1);

/// Longer than this nothing of the daemon's own takes, but to be unchoked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time for a piece, if all slots are taken and the upload limit is low.
const PIECE_LIMIT: Duration = Duration::from_mins(2);

/// Items tried in one go: some files may have changed while the box was off.
const MAX_ITEMS: usize = 8;

/// Bytes of an answer over HTTP that are read.
const MAX_ANSWER: u64 = 64 * 1024;

/// Bytes asked for at once, as every client does.
const BLOCK: u32 = 16 * 1024;

/// Bytes read at once from a peer.
const READ: usize = 8 * 1024;

const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 4 };

/// Tries until the proof is given or the daemon ends. Runs on a thread of its own.
pub fn give(app: &SharedApp, link: &InitLink) {
    let mut said = String::new();
    while !app.is_ending() {
        match prove(app) {
            Ok(how) => {
                tracing::info!("the daemon has proved to itself that it serves: {how}");
                if link.send(&ToInit::Serves) {
                    let version = env!("CARGO_PKG_VERSION");
                    let sentence = format!("Version {version} has proved that it serves, and is kept");
                    app.catalog.history().note(Kind::Update, &sentence);
                    return;
                }
            }
            Err(why) if why != said => {
                tracing::info!("the daemon has not yet proved to itself that it serves: {why}");
                said = why;
            }
            Err(_) => {}
        }
        thread::sleep(PAUSE);
    }
}

/// One try. Says what was proved, or what is missing.
fn prove(app: &App) -> Result<String, String> {
    if app.health.publish_folder().is_none() {
        return Err("the publish folder was not looked at yet".into());
    }
    let page = get(app.listeners.web, "/").map_err(|error| format!("the page: {error}"))?;
    // With a password it may be this.
    if !page.starts_with(b"HTTP/1.1 200 ") && !page.starts_with(b"HTTP/1.1 401 ") {
        return Err("the page does not come".into());
    }
    let catalog = app.catalog.snapshot();
    let all = seeding(&catalog);
    if all.is_empty() {
        let is_there = app.health.publish_folder() == Some(Ok(()));
        if is_there && catalog.items().iter().any(|item| item.state == State::Offline) {
            return Err("what is published is not online yet".into());
        }
        tracker_answers(app, "/scrape").map_err(|error| format!("the tracker: {error}"))?;
        return Ok("page and tracker answer, and nothing is published".into());
    }
    let mut failures = Vec::new();
    for content in all.into_iter().take(MAX_ITEMS) {
        match get_piece(app, content) {
            Ok(()) => return Ok(format!("page, tracker and a piece of {:?}", content.name)),
            Err(error) => failures.push(format!("{:?}: {error}", content.name)),
        }
    }
    Err(failures.join("; "))
}

/// What is seeding, the smallest first.
fn seeding(catalog: &Catalog) -> Vec<&Content> {
    let seeding = catalog.items().iter().filter(|item| item.state == State::Seeding);
    let mut contents: Vec<_> = seeding.filter_map(|item| item.content.as_deref()).collect();
    contents.sort_by_key(|content| content.size_bytes());
    contents
}

/// Where the daemon itself reaches a listener.
fn own(listener: SocketAddr) -> SocketAddr {
    // The wildcard of IPv6 serves both, and not every machine has IPv6.
    let ip = if listener.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listener.ip() };
    SocketAddr::new(ip, listener.port())
}

fn connect(listener: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&own(listener), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The beginning of the answer to a request.
fn get(listener: SocketAddr, target: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(listener)?;
    let host = own(listener);
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Whether the tracker gives an answer of a tracker, be it a failure.
fn tracker_answers(app: &App, target: &str) -> io::Result<Vec<u8>> {
    let answer = get(app.listeners.tracker, target)?;
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = head.map(|end| answer[end + 4..].to_vec()).unwrap_or_default();
    let is_dictionary = bencode::scan(&body, LIMITS).is_ok_and(|value| value.as_dictionary().is_some());
    if is_dictionary { Ok(body) } else { Err(io::Error::other("it gives no answer of a tracker")) }
}

/// Announces an item and fetches a piece of it. What is for members is given to who announces as one: the daemon knows
/// all their keys.
fn get_piece(app: &App, content: &Content) -> io::Result<()> {
    let Some(key) = app.config.members.values().next() else {
        // Who leaves is told to nobody, and it is an announce like any other.
        announce(app, content, "", "stopped")?;
        return fetch_piece(app, content);
    };
    let base = format!("/{}", key.as_str());
    announce(app, content, &base, "started")?;
    let fetched = fetch_piece(app, content);
    announce(app, content, &base, "stopped")?;
    fetched
}

fn announce(app: &App, content: &Content, base: &str, event: &str) -> io::Result<()> {
    let info_hash = content.info_hash();
    let escaped = percent_encode(info_hash.as_bytes(), NON_ALPHANUMERIC);
    let target = format!(
        "{base}/announce?info_hash={escaped}&peer_id=-BBPROOF-00000000000&port=1&uploaded=0&downloaded=0&left=1\
         &event={event}"
    );
    let body = tracker_answers(app, &target)?;
    let answer = bencode::scan(&body, LIMITS).ok().and_then(bencode::Value::as_dictionary);
    match answer.and_then(|answer| answer.get(b"failure reason")) {
        None => Ok(()),
        Some(_) => Err(io::Error::other("the tracker does not know it")),
    }
}

/// Fetches the first piece that the daemon says it has, and compares it with what was hashed.
fn fetch_piece(app: &App, content: &Content) -> io::Result<()> {
    let info_hash = content.info_hash();
    let metadata = app.catalog.metadata(&info_hash).map_err(io::Error::other)?;
    let metadata = metadata.ok_or_else(|| io::Error::other("it was taken back"))?;
    let info = Info::parse(&metadata.info_bytes).map_err(io::Error::other)?;
    let mut peer = Peer::greet(app, info_hash, content.torrent().lengths.piece_count())?;
    let piece = peer.first_piece()?;
    let lengths = &content.torrent().lengths;
    let piece = lengths.piece(piece).ok_or_else(|| io::Error::other("it offers a piece that is none"))?;
    let bytes = peer.download(piece, lengths.piece_size(piece))?;
    let expected: &PieceHash = info.piece_hash(piece).ok_or_else(|| io::Error::other("it has no hashes"))?;
    if hash_piece(&bytes) == *expected {
        Ok(())
    } else {
        Err(io::Error::other("other bytes than were hashed"))
    }
}

/// A connection to the daemon's own peers' listener.
struct Peer {
    stream: TcpStream,
    piece_count: u32,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were dealt with.
    done: usize,
    is_unchoked: bool,
    end: Instant,
}

impl Peer {
    fn greet(app: &App, info_hash: InfoHash, piece_count: u32) -> io::Result<Self> {
        let mut stream = connect(app.listeners.peer)?;
        let peer_id = PeerId(random::bytes()?);
        let reserved = Reserved([0, 0, 0, 0, 0, 0, 0, 4]);
        let mut first = Handshake { reserved, info_hash, peer_id }.to_bytes().to_vec();
        Message::HaveNone.encode(&mut first);
        Message::Interested.encode(&mut first);
        stream.write_all(&first)?;
        let mut answer = [0; HANDSHAKE_LENGTH];
        stream.read_exact(&mut answer)?;
        let answer = Handshake::parse(&answer).map_err(io::Error::other)?;
        if answer.is_none_or(|answer| answer.info_hash != info_hash) {
            return Err(io::Error::other("it shakes hands for something else"));
        }
        let end = Instant::now() + PIECE_LIMIT;
        Ok(Self { stream, piece_count, buffer: Vec::new(), done: 0, is_unchoked: false, end })
    }

    /// A piece that it says it has.
    fn first_piece(&mut self) -> io::Result<u32> {
        self.read_until(|message| match message {
            Message::HaveAll => Some(0),
            Message::Have(piece) => Some(piece),
            Message::Bitfield(bits) => {
                let at = bits.iter().position(|byte| *byte != 0)?;
                Some(u32::try_from(at).ok()? * 8 + bits[at].leading_zeros())
            }
            _ => None,
        })
    }

    fn download(&mut self, piece: PieceIndex, size: u32) -> io::Result<Vec<u8>> {
        let index = piece.get();
        let mut bytes = Vec::with_capacity(size as usize);
        while !self.is_unchoked {
            self.read_until(|message| (message == Message::Unchoke).then_some(()))?;
        }
        for begin in (0..size).step_by(BLOCK as usize) {
            let length = BLOCK.min(size - begin);
            let mut request = Vec::new();
            Message::Request(Range { index, begin, length }).encode(&mut request);
            self.stream.write_all(&request)?;
            let block = self.read_until(|message| match message {
                Message::Piece { index: i, begin: b, block } if (i, b) == (index, begin) => {
                    Some(Ok(block.to_vec()))
                }
                Message::Reject(_) | Message::Choke => Some(Err(io::Error::other("it refuses a block"))),
                _ => None,
            })??;
            bytes.extend_from_slice(&block);
        }
        Ok(bytes)
    }

    /// Reads on until a message that `pick` takes something from.
    fn read_until<T>(&mut self, pick: impl Fn(Message<'_>) -> Option<T>) -> io::Result<T> {
        loop {
            let decoded = Message::decode(&self.buffer[self.done..], self.piece_count);
            match decoded.map_err(io::Error::other)? {
                Some((message, bytes)) => {
                    match message {
                        Message::Unchoke => self.is_unchoked = true,
                        Message::Choke => self.is_unchoked = false,
                        _ => {}
                    }
                    let picked = pick(message);
                    self.done += bytes;
                    if let Some(picked) = picked {
                        return Ok(picked);
                    }
                }
                None => self.read_more()?,
            }
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        self.buffer.drain(..std::mem::take(&mut self.done));
        let mut chunk = [0; READ];
        loop {
            if Instant::now() >= self.end {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    self.buffer.extend_from_slice(&chunk[..bytes]);
                    return Ok(());
                }
                // All slots may be taken for a while.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
