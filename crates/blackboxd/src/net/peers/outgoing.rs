//! What is being written to a peer: messages and blocks, in order. All that can be had from memory goes out in one call,
//! the blocks straight from the page cache; what can't is asked for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use seeder::{PIECE_HEADER, piece_header};
use tokio::net::TcpStream;
use torrent::{Block, Lengths};

use super::source::{Planned, Source};
use super::stream::{Writer, poll_write_slices};

/// Blocks that are queued here at most: these can't be cancelled any more. As many bytes pass through a core's cache on their
/// way to the peer; twice as many would not, and cost a fifth more.
const MAX_BLOCKS: usize = 32;

/// Bytes of messages above which nothing more is queued here.
const MAX_BYTES: usize = 32 * 1024;

/// Bytes that are copied, for connections that can't be given slices, before they are written: many to those who take them
/// at once, but most peers are slow, there may be thousands, and what they don't take has to be kept.
const MIN_STAGE: usize = 16 * 1024;
const MAX_STAGE: usize = 256 * 1024;

thread_local! {
    /// Where that is copied to, by turns for all connections: so it stays in the core's cache.
    static STAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Messages and blocks on their way to the peer.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    parts: VecDeque<Part>,
    /// Bytes of the first part that are written.
    written: usize,
    /// Blocks that are queued, and bytes of everything else.
    blocks: usize,
    bytes: usize,
    /// How these parts go on, as they are to be written: what was copied and not taken.
    staged: Vec<u8>,
    /// Bytes that the peer has taken at once.
    taken: usize,
    finished: Vec<Block>,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    Block(Sending),
}

/// A block with what goes before it.
#[derive(Debug)]
struct Sending {
    block: Block,
    header: [u8; PIECE_HEADER],
    /// Where it is in the content.
    offset: u64,
    /// Its bytes, if they had to be read.
    supplied: Option<Vec<u8>>,
}

/// What came of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Some bytes were taken.
    Some,
    /// This block has to be read, which may take its time: [`Outgoing::supply`] it.
    NeedsDisk {
        /// Where it is in the content.
        offset: u64,
        /// Its length in bytes.
        length: u32,
    },
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Block(Sending { block, .. }) => PIECE_HEADER + block.length as usize,
        }
    }
}

impl Outgoing {
    /// Whether all that was queued is written.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether more may be queued now.
    pub(super) fn has_room(&self) -> bool {
        self.blocks < MAX_BLOCKS && self.bytes < MAX_BYTES
    }

    /// Queues bytes.
    pub(super) fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.parts.push_back(Part::Bytes(bytes));
    }

    /// Queues a block.
    pub(super) fn push_block(&mut self, lengths: &Lengths, block: Block) {
        let (header, offset) = (piece_header(block), lengths.block_offset(block));
        self.parts.push_back(Part::Block(Sending { block, header, offset, supplied: None }));
        self.blocks += 1;
    }

    /// Takes the block that [`Written::NeedsDisk`] asked for.
    pub(super) fn supply(&mut self, bytes: Vec<u8>) {
        if let Some(sending) = self.unsupplied() {
            debug_assert_eq!(bytes.len(), sending.block.length as usize, "it is the whole block");
            sending.supplied = Some(bytes);
        }
    }

    /// The blocks that were written since this was last called.
    pub(super) fn finished(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.finished)
    }

    /// Writes as much as is taken. To be called when there is something to write.
    ///
    /// # Errors
    /// Those of the connection. What is wrong with a file shows when its bytes are read for [`Written::NeedsDisk`].
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut Writer,
        source: Source<'_>,
    ) -> Poll<io::Result<Written>> {
        match writer.socket() {
            Some(socket) => self.poll_write_slices(context, socket, source),
            None => self.poll_write_staged(context, writer, source),
        }
    }

    fn poll_write_slices(
        &mut self,
        context: &mut Context<'_>,
        socket: &TcpStream,
        mut source: Source<'_>,
    ) -> Poll<io::Result<Written>> {
        // Nothing is asked of files while the socket takes nothing.
        ready!(socket.poll_write_ready(context))?;
        let plan = self.plan(&mut source, usize::MAX);
        if plan.is_empty() {
            return Poll::Ready(Ok(self.needs_disk()));
        }
        let slices = source.slices(&plan);
        match ready!(poll_write_slices(context, socket, &slices)) {
            Ok(count) => {
                self.advance(count);
                Poll::Ready(Ok(Written::Some))
            }
            // A file was cut short meanwhile: reading will tell which.
            Err(error) if error.raw_os_error() == Some(Errno::EFAULT as i32) => {
                Poll::Ready(Ok(self.needs_disk()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// What of the parts can be sent at once, up to the part with which it is `enough` bytes.
    fn plan<'p>(&'p self, source: &mut Source<'_>, enough: usize) -> Vec<Planned<'p>> {
        let mut plan = Vec::with_capacity(2 * self.parts.len());
        let mut skip = self.written;
        let mut bytes = 0;
        for part in &self.parts {
            if bytes >= enough {
                break;
            }
            bytes += part.len() - skip;
            match part {
                Part::Bytes(bytes) => plan.push(Planned::Bytes(&bytes[skip..])),
                Part::Block(Sending { block, header, offset, supplied }) => {
                    let planned = plan.len();
                    plan.push(Planned::Bytes(&header[skip.min(PIECE_HEADER)..]));
                    let skip = skip.saturating_sub(PIECE_HEADER);
                    if let Some(bytes) = supplied {
                        plan.push(Planned::Bytes(&bytes[skip..]));
                    } else if !source.find(
                        offset + skip as u64,
                        u64::from(block.length) - skip as u64,
                        &mut plan,
                    ) {
                        plan.truncate(planned);
                        break;
                    }
                }
            }
            skip = 0;
        }
        plan
    }

    /// Takes note that so many bytes are written.
    fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some(part) = self.parts.front() {
            let Some(rest) = self.written.checked_sub(part.len()) else { return };
            self.written = rest;
            match self.parts.pop_front() {
                Some(Part::Block(Sending { block, .. })) => self.finish(block),
                Some(Part::Bytes(bytes)) => self.bytes -= bytes.len(),
                None => {}
            }
        }
        self.parts.shrink_to(0);
    }

    fn poll_write_staged(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut Writer,
        source: Source<'_>,
    ) -> Poll<io::Result<Written>> {
        let count = if self.staged.is_empty() {
            ready!(writer.poll_write_ready(context))?;
            match STAGE.with_borrow_mut(|stage| self.stage(context, writer, source, stage))? {
                Some(count) => count,
                None => return Poll::Ready(Ok(self.needs_disk())),
            }
        } else {
            let count = ready!(writer.poll_write(context, &self.staged))?;
            self.staged.drain(..count);
            if self.staged.is_empty() {
                self.staged = Vec::new();
            }
            count
        };
        self.advance(count);
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(Written::Some)) }
    }

    /// Copies what can be had at once, about as much as the peer takes, and writes it; what is not taken is kept. Tells how much
    /// is written, or that nothing can be had.
    fn stage(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut Writer,
        mut source: Source<'_>,
        stage: &mut Vec<u8>,
    ) -> io::Result<Option<usize>> {
        let plan = self.plan(&mut source, self.taken.max(MIN_STAGE));
        let length = plan.iter().map(Planned::len).sum();
        if stage.len() < length {
            stage.resize(length, 0);
        }
        let bytes = &mut stage[..length];
        // Reading it for NeedsDisk tells what is wrong.
        if plan.is_empty() || source.copy(&plan, bytes).is_err() {
            return Ok(None);
        }
        writer.apply(bytes);
        let count = match writer.poll_write(context, bytes) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        self.staged = bytes[count..].to_vec();
        self.taken = if count == length { (2 * count).min(MAX_STAGE) } else { count };
        Ok(Some(count))
    }

    fn finish(&mut self, block: Block) {
        self.blocks = self.blocks.saturating_sub(1);
        self.finished.push(block);
    }

    fn needs_disk(&mut self) -> Written {
        let next = self.unsupplied().expect("invariant: bytes and what was supplied can always be written");
        Written::NeedsDisk { offset: next.offset, length: next.block.length }
    }

    fn unsupplied(&mut self) -> Option<&mut Sending> {
        self.parts.iter_mut().find_map(|part| match part {
            Part::Block(sending) if sending.supplied.is_none() => Some(sending),
            _ => None,
        })
    }
}
