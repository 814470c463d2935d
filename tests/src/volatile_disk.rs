//! A disk with a write cache that loses its content with the power: a server of the NBD protocol, for QEMU.
//!
//! Writes are in the file at once. What was not flushed when the machine goes off is taken back, all but some of it by
//! chance, as a real disk may have written any of it in any order.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::content::Chance;

/// Of the protocol's document, as are all numbers below.
const OPTION_MAGIC: u64 = u64::from_be_bytes(*b"IHAVEOPT");
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

/// "Fixed newstyle", and no zeros after the handshake.
const HANDSHAKE_FLAGS: u16 = 1 | 2;
/// There are flags, and there is a flush.
const EXPORT_FLAGS: u16 = 1 | 4;

const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const REPLY_UNSUPPORTED: u32 = (1 << 31) | 1;

/// The disk while a machine runs.
#[derive(Debug)]
pub struct VolatileDisk {
    socket: PathBuf,
    server: JoinHandle<io::Result<Vec<Unflushed>>>,
    path: PathBuf,
}

/// A write that may be lost.
#[derive(Debug)]
struct Unflushed {
    offset: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl VolatileDisk {
    /// Serves the file at `path` to one machine.
    ///
    /// # Panics
    /// When the file or the socket beside it can't be opened.
    pub fn serve(path: &Path) -> Self {
        let socket = path.with_extension("sock");
        // It belongs to the run before.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a new socket");
        let file = File::options().read(true).write(true).open(path).expect("a disk");
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            Connection { stream, file, unflushed: Vec::new() }.serve()
        });
        Self { socket, server, path: path.to_owned() }
    }

    /// Where QEMU connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until the machine is off, and loses what was not flushed. Says how many writes were lost, of how many.
    ///
    /// # Panics
    /// When the protocol was broken.
    pub fn power_is_cut(self, chance: &mut Chance) -> (usize, usize) {
        let unflushed = self.server.join().expect("a server that ends well").expect("a proper client");
        let file = File::options().write(true).open(self.path).expect("a disk");
        for write in unflushed.iter().rev() {
            file.write_all_at(&write.old, write.offset).expect("a disk");
        }
        let mut lost = unflushed.len();
        for write in unflushed.iter().filter(|_| chance.below(2) == 0) {
            file.write_all_at(&write.new, write.offset).expect("a disk");
            lost -= 1;
        }
        (lost, unflushed.len())
    }
}

/// The connection to a machine.
struct Connection {
    stream: UnixStream,
    file: File,
    unflushed: Vec<Unflushed>,
}

impl Connection {
    /// Until the machine is off; returns what was not flushed.
    fn serve(mut self) -> io::Result<Vec<Unflushed>> {
        self.shake_hands()?;
        loop {
            // A machine that is off says no more, or not to the end.
            match self.request() {
                Ok(true) => {}
                Ok(false) => return Ok(self.unflushed),
                Err(error) if is_end(&error) => return Ok(self.unflushed),
                Err(error) => return Err(error),
            }
        }
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        self.stream.write_all(b"NBDMAGICIHAVEOPT")?;
        self.stream.write_all(&HANDSHAKE_FLAGS.to_be_bytes())?;
        self.number::<4>()?;
        loop {
            let (magic, option, length) = (self.number::<8>()?, self.number::<4>()?, self.number::<4>()?);
            expect(magic == OPTION_MAGIC, "an option")?;
            self.bytes(length)?;
            if option != u64::from(OPTION_GO) {
                self.answer_option(option, REPLY_UNSUPPORTED, &[])?;
                continue;
            }
            let size = self.file.metadata()?.len();
            let info = [&0_u16.to_be_bytes()[..], &size.to_be_bytes(), &EXPORT_FLAGS.to_be_bytes()].concat();
            self.answer_option(option, REPLY_INFO, &info)?;
            return self.answer_option(option, REPLY_ACK, &[]);
        }
    }

    fn answer_option(&mut self, option: u64, kind: u32, data: &[u8]) -> io::Result<()> {
        let option = u32::try_from(option).expect("it was read from 4 bytes");
        let length = u32::try_from(data.len()).expect("our own few bytes");
        let head = [option, kind, length].map(u32::to_be_bytes).concat();
        self.stream.write_all(&[&OPTION_REPLY_MAGIC.to_be_bytes()[..], &head, data].concat())
    }

    /// Answers one request; `false` after the last.
    fn request(&mut self) -> io::Result<bool> {
        let (magic, kind) = (self.number::<4>()?, self.number::<4>()?);
        let (cookie, offset, length) = (self.number::<8>()?, self.number::<8>()?, self.number::<4>()?);
        expect(magic == u64::from(REQUEST_MAGIC), "a request")?;
        let mut data = Vec::new();
        // The upper half of this number is flags, of which we offer none.
        match kind {
            0 => data = self.read_file(offset, length)?,
            1 => {
                let (old, new) = (self.read_file(offset, length)?, self.bytes(length)?);
                self.file.write_all_at(&new, offset)?;
                self.unflushed.push(Unflushed { offset, old, new });
            }
            2 => return Ok(false),
            3 => self.unflushed.clear(),
            _ => return Err(io::Error::other(format!("request {kind}"))),
        }
        let head = [&REPLY_MAGIC.to_be_bytes()[..], &[0; 4], &cookie.to_be_bytes(), &data].concat();
        self.stream.write_all(&head)?;
        Ok(true)
    }

    fn read_file(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).expect("it was read from 4 bytes")];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).expect("it was read from 4 bytes")];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A number of so many bytes.
    fn number<const BYTES: usize>(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.stream.read_exact(&mut bytes[8 - BYTES..])?;
        Ok(u64::from_be_bytes(bytes))
    }
}

fn expect(holds: bool, what: &str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(format!("this is not {what}"))) }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
