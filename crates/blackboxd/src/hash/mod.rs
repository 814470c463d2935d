//! Hashes content for both versions while it is read once, in order: SHA-1 of pieces (BEP 3) and the merkle trees of files
//! (BEP 52), on all cores, in bounded memory.
//!
//! The calling thread reads chunks of whole pieces. Workers hash what is in them side by side: pieces and blocks have
//! nothing to do with each other. What they found is put together in order, so that there is always a [`Done`] which
//! stands for all content up to some place, and from which hashing can go on another day.
//!
//! - `chunk` a part of the content and what is hashed of it
//! - `done` what was found so far
//! - `checkpoint` keeps it over restarts
//! - `turn` whose turn it is to use disk and memory

mod checkpoint;
mod chunk;
mod done;
mod turn;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use torrent::FileRoot;
use torrent::hash::enough;

pub use checkpoint::{Checkpoint, clean, forget};
use chunk::{Chunk, Pending, Task};
pub use done::{Done, Layout};
pub use turn::{Held, Turn};

/// Memory for content that is being hashed, in bytes, all chunks of a job together. No piece is longer than half of it.
pub const MEMORY: usize = 64 << 20;

/// Memory for content that comes from a medium: those are slow, several may be read at once, and the machine may be small.
pub const MEDIUM_MEMORY: usize = 16 << 20;

/// Chunks: one is read while the other is hashed.
const CHUNKS: usize = 2;

/// Bytes of a good chunk: work enough for all cores. More takes more memory and was not measured to be faster.
const GOOD_CHUNK: usize = 8 << 20;

/// Bytes that are asked for in one read: whoever reads looks in between whether it should go on, and a scratched disc takes
/// seconds for a megabyte.
const MAX_READ: usize = 1 << 20;

/// Where content comes from, and who wants to know how far it has come.
pub trait Source {
    /// Why reading or hashing ended early.
    type Error;

    /// Puts the next bytes of the content at the start of the buffer and says how many; 0 is the end.
    ///
    /// # Errors
    /// Ends hashing; nothing comes of it then.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error>;

    /// Whether somebody else needs the disk or the memory more.
    fn should_rest(&self) -> bool {
        false
    }

    /// Waits until hashing should go on. No memory is held meanwhile.
    fn rest(&mut self) {}

    /// More has been hashed.
    fn hashed(&mut self, _done: &Done) {}
}

/// All that goes into torrents of both versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-1 of each piece of the content, one after the other (20 bytes each).
    pub pieces: Vec<u8>,
    /// Of each file what version 2 says of it; `None` if it is empty. Nothing, if only version 1 was asked for.
    pub roots: Option<Vec<Option<FileRoot>>>,
}

/// Hashes the content that `done` does not yet stand for; `source` begins at [`Done::read_from`]. It takes up to `memory`
/// bytes, but at least two pieces.
///
/// # Errors
/// The first error of `source`.
pub fn hash<S: Source>(done: Done, memory: usize, source: &mut S) -> Result<Hashes, S::Error> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (to_workers, queue) = channel::<Task>();
    let (to_reader, results) = channel();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let spawn = || {
            let (queue, to_reader) = (&queue, to_reader.clone());
            let work = move || while work(queue, &to_reader).is_continue() {};
            thread::Builder::new().name("hash".into()).spawn_scoped(scope, work)
        };
        // A machine that is short of threads hashes with fewer; without any, the reader does it.
        let is_alone = (0..workers).take_while(|_| spawn().is_ok()).count() == 0;
        let to_workers = (!is_alone).then_some(to_workers);
        Reader {
            chunk_length: chunk_length(&done.layout, memory),
            done,
            to_workers,
            to_self: to_reader,
            results,
            pending: VecDeque::new(),
            free: Vec::new(),
        }
        .run(source)
    })
}

/// As many pieces as are hashed well side by side, as far as they fit, but no more than there are.
fn chunk_length(layout: &Layout, memory: usize) -> usize {
    let piece = layout.piece_length as usize;
    let all = usize::try_from(layout.total().div_ceil(layout.piece_length.into())).unwrap_or(usize::MAX);
    let good = (GOOD_CHUNK / piece).max(enough());
    good.min(memory / CHUNKS / piece).min(all).max(1) * piece
}

/// Hashes one part of a chunk; ends when there are no more.
fn work(queue: &Mutex<Receiver<Task>>, to_reader: &Sender<Answer>) -> ControlFlow<()> {
    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let Ok(task) = next else { return ControlFlow::Break(()) };
    match to_reader.send(catch_unwind(AssertUnwindSafe(|| task.run()))) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// What a worker found, or its panic.
type Answer = thread::Result<chunk::Found>;

/// The thread that reads, and puts together what the workers find.
struct Reader {
    chunk_length: usize,
    done: Done,
    /// `None` without workers.
    to_workers: Option<Sender<Task>>,
    to_self: Sender<Answer>,
    results: Receiver<Answer>,
    /// Chunks that are being hashed, in order.
    pending: VecDeque<Pending>,
    /// Memory to be used again.
    free: Vec<Vec<u8>>,
}

impl Reader {
    fn run<S: Source>(mut self, source: &mut S) -> Result<Hashes, S::Error> {
        let mut carry = Vec::new();
        let mut at = self.done.read_from();
        let missing = self.done.position() - at;
        read_exactly(source, missing, &mut carry)?;
        loop {
            if source.should_rest() {
                while !self.pending.is_empty() {
                    self.collect(source);
                }
                self.free = Vec::new();
                source.rest();
            }
            while self.pending.len() == CHUNKS {
                self.collect(source);
            }
            let mut bytes = self.free.pop().unwrap_or_default();
            let carried = carry.len();
            bytes.resize(carried + self.chunk_length, 0);
            bytes[..carried].copy_from_slice(&carry);
            let filled = carried + fill(&mut bytes[carried..], source)?;
            if filled == carried {
                break;
            }
            bytes.truncate(filled);
            let chunk = Chunk::new(&self.done.layout, at, carried, bytes);
            carry = chunk.rest().to_vec();
            at += (filled - carry.len()) as u64;
            self.hand_out(chunk);
        }
        while !self.pending.is_empty() {
            self.collect(source);
        }
        Ok(self.done.finish())
    }

    fn hand_out(&mut self, chunk: Chunk) {
        let (pending, tasks) = Pending::new(chunk);
        self.pending.push_back(pending);
        for task in tasks {
            match &self.to_workers {
                Some(queue) => queue.send(task).expect("invariant: the queue outlives the scope"),
                None => self.to_self.send(Ok(task.run())).expect("invariant: the receiver is here"),
            }
        }
    }

    /// Waits for something to be found, and takes it into what is done as soon as everything before it is.
    fn collect<S: Source>(&mut self, source: &mut S) {
        let found = self.results.recv().expect("invariant: the sender is here");
        // A worker's panic is one of the job, which ends with it.
        let found = found.unwrap_or_else(|panic| resume_unwind(panic));
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.is_of(&found)) {
            pending.put(found);
        }
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.is_complete()) {
            self.free.extend(pending.finish(&mut self.done));
            source.hashed(&self.done);
        }
    }
}

fn fill<S: Source>(bytes: &mut [u8], source: &mut S) -> Result<usize, S::Error> {
    let mut filled = 0;
    while filled < bytes.len() {
        let end = bytes.len().min(filled + MAX_READ);
        match source.read(&mut bytes[filled..end])? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

/// Reads `length` bytes, or as many as there are.
fn read_exactly<S: Source>(source: &mut S, length: u64, into: &mut Vec<u8>) -> Result<(), S::Error> {
    into.resize(usize::try_from(length).unwrap_or(0), 0);
    let filled = fill(into, source)?;
    into.truncate(filled);
    Ok(())
}

#[cfg(test)]
mod tests;
