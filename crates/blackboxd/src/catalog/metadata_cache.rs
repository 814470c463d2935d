//! Metadata that was asked for of late: those who begin to download ask for it in many parts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use torrent::InfoHash;

use super::Metadata;

/// Bytes that are kept.
const MEMORY: usize = 16 << 20;

/// What is kept in any case, however large: an item of very many files, whose metadata is asked for in thousands of parts,
/// beside a small one.
const LEAST: usize = 2;

/// The metadata of some torrents, the one asked for last at the end.
#[derive(Debug, Default)]
pub(super) struct MetadataCache {
    /// Held by who reads what is not kept.
    turn: Mutex<()>,
    kept: Mutex<VecDeque<(InfoHash, Arc<Metadata>)>>,
}

impl MetadataCache {
    /// The metadata of this torrent, if it is kept.
    pub(super) fn get(&self, info_hash: &InfoHash) -> Option<Arc<Metadata>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(name, _)| name == info_hash)?;
        let found = kept.remove(at)?;
        let metadata = Arc::clone(&found.1);
        kept.push_back(found);
        Some(metadata)
    }

    /// Whoever is to read what is not kept waits here for others who do.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it as long as there is room.
    pub(super) fn put(&self, info_hash: InfoHash, metadata: Arc<Metadata>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(name, _)| *name != info_hash);
        kept.push_back((info_hash, metadata));
        while kept.len() > LEAST && kept.iter().map(|(_, metadata)| metadata.size()).sum::<usize>() > MEMORY {
            kept.pop_front();
        }
    }
}

impl Metadata {
    fn size(&self) -> usize {
        self.info_bytes.len() + self.piece_layers.as_ref().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_goes_first() {
        let cache = MetadataCache::default();
        let put = |number: u8, size: usize| {
            let metadata = Metadata { info_bytes: vec![number; size], piece_layers: None };
            cache.put(InfoHash([number; 20]), Arc::new(metadata));
        };
        let kept =
            || (0..5).filter(|number| cache.get(&InfoHash([*number; 20])).is_some()).collect::<Vec<u8>>();
        put(0, MEMORY / 2);
        put(1, MEMORY / 4);
        put(2, MEMORY / 4);
        assert!(cache.get(&InfoHash([0; 20])).is_some());
        put(3, MEMORY / 4);
        assert_eq!(kept(), [0, 2, 3]);
        put(4, 2 * MEMORY);
        assert_eq!(kept(), [3, 4]);
    }
}
