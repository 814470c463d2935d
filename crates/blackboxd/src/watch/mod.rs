//! Keeps the catalog true to the publish folder.
//!
//! Events are hints, state is truth: subscribe, then scan, then look again. A rescan every few minutes finds what the
//! events missed. One thread decides; a second one hashes.

mod folder;
mod ignore;
mod inbox;
mod job;
mod settle;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

pub use ignore::is_ignored;
pub use inbox::Inbox;

use crate::app::SharedApp;
use crate::catalog::{Content, Item, Progress, State};
use crate::listing::{ListError, Listing};
use crate::publish::PublishError;
use folder::{Folder, Look};
use inbox::News;
use job::{Job, Outcome};
use settle::{Settler, Verdict};

/// How often everything is looked at without an event: the longest time a change on a file system without events stays
/// unseen, and far above the cost of looking.
const RESCAN: Duration = Duration::from_mins(5);

/// How often the publish folder itself is looked at.
const FOLDER_CHECK: Duration = Duration::from_secs(2);

/// File events as long as it is held; `None` where the file system or a limit of the kernel's refuses them.
type Subscription = Option<RecommendedWatcher>;

/// The thread that decides what becomes of each item.
pub struct Publisher {
    app: SharedApp,
    folder: Folder,
    settler: Settler,
    /// Settled in this state, waiting for the hasher.
    queue: VecDeque<(OsString, u64)>,
    job: Option<Job>,
    /// Refused in this state; tried again when it changes.
    refused: HashMap<OsString, u64>,
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
        Self {
            app,
            folder,
            settler: Settler::default(),
            queue: VecDeque::new(),
            job: None,
            refused: HashMap::new(),
            watcher: None,
            next_rescan: Instant::now(),
        }
    }

    /// Runs until [`Inbox::stop`].
    pub fn run(mut self) {
        self.app.inbox.rescan();
        loop {
            let folder_check = Instant::now() + FOLDER_CHECK;
            let due = self.settler.next_due().filter(|_| self.watcher.is_some());
            let mut news = self.app.inbox.wait(due.map_or(folder_check, |due| due.min(folder_check)));
            if news.stop {
                break;
            }
            if let Some(outcome) = news.finished.take() {
                self.finish(outcome);
            }
            let look = self.folder.look(&self.app);
            if look != Look::There {
                self.watcher = None;
            }
            if look != Look::Away {
                self.look(news);
            }
        }
        if let Some(job) = self.job.take() {
            job.cancel();
            job.join();
        }
    }

    /// Looks at all items that need it, and gives the hasher work.
    fn look(&mut self, mut news: News) {
        let now = Instant::now();
        if self.watcher.is_none() {
            self.watcher = Some(self.subscribe());
            news.rescan = true;
        }
        for name in &news.names {
            self.settler.event(now, name);
        }
        news.names.retain(|name| !self.settler.contains(name));
        news.names.extend(self.settler.due(now));
        if news.rescan || now >= self.next_rescan {
            self.next_rescan = now + RESCAN;
            news.names.extend(self.all_names());
        }
        for name in news.names {
            self.examine(now, &name);
        }
        self.start_job();
    }

    /// Names in the folder and in the catalog: what is there, and what should be.
    fn all_names(&self) -> HashSet<OsString> {
        let mut names = HashSet::new();
        if let Ok(entries) = std::fs::read_dir(&self.app.publish) {
            names.extend(entries.filter_map(Result::ok).map(|entry| entry.file_name()));
        }
        let catalog = self.app.catalog.snapshot();
        let ours = catalog.items().iter().filter(|item| item.medium.is_none());
        names.extend(ours.map(|item| OsString::from(&item.name)));
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

    /// Looks at one item and decides.
    fn examine(&mut self, now: Instant, name: &OsStr) {
        if is_ignored(name) {
            return;
        }
        let shown = name.to_string_lossy();
        match Listing::of(&self.app.publish.join(name)) {
            Ok(_) if name.to_str().is_none() => {
                self.refuse(name, 0, "its name is not UTF-8 text; rename it".into());
            }
            Ok(listing) => self.examine_listing(now, &shown, &listing),
            Err(ListError::Gone) => self.gone(name),
            Err(ListError::Changing) => self.settler.restart(now, name),
            // An error is not a deletion: what is published stays so until its files are seen to differ.
            Err(error @ ListError::Unreadable { .. }) if self.published(&shown).is_some() => {
                tracing::warn!("{shown:?}: {error}");
            }
            Err(error) => self.refuse(name, 0, error.to_string()),
        }
    }

    fn examine_listing(&mut self, now: Instant, name: &str, listing: &Listing) {
        let os_name = OsStr::new(name);
        if let Some(content) = self.published(name) {
            if listing.identities().eq(content.files.iter().map(|file| file.identity))
                && is_same_shape(listing, &content)
            {
                return self.settler.forget(os_name);
            }
            tracing::info!("{name:?} has changed; it is retired and published anew when it has settled");
            self.retire(name, &content);
        }
        let fingerprint = listing.fingerprint();
        if let Some(job) = self.job.as_ref().filter(|job| job.name == os_name) {
            if job.fingerprint != fingerprint {
                job.cancel();
            }
            return;
        }
        if self.refused.get(os_name) == Some(&fingerprint) {
            return self.settler.forget(os_name);
        }
        if let Some(position) = self.queue.iter().position(|(queued, _)| queued == os_name) {
            if self.queue[position].1 == fingerprint {
                return;
            }
            self.queue.remove(position);
        }
        let settled = self.settler.looked(now, os_name, fingerprint) == Verdict::Settled;
        if settled {
            self.settler.forget(os_name);
        }
        if listing.size_bytes() == 0 {
            self.show(
                name,
                State::Settling,
                listing,
                Some("It is empty; there is nothing to publish yet.".into()),
            );
        } else if settled {
            self.queue.push_back((os_name.to_owned(), fingerprint));
        } else {
            self.show(name, State::Settling, listing, None);
        }
    }

    /// Hashes the next settled item, if the hasher is free.
    fn start_job(&mut self) {
        while self.job.is_none() {
            let Some((name, fingerprint)) = self.queue.pop_front() else { return };
            let path = self.app.publish.join(&name);
            let shown = name.to_string_lossy();
            let Some(listing) = Listing::of(&path).ok().filter(|now| now.fingerprint() == fingerprint) else {
                self.settler.restart(Instant::now(), &name);
                continue;
            };
            let progress = self.show(&shown, State::Hashing, &listing, None);
            tracing::info!(
                "hashing {shown:?}: {} files, {} bytes",
                listing.file_count(),
                listing.size_bytes()
            );
            match Job::start(path, &shown, listing, progress, &self.app.inbox) {
                Ok(job) => self.job = Some(job),
                Err(error) => return tracing::error!("no thread for hashing: {error}"),
            }
        }
    }

    /// Publishes what was hashed, or says why not.
    fn finish(&mut self, Outcome { name, read_bytes, result }: Outcome) {
        self.app.hashed_bytes.fetch_add(read_bytes, Ordering::Relaxed);
        let Some(job) = self.job.take() else { return };
        let fingerprint = job.fingerprint;
        job.join();
        let shown = name.to_string_lossy();
        match result {
            Ok(content) => {
                let info_hash = content.info_hash;
                match self.app.catalog.publish(&shown, Arc::new(content)) {
                    Ok(()) => tracing::info!("published {shown:?} as {info_hash}"),
                    Err(error) => self.try_later(&name, &format!("it could not be published: {error}")),
                }
            }
            Err(PublishError::Changed | PublishError::Cancelled) => {
                self.settler.restart(Instant::now(), &name);
            }
            Err(error) => self.refuse(&name, fingerprint, error.to_string()),
        }
        self.start_job();
    }

    fn published(&self, name: &str) -> Option<Arc<Content>> {
        self.app.catalog.snapshot().named(name)?.content.clone()
    }

    /// Takes an item back: tracker, peers, page and feed lose it at once.
    fn retire(&self, name: &str, content: &Content) {
        if let Err(error) = self.app.catalog.retire(name) {
            tracing::error!("{name:?} is retired but still in the store: {error}");
        }
        self.app.storage.close(content);
        self.app.swarms().forget(&content.info_hash);
    }

    fn gone(&mut self, name: &OsStr) {
        self.settler.forget(name);
        self.refused.remove(name);
        if let Some(job) = self.job.as_ref().filter(|job| job.name == name) {
            job.cancel();
        }
        let shown = name.to_string_lossy();
        if let Some(content) = self.published(&shown) {
            tracing::info!("{shown:?} was removed; it is no longer published");
            self.retire(&shown, &content);
        }
        self.app.catalog.hide(&shown);
    }

    /// Shows why an item can't be published, until it changes.
    fn refuse(&mut self, name: &OsStr, fingerprint: u64, sentence: String) {
        let shown = name.to_string_lossy();
        self.settler.forget(name);
        if self.refused.insert(name.to_owned(), fingerprint) != Some(fingerprint) {
            tracing::warn!("{shown:?} can't be published: {sentence}");
        }
        if let Some(content) = self.published(&shown) {
            self.retire(&shown, &content);
        }
        let mut item = Item::unpublished(&shown, Timestamp::now(), State::Failed);
        item.error = Some(sentence);
        self.app.catalog.show(item);
    }

    /// Shows why an item could not be published now; it settles again and is tried again.
    fn try_later(&mut self, name: &OsStr, sentence: &str) {
        let shown = name.to_string_lossy();
        tracing::error!("{shown:?}: {sentence}");
        let mut item = Item::unpublished(&shown, Timestamp::now(), State::Failed);
        item.error = Some(sentence.to_owned());
        self.app.catalog.show(item);
        self.settler.restart(Instant::now(), name);
    }

    fn show(&self, name: &str, state: State, listing: &Listing, error: Option<String>) -> Arc<Progress> {
        let progress = Progress::of(listing.size_bytes());
        self.app.catalog.show(Item {
            size_bytes: listing.size_bytes(),
            file_count: listing.file_count(),
            progress: Arc::clone(&progress),
            error,
            ..Item::unpublished(name, Timestamp::now(), state)
        });
        progress
    }
}

/// Whether the files have the same paths as when they were hashed.
fn is_same_shape(listing: &Listing, content: &Content) -> bool {
    let below: PathBuf = (&content.info.name).into();
    listing
        .paths(&below)
        .into_iter()
        .map(|(path, _)| path)
        .eq(content.files.iter().map(|file| file.path.clone()))
}
