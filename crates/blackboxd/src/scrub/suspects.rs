//! What the disk failed to give to a peer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::Content;

/// Places that are remembered: peers come again to those that are not.
const MAX: usize = 64;

/// Places that should be read again before all others.
#[derive(Debug, Default)]
pub struct Suspects {
    waiting: Mutex<VecDeque<(Arc<Content>, u64)>>,
}

impl Suspects {
    /// The disk failed at this offset of the content.
    pub fn add(&self, content: &Arc<Content>, offset: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = waiting.iter().any(|(other, at)| Arc::ptr_eq(other, content) && *at == offset);
        if !is_known && waiting.len() < MAX {
            waiting.push_back((Arc::clone(content), offset));
        }
    }

    /// Takes one out.
    pub(super) fn next(&self) -> Option<(Arc<Content>, u64)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
