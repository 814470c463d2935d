//! Messages that wait to be written: everything but payload.

use std::time::Instant;

use crate::close::Close;
use crate::message::Message;
use crate::requests::MAX_REQUESTS;

/// Rejects that may wait to be written. A peer that obeys `reqq` causes no more than this, twice over.
const MAX_UNSENT_REJECTS: usize = 2 * MAX_REQUESTS;

/// The messages, and when this side last wrote anything.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    unsent_rejects: usize,
    pub(crate) last_sent: Instant,
}

impl Outbox {
    /// Begins with these bytes.
    pub(crate) fn new(now: Instant, bytes: Vec<u8>) -> Self {
        Self { bytes, unsent_rejects: 0, last_sent: now }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn write(&mut self, message: Message<'_>) {
        message.encode(&mut self.bytes);
    }

    /// Writes a message that is already as it is on the wire.
    pub(crate) fn append(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
    }

    /// Writes a message that rejects what the peer asked for, of which it may cause only so many that it does not read.
    pub(crate) fn reject(&mut self, message: Message<'_>) -> Result<(), Close> {
        self.unsent_rejects += 1;
        if self.unsent_rejects > MAX_UNSENT_REJECTS {
            return Err(Close::NotReading);
        }
        self.write(message);
        Ok(())
    }

    /// Everything, to be written now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            return None;
        }
        self.last_sent = now;
        self.unsent_rejects = 0;
        Some(std::mem::take(&mut self.bytes))
    }
}
