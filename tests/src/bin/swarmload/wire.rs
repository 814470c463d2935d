//! The stream of a peer (BEP 3), cut into messages as its bytes come in.

/// Longest message that is taken, in bytes: the bitfield of an enormous torrent.
const LONGEST: usize = 4 << 20;

/// Bytes before a message: its length; and before the bytes of a block: id, piece and offset too.
const LENGTH: usize = 4;
const WITH_ID: usize = 5;
const BLOCK_HEADER: usize = 13;

/// Id of the message that carries a block.
const PIECE: u8 = 7;

/// What a stretch of the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A message that carries no block: its id and what follows.
    Message(u8, &'a [u8]),
    /// A block begins.
    BlockStart {
        /// Piece.
        piece: u32,
        /// Offset in the piece.
        begin: u32,
        /// Bytes that follow.
        length: u32,
    },
    /// Bytes of the block that began.
    BlockBytes(&'a [u8]),
}

/// Cuts a stream.
#[derive(Debug)]
pub struct Cutter {
    /// The message that is coming in, without the bytes of a block.
    gathered: Vec<u8>,
    /// Length of it at which more can be said.
    wanted: usize,
    /// Bytes of a block that are still to come.
    block_left: usize,
}

impl Cutter {
    /// Before the first message.
    pub fn new() -> Self {
        Self { gathered: Vec::new(), wanted: LENGTH, block_left: 0 }
    }

    /// Hands over what `bytes` brings.
    ///
    /// # Errors
    /// A message is longer than any may be, or `take` finds something wrong with it.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Part) -> Result<(), String>,
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.block_left > 0 {
                let (now, later) = bytes.split_at(self.block_left.min(bytes.len()));
                take(Part::BlockBytes(now))?;
                self.block_left -= now.len();
                bytes = later;
            } else {
                let missing = self.wanted - self.gathered.len();
                let (now, later) = bytes.split_at(missing.min(bytes.len()));
                self.gathered.extend_from_slice(now);
                bytes = later;
                if self.gathered.len() == self.wanted {
                    self.look(&mut take)?;
                }
            }
        }
        Ok(())
    }

    /// Finds out what was gathered, and what more is wanted.
    fn look(&mut self, take: &mut impl FnMut(Part) -> Result<(), String>) -> Result<(), String> {
        let number =
            |at: usize| u32::from_be_bytes(self.gathered[at..at + 4].try_into().expect("four bytes"));
        let end = LENGTH + number(0) as usize;
        if end > LONGEST {
            return Err("a message that is too long".to_owned());
        }
        if self.wanted == LENGTH && end > LENGTH {
            self.wanted = WITH_ID;
            return Ok(());
        }
        if end > LENGTH {
            let is_block = self.gathered[LENGTH] == PIECE;
            let wanted = if is_block { BLOCK_HEADER } else { end };
            if self.wanted < wanted {
                self.wanted = wanted;
                return Ok(());
            }
            if is_block {
                self.block_left = end.checked_sub(BLOCK_HEADER).ok_or("a block without its header")?;
                let length = u32::try_from(self.block_left).expect("shorter than LONGEST");
                take(Part::BlockStart { piece: number(5), begin: number(9), length })?;
            } else {
                take(Part::Message(self.gathered[LENGTH], &self.gathered[WITH_ID..]))?;
            }
        }
        self.gathered.clear();
        self.wanted = LENGTH;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_the_same_however_it_comes_in() {
        let stream = [
            &[0, 0, 0, 0][..],
            &[0, 0, 0, 1, 14],
            &[0, 0, 0, 5, 4, 0, 0, 0, 9],
            &[0, 0, 0, 12, 7, 0, 0, 0, 2, 0, 0, 64, 0, b'a', b'b', b'c'],
            &[0, 0, 0, 1, 1],
        ]
        .concat();
        for step in 1..=stream.len() {
            let (mut cutter, mut found, mut block) = (Cutter::new(), Vec::new(), Vec::new());
            for bytes in stream.chunks(step) {
                let take = |part: Part| {
                    match part {
                        Part::Message(id, rest) => found.push(format!("{id} {rest:?}")),
                        Part::BlockBytes(bytes) => block.extend_from_slice(bytes),
                        start @ Part::BlockStart { .. } => {
                            let expected = Part::BlockStart { piece: 2, begin: 16384, length: 3 };
                            assert_eq!(start, expected);
                        }
                    }
                    Ok(())
                };
                cutter.feed(bytes, take).unwrap();
            }
            assert_eq!(found, ["14 []", "4 [0, 0, 0, 9]", "1 []"]);
            assert_eq!(block, b"abc");
        }
        let mut cutter = Cutter::new();
        assert!(cutter.feed(&[255; 4], |_| Ok(())).is_err());
    }
}
