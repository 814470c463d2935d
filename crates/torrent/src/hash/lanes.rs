//! Messages of any lengths, hashed in a fixed number of lanes.

use std::array;

/// 64 bytes: what SHA-1 and SHA-256 take in at a time.
pub type MessageBlock = [u8; 64];

/// A function of blocks: changes the state of each lane by the blocks of its message.
///
/// `state[word][lane]`; all lanes have equally many blocks.
pub type Compress<const WORDS: usize, const LANES: usize> =
    fn(state: &mut [[u32; LANES]; WORDS], blocks: &[&[MessageBlock]; LANES]);

/// What SHA-1 starts from (FIPS 180-4, 5.3.1).
pub const SHA1: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// What SHA-256 starts from (FIPS 180-4, 5.3.3).
#[rustfmt::skip]
pub const SHA256: [u32; 8] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
];

/// The hash of each message, in their order; `SIZE` is four bytes for each of the `WORDS`.
///
/// Lanes whose message ends get the next one. So none is idle as long as messages are waiting; at the end it
/// helps if the shortest come last.
pub fn hash<const WORDS: usize, const LANES: usize, const SIZE: usize>(
    initial: [u32; WORDS],
    compress: Compress<WORDS, LANES>,
    messages: &[&[u8]],
) -> Vec<[u8; SIZE]> {
    const { assert!(SIZE == 4 * WORDS) };
    let mut hashes = vec![[0; SIZE]; messages.len()];
    let mut waiting = messages.iter().enumerate().map(|(number, message)| Job::new(number, message));
    let mut lanes: [Option<Job>; LANES] = array::from_fn(|_| waiting.next());
    let mut state = initial.map(|word| [word; LANES]);

    while let Some(shortest) = lanes.iter().flatten().map(Job::blocks).min_by_key(|blocks| blocks.len()) {
        let count = shortest.len();
        // A lane without a job does the same as another; nobody looks at what comes out.
        let blocks =
            lanes.each_ref().map(|lane| lane.as_ref().map_or(shortest, |job| &job.blocks()[..count]));
        compress(&mut state, &blocks);
        for (lane, slot) in lanes.iter_mut().enumerate() {
            let Some(job) = slot else { continue };
            job.advance(count);
            if job.blocks().is_empty() {
                let words: [[u8; 4]; WORDS] = array::from_fn(|word| state[word][lane].to_be_bytes());
                hashes[job.number].copy_from_slice(words.as_flattened());
                for (column, word) in state.iter_mut().zip(initial) {
                    column[lane] = word;
                }
                *slot = waiting.next();
            }
        }
    }
    hashes
}

/// What is still to be hashed of a message.
struct Job<'a> {
    number: usize,
    /// The blocks of the message itself.
    body: &'a [MessageBlock],
    /// The rest of the message and its padding; one block or two, the first `padding_done` of them hashed.
    padding: [MessageBlock; 2],
    padding_done: usize,
    padding_end: usize,
}

impl<'a> Job<'a> {
    /// Pads the message (FIPS 180-4, 5.1.1): a one bit, zeros, and the length in bits in the last eight bytes.
    fn new(number: usize, message: &'a [u8]) -> Self {
        let (body, rest) = message.as_chunks();
        let mut padding = [[0; 64]; 2];
        padding[0][..rest.len()].copy_from_slice(rest);
        padding[0][rest.len()] = 0x80;
        let padding_end = if rest.len() < 56 { 1 } else { 2 };
        let bits = message.len() as u64 * 8;
        padding[padding_end - 1][56..].copy_from_slice(&bits.to_be_bytes());
        Self { number, body, padding, padding_done: 0, padding_end }
    }

    /// The next blocks that lie in one place; none at the end.
    fn blocks(&self) -> &[MessageBlock] {
        if self.body.is_empty() { &self.padding[self.padding_done..self.padding_end] } else { self.body }
    }

    /// `count` of [`blocks`](Self::blocks) are hashed.
    fn advance(&mut self, count: usize) {
        if self.body.is_empty() {
            self.padding_done += count;
        } else {
            self.body = &self.body[count..];
        }
    }
}
