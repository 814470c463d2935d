//! Everything that the API shows while other things happen: looks at it all the time, and keeps what was ever published.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::{Api, Hashes};

/// How often it looks.
const POLL: Duration = Duration::from_millis(150);

/// What was seen; shared by the thread that looks and those that wait for something.
#[derive(Debug, Default)]
pub struct Watcher {
    seen: Mutex<Seen>,
    looked: Condvar,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    now: HashMap<String, Value>,
    published: BTreeMap<String, BTreeSet<Hashes>>,
}

impl Watcher {
    /// Looks until [`Watcher::stop`].
    ///
    /// # Panics
    /// When something is shown twice, or the API does not answer.
    pub fn run(&self, api: &Api) {
        while !self.stopping.load(Ordering::Relaxed) {
            self.look(api);
            std::thread::sleep(POLL);
        }
    }

    /// Ends [`Watcher::run`].
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn look(&self, api: &Api) {
        let items = api.items();
        let mut hashes = BTreeSet::new();
        let mut seen = self.lock();
        seen.now.clear();
        for item in items {
            let name = item["name"].as_str().expect("a name").to_owned();
            if item["state"] == "seeding" {
                let found = Hashes::of(&item).expect("what is seeding has an info hash");
                assert!(hashes.insert(found), "{name} is published twice under the same hash");
                seen.published.entry(name.clone()).or_default().insert(found);
            }
            let twice = seen.now.insert(name, item);
            assert!(twice.is_none(), "shown twice: {twice:?}");
        }
        drop(seen);
        self.looked.notify_all();
    }

    /// Waits until it holds for the item of that name, which may not be there.
    ///
    /// # Panics
    /// When it does not within `limit`.
    #[track_caller]
    pub fn wait(&self, name: &str, what: &str, limit: Duration, holds: impl Fn(Option<&Value>) -> bool) {
        let until = Instant::now() + limit;
        let mut seen = self.lock();
        while !holds(seen.now.get(name)) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{name:?} is not {what} within {limit:?}: {:?}", seen.now.get(name));
            seen = self.looked.wait_timeout(seen, left).expect("no holder panics").0;
        }
    }

    /// Waits until the item is in that state.
    ///
    /// # Panics
    /// When it is not within `limit`.
    #[track_caller]
    pub fn wait_for(&self, name: &str, state: &str, limit: Duration) {
        self.wait(name, state, limit, |item| item.is_some_and(|item| item["state"] == state));
    }

    /// What is shown now, by name.
    pub fn now(&self) -> HashMap<String, Value> {
        self.lock().now.clone()
    }

    /// All info hashes under which something was ever seen seeding, by name.
    pub fn published(&self) -> BTreeMap<String, BTreeSet<Hashes>> {
        self.lock().published.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }
}
