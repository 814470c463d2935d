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

    /// A receiver that is told of every new snapshot.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Catalog>> {
        self.snapshots.clone()
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
