//! A peer of the wire protocol (BEP 3, 6, 10), written apart from the box's own code.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use torrent::{Info, InfoHash};

/// Longer than this no answer of the box takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Size of a request that every client makes, in bytes.
pub const BLOCK: u32 = 16 * 1024;

/// A message, as far as a leecher meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Id 0
    Choke,
    /// Id 1
    Unchoke,
    /// Id 4
    Have(u32),
    /// Id 5
    Bitfield(Vec<u8>),
    /// Id 7
    Piece {
        /// Piece.
        index: u32,
        /// Offset in the piece.
        begin: u32,
        /// The bytes.
        block: Vec<u8>,
    },
    /// Id 14
    HaveAll,
    /// Id 16
    Reject {
        /// Piece.
        index: u32,
        /// Offset in the piece.
        begin: u32,
        /// Bytes.
        length: u32,
    },
    /// Any other, by its id; `None` is a keep-alive.
    Other(Option<u8>),
}

/// A connection to the box after the handshakes.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// The reserved bits of the box.
    pub reserved: [u8; 8],
}

impl Peer {
    /// Connects and shakes hands as a client that knows the fast extension (BEP 6), or one that does not.
    ///
    /// # Errors
    /// The box hangs up, or does not answer with the same info hash.
    pub fn connect(address: SocketAddr, info_hash: &InfoHash, is_fast: bool) -> io::Result<Self> {
        Self::shake_hands(TcpStream::connect_timeout(&address, PATIENCE)?, info_hash, is_fast)
    }

    /// As [`connect`](Self::connect), from that address of this machine, as a client that knows the fast extension.
    ///
    /// # Errors
    /// As there.
    pub fn connect_from(source: IpAddr, address: SocketAddr, info_hash: &InfoHash) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Self::shake_hands(socket.into(), info_hash, true)
    }

    /// As [`Peer::connect`], over a connection that was made before.
    ///
    /// # Errors
    /// The box hangs up, or does not answer with the same info hash.
    pub fn shake_hands(mut stream: TcpStream, info_hash: &InfoHash, is_fast: bool) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut ours = b"\x13BitTorrent protocol\0\0\0\0\0\0\0".to_vec();
        ours.push(if is_fast { 4 } else { 0 });
        ours.extend_from_slice(info_hash.as_bytes());
        ours.extend_from_slice(b"-TS0001-");
        // Two connections of one id are one peer, so they differ.
        let port = stream.local_addr()?.port();
        ours.extend_from_slice(format!("{port:012}").as_bytes());
        stream.write_all(&ours)?;
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs)?;
        if theirs[..20] != ours[..20] || theirs[28..48] != ours[28..48] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not our handshake"));
        }
        let reserved = theirs[20..28].try_into().expect("eight bytes");
        Ok(Self { stream, reserved })
    }

    /// Sends bytes, whatever they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a message.
    pub fn send(&mut self, id: u8, numbers: &[u32]) -> io::Result<()> {
        let length = u32::try_from(1 + 4 * numbers.len()).expect("a few numbers");
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.push(id);
        for number in numbers {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        self.send_raw(&bytes)
    }

    /// The same connection, for another thread to write to.
    pub fn other_hand(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()?, reserved: self.reserved })
    }

    /// Says that we want something.
    pub fn interested(&mut self) -> io::Result<()> {
        self.send(2, &[])
    }

    /// Asks for a block.
    pub fn request(&mut self, index: u32, begin: u32, length: u32) -> io::Result<()> {
        self.send(6, &[index, begin, length])
    }

    /// Says that we have a piece.
    pub fn have(&mut self, index: u32) -> io::Result<()> {
        self.send(4, &[index])
    }

    /// Reads the next message.
    ///
    /// # Errors
    /// None comes, or one that can't be.
    pub fn read(&mut self) -> io::Result<Message> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 {
            return Ok(Message::Other(None));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Ok(match bytes[0] {
            0 => Message::Choke,
            1 => Message::Unchoke,
            4 if length == 5 => Message::Have(number(1)),
            5 => Message::Bitfield(bytes[1..].to_vec()),
            7 if length >= 9 => {
                Message::Piece { index: number(1), begin: number(5), block: bytes[9..].to_vec() }
            }
            14 => Message::HaveAll,
            16 if length == 13 => Message::Reject { index: number(1), begin: number(5), length: number(9) },
            id => Message::Other(Some(id)),
        })
    }

    /// Reads on until a message that `pick` takes something from.
    pub fn read_until<T>(&mut self, pick: impl Fn(&Message) -> Option<T>) -> io::Result<T> {
        loop {
            if let Some(found) = pick(&self.read()?) {
                return Ok(found);
            }
        }
    }

    /// Says that we want something and waits until we may have it.
    pub fn become_unchoked(&mut self) -> io::Result<()> {
        self.interested()?;
        self.read_until(|message| (*message == Message::Unchoke).then_some(()))
    }

    /// Asks for a block and waits for it.
    pub fn block(&mut self, index: u32, begin: u32, length: u32) -> io::Result<Vec<u8>> {
        self.request(index, begin, length)?;
        self.read_until(|message| match message {
            Message::Piece { index: i, begin: b, block } if (*i, *b) == (index, begin) => Some(block.clone()),
            _ => None,
        })
    }

    /// Downloads everything, some blocks ahead, and returns it.
    pub fn download(&mut self, info: &Info) -> io::Result<Vec<u8>> {
        const AHEAD: usize = 32;
        let total = usize::try_from(info.total_length()).expect("tests are small");
        let piece_length = info.piece_length as usize;
        let mut content = vec![0; total];
        let mut todo: Vec<usize> = (0..total).step_by(BLOCK as usize).collect();
        todo.reverse();
        let (mut asked, mut had) = (0, 0);
        let blocks = todo.len();
        while had < blocks {
            while asked - had < AHEAD
                && let Some(offset) = todo.pop()
            {
                let length = (total - offset).min(BLOCK as usize);
                let [index, begin, length] = [offset / piece_length, offset % piece_length, length]
                    .map(|n| u32::try_from(n).expect("tests are small"));
                self.request(index, begin, length)?;
                asked += 1;
            }
            let Message::Piece { index, begin, block } = self.read()? else { continue };
            let offset = index as usize * piece_length + begin as usize;
            let place = content.get_mut(offset..offset + block.len());
            place
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a block beyond the end"))?
                .copy_from_slice(&block);
            had += 1;
        }
        Ok(content)
    }

    /// Waits until the box hangs up; whatever it still sends is passed over.
    ///
    /// # Panics
    /// When it has not in time.
    #[track_caller]
    pub fn wait_for_hang_up(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a time above zero");
        let deadline = Instant::now() + limit;
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count) if count > 0 => assert!(Instant::now() < deadline, "still sends after {limit:?}"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("still connected after {limit:?}")
                }
                Ok(_) | Err(_) => return,
            }
        }
    }
}
