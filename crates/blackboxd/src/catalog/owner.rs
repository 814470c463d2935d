//! The thread that owns the catalog: the only one that writes the store and makes snapshots.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use torrent::InfoHash;

use super::content::Sums;
use super::gone::Gone;
use super::handle::{Command, Handle, Key};
use super::record::{Past, Record};
use super::store::{Store, StoreError};
use super::{Catalog, Content, Item, Publication, State, damage};
use crate::history::timeline::Reading;
use crate::history::{Entry, History, Kind};
use crate::members::Account;

/// How long a change that makes nothing public may wait for others before there is a new snapshot: making one costs as
/// much for one change as for a thousand.
const REST: Duration = Duration::from_millis(100);

/// Opens the catalog in `state` and starts its owner. All items are offline until [`Handle::set_online`], and private if
/// they are for members.
///
/// The thread ends, with everything on disk, after [`Handle::close`].
///
/// # Errors
/// When the store can neither be read nor made anew.
pub fn open(state: &Path, is_private: bool) -> Result<(Handle, JoinHandle<()>), StoreError> {
    let (store, mut loaded) = Store::open(state, is_private)?;
    let history = Arc::new(History::new(std::mem::take(&mut loaded.history), read_clocks));
    for content in loaded.items.iter().filter_map(|item| item.content.as_ref()) {
        let gathered = loaded.gathered.get(&content.name).copied().unwrap_or_default();
        history.loaded(&content.name, content.counters.sums(), gathered);
    }
    let mut items: BTreeMap<_, _> = loaded.items.into_iter().map(|item| (key(&item), item)).collect();
    for item in items.values_mut() {
        item.state = State::Offline;
    }
    let sums = |(key, item): (&Key, &Item)| Some((key.clone(), item.content.as_ref()?.counters.sums()));
    let saved = items.iter().filter_map(sums).filter(|(_, sums)| *sums != Sums::default()).collect();
    let mut owner = Owner {
        store,
        items: items.into_iter().map(|(key, item)| (key, Arc::new(item))).collect(),
        gone: Arc::new(loaded.gone),
        is_online: false,
        folder_id: loaded.folder_id,
        saved,
        history: Arc::clone(&history),
        accounts: loaded.accounts,
        is_news: false,
        publisher: watch::Sender::new(Arc::default()),
    };
    owner.announce();
    let (handle, queue) = Handle::new(owner.publisher.subscribe(), history);
    let thread = std::thread::Builder::new()
        .name("catalog".into())
        .spawn(move || owner.run(&queue))
        .map_err(StoreError::Thread)?;
    Ok((handle, thread))
}

struct Owner {
    store: Store,
    items: BTreeMap<Key, Arc<Item>>,
    gone: Arc<Gone>,
    /// Whether the publish folder is there.
    is_online: bool,
    folder_id: Option<String>,
    /// The counters as they are on disk.
    saved: HashMap<Key, Sums>,
    /// What is known of members, as it is on disk.
    accounts: BTreeMap<String, Account>,
    history: Arc<History>,
    /// Whether something changed since the last snapshot.
    is_news: bool,
    publisher: watch::Sender<Arc<Catalog>>,
}

impl Owner {
    fn run(mut self, queue: &Receiver<Command>) {
        let mut rested = Instant::now();
        loop {
            let rest = REST.saturating_sub(rested.elapsed());
            if self.is_news && rest.is_zero() {
                self.announce();
                rested = Instant::now();
            }
            let command =
                if self.is_news { queue.recv_timeout(rest) } else { queue.recv().map_err(Into::into) };
            match command {
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => self.act(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.announce();
        self.save_counters(true);
        self.save_members(true);
    }

    /// Carries a command out; who waits for an answer finds the change in the snapshot.
    fn act(&mut self, command: Command) {
        let (result, answer) = match command {
            Command::Publish { name, publication, answer } => (self.publish(&name, publication), answer),
            Command::Retire { name, answer } => (self.retire(&name), answer),
            Command::Online { folder_id, answer } => (self.set_online(folder_id), answer),
            Command::Offline { answer } => {
                self.set_state(false);
                (Ok(()), answer)
            }
            // Nothing of these is in the snapshot.
            Command::Verified { name, content, range, is_damaged, answer } => {
                let _ = answer.send(self.verified(&name, &content, &range, is_damaged));
                return;
            }
            Command::Metadata { info_hash, answer } => {
                // Whoever asked may have given up.
                let _ = answer.send(self.store.metadata(&info_hash));
                return;
            }
            Command::Series { name, answer } => {
                let _ = answer.send(self.store.item_series(&name));
                return;
            }
            Command::Show(item) => return self.show(*item),
            Command::Hide(key) => return self.hide(&key),
            Command::SaveCounters => return self.save_counters(false),
            Command::SaveAccounts(accounts) => return self.save_accounts(accounts),
            Command::Accounts { answer } => {
                let _ = answer.send(Ok(self.accounts.clone()));
                return;
            }
            Command::Close => return,
        };
        self.announce();
        // Whoever asked may have given up.
        let _ = answer.send(result);
    }

    fn publish(&mut self, name: &str, publication: Publication) -> Result<(), StoreError> {
        let key = (name.to_owned(), None);
        let Publication { content, metadata } = publication;
        let history = self.history(&key)?;
        let same = history.iter().find(|past| past.info_hash() == Some(content.info_hash()));
        let added = same.map_or_else(Timestamp::now, |past| past.added);
        let sums = same.map(|past| past.sums).unwrap_or_default();
        content.counters.set(sums);
        content.set_similar(Past::similar(&history, &content));
        let old = self.items.get(&key).map(|item| torrents(item)).unwrap_or_default();
        let rest = self.rest(&key);
        let metadata: Vec<_> =
            content.torrents.iter().map(super::Torrent::info_hash).zip(metadata.iter()).collect();
        self.store.put(name, &Record::of(added, &content), &metadata, sums, &old, rest.as_ref())?;
        self.withdraw(&key);
        self.history.published(name, sums);
        self.history.note(Kind::Published, name);
        let mut item = Item::published(name, added, content);
        item.state = self.published_state();
        self.items.insert(key, Arc::new(item));
        Ok(())
    }

    fn retire(&mut self, name: &str) -> Result<(), StoreError> {
        let key = (name.to_owned(), None);
        let rest = self.rest(&key);
        self.withdraw(&key);
        let history = self.history(&key);
        let torrents = self.items.remove(&key).map(|item| torrents(&item)).unwrap_or_default();
        self.saved.remove(&key);
        self.store.remove(name, &torrents, &history?, rest.as_ref())
    }

    /// What of the item's counters is not in its series yet.
    fn rest(&self, key: &Key) -> Option<Entry> {
        let content = self.items.get(key)?.content.as_ref()?;
        self.history.rest(&key.0, content.counters.sums())
    }

    /// What was published under that name so far, what still is included, newest first.
    fn history(&mut self, key: &Key) -> Result<Vec<Past>, StoreError> {
        let history = self.store.history(&key.0)?;
        Ok(match self.items.get(key).and_then(|item| Some((item.added, item.content.as_ref()?))) {
            Some((added, content)) => Past::with(history, added, content),
            None => history,
        })
    }

    fn verified(
        &mut self,
        name: &str,
        content: &Arc<Content>,
        range: &Range<u64>,
        is_damaged: bool,
    ) -> Result<(), StoreError> {
        let before = content.damage.ranges();
        let ranges = damage::after(&before, range, is_damaged);
        let key = (name.to_owned(), None);
        let is_published = self.items.get(&key).is_some_and(|item| {
            item.content.as_ref().is_some_and(|published| Arc::ptr_eq(published, content))
        });
        if ranges == before || !is_published {
            return Ok(());
        }
        if before.is_empty() {
            self.history.note(Kind::Damaged, name);
        }
        content.damage.set(ranges.clone());
        self.store.put_damage(name, &ranges)
    }

    /// Ends all connections that serve the item of that name, and remembers that there was one.
    fn withdraw(&mut self, key: &Key) {
        if let Some(content) = self.items.get(key).and_then(|item| item.content.as_ref()) {
            content.retired.cancel();
            self.history.ended(&key.0, content.counters.sums());
            self.history.note(Kind::Retired, &key.0);
            Arc::make_mut(&mut self.gone).remember(&key.0, content.names_on_the_wire());
        }
    }

    fn show(&mut self, mut item: Item) {
        let key = key(&item);
        match self.items.get(&key) {
            Some(old) if old.content.is_some() => return,
            Some(old) => item.added = old.added,
            None => {}
        }
        if let Some(error) = item.error.as_ref().filter(|_| item.state == State::Failed)
            && self.items.get(&key).and_then(|old| old.error.as_ref()) != Some(error)
        {
            let drive = item.medium.as_ref().map(|drive| format!(" ({drive})")).unwrap_or_default();
            self.history.note(Kind::Failed, &format!("{}{drive}: {error}", item.name));
        }
        self.items.insert(key, Arc::new(item));
        self.is_news = true;
    }

    fn hide(&mut self, key: &Key) {
        if self.items.get(key).is_some_and(|item| item.content.is_none()) {
            self.items.remove(key);
            self.is_news = true;
        }
    }

    fn set_online(&mut self, folder_id: Option<String>) -> Result<(), StoreError> {
        if let Some(id) = folder_id.filter(|id| self.folder_id.as_ref() != Some(id)) {
            self.store.put_folder_id(&id)?;
            self.folder_id = Some(id);
        }
        self.set_state(true);
        Ok(())
    }

    fn published_state(&self) -> State {
        if self.is_online { State::Seeding } else { State::Offline }
    }

    fn set_state(&mut self, is_online: bool) {
        self.is_online = is_online;
        let state = self.published_state();
        for item in self.items.values_mut() {
            let Some(content) = item.content.clone().filter(|_| item.state != state) else { continue };
            Arc::make_mut(item).state = state;
            content.set_online(is_online);
        }
    }

    /// Writes what has changed since the last time; if it is the last time, whatever there is.
    fn save_counters(&mut self, is_last: bool) {
        self.store.refill_reserve();
        if is_last {
            self.history.note(Kind::Ended, "");
        }
        let sums = |item: &Item| Some(item.content.as_ref()?.counters.sums());
        let all: Vec<(&Key, Sums)> =
            self.items.iter().filter_map(|(key, item)| Some((key, sums(item)?))).collect();
        let change = self.history.sample(all.iter().map(|((name, _), sums)| (name.as_str(), *sums)), is_last);
        let added: HashSet<&str> = change.entries.iter().map(|entry| entry.name.as_str()).collect();
        let is_changed = |key: &Key, sums: &Sums| {
            self.saved.get(key).copied().unwrap_or_default() != *sums || added.contains(key.0.as_str())
        };
        let changed: Vec<(&Key, Sums)> =
            all.into_iter().filter(|(key, sums)| is_changed(key, sums)).collect();
        // A disk that nobody downloads from may sleep.
        if changed.is_empty() && !change.is_news() {
            return;
        }
        let items: Vec<_> = changed.iter().map(|((name, _), sums)| (name.as_str(), *sums)).collect();
        match self.store.save_counters(&items, &change) {
            Ok(()) => {
                self.history.written(&change);
                let changed: Vec<(Key, Sums)> =
                    changed.into_iter().map(|(key, sums)| (key.clone(), sums)).collect();
                self.saved.extend(changed);
            }
            Err(error) => {
                tracing::warn!("{error}; uploaded and completed may count too little after a restart");
            }
        }
    }

    fn save_accounts(&mut self, accounts: BTreeMap<String, Account>) {
        if accounts == self.accounts {
            self.save_members(false);
            return;
        }
        match self.store.put_accounts(&accounts) {
            Ok(()) => self.accounts = accounts,
            Err(error) => tracing::warn!("{error}; members' figures may be too small after a restart"),
        }
        self.save_members(false);
    }

    /// Writes when members moved how much, now and then, or if it is the last time.
    fn save_members(&mut self, is_last: bool) {
        let changed = self.history.sample_members(&self.accounts, is_last);
        if changed.is_empty() {
            return;
        }
        match self.store.put_members(&changed) {
            Ok(()) => self.history.members_written(&changed),
            Err(error) => tracing::warn!("{error}; the history of members may lack something"),
        }
    }

    fn announce(&mut self) {
        self.is_news = false;
        let items = self.items.values().cloned().collect();
        self.publisher.send_replace(Arc::new(Catalog::new(
            items,
            Arc::clone(&self.gone),
            self.folder_id.clone(),
        )));
    }
}

/// The clocks of the machine: how long it has been on, asleep or not, and the time.
fn read_clocks() -> Reading {
    let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    Reading { uptime, clock: Timestamp::now().as_second() }
}

/// The names by which the store has the metadata of its torrents.
fn torrents(item: &Item) -> Vec<InfoHash> {
    item.content.iter().flat_map(|content| &content.torrents).map(super::Torrent::info_hash).collect()
}

fn key(item: &Item) -> Key {
    (item.name.clone(), item.medium.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Fate;
    use crate::catalog::testing::{private, published, with_catalog};
    use std::sync::atomic::Ordering;

    fn publish(catalog: &Handle, name: &str) -> Arc<Content> {
        let publication = published(name, &[]);
        catalog.publish(name, publication.clone()).unwrap();
        publication.content
    }

    #[test]
    fn what_is_published_is_there_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let publication = published("one", &[("a", 1), ("b/c", 70_000)]);
        let published = &publication.content;
        let mut added = None;
        with_catalog(state.path(), |catalog| {
            catalog.publish("one", publication.clone()).unwrap();
            publish(catalog, "two");
            catalog.retire("two").unwrap();
            published.counters.uploaded.store(99, Ordering::Relaxed);
            added = catalog.snapshot().named("one").map(|item| item.added);
        });
        with_catalog(state.path(), |catalog| {
            let snapshot = catalog.snapshot();
            assert_eq!(snapshot.items().len(), 1);
            for name in published.names_on_the_wire() {
                let item = snapshot.seeding(&name).expect("the item seeds at once");
                assert_eq!((item.name.as_str(), Some(item.added)), ("one", added));
                let content = item.content.as_ref().unwrap();
                assert_eq!((&content.listing, &content.torrents), (&published.listing, &published.torrents));
                assert_eq!(content.counters.uploaded.load(Ordering::Relaxed), 99);
            }
            for (torrent, metadata) in published.torrents.iter().zip(publication.metadata.iter()) {
                for _ in 0..2 {
                    let found = catalog.metadata(&torrent.info_hash()).unwrap();
                    assert_eq!(found.as_deref(), Some(metadata));
                }
            }
            assert_eq!(catalog.metadata(&InfoHash([0; 20])).unwrap(), None);
        });
    }

    #[test]
    fn what_was_published_for_everybody_becomes_private_and_public_again() {
        let state = tempfile::tempdir().unwrap();
        let files = [("a", 1), ("b/c", 70_000)];
        let (public, private) = (published("one", &files), private("one", &files));
        let in_mode = |is_private, use_it: &dyn Fn(&Handle)| {
            let (handle, owner) = open(state.path(), is_private).unwrap();
            handle.set_online(None).unwrap();
            use_it(&handle);
            handle.close();
            owner.join().unwrap();
        };
        let check = |catalog: &Handle, is: &Publication, was: &Publication| {
            let snapshot = catalog.snapshot();
            let item = snapshot.seeding(&is.content.info_hash()).expect("it seeds at once");
            let content = item.content.as_ref().unwrap();
            assert_eq!(content.torrents, is.content.torrents);
            assert_eq!(content.listing, was.content.listing);
            assert_eq!(content.is_private, is.content.is_private);
            assert_eq!(content.counters.sums().uploaded, 99);
            assert_eq!(content.damage.ranges(), public.content.damage.ranges());
            assert_eq!(content.similar(), []);
            for (torrent, metadata) in is.content.torrents.iter().zip(is.metadata.iter()) {
                assert_eq!(catalog.metadata(&torrent.info_hash()).unwrap().as_deref(), Some(metadata));
            }
            for torrent in &was.content.torrents {
                assert!(snapshot.seeding(&torrent.info_hash()).is_none());
                assert_eq!(catalog.metadata(&torrent.info_hash()).unwrap(), None);
            }
        };
        in_mode(false, &|catalog| {
            catalog.publish("one", public.clone()).unwrap();
            public.content.counters.uploaded.store(99, Ordering::Relaxed);
            catalog.verified("one", &public.content, 3..5, true).unwrap();
            assert_eq!(public.content.damage.ranges().len(), 1);
        });
        for _ in 0..2 {
            in_mode(true, &|catalog| check(catalog, &private, &public));
        }
        in_mode(false, &|catalog| check(catalog, &public, &private));
    }

    #[test]
    fn what_members_had_before_is_told_to_members_alone() {
        let state = tempfile::tempdir().unwrap();
        let before = private("one", &[("a", 1)]).content.info_hash();
        let similar = |is_private, publication: Publication| {
            let (handle, owner) = open(state.path(), is_private).unwrap();
            handle.publish("one", publication).unwrap();
            let similar =
                handle.snapshot().named("one").unwrap().content.as_ref().unwrap().similar().to_vec();
            handle.retire("one").unwrap();
            handle.close();
            owner.join().unwrap();
            similar
        };
        assert_eq!(similar(true, private("one", &[("a", 1)])), []);
        assert_eq!(similar(true, private("one", &[("b", 1)])), [before]);
        assert_eq!(similar(false, published("one", &[("c", 1)])), []);
    }

    #[test]
    fn a_retired_item_ends_its_connections_and_is_found_nowhere() {
        let state = tempfile::tempdir().unwrap();
        with_catalog(state.path(), |catalog| {
            let content = publish(catalog, "one");
            assert!(!content.retired.is_cancelled());
            catalog.retire("one").unwrap();
            assert!(content.retired.is_cancelled());
            let snapshot = catalog.snapshot();
            assert!(content.names_on_the_wire().all(|name| snapshot.seeding(&name).is_none()));
            assert!(snapshot.named("one").is_none());
            assert_eq!(catalog.metadata(&content.info_hash()).unwrap(), None);
        });
    }

    #[test]
    fn work_in_progress_never_hides_what_is_published() {
        let state = tempfile::tempdir().unwrap();
        with_catalog(state.path(), |catalog| {
            publish(catalog, "one");
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
            let check = |state, name: &str| {
                let snapshot = catalog.snapshot();
                assert_eq!(snapshot.named(name).map(|item| item.state), Some(state));
                let info_hash = snapshot.named(name).unwrap().content.as_ref().unwrap().info_hash();
                assert_eq!(snapshot.seeding(&info_hash).is_some(), state == State::Seeding);
            };
            let content = publish(catalog, "one");
            let connection = content.online();
            catalog.set_offline();
            check(State::Offline, "one");
            assert!(connection.is_cancelled() && !content.retired.is_cancelled());
            publish(catalog, "two");
            check(State::Offline, "two");
            catalog.set_online(None).unwrap();
            check(State::Seeding, "one");
            check(State::Seeding, "two");
            assert!(!content.online().is_cancelled(), "it can be served again");
        });
    }

    #[test]
    fn nothing_is_served_before_the_folder_is_known_to_be_there() {
        let state = tempfile::tempdir().unwrap();
        with_catalog(state.path(), |catalog| {
            publish(catalog, "one");
            catalog.set_online(Some("id".into())).unwrap();
        });
        let (handle, owner) = open(state.path(), false).unwrap();
        let snapshot = handle.snapshot();
        assert_eq!(snapshot.named("one").map(|item| item.state), Some(State::Offline));
        assert_eq!(snapshot.folder_id(), Some("id"));
        handle.close();
        owner.join().unwrap();
    }

    #[test]
    fn a_damaged_catalog_never_keeps_the_box_from_starting() {
        let fresh = tempfile::tempdir().unwrap();
        with_catalog(fresh.path(), |catalog| drop(publish(catalog, "one")));
        let good = std::fs::read(fresh.path().join("catalog.redb")).unwrap();
        for page in (0..good.len()).step_by(4096) {
            let state = tempfile::tempdir().unwrap();
            let mut damaged = good.clone();
            let end = good.len().min(page + 4096);
            damaged[page..end]
                .iter_mut()
                .enumerate()
                .for_each(|(at, byte)| *byte = (at * 7 + 13).to_le_bytes()[0]);
            std::fs::write(state.path().join("catalog.redb"), damaged).unwrap();
            with_catalog(state.path(), |catalog| drop(publish(catalog, "two")));
            with_catalog(state.path(), |catalog| {
                assert!(catalog.snapshot().named("two").is_some(), "page at {page}");
            });
        }
    }

    #[test]
    fn a_catalog_that_cannot_be_read_is_kept_aside() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("catalog.redb");
        std::fs::write(&file, "this is not a database, and long enough to be looked at".repeat(100)).unwrap();
        with_catalog(state.path(), |catalog| {
            assert!(catalog.snapshot().items().is_empty());
            publish(catalog, "one");
        });
        let names: Vec<_> =
            std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().any(|name| name.to_string_lossy().contains("unreadable")), "{names:?}");
    }

    #[test]
    fn an_item_that_comes_back_is_the_old_one_and_a_new_version_names_the_old() {
        let state = tempfile::tempdir().unwrap();
        let (old, new) = (published("one", &[]), published("one", &[("a", 1)]));
        let mut added = None;
        with_catalog(state.path(), |catalog| {
            catalog.publish("one", old.clone()).unwrap();
            old.content.counters.uploaded.store(99, Ordering::Relaxed);
            added = catalog.snapshot().named("one").map(|item| item.added);
            catalog.retire("one").unwrap();
        });
        with_catalog(state.path(), |catalog| {
            catalog.publish("one", new.clone()).unwrap();
            assert_eq!(new.content.similar(), [old.content.info_hash()]);
            catalog.retire("one").unwrap();
            let back = published("one", &[]);
            catalog.publish("one", back.clone()).unwrap();
            assert_eq!(back.content.counters.sums().uploaded, 99);
            assert_eq!(back.content.similar(), [new.content.info_hash()]);
            assert_eq!(catalog.snapshot().named("one").map(|item| item.added), added);
        });
    }

    #[test]
    fn what_became_of_a_torrent_is_known_after_a_restart_too() {
        let state = tempfile::tempdir().unwrap();
        let (old, new) = (published("one", &[]), published("one", &[("a", 1)]));
        let check = |catalog: &Handle, expected: &str| {
            let snapshot = catalog.snapshot();
            // Of either version.
            for name in old.content.names_on_the_wire() {
                let fate = match snapshot.fate(&name) {
                    None => "here",
                    Some(Fate::Changing) => "changing",
                    Some(Fate::Retired) => "retired",
                    Some(Fate::Replaced(item)) => {
                        assert_eq!(item.content.as_ref().unwrap().info_hash(), new.content.info_hash());
                        "replaced"
                    }
                };
                assert_eq!(fate, expected);
            }
            assert!(snapshot.fate(&InfoHash([5; 20])).is_none(), "what never was here");
        };
        with_catalog(state.path(), |catalog| {
            catalog.publish("one", old.clone()).unwrap();
            check(catalog, "here");
            catalog.retire("one").unwrap();
            check(catalog, "retired");
        });
        with_catalog(state.path(), |catalog| {
            check(catalog, "retired");
            catalog.show(Item::unpublished("one", Timestamp::now(), State::Hashing));
            // Answered after all commands before it.
            catalog.retire("another").unwrap();
            check(catalog, "changing");
            catalog.publish("one", new.clone()).unwrap();
            check(catalog, "replaced");
        });
        with_catalog(state.path(), |catalog| {
            check(catalog, "replaced");
            catalog.retire("one").unwrap();
            catalog.publish("one", published("one", &[])).unwrap();
            check(catalog, "here");
            catalog.set_offline();
            check(catalog, "here");
        });
    }

    #[test]
    fn damage_is_remembered_until_it_is_good_again() {
        let state = tempfile::tempdir().unwrap();
        with_catalog(state.path(), |catalog| {
            let content = publish(catalog, "one");
            catalog.verified("one", &content, 0..5, true).unwrap();
            assert!(content.damage.touches(&(4..5)));
            let stranger = published("one", &[]).content;
            catalog.verified("one", &stranger, 0..5, false).unwrap();
        });
        with_catalog(state.path(), |catalog| {
            let snapshot = catalog.snapshot();
            let content = snapshot.named("one").unwrap().content.as_ref().unwrap();
            assert!(content.damage.touches(&(0..1)) && content.damage.touches(&(4..5)));
            catalog.verified("one", content, 0..5, false).unwrap();
        });
        with_catalog(state.path(), |catalog| {
            let snapshot = catalog.snapshot();
            assert!(snapshot.named("one").unwrap().content.as_ref().unwrap().damage.ranges().is_empty());
        });
    }

    #[test]
    fn a_catalog_with_tables_of_another_version_is_read_all_the_same() {
        let state = tempfile::tempdir().unwrap();
        {
            let other = redb::Database::create(state.path().join("catalog.redb")).unwrap();
            let transaction = other.begin_write().unwrap();
            let table: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("of another version");
            transaction.open_table(table).unwrap();
            transaction.commit().unwrap();
        }
        with_catalog(state.path(), |catalog| drop(publish(catalog, "one")));
        with_catalog(state.path(), |catalog| assert!(catalog.snapshot().named("one").is_some()));
    }
}
