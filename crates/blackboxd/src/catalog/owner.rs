//! The thread that owns the catalog: the only one that writes the store and makes snapshots.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::store::{Record, Store, StoreError};
use super::{Catalog, Content, Item, State};

/// Commands that may wait for the owner; senders wait when there are more.
const QUEUE: usize = 1024;

/// Items of the publish folder and what is only on a medium (with its drive) don't collide. Sorts by name first.
type Key = (String, Option<String>);

enum Command {
    Publish { name: String, content: Arc<Content>, done: oneshot::Sender<Result<(), StoreError>> },
    Retire { name: String, done: oneshot::Sender<Result<(), StoreError>> },
    Show(Box<Item>),
    Hide(Key),
    Offline(bool),
    SaveCounters,
    Close,
}

/// The way to the catalog's owner; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    snapshots: watch::Receiver<Arc<Catalog>>,
}

/// Opens the catalog in `state` and starts its owner. All items that were published are seeding in the first snapshot.
///
/// The thread ends, with everything on disk, after [`Handle::close`].
///
/// # Errors
/// When the store can neither be read nor made anew.
pub fn open(state: &Path) -> Result<(Handle, JoinHandle<()>), StoreError> {
    let store = Store::open(state)?;
    let items: BTreeMap<_, _> = store.load()?.into_iter().map(|item| (key(&item), Arc::new(item))).collect();
    let (commands, queue) = mpsc::channel(QUEUE);
    let (publisher, snapshots) = watch::channel(Arc::new(Catalog::new(items.values().cloned().collect())));
    let owner = Owner { store, items, publisher };
    let thread = std::thread::Builder::new()
        .name("catalog".into())
        .spawn(move || owner.run(queue))
        .map_err(StoreError::Thread)?;
    Ok((Handle { commands, snapshots }, thread))
}

impl Handle {
    /// The catalog as it is now.
    pub fn snapshot(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Makes an item public, in one transaction; it replaces what had that name. Blocks until it is on disk.
    ///
    /// # Errors
    /// When the store can't be written; then nothing has changed.
    pub fn publish(&self, name: &str, content: Arc<Content>) -> Result<(), StoreError> {
        self.ask(|done| Command::Publish { name: name.to_owned(), content, done })
    }

    /// Takes an item back, in one transaction. Blocks until it is on disk; nothing is served from now on.
    ///
    /// # Errors
    /// When the store can't be written; the item is not served all the same.
    pub fn retire(&self, name: &str) -> Result<(), StoreError> {
        self.ask(|done| Command::Retire { name: name.to_owned(), done })
    }

    /// Shows an item that is not published (settling, copying, hashing, failed); never replaces a published one.
    pub fn show(&self, item: Item) {
        self.tell(Command::Show(Box::new(item)));
    }

    /// Forgets an item of the publish folder that is not published.
    pub fn hide(&self, name: &str) {
        self.tell(Command::Hide((name.to_owned(), None)));
    }

    /// Forgets an item that is only on the medium in `drive`.
    pub fn hide_medium(&self, name: &str, drive: &str) {
        self.tell(Command::Hide((name.to_owned(), Some(drive.to_owned()))));
    }

    /// Says whether the publish folder is out of reach: published items are then offline, none is forgotten.
    pub fn set_offline(&self, offline: bool) {
        self.tell(Command::Offline(offline));
    }

    /// Writes the counters of all items to disk.
    pub fn save_counters(&self) {
        self.tell(Command::SaveCounters);
    }

    /// Ends the owner after all commands before this one.
    pub fn close(&self) {
        self.tell(Command::Close);
    }

    fn tell(&self, command: Command) {
        // After close() nobody is interested any more.
        let _ = self.commands.blocking_send(command);
    }

    fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Command,
    ) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        self.tell(command(done));
        answer.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }
}

struct Owner {
    store: Store,
    items: BTreeMap<Key, Arc<Item>>,
    publisher: watch::Sender<Arc<Catalog>>,
}

impl Owner {
    fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(command) = queue.blocking_recv() {
            match command {
                Command::Publish { name, content, done } => drop(done.send(self.publish(&name, content))),
                Command::Retire { name, done } => drop(done.send(self.retire(&name))),
                Command::Show(item) => self.show(*item),
                Command::Hide(key) => self.hide(&key),
                Command::Offline(offline) => self.set_offline(offline),
                Command::SaveCounters => self.save_counters(),
                Command::Close => break,
            }
        }
        self.save_counters();
    }

    fn publish(&mut self, name: &str, content: Arc<Content>) -> Result<(), StoreError> {
        let key = (name.to_owned(), None);
        let added = self.items.get(&key).map_or_else(Timestamp::now, |item| item.added);
        self.store.put(name, &Record::of(added, &content), &content.info_bytes)?;
        self.withdraw(&key);
        self.items.insert(key, Arc::new(Item::published(name, added, content)));
        self.announce();
        Ok(())
    }

    fn retire(&mut self, name: &str) -> Result<(), StoreError> {
        let key = (name.to_owned(), None);
        self.withdraw(&key);
        self.items.remove(&key);
        self.announce();
        self.store.remove(name)
    }

    /// Ends all connections that serve the item of that name.
    fn withdraw(&self, key: &Key) {
        if let Some(content) = self.items.get(key).and_then(|item| item.content.as_ref()) {
            content.retired.cancel();
        }
    }

    fn show(&mut self, mut item: Item) {
        let key = key(&item);
        match self.items.get(&key) {
            Some(old) if old.content.is_some() => return,
            Some(old) => item.added = old.added,
            None => {}
        }
        self.items.insert(key, Arc::new(item));
        self.announce();
    }

    fn hide(&mut self, key: &Key) {
        if self.items.get(key).is_some_and(|item| item.content.is_none()) {
            self.items.remove(key);
            self.announce();
        }
    }

    fn set_offline(&mut self, offline: bool) {
        let state = if offline { State::Offline } else { State::Seeding };
        for item in self.items.values_mut() {
            if item.content.is_some() && item.state != state {
                Arc::make_mut(item).state = state;
            }
        }
        self.announce();
    }

    fn save_counters(&self) {
        let counters = self
            .items
            .values()
            .filter_map(|item| Some((item.name.as_str(), &item.content.as_ref()?.counters)));
        if let Err(error) = self.store.save_counters(counters) {
            tracing::warn!("{error}; uploaded and completed may count too little after a restart");
        }
    }

    fn announce(&self) {
        self.publisher.send_replace(Arc::new(Catalog::new(self.items.values().cloned().collect())));
    }
}

fn key(item: &Item) -> Key {
    (item.name.clone(), item.medium.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Identity;
    use std::sync::atomic::Ordering;
    use torrent::{Hashes, Info, Mode};

    fn content(name: &str) -> Arc<Content> {
        let identity = Identity { inode: 1, size: 3, mtime: 2 };
        let mode = Mode::Single { length: identity.size };
        let hashes = Hashes::V1 { pieces: vec![7; 20] };
        let info = Info { name: name.into(), piece_length: 16384, mode, hashes, private: false };
        Arc::new(Content::new(info.to_bytes().into(), &[identity]).unwrap())
    }

    /// Runs `use_it` with the catalog in `state`, then closes it.
    fn with_catalog(state: &Path, use_it: impl FnOnce(&Handle)) {
        let (handle, owner) = open(state).unwrap();
        use_it(&handle);
        handle.close();
        owner.join().unwrap();
    }

    #[test]
    fn what_is_published_is_there_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let published = content("one");
        let mut added = None;
        with_catalog(state.path(), |catalog| {
            catalog.publish("one", Arc::clone(&published)).unwrap();
            catalog.publish("two", content("two")).unwrap();
            catalog.retire("two").unwrap();
            published.counters.uploaded.store(99, Ordering::Relaxed);
            added = catalog.snapshot().named("one").map(|item| item.added);
        });
        with_catalog(state.path(), |catalog| {
            let snapshot = catalog.snapshot();
            assert_eq!(snapshot.items().len(), 1);
            let item = snapshot.seeding(&published.info_hash).expect("the item seeds at once");
            assert_eq!((item.name.as_str(), Some(item.added)), ("one", added));
            let content = item.content.as_ref().unwrap();
            assert_eq!(content.files[0].identity, published.files[0].identity);
            assert_eq!(content.info_bytes, published.info_bytes);
            assert_eq!(content.counters.uploaded.load(Ordering::Relaxed), 99);
        });
    }

    #[test]
    fn a_retired_item_ends_its_connections_and_is_found_nowhere() {
        let state = tempfile::tempdir().unwrap();
        with_catalog(state.path(), |catalog| {
            let content = content("one");
            catalog.publish("one", Arc::clone(&content)).unwrap();
            assert!(!content.retired.is_cancelled());
            catalog.retire("one").unwrap();
            assert!(content.retired.is_cancelled());
            let snapshot = catalog.snapshot();
            assert!(snapshot.seeding(&content.info_hash).is_none() && snapshot.named("one").is_none());
        });
    }

    #[test]
    fn work_in_progress_never_hides_what_is_published() {
        let state = tempfile::tempdir().unwrap();
        with_catalog(state.path(), |catalog| {
            let content = content("one");
            catalog.publish("one", Arc::clone(&content)).unwrap();
            catalog.show(Item::unpublished("one", Timestamp::now(), State::Settling));
            let mut from_disc = Item::unpublished("one", Timestamp::now(), State::Copying);
            from_disc.medium = Some("sr0".into());
            catalog.show(from_disc);
            catalog.hide("one");
            // Answered after all commands before it.
            catalog.retire("another").unwrap();
            let snapshot = catalog.snapshot();
            assert_eq!(snapshot.named("one").map(|item| item.state), Some(State::Seeding));
            assert_eq!(snapshot.items().len(), 2, "the medium of the same name is shown beside it");
        });
    }

    #[test]
    fn offline_items_are_kept_but_not_served() {
        let state = tempfile::tempdir().unwrap();
        with_catalog(state.path(), |catalog| {
            let content = content("one");
            catalog.publish("one", Arc::clone(&content)).unwrap();
            for (offline, state) in [(true, State::Offline), (false, State::Seeding)] {
                catalog.set_offline(offline);
                catalog.retire("another").unwrap();
                let snapshot = catalog.snapshot();
                assert_eq!(snapshot.named("one").map(|item| item.state), Some(state));
                assert_eq!(snapshot.seeding(&content.info_hash).is_some(), !offline);
            }
        });
    }

    #[test]
    fn a_catalog_that_cannot_be_read_is_kept_aside() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("catalog.redb");
        std::fs::write(&file, "this is not a database, and long enough to be looked at".repeat(100)).unwrap();
        with_catalog(state.path(), |catalog| {
            assert!(catalog.snapshot().items().is_empty());
            catalog.publish("one", content("one")).unwrap();
        });
        let names: Vec<_> =
            std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().any(|name| name.to_string_lossy().contains("unreadable")), "{names:?}");
    }
}
