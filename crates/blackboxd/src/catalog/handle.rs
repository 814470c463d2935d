//! How everybody speaks to the catalog's owner.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::watch;
use torrent::InfoHash;

use super::metadata_cache::MetadataCache;
use super::store::StoreError;
use super::{Catalog, Content, Item, Metadata, Publication};
use crate::history::{History, Series};
use crate::members::Account;

/// Commands that may wait for the owner; senders wait when there are more.
const QUEUE: usize = 1024;

/// Items of the publish folder and what is only on a medium (with its drive) don't collide. Sorts by name first.
pub(super) type Key = (String, Option<String>);

/// Where the answer to a command goes.
pub(super) type Answer = SyncSender<Result<(), StoreError>>;

pub(super) enum Command {
    Publish { name: String, publication: Publication, answer: Answer },
    Retire { name: String, answer: Answer },
    Online { folder_id: Option<String>, answer: Answer },
    Offline { answer: Answer },
    Verified { name: String, content: Arc<Content>, range: Range<u64>, is_damaged: bool, answer: Answer },
    Metadata { info_hash: InfoHash, answer: SyncSender<Result<Option<Metadata>, StoreError>> },
    Series { name: String, answer: SyncSender<Result<Series, StoreError>> },
    Show(Box<Item>),
    Hide(Key),
    SaveCounters,
    SaveAccounts(BTreeMap<String, Account>),
    Accounts { answer: SyncSender<Result<BTreeMap<String, Account>, StoreError>> },
    Close,
}

/// The way to the catalog's owner; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: SyncSender<Command>,
    snapshots: watch::Receiver<Arc<Catalog>>,
    metadata: Arc<MetadataCache>,
    history: Arc<History>,
}

impl Handle {
    /// The way to an owner that takes commands from what is given back.
    pub(super) fn new(
        snapshots: watch::Receiver<Arc<Catalog>>,
        history: Arc<History>,
    ) -> (Self, Receiver<Command>) {
        let (commands, queue) = sync_channel(QUEUE);
        (Self { commands, snapshots, metadata: Arc::default(), history }, queue)
    }

    /// What happened, and what was given away when; the owner writes it along with the counters.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// When how much of an item was given away, and the time, in seconds since 1970. Blocks.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn series(&self, content: &Content) -> Result<(Series, i64), StoreError> {
        let name = content.name.clone();
        let written = self.ask(|answer| Command::Series { name, answer })?;
        Ok(self.history.of_an_item(&content.name, written, content.counters.sums()))
    }

    /// The catalog as it is now.
    pub fn snapshot(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Every catalog from now on; those that nobody looked at in time are left out.
    pub fn changes(&self) -> watch::Receiver<Arc<Catalog>> {
        self.snapshots.clone()
    }

    /// Makes an item public, in one transaction; it replaces what had that name. Blocks until it is on disk.
    ///
    /// # Errors
    /// When the store can't be written; then nothing has changed.
    pub fn publish(&self, name: &str, publication: Publication) -> Result<(), StoreError> {
        self.ask(|answer| Command::Publish { name: name.to_owned(), publication, answer })
    }

    /// The metadata of a published torrent, by the name that [`Torrent::info_hash`](super::Torrent::info_hash) says;
    /// `None` if there is no such torrent (any more). Blocks, unless it was asked for of late.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn metadata(&self, info_hash: &InfoHash) -> Result<Option<Arc<Metadata>>, StoreError> {
        // One after the other: what many ask for at once is read once.
        let _turn = self.metadata.turn();
        if let Some(metadata) = self.metadata_at_hand(info_hash) {
            return Ok(Some(metadata));
        }
        let metadata = self.ask(|answer| Command::Metadata { info_hash: *info_hash, answer })?.map(Arc::new);
        if let Some(metadata) = &metadata {
            self.metadata.put(*info_hash, Arc::clone(metadata));
        }
        Ok(metadata)
    }

    /// The metadata of a torrent, if it was asked for of late. Does not block.
    pub fn metadata_at_hand(&self, info_hash: &InfoHash) -> Option<Arc<Metadata>> {
        self.metadata.get(info_hash)
    }

    /// Some bytes of an item were compared with what was hashed. What is damaged is not served any more, what is good
    /// (again) is. Blocks until it is remembered.
    ///
    /// # Errors
    /// When the store can't be written; what is damaged is not served all the same.
    pub fn verified(
        &self,
        name: &str,
        content: &Arc<Content>,
        range: Range<u64>,
        is_damaged: bool,
    ) -> Result<(), StoreError> {
        let (name, content) = (name.to_owned(), Arc::clone(content));
        self.ask(|answer| Command::Verified { name, content, range, is_damaged, answer })
    }

    /// Takes an item back, in one transaction. Blocks until it is on disk; nothing is served from now on.
    ///
    /// # Errors
    /// When the store can't be written; the item is not served all the same.
    pub fn retire(&self, name: &str) -> Result<(), StoreError> {
        self.ask(|answer| Command::Retire { name: name.to_owned(), answer })
    }

    /// The publish folder is there: what is published is served. A folder that is known by another id than before is
    /// remembered by `folder_id` from now on. Blocks until it is so.
    ///
    /// # Errors
    /// When the store can't be written; then everything stays as it was.
    pub fn set_online(&self, folder_id: Option<String>) -> Result<(), StoreError> {
        self.ask(|answer| Command::Online { folder_id, answer })
    }

    /// The publish folder is out of reach: nothing is served, and nothing is forgotten. Blocks until it is so.
    pub fn set_offline(&self) {
        // Going offline writes nothing.
        let _ = self.ask(|answer| Command::Offline { answer });
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

    /// Writes the counters that have changed to disk, and what the history has to say. Due when a minute is over.
    pub fn save_counters(&self) {
        self.tell(Command::SaveCounters);
    }

    /// What is known of members, by their names.
    ///
    /// # Errors
    /// When the catalog is closed.
    pub fn accounts(&self) -> Result<BTreeMap<String, Account>, StoreError> {
        self.ask(|answer| Command::Accounts { answer })
    }

    /// Writes what is known of members to disk if it has changed; all others are forgotten.
    pub fn save_accounts(&self, accounts: BTreeMap<String, Account>) {
        self.tell(Command::SaveAccounts(accounts));
    }

    /// Ends the owner after all commands before this one.
    pub fn close(&self) {
        self.tell(Command::Close);
    }

    fn tell(&self, command: Command) {
        // After close() nobody is interested any more.
        let _ = self.commands.send(command);
    }

    fn ask<T>(
        &self,
        command: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (answer, answered) = sync_channel(1);
        self.tell(command(answer));
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }
}
