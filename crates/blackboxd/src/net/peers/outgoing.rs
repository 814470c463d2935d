//! What is being written to a peer: bytes of ours, then at most one block, which goes from the page cache to the socket
//! without passing through our memory (`sendfile`) wherever that waits for no disk.

use std::io;
use std::os::fd::AsFd;

use nix::libc::MSG_MORE;
use nix::sys::sendfile::sendfile64;
use seeder::piece_header;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use torrent::{Block, Lengths};

use crate::catalog::Content;
use crate::storage::Storage;

/// Messages, and at most one block after them, on their way to the socket.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
    block: Option<Sending>,
}

/// A block of which not all is written.
#[derive(Debug)]
struct Sending {
    block: Block,
    /// Its bytes that are not yet sent or among `bytes`.
    rest: Rest,
}

/// Bytes of content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    /// Offset in the content.
    pub(super) offset: u64,
    /// Number of bytes.
    pub(super) length: u32,
}

/// How far writing came.
#[derive(Debug)]
pub(super) enum Written {
    /// All is written, and with it this block.
    All(Option<Block>),
    /// The socket takes no more for now.
    Blocked,
    /// These bytes have to be read, which may take its time: [`Outgoing::supply`] them.
    NeedsDisk(Rest),
}

impl Rest {
    /// Sends it from the page cache. An error other than [`io::ErrorKind::WouldBlock`] says that this can't be done.
    fn send(&mut self, stream: &TcpStream, storage: &Storage, content: &Content) -> io::Result<()> {
        // Asked at each call: by when a slow reader takes more, the file may have changed or left the memory.
        let ready = storage.ready(content, self.offset, self.length.into());
        let (file, offset) = ready.ok_or(io::ErrorKind::NotFound)?;
        let mut offset = i64::try_from(offset).map_err(io::Error::other)?;
        while self.length > 0 {
            let sent =
                sendfile64(stream.as_fd(), file.file().as_fd(), Some(&mut offset), self.length as usize)?;
            let sent =
                u32::try_from(sent).ok().filter(|sent| *sent > 0).ok_or(io::ErrorKind::UnexpectedEof)?;
            self.offset += u64::from(sent);
            self.length = self.length.saturating_sub(sent);
        }
        Ok(())
    }
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.block.is_none()
    }

    /// Queues bytes, before any block.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        debug_assert!(self.block.is_none(), "bytes would end up inside of the block");
        self.bytes.extend_from_slice(bytes);
    }

    /// Queues a block; to be called when there is none.
    pub(super) fn push_block(&mut self, lengths: &Lengths, block: Block) {
        self.push_bytes(&piece_header(block));
        let rest = Rest { offset: lengths.block_offset(block), length: block.length };
        self.block = Some(Sending { block, rest });
    }

    /// Takes the bytes that [`Written::NeedsDisk`] asked for.
    pub(super) fn supply(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if let Some(sending) = &mut self.block {
            sending.rest.length = 0;
        }
    }

    /// Writes as much as the socket takes.
    ///
    /// # Errors
    /// Those of the socket. What is wrong with a file shows when its bytes are read for [`Written::NeedsDisk`].
    pub(super) fn write(
        &mut self,
        stream: &TcpStream,
        storage: &Storage,
        content: &Content,
    ) -> io::Result<Written> {
        if !self.write_bytes(stream)? {
            return Ok(Written::Blocked);
        }
        let Some(Sending { rest, .. }) = &mut self.block else { return Ok(Written::All(None)) };
        if rest.length > 0 {
            // Nothing is asked of the file while the socket takes nothing.
            match stream.try_io(Interest::WRITABLE, || rest.send(stream, storage, content)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Written::Blocked),
                // Whether file or socket is the cause, reading and writing by themselves will tell.
                Err(_) => return Ok(Written::NeedsDisk(*rest)),
            }
        }
        Ok(Written::All(self.block.take().map(|sending| sending.block)))
    }

    /// Whether all bytes are written.
    fn write_bytes(&mut self, stream: &TcpStream) -> io::Result<bool> {
        // With more to come the kernel may wait for it and fill whole packets.
        let more = self.block.as_ref().is_some_and(|sending| sending.rest.length > 0);
        let flags = if more { MSG_MORE } else { 0 };
        while self.written < self.bytes.len() {
            let sent = stream.try_io(Interest::WRITABLE, || {
                SockRef::from(stream).send_with_flags(&self.bytes[self.written..], flags)
            });
            match sent {
                Ok(sent) => self.written += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Most connections are idle: the memory goes back.
        self.bytes = Vec::new();
        self.written = 0;
        Ok(true)
    }
}
