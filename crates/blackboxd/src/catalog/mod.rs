//! What the box publishes, and what is on its way: one owner (a thread), `Arc` snapshots for everybody else.
//!
//! An item becomes public by one transaction and is retired by one; seeder, tracker, page and feed all read the
//! same snapshot, so none of them can know an item the others don't.

mod content;
pub mod damage;
mod gone;
mod handle;
#[cfg(test)]
mod history_tests;
mod item;
mod metadata_cache;
mod owner;
mod progress;
mod record;
mod reserve;
mod store;
#[cfg(test)]
pub mod testing;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub use content::{Content, Metadata, Publication, Sums, Torrent};
pub use gone::Fate;
use gone::Gone;
pub use handle::Handle;
pub use item::{Item, State};
pub use owner::open;
pub use progress::Progress;
use seeder::mse::req2;
pub use store::StoreError;
use torrent::InfoHash;

/// An item that is seeding. Its content is here once more, because the tracker asks for nothing else, a hundred thousand times
/// a second.
#[derive(Debug)]
struct Seeding {
    item: Arc<Item>,
    content: Arc<Content>,
}

/// An immutable view of all items.
#[derive(Debug, Default)]
pub struct Catalog {
    newest_first: Vec<Arc<Item>>,
    /// Items of the publish folder, sorted by name.
    by_name: Vec<Arc<Item>>,
    by_hash: HashMap<InfoHash, Seeding>,
    /// The names in `by_hash` as peers say them who encrypt; made when one does.
    by_req2: OnceLock<HashMap<[u8; 20], InfoHash>>,
    gone: Arc<Gone>,
    folder_id: Option<String>,
}

impl Catalog {
    /// `items` come sorted by name.
    fn new(items: Vec<Arc<Item>>, gone: Arc<Gone>, folder_id: Option<String>) -> Self {
        let mut by_hash = HashMap::new();
        for item in items.iter().filter(|item| item.state == State::Seeding) {
            let Some(content) = &item.content else { continue };
            let seeding = || Seeding { item: Arc::clone(item), content: Arc::clone(content) };
            by_hash.extend(content.names_on_the_wire().map(|name| (name, seeding())));
        }
        let by_name = items.iter().filter(|item| item.medium.is_none()).cloned().collect();
        let mut newest_first = items;
        newest_first.sort_by_key(|item| Reverse(item.added));
        Self { newest_first, by_name, by_hash, by_req2: OnceLock::new(), gone, folder_id }
    }

    /// The id of the publish folder that the items were published from; `None` before there was one.
    pub fn folder_id(&self) -> Option<&str> {
        self.folder_id.as_deref()
    }

    /// All items, newest first.
    pub fn items(&self) -> &[Arc<Item>] {
        &self.newest_first
    }

    /// Items of the publish folder, sorted by name.
    pub fn by_name(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.by_name.iter()
    }

    /// The counters of all that is published, by its names.
    pub fn sums(&self) -> impl Iterator<Item = (&str, Sums)> {
        self.by_name().filter_map(|item| Some((item.name.as_str(), item.content.as_ref()?.counters.sums())))
    }

    /// The item of that name in the publish folder, in whatever state.
    pub fn named(&self, name: &str) -> Option<&Arc<Item>> {
        let index = self.by_name.binary_search_by(|item| item.name.as_str().cmp(name)).ok()?;
        self.by_name.get(index)
    }

    /// The item that is *seeding* under this name of one of its torrents: offline and retired items are not found.
    pub fn seeding(&self, info_hash: &InfoHash) -> Option<&Arc<Item>> {
        self.by_hash.get(info_hash).map(|seeding| &seeding.item)
    }

    /// Its content.
    pub fn content(&self, info_hash: &InfoHash) -> Option<&Arc<Content>> {
        self.by_hash.get(info_hash).map(|seeding| &seeding.content)
    }

    /// The name by which an item is seeding that has this [`req2`] hash.
    pub fn named_by_req2(&self, hash: &[u8; 20]) -> Option<InfoHash> {
        let index = || self.by_hash.keys().map(|name| (req2(*name), *name)).collect();
        self.by_req2.get_or_init(index).get(hash).copied()
    }
}
