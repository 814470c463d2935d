//! Many messages hashed side by side: pieces (SHA-1, BEP 3), merkle blocks and nodes (SHA-256, BEP 52).
//!
//! The rounds of one hash wait for each other, so a core that hashes one message at a time is idle for most of
//! its time. Here messages that have nothing to do with each other are hashed in the lanes of vectors, or with
//! the processor's SHA instructions in turn. [`Method`] has the ways, chosen at run time by what the processor
//! can do and by how many messages there are.
//!
//! - `method` the choice
//! - `lanes` messages of any lengths cut into blocks, padded and dealt out to lanes
//! - `rounds` SHA-1 and SHA-256 on vectors of any width
//! - `avx2`, `avx512`, `sha_ni` the instructions; `unsafe` code is only there and in what `rounds` writes there

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod method;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use crate::PieceHash;
use method::Processor;

pub use method::Method;

/// The SHA-1 of each piece, in the order of the pieces.
///
/// Any number of pieces of any lengths. It is fastest when at least [`lanes()`] of them are about equally long,
/// as all pieces but the last are.
pub fn hash_pieces<M: AsRef<[u8]>>(pieces: &[M]) -> Vec<PieceHash> {
    hash_all(pieces, Method::sha1)
}

/// The SHA-256 of each message, in the order of the messages: 16 KiB blocks, or nodes in pairs.
///
/// Any number of messages of any lengths. It is fastest when at least [`lanes()`] of them are about equally
/// long. The parents of a layer of nodes are `sha256_blocks(nodes.as_flattened().as_chunks::<64>().0)`.
pub fn sha256_blocks<M: AsRef<[u8]>>(blocks: &[M]) -> Vec<[u8; 32]> {
    hash_all(blocks, Method::sha256)
}

/// How many messages this processor hashes side by side: 1 to 16. Callers do best with multiples of it.
pub fn lanes() -> usize {
    widest().lanes()
}

/// How many messages side by side are enough for nearly the best speed: at most [`lanes()`]. Worth knowing for whoever has
/// to hold long messages in memory, of which fewer stay in the processor's caches.
pub fn enough() -> usize {
    Processor::detect().enough()
}

/// How this processor hashes many messages, for people.
pub fn description() -> String {
    widest().to_string()
}

/// The method for as many messages as anyone likes.
fn widest() -> Method {
    Processor::detect().method(usize::MAX)
}

/// Hashes messages by the best methods: as many as fill the lanes by the widest, what is left by narrower ones.
fn hash_all<M: AsRef<[u8]>, const SIZE: usize>(
    messages: &[M],
    hash: impl Fn(Method, &[&[u8]]) -> Vec<[u8; SIZE]>,
) -> Vec<[u8; SIZE]> {
    let processor = Processor::detect();
    let mut longest_first: Vec<(usize, &[u8])> = messages.iter().map(AsRef::as_ref).enumerate().collect();
    // Lanes do best side by side when none is left alone with a long message in the end.
    longest_first.sort_by_key(|(_, message)| Reverse(message.len()));
    let (order, sorted): (Vec<usize>, Vec<&[u8]>) = longest_first.into_iter().unzip();

    let mut hashes = vec![[0; SIZE]; messages.len()];
    let mut done = 0;
    while done < sorted.len() {
        let (method, count) = processor.share(sorted.len() - done);
        let share = done..done + count;
        for (&at, digest) in order[share.clone()].iter().zip(hash(method, &sorted[share])) {
            hashes[at] = digest;
        }
        done += count;
    }
    hashes
}
