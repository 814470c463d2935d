//! Piece hashing on all cores while the content is read once, in order, by the calling thread.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use torrent::PieceHash;
use torrent::hash::{self, lanes};

/// Memory for content on its way to the hashers, in bytes.
const MEMORY: usize = 64 << 20;

/// Pieces smaller than this are handed over several at a time, in bytes.
const MIN_CHUNK: usize = 1 << 20;

/// Bytes that are asked for in one read: whoever reads looks in between whether it should go on, and a scratched disc takes
/// seconds for a megabyte.
const MAX_READ: usize = 1 << 20;

/// One or more whole pieces (the last of the content may be short).
struct Chunk {
    number: usize,
    bytes: Vec<u8>,
    filled: usize,
}

impl Chunk {
    fn hash(self, piece: usize) -> Hashed {
        let pieces: Vec<&[u8]> = self.bytes[..self.filled].chunks(piece).collect();
        let hashes = hash::hash_pieces(&pieces);
        Hashed { number: self.number, hashes, memory: self.bytes }
    }
}

/// A chunk's hashes, and its memory to be used again.
struct Hashed {
    number: usize,
    hashes: Vec<PieceHash>,
    memory: Vec<u8>,
}

/// Hashes content in pieces of `piece_length` bytes and returns the hashes one after the other, 20 bytes each.
///
/// `read` puts the next bytes of the content at the start of the slice and says how many; 0 is the end.
///
/// # Errors
/// The first error of `read`; nothing is returned then.
pub fn hash_pieces<E>(
    piece_length: u32,
    mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<Vec<u8>, E> {
    let piece = piece_length as usize;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let chunk_length = piece * pieces_in_chunk(piece, workers);
    let buffers = (workers * 2 + 1).min(MEMORY / chunk_length).max(2);

    let (to_workers, queue) = channel::<Chunk>();
    let (to_reader, results) = channel::<Hashed>();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let spawn = || {
            let (queue, to_reader) = (&queue, to_reader.clone());
            let work = move || while work(queue, &to_reader, piece).is_continue() {};
            thread::Builder::new().name("hash pieces".into()).spawn_scoped(scope, work)
        };
        // A machine that is short of threads hashes with fewer; without any, the reader does it.
        let is_alone = (0..workers).take_while(|_| spawn().is_ok()).count() == 0;
        drop(to_reader);

        let mut ordered = Ordered::default();
        let mut free: Vec<Vec<u8>> = (0..buffers).map(|_| Vec::new()).collect();
        for number in 0.. {
            let mut bytes = free.pop().unwrap_or_else(|| ordered.take(&results));
            bytes.resize(chunk_length, 0);
            let filled = fill(&mut bytes, &mut read)?;
            if filled == 0 {
                break;
            }
            let chunk = Chunk { number, bytes, filled };
            if is_alone {
                free.push(ordered.put(chunk.hash(piece)));
            } else {
                to_workers.send(chunk).expect("invariant: the queue outlives the scope");
            }
        }
        drop(to_workers);
        while let Ok(hashed) = results.recv() {
            ordered.put(hashed);
        }
        Ok(ordered.into_pieces())
    })
}

/// As many pieces as the processor hashes side by side, as far as each worker and the reader can have a chunk.
fn pieces_in_chunk(piece: usize, workers: usize) -> usize {
    lanes().max(MIN_CHUNK / piece).min(MEMORY / (workers + 1) / piece).max(1)
}

/// Hashes one chunk; ends when there are no more.
fn work(queue: &Mutex<Receiver<Chunk>>, to_reader: &Sender<Hashed>, piece: usize) -> ControlFlow<()> {
    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let Ok(chunk) = next else { return ControlFlow::Break(()) };
    match to_reader.send(chunk.hash(piece)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

fn fill<E>(bytes: &mut [u8], read: &mut impl FnMut(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
    let mut filled = 0;
    while filled < bytes.len() {
        let end = bytes.len().min(filled + MAX_READ);
        match read(&mut bytes[filled..end])? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

/// Results by chunk number; they arrive in any order.
#[derive(Default)]
struct Ordered {
    chunks: Vec<Vec<PieceHash>>,
}

impl Ordered {
    fn put(&mut self, hashed: Hashed) -> Vec<u8> {
        if self.chunks.len() <= hashed.number {
            self.chunks.resize(hashed.number + 1, Vec::new());
        }
        self.chunks[hashed.number] = hashed.hashes;
        hashed.memory
    }

    /// Waits for a result and gives its memory back.
    fn take(&mut self, results: &Receiver<Hashed>) -> Vec<u8> {
        let hashed = results.recv().expect("invariant: every buffer is with a worker that will answer");
        self.put(hashed)
    }

    fn into_pieces(self) -> Vec<u8> {
        self.chunks.into_iter().flatten().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use torrent::PieceHasher;

    /// Hashes `content`, handed out in reads of at most `step` bytes, and compares with the incremental hasher.
    fn check(length: usize, piece_length: u32, step: usize) {
        let content: Vec<u8> = (0..length).map(|i| (i * 31 + i / 251).to_le_bytes()[0]).collect();
        let mut rest = content.as_slice();
        let pieces = hash_pieces(piece_length, |buffer| {
            let count = rest.len().min(step).min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            Ok::<_, Infallible>(count)
        })
        .unwrap();
        let mut hasher = PieceHasher::new(piece_length);
        hasher.update(&content);
        assert_eq!(
            pieces,
            hasher.finish().concat(),
            "{length} bytes, pieces of {piece_length}, reads of {step}"
        );
    }

    #[test]
    fn the_same_hashes_in_order_whatever_the_edges() {
        const P: usize = 16 * 1024;
        const C: usize = MIN_CHUNK;
        for length in [0, 1, P - 1, P, P + 1, 2 * P, C - 1, C, C + 1, 2 * C, 20 * C + 5] {
            check(length, 16 * 1024, 1 << 20);
        }
        check(3 * C + 17, 16 * 1024, 1000);
        check(5 << 20, 2 << 20, 100_000);
        check(33 << 20, 16 << 20, 1 << 20);
    }

    #[test]
    fn nobody_is_asked_for_much_at_once() {
        let mut left = 40 << 20;
        hash_pieces(16 << 20, |buffer| {
            assert!(buffer.len() <= MAX_READ);
            let count = left.min(buffer.len());
            left -= count;
            Ok::<_, Infallible>(count)
        })
        .unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn an_error_while_reading_ends_it() {
        let mut reads = 0;
        let result = hash_pieces(16 * 1024, |buffer| {
            reads += 1;
            if reads == 500 { Err("unreadable") } else { Ok(buffer.len()) }
        });
        assert_eq!(result, Err("unreadable"));
    }
}
