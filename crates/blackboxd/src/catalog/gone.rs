//! What was published once: who still asks for it is told what became of it.

use std::collections::HashMap;
use std::sync::Arc;

use torrent::InfoHash;

use super::{Catalog, Item, State};

/// Names on the wire that are remembered, 36 bytes and a part of an item's name each. Those beyond are refused like what
/// never was here.
const MAX_NAMES: usize = 20_000;

/// Names on the wire of what is not published any more, with the name of its item.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone(HashMap<InfoHash, Arc<str>>);

impl Gone {
    /// These were torrents of an item of that name.
    pub(super) fn remember(&mut self, name: &str, torrents: impl IntoIterator<Item = InfoHash>) {
        let name: Arc<str> = name.into();
        for info_hash in torrents {
            if self.0.len() < MAX_NAMES || self.0.contains_key(&info_hash) {
                self.0.insert(info_hash, Arc::clone(&name));
            }
        }
    }
}

/// What became of a torrent.
#[derive(Debug, Clone, Copy)]
pub enum Fate<'a> {
    /// The item has other files now, and this is what it is published as.
    Replaced(&'a Arc<Item>),
    /// The item has other files now, and is on its way to be published.
    Changing,
    /// The item is gone.
    Retired,
}

impl Catalog {
    /// What became of a torrent that is not published under this name any more; `None` for one that is, is offline, or
    /// never was here as far as is remembered.
    pub fn fate(&self, info_hash: &InfoHash) -> Option<Fate<'_>> {
        let name = self.gone.0.get(info_hash)?;
        let Some(item) = self.named(name) else { return Some(Fate::Retired) };
        match (&item.content, item.state) {
            (Some(content), _) if content.torrent_named(info_hash).is_some() => None,
            (Some(_), State::Seeding) => Some(Fate::Replaced(item)),
            (Some(_), _) => None,
            (None, State::Failed) => Some(Fate::Retired),
            (None, _) => Some(Fate::Changing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut gone = Gone::default();
        let hash = |number: usize| {
            let mut bytes = [0; 20];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            InfoHash(bytes)
        };
        gone.remember("a", (0..MAX_NAMES + 10).map(hash));
        assert_eq!(gone.0.len(), MAX_NAMES);
        gone.remember("b", [hash(0), hash(MAX_NAMES)]);
        assert_eq!((gone.0.len(), &*gone.0[&hash(0)]), (MAX_NAMES, "b"));
    }
}
