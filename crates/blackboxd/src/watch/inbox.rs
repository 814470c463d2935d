//! What the publisher's thread should look at. Bounded by the number of items: a name is in it once, however many
//! events there were.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ignore::is_ignored;
use super::job::Outcome;

/// Things to look at, shared by all who notice something and the publisher's thread.
#[derive(Debug, Default)]
pub struct Inbox {
    news: Mutex<News>,
    arrived: Condvar,
    stopping: AtomicBool,
}

/// What arrived since the publisher looked last.
#[derive(Debug, Default)]
pub(super) struct News {
    pub names: HashSet<OsString>,
    /// Look at everything: events were lost, or it is time.
    pub rescan: bool,
    /// At most one for each lane of the hasher.
    pub finished: Vec<Outcome>,
    pub stop: bool,
}

impl Inbox {
    /// Something happened to this item.
    pub fn item(&self, name: &OsStr) {
        self.change(|news| {
            news.names.insert(name.to_owned());
        });
    }

    /// Everything should be looked at again.
    pub fn rescan(&self) {
        self.change(|news| news.rescan = true);
    }

    /// The publisher's thread should end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.change(|news| news.stop = true);
    }

    /// Whether the publisher's thread should end: for long work of it to look at.
    pub(super) fn stopping(&self) -> &AtomicBool {
        &self.stopping
    }

    pub(super) fn finished(&self, outcome: Outcome) {
        self.change(|news| news.finished.push(outcome));
    }

    /// A handler of file events that are below `publish`.
    pub(super) fn event_handler(
        self: &Arc<Self>,
        publish: &Path,
    ) -> impl FnMut(notify::Result<notify::Event>) + use<> {
        let inbox = Arc::clone(self);
        let publish = publish.to_owned();
        move |event| match event {
            // What the box itself does all the time: reading.
            Ok(event) if is_reading(event.kind) => {}
            Ok(event) if !event.need_rescan() => {
                for path in &event.paths {
                    match path.strip_prefix(&publish) {
                        // Also inside items: what is not published does not keep them from settling.
                        Ok(below) if below.iter().any(is_ignored) => {}
                        Ok(below) => match below.iter().next() {
                            Some(name) => inbox.item(name),
                            None => inbox.rescan(),
                        },
                        Err(_) => inbox.rescan(),
                    }
                }
            }
            _ => inbox.rescan(),
        }
    }

    /// Waits until there is news or it is `until`, and takes what there is.
    pub(super) fn wait(&self, until: Instant) -> News {
        let mut news = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let empty = news.names.is_empty() && !news.rescan && !news.stop && news.finished.is_empty();
            if !empty || left.is_zero() {
                return std::mem::take(&mut news);
            }
            news = self.arrived.wait_timeout(news, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.lock());
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Inbox {
    /// The items that are to be looked at.
    pub fn take_names(&self) -> HashSet<OsString> {
        self.wait(Instant::now()).names
    }
}

fn is_reading(kind: notify::EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind};
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{Event, EventKind, ModifyKind};

    #[test]
    fn events_name_items_and_what_is_ignored_is_no_news() {
        for (path, names, rescan) in [
            ("/publish/item", &["item"][..], false),
            ("/publish/item/deep/file", &["item"], false),
            ("/publish/item/deep/file.part", &[], false),
            ("/publish/item/.git/index", &[], false),
            ("/publish/.import-sr0/file", &[], false),
            ("/publish", &[], true),
            ("/elsewhere", &[], true),
        ] {
            let inbox = Arc::new(Inbox::default());
            let event = Event::new(EventKind::Modify(ModifyKind::Any)).add_path(path.into());
            inbox.event_handler(Path::new("/publish"))(Ok(event));
            let news = inbox.wait(Instant::now());
            assert_eq!(news.names, names.iter().map(OsString::from).collect(), "{path}");
            assert_eq!(news.rescan, rescan, "{path}");
        }
    }
}
