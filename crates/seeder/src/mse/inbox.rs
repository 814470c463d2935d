//! Bytes that have arrived and were not looked at.

use super::{Error, MAX_PADDING};

#[derive(Debug, Default)]
pub(super) struct Inbox(Vec<u8>);

impl Inbox {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next bytes, when all of them are there.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.0.first_chunk()?;
        self.0.drain(..N);
        Some(taken)
    }

    /// The same for what follows each other.
    pub(super) fn take_two<const N: usize, const M: usize>(&mut self) -> Option<([u8; N], [u8; M])> {
        let (first, rest) = self.0.split_first_chunk()?;
        let taken = (*first, *rest.first_chunk()?);
        self.0.drain(..N + M);
        Some(taken)
    }

    /// As many next bytes, when all of them are there.
    pub(super) fn take_some(&mut self, count: usize) -> Option<Vec<u8>> {
        (self.0.len() >= count).then(|| self.0.drain(..count).collect())
    }

    /// Drops padding and the mark that ends it. `false` as long as it is not there, and may still come.
    pub(super) fn pass<const N: usize>(&mut self, mark: &[u8; N]) -> Result<bool, Error> {
        let most = usize::from(MAX_PADDING) + N;
        let within = self.0.len().min(most);
        match self.0[..within].windows(N).position(|window| window == mark) {
            Some(padding) => {
                self.0.drain(..padding + N);
                Ok(true)
            }
            None if within == most => Err(Error::NotFound),
            None => Ok(false),
        }
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
