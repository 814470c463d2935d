//! What is being written to a peer: bytes of ours, then parts of files, which go from the page cache to the socket
//! without passing through our memory (`sendfile`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::libc::MSG_MORE;
use nix::sys::sendfile::sendfile64;
use seeder::piece_header;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use torrent::Block;

use crate::catalog::Content;
use crate::storage::{OpenFile, ServeError, Storage};

/// Messages and at most one block on their way to the socket.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    parts: VecDeque<Part>,
    block: Option<Block>,
}

#[derive(Debug)]
enum Part {
    Bytes { bytes: Vec<u8>, written: usize },
    File { file: Arc<OpenFile>, offset: i64, left: usize },
}

/// Why writing ended the connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.parts.push_back(Part::Bytes { bytes, written: 0 });
    }

    /// Queues a block, if its files are still what was hashed.
    pub(super) fn push_block(
        &mut self,
        storage: &Storage,
        content: &Content,
        block: Block,
    ) -> Result<(), ServeError> {
        self.push_bytes(piece_header(block).to_vec());
        for span in content.spans.spans(content.lengths.block_offset(block), block.length.into()) {
            let file = storage.open(content, span.file)?;
            file.check()?;
            let offset = i64::try_from(span.offset)
                .map_err(|_| ServeError::Changed(content.files[span.file].path.clone()))?;
            let left = usize::try_from(span.length).unwrap_or(usize::MAX);
            self.parts.push_back(Part::File { file, offset, left });
        }
        self.block = Some(block);
        Ok(())
    }

    /// Writes as much as the socket takes. When all is written, tells the block that was completed by it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the socket takes no more for now.
    pub(super) fn write(&mut self, stream: &TcpStream) -> Result<Option<Block>, WriteError> {
        while let Some(part) = self.parts.pop_front() {
            match part {
                Part::Bytes { bytes, mut written } => {
                    // The kernel may wait for what follows and fill whole packets.
                    let flags = if self.parts.is_empty() { 0 } else { MSG_MORE };
                    let result = stream.try_io(Interest::WRITABLE, || {
                        SockRef::from(stream).send_with_flags(&bytes[written..], flags)
                    });
                    written += *result.as_ref().unwrap_or(&0);
                    if written < bytes.len() {
                        self.parts.push_front(Part::Bytes { bytes, written });
                    }
                    result?;
                }
                Part::File { file, mut offset, mut left } => {
                    let result = stream.try_io(Interest::WRITABLE, || {
                        Ok(sendfile64(stream.as_fd(), file.file().as_fd(), Some(&mut offset), left)?)
                    });
                    if matches!(result, Ok(0)) {
                        // The end of the file came too early: it shrank since it was checked.
                        return Err(file.check().err().map_or_else(
                            || WriteError::Socket(io::ErrorKind::UnexpectedEof.into()),
                            WriteError::Serve,
                        ));
                    }
                    left -= *result.as_ref().unwrap_or(&0);
                    if left > 0 {
                        self.parts.push_front(Part::File { file, offset, left });
                    }
                    result?;
                }
            }
        }
        Ok(self.block.take())
    }
}
