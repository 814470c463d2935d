//! Keeps the catalog true to the publish folder.
//!
//! Events are hints, state is truth: subscribe, then scan, then look again. A rescan every few minutes finds what the
//! events missed. One thread looks, [`Items`] decides, threads beside it hash.

mod folder;
mod ignore;
mod inbox;
mod items;
mod job;
mod name;
mod settle;
mod sight;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

pub use ignore::is_ignored;
pub use inbox::Inbox;

use crate::app::SharedApp;
use crate::catalog::{Content, Item, Progress, Publication, State};
use crate::hash;
use crate::listing::Listing;
use folder::{Folder, Look};
use inbox::News;
use items::{Action, Items};
use job::{Lanes, Outcome};
use name::shown;
use sight::{Sight, Size};

/// How often everything is looked at without an event: the longest time a change on a file system without events stays
/// unseen, and far above the cost of looking.
const RESCAN: Duration = Duration::from_mins(5);

/// How often the publish folder itself is looked at.
const FOLDER_CHECK: Duration = Duration::from_secs(2);

/// How long it rests before it looks at what events have brought: every look goes over all items that are on their way.
const REST: Duration = Duration::from_millis(20);

/// How long jobs have to end with the daemon; one that waits for a disk that does not answer is left behind.
const GRACE: Duration = Duration::from_millis(500);

/// File events as long as it is held; `None` where the file system or a limit of the kernel's refuses them.
type Subscription = Option<RecommendedWatcher>;

/// The thread that looks at items and does what was decided.
pub struct Publisher {
    app: SharedApp,
    folder: Folder,
    items: Items,
    lanes: Lanes,
    /// `None`: not subscribed since the folder was (again) there.
    watcher: Option<Subscription>,
    next_rescan: Instant,
}

impl Publisher {
    /// A publisher for `app.publish` that is told of news through `app.inbox`.
    /// The folder is looked at before this returns, so that everything published is served from then on.
    pub fn new(app: SharedApp) -> Self {
        let mut folder = Folder::default();
        folder.look(&app);
        let lanes = Lanes::new(&app.state, !app.is_public());
        Self { app, folder, items: Items::default(), lanes, watcher: None, next_rescan: Instant::now() }
    }

    /// Runs until [`Inbox::stop`].
    pub fn run(mut self) {
        self.app.inbox.rescan();
        loop {
            let folder_check = Instant::now() + FOLDER_CHECK;
            let due = self.items.next_look().filter(|_| self.watcher.is_some());
            let mut news = self.app.inbox.wait(due.map_or(folder_check, |due| due.min(folder_check)));
            if news.stop {
                break;
            }
            if news.finished.is_empty() {
                // While events come one after the other, many are looked at together.
                std::thread::sleep(REST);
            }
            for outcome in news.finished.drain(..) {
                self.finish(outcome);
            }
            if self.folder_is_there() {
                self.look(news);
                self.start_jobs();
            }
        }
        self.end_jobs();
    }

    /// Whether anything in the folder, or missing from it, means something.
    fn folder_is_there(&mut self) -> bool {
        let look = self.folder.look(&self.app);
        if look != Look::There {
            self.watcher = None;
        }
        look != Look::Away
    }

    /// Looks at all items that need it.
    fn look(&mut self, news: News) {
        let now = Instant::now();
        let mut names = news.names;
        names.retain(|name| !is_ignored(name) && self.items.event(now, name));
        names.extend(self.items.due(now).cloned());
        if self.watcher.is_none() || news.rescan || now >= self.next_rescan {
            let is_anew = self.watcher.is_none();
            if is_anew {
                self.watcher = Some(self.subscribe());
            }
            self.next_rescan = now + RESCAN;
            names.extend(self.all_names());
            if is_anew {
                hash::clean(&self.app.state, names.iter().map(|name| shown(name)));
            }
        }
        for name in names.iter().filter(|name| !is_ignored(name)) {
            self.look_at(name);
        }
    }

    /// Names in the folder, of what is published, and of what is on its way: what is there, and what should be.
    fn all_names(&self) -> HashSet<OsString> {
        let mut names: HashSet<_> = self.items.names().cloned().collect();
        if let Ok(entries) = std::fs::read_dir(&self.app.publish) {
            names.extend(entries.filter_map(Result::ok).map(|entry| entry.file_name()));
        }
        let catalog = self.app.catalog.snapshot();
        let published = catalog.items().iter().filter(|item| item.content.is_some());
        names.extend(published.map(|item| OsString::from(&item.name)));
        names
    }

    /// Subscribes to file events, before everything is looked at.
    fn subscribe(&self) -> Subscription {
        let watch = || {
            let mut watcher = notify::recommended_watcher(self.app.inbox.event_handler(&self.app.publish))?;
            watcher.watch(&self.app.publish, RecursiveMode::Recursive)?;
            Ok::<_, notify::Error>(watcher)
        };
        let seconds = RESCAN.as_secs();
        watch()
            .inspect_err(|error| {
                tracing::warn!("no file events ({error}); changes are looked for every {seconds} s");
            })
            .ok()
    }

    /// Looks at one item, and does what follows.
    fn look_at(&mut self, name: &OsStr) {
        let now = Instant::now();
        let listing = Listing::of(&self.app.publish.join(name), self.app.inbox.stopping());
        let published = self.published(name);
        let Some(sight) = Sight::of(name, listing, published.as_deref()) else { return };
        match &sight {
            // A volume that went away in this moment takes nothing back.
            Sight::Gone if published.is_some() && self.folder.look(&self.app) != Look::There => {
                self.watcher = None;
                return;
            }
            Sight::Unreadable(sentence) if published.is_some() => {
                tracing::warn!("{:?}: {sentence}", shown(name));
            }
            _ => {}
        }
        for action in self.items.look(now, now.elapsed(), name, sight, published.is_some()) {
            self.act(name, action);
        }
    }

    /// Hashes what waits for it, as far as there are free lanes.
    fn start_jobs(&mut self) {
        while let Some((name, fingerprint, size)) = self.items.next_job(|bytes| self.lanes.is_free_for(bytes))
        {
            let progress = Progress::of(size.bytes);
            let path = self.app.publish.join(&name);
            let (shared, inbox) = (Arc::clone(&progress), &self.app.inbox);
            let action = match self.lanes.start(path, &name, fingerprint, shared, inbox) {
                Ok(ticket) => {
                    tracing::info!("hashing {:?}: {} files, {} bytes", shown(&name), size.files, size.bytes);
                    self.items.started(&name, ticket)
                }
                Err(error) => {
                    self.items.not_started(&name, format!("There is no thread to hash it: {error}."))
                }
            };
            if let Some(Action::Show { state, error, size }) = action {
                self.show(&name, state, error, size, progress);
            }
        }
    }

    /// Publishes what was hashed, or says why not.
    fn finish(&mut self, Outcome { job, name, read_bytes, result }: Outcome) {
        self.app.hashed_bytes.fetch_add(read_bytes, Ordering::Relaxed);
        self.lanes.ended(job);
        if let Some(action) = self.items.finished(Instant::now(), &name, job, result) {
            self.act(&name, action);
        }
    }

    /// Ends all jobs and waits for them.
    fn end_jobs(mut self) {
        // Nobody is interested in them any more.
        self.items = Items::default();
        let until = Instant::now() + GRACE;
        while !self.lanes.is_idle() && Instant::now() < until {
            for outcome in self.app.inbox.wait(until).finished {
                self.lanes.ended(outcome.job);
            }
        }
    }

    fn act(&mut self, name: &OsStr, action: Action) {
        match action {
            Action::Retire => self.retire(name),
            Action::Show { state, error, size } => {
                self.show(name, state, error, size, Progress::of(size.bytes));
            }
            Action::Hide => self.app.catalog.hide(&shown(name)),
            Action::Commit(publication) => self.commit(name, publication),
        }
    }

    /// Makes an item public.
    fn commit(&mut self, name: &OsStr, publication: Publication) {
        let shown = shown(name);
        let info_hash = publication.content.info_hash();
        match self.app.catalog.publish(&shown, publication) {
            Ok(()) => {
                tracing::info!("published {shown:?} as {info_hash}");
                hash::forget(&self.app.state, &shown);
                self.items.committed(name);
            }
            Err(error) => {
                let action = self.items.not_committed(Instant::now(), name, &error.to_string());
                if let Some(action) = action {
                    self.act(name, action);
                }
            }
        }
    }

    fn published(&self, name: &OsStr) -> Option<Arc<Content>> {
        self.app.catalog.snapshot().named(name.to_str()?)?.content.clone()
    }

    /// Takes an item back: tracker, peers, page and feed lose it at once.
    fn retire(&self, name: &OsStr) {
        let Some(content) = self.published(name) else { return };
        let shown = shown(name);
        tracing::info!("{shown:?} is not any more what was published; it is taken back");
        if let Err(error) = self.app.catalog.retire(&shown) {
            tracing::error!("{shown:?} is retired but still in the store: {error}");
        }
        self.app.storage.close(&content);
        content.names_on_the_wire().for_each(|info_hash| self.app.swarms.forget(&info_hash));
    }

    fn show(&self, name: &OsStr, state: State, error: Option<String>, size: Size, progress: Arc<Progress>) {
        let shown = shown(name);
        if let Some(sentence) = error.as_deref().filter(|_| state == State::Failed)
            && self.app.catalog.snapshot().named(&shown).and_then(|item| item.error.as_deref())
                != error.as_deref()
        {
            tracing::warn!("{shown:?} can't be published: {sentence}");
        }
        self.app.catalog.show(Item {
            size_bytes: size.bytes,
            file_count: size.files,
            progress,
            error,
            ..Item::unpublished(&shown, Timestamp::now(), state)
        });
    }
}
