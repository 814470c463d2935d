//! One connection to the seeder: it asks for block after block, piece after piece, and throws them away.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use seeder::mse::Agreed;
use seeder::{Handshake, Reserved};
use socket2::{Domain, Socket, Type};
use system_tests::content::Chance;
use torrent::PeerId;

use crate::Content;
use crate::encryption;
use crate::wire::{Cutter, Part};

/// Bytes of a request.
const BLOCK: u32 = 16 * 1024;

/// Time for each step until messages flow.
const PATIENCE: Duration = Duration::from_secs(5);

/// A block, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    piece: u32,
    begin: u32,
    length: u32,
}

/// A piece that is put together to be checked.
struct Partial {
    piece: u32,
    bytes: Vec<u8>,
    left: usize,
}

/// What has happened on a connection so far.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Bytes of blocks that were asked for.
    pub bytes: u64,
    /// Requests that were refused (BEP 6).
    pub rejects: u64,
    /// Blocks that were not asked for.
    pub unasked: u64,
    /// Pieces that are what they should be, and that are not, if that is checked.
    pub pieces: [u64; 2],
}

/// A connection.
pub struct Connection {
    /// For the poll.
    pub stream: TcpStream,
    /// What has happened.
    pub counts: Counts,
    /// Whether it ever was unchoked.
    pub was_unchoked: bool,
    cutter: Cutter,
    peer: Peer,
}

/// What a connection knows of the other side, and what it does to it.
struct Peer {
    ciphers: Option<Agreed>,
    has: Vec<bool>,
    is_fast: bool,
    is_choked: bool,
    /// Where the next request begins.
    piece: u32,
    begin: u32,
    asked: VecDeque<Block>,
    /// The block that comes in, if it was asked for: its place, which moves on.
    current: Option<(u32, u32)>,
    sending: Vec<u8>,
    /// `None` when pieces are not checked.
    partials: Option<Vec<Partial>>,
}

impl Connection {
    /// Connects from `source`, shakes hands and says that it wants something.
    ///
    /// # Errors
    /// The step that failed, and how.
    pub fn open(
        content: &Content,
        [source, to]: [SocketAddr; 2],
        is_encrypted: bool,
        is_verified: bool,
        mut chance: Chance,
    ) -> Result<Self, String> {
        let at = |step: &'static str| move |error: std::io::Error| format!("{step}: {}", error.kind());
        let mut stream = connect(source, to).map_err(at("connect"))?;
        let name = format!("-SL0100-{:012}", chance.below(1_000_000_000_000));
        let handshake = Handshake {
            reserved: Reserved([0, 0, 0, 0, 0, 0, 0, 4]),
            info_hash: content.info_hash,
            peer_id: PeerId(name.into_bytes().try_into().expect("20 bytes")),
        };
        let ours = handshake.to_bytes();
        let mut ciphers = None;
        if is_encrypted {
            let agreed = encryption::initiate(&mut stream, handshake, &mut chance);
            ciphers = Some(agreed.map_err(at("encryption"))?);
        } else {
            stream.write_all(&ours).map_err(at("handshake"))?;
        }
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs).map_err(at("handshake"))?;
        if let Some(ciphers) = &mut ciphers {
            ciphers.decrypt.apply(&mut theirs);
        }
        if theirs[..20] != ours[..20] || theirs[28..48] != ours[28..48] {
            return Err("handshake: of another torrent".to_owned());
        }
        stream.set_nonblocking(true).map_err(at("socket"))?;
        let pieces = content.pieces();
        let mut peer = Peer {
            ciphers,
            has: vec![false; pieces as usize],
            is_fast: theirs[27] & 4 != 0,
            is_choked: true,
            piece: u32::try_from(chance.below(pieces.into())).expect("below a number of pieces"),
            begin: 0,
            asked: VecDeque::new(),
            current: None,
            sending: Vec::new(),
            partials: is_verified.then(Vec::new),
        };
        // With the fast extension the first message must say what we have.
        if peer.is_fast {
            peer.send(&[0, 0, 0, 1, 15]);
        }
        peer.send(&[0, 0, 0, 1, 2]);
        Ok(Self { stream, counts: Counts::default(), was_unchoked: false, cutter: Cutter::new(), peer })
    }

    /// Reads what there is, at most as much as fits into `buffer`.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn receive(&mut self, buffer: &mut [u8], content: &Content) -> Result<(), String> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err("closed".to_owned()),
            Ok(count) => count,
            Err(error) if is_temporary(&error) => return Ok(()),
            Err(error) => return Err(format!("read: {}", error.kind())),
        };
        if let Some(ciphers) = &mut self.peer.ciphers {
            ciphers.decrypt.apply(&mut buffer[..count]);
        }
        let (peer, counts) = (&mut self.peer, &mut self.counts);
        self.cutter.feed(&buffer[..count], |part| peer.take(part, content, counts))?;
        self.was_unchoked |= !self.peer.is_choked;
        Ok(())
    }

    /// Asks for more until `pipeline` requests wait for their blocks.
    pub fn ask(&mut self, pipeline: usize, content: &Content) {
        let peer = &mut self.peer;
        while !peer.is_choked && peer.asked.len() < pipeline && peer.seek() {
            let length = content.length_of(peer.piece);
            let block =
                Block { piece: peer.piece, begin: peer.begin, length: BLOCK.min(length - peer.begin) };
            peer.request(block);
            peer.begin += block.length;
            if peer.begin == length {
                (peer.piece, peer.begin) = ((peer.piece + 1) % content.pieces(), 0);
            }
        }
    }

    /// Sends what waits. What does not fit waits for the next time: the other side then has requests to answer, so there
    /// will be one.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn send(&mut self) -> Result<(), String> {
        if self.peer.sending.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.peer.sending) {
            Ok(count) => drop(self.peer.sending.drain(..count)),
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Err(format!("write: {}", error.kind())),
        }
        Ok(())
    }
}

fn is_temporary(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn connect(source: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&source.into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl Peer {
    fn send(&mut self, message: &[u8]) {
        let start = self.sending.len();
        self.sending.extend_from_slice(message);
        if let Some(cipher) = self.ciphers.as_mut().and_then(|agreed| agreed.encrypt.as_mut()) {
            cipher.apply(&mut self.sending[start..]);
        }
    }

    /// Moves on to a piece that the other side has; says whether there is one.
    fn seek(&mut self) -> bool {
        let from = self.piece as usize;
        let found = (from..self.has.len()).chain(0..from).find(|piece| self.has[*piece]);
        let Some(found) = found.and_then(|piece| u32::try_from(piece).ok()) else { return false };
        if found != self.piece {
            (self.piece, self.begin) = (found, 0);
        }
        true
    }

    fn request(&mut self, block: Block) {
        let mut message = [0, 0, 0, 13, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (at, number) in [(5, block.piece), (9, block.begin), (13, block.length)] {
            message[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        self.send(&message);
        self.asked.push_back(block);
    }

    /// Strikes off what was asked for; the oldest is nearly always the one.
    fn answered(&mut self, block: Block) -> bool {
        let at = self.asked.iter().position(|asked| *asked == block);
        at.and_then(|at| self.asked.remove(at)).is_some()
    }

    fn take(&mut self, part: Part, content: &Content, counts: &mut Counts) -> Result<(), String> {
        match part {
            Part::Message(id, body) => return self.message(id, body, counts),
            Part::BlockStart { piece, begin, length } => {
                let was_asked = self.answered(Block { piece, begin, length });
                counts.unasked += u64::from(!was_asked);
                self.current = was_asked.then_some((piece, begin));
            }
            Part::BlockBytes(bytes) => {
                let Some((piece, begin)) = self.current else { return Ok(()) };
                counts.bytes += bytes.len() as u64;
                self.verify(piece, begin as usize, bytes, content, counts);
                let count = u32::try_from(bytes.len()).expect("a part of a block");
                self.current = Some((piece, begin + count));
            }
        }
        Ok(())
    }

    fn message(&mut self, id: u8, body: &[u8], counts: &mut Counts) -> Result<(), String> {
        let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
        match (id, body.len()) {
            (0, 0) => {
                self.is_choked = true;
                // With the fast extension each is refused by itself.
                if !self.is_fast {
                    self.asked.clear();
                }
            }
            (1, 0) => self.is_choked = false,
            (4, 4) => *self.has.get_mut(number(0) as usize).ok_or("a piece that can't be")? = true,
            (5, length) if length == self.has.len().div_ceil(8) => {
                for (piece, has) in self.has.iter_mut().enumerate() {
                    *has = body[piece / 8] >> (7 - piece % 8) & 1 == 1;
                }
            }
            (5, _) => return Err("a bitfield of the wrong length".to_owned()),
            (14, 0) => self.has.fill(true),
            (16, 12) => {
                counts.rejects += 1;
                let block = Block { piece: number(0), begin: number(4), length: number(8) };
                if self.answered(block) && !self.is_choked {
                    self.request(block);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts bytes into their piece and checks it when it is whole.
    fn verify(&mut self, piece: u32, begin: usize, bytes: &[u8], content: &Content, counts: &mut Counts) {
        let Some(partials) = &mut self.partials else { return };
        let at = partials.iter().position(|partial| partial.piece == piece).unwrap_or_else(|| {
            let left = content.length_of(piece) as usize;
            partials.push(Partial { piece, bytes: vec![0; left], left });
            partials.len() - 1
        });
        let partial = &mut partials[at];
        partial.bytes[begin..begin + bytes.len()].copy_from_slice(bytes);
        partial.left = partial.left.saturating_sub(bytes.len());
        if partial.left == 0 {
            let is_right = content.is_right(piece, &partial.bytes);
            counts.pieces[usize::from(!is_right)] += 1;
            partials.swap_remove(at);
        }
    }
}
