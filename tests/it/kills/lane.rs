//! One box that is killed again and again, and what it has promised so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::Value;
use system_tests::api::{Hashes, SETTLE, SOON};
use system_tests::content::{Chance, size, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::process::Process;
use system_tests::{wait, ways};

/// Time after the ready line in which everything is as it was; "within a second", on a busy machine.
const AGAIN: Duration = Duration::from_secs(2);

/// Time in which what has changed is taken back.
const RETIRED: Duration = Duration::from_secs(5);

/// As many items as a box has at most.
const STOCK: usize = 30;

/// A name in the publish folder.
#[derive(Debug, Default)]
struct Item {
    /// Holds the same content; `None` when it was deleted.
    source: Option<PathBuf>,
    /// Under what it was seen seeding; it has not changed since.
    seen: Option<Hashes>,
    /// Under what it was seen seeding before it changed.
    stale: Option<Hashes>,
    /// It is still being copied.
    copying: Option<JoinHandle<()>>,
}

impl Item {
    /// Its content is now that of `source`.
    fn becomes(&mut self, source: Option<PathBuf>) {
        self.source = source;
        self.stale = self.seen.take().or(self.stale.take());
    }

    fn is_being_copied(&self) -> bool {
        self.copying.as_ref().is_some_and(|copying| !copying.is_finished())
    }
}

/// The box.
#[derive(Debug)]
pub struct Lane {
    site: Site,
    chance: Chance,
    items: BTreeMap<String, Item>,
    sources: usize,
    /// Everything that was ever seen seeding, and what content it should be.
    pub claims: BTreeSet<(PathBuf, Hashes)>,
}

impl Lane {
    pub fn new(chance: Chance) -> Self {
        let site = Site::new();
        fs::create_dir(site.folder().join("archive")).unwrap();
        let mut lane = Self { site, chance, items: BTreeMap::new(), sources: 0, claims: BTreeSet::new() };
        for _ in 0..5 {
            lane.change();
        }
        lane
    }

    /// Starts the daemon and kills it, after some time and some changes.
    pub fn round(&mut self) {
        let kind = self.chance.below(10);
        if kind < 4 {
            // At any instant of its start.
            let process = Process::start(self.site.command());
            self.pause(300);
            return drop(process);
        }
        let daemon = self.start();
        for _ in 0..=self.chance.below(3) {
            self.change();
        }
        let to_hash = self.bytes_to_hash();
        if kind < 7 {
            // While it takes back what has changed, or is about to.
            self.pause(900);
        } else {
            self.wait_for_news(&daemon);
            self.pause(100);
        }
        if self.chance.below(2) == 0 {
            self.look(&daemon);
        }
        let hashed = daemon.bytes_hashed();
        assert!(hashed <= to_hash, "{hashed} bytes were hashed, of {to_hash} that had to be");
        daemon.kill();
    }

    /// Leaves it alone until all is published.
    pub fn finish(&mut self) {
        for item in self.items.values_mut() {
            item.copying.take().map(JoinHandle::join).transpose().expect("a copy that ends well");
        }
        let daemon = self.start();
        let to_hash = self.bytes_to_hash();
        let wanted: BTreeSet<_> = self.published_names().collect();
        wait::until_holds("everything is seeding, and nothing else", 2 * SOON, || {
            let found = seeding(&daemon);
            found.keys().collect::<BTreeSet<_>>() == wanted && daemon.api.items().len() == wanted.len()
        });
        self.look(&daemon);
        assert!(daemon.bytes_hashed() <= to_hash, "something was hashed twice");
        daemon.end();
    }

    /// Starts the daemon, which keeps what it has promised.
    fn start(&mut self) -> Daemon {
        let daemon = self.site.start();
        let is_kept = |found: &BTreeMap<String, Hashes>| {
            let mut seen = self.items.iter().filter(|(_, item)| item.seen.is_some());
            seen.all(|(name, item)| found.get(name) == item.seen.as_ref())
        };
        let kept = wait::try_until(AGAIN, || is_kept(&seeding(&daemon)).then_some(()));
        assert!(kept.is_some(), "of {:?} only {:?} are seeding again", self.items, seeding(&daemon));
        assert_eq!(daemon.bytes_hashed(), 0, "something was hashed at once");
        self.look(&daemon);
        daemon
    }

    /// Takes note of everything that is seeding.
    fn look(&mut self, daemon: &Daemon) {
        let is_right = |name: &String, hashes: &Hashes| {
            let item = &self.items[name];
            item.source.is_some() && item.stale != Some(*hashes)
        };
        let found = wait::until("what has changed is taken back", RETIRED, || {
            let found = seeding(daemon);
            found.iter().all(|(name, hashes)| is_right(name, hashes)).then_some(found)
        });
        for (name, item) in &mut self.items {
            item.stale = None;
            let Some(hashes) = found.get(name) else { continue };
            assert!(!item.is_being_copied(), "{name} is published, and only a part of it is there");
            item.seen = Some(*hashes);
            self.claims.insert((item.source.clone().expect("looked for above"), *hashes));
        }
    }

    /// Waits until something is being hashed, or just was.
    fn wait_for_news(&self, daemon: &Daemon) {
        // There is none when all that happened was a deletion.
        wait::try_until(SETTLE + Duration::from_secs(4), || {
            let items = daemon.api.items();
            let is_news = |item: &Value| match item["state"].as_str() {
                Some("hashing") => true,
                Some("seeding") => self.items[item["name"].as_str().unwrap()].seen.is_none(),
                _ => false,
            };
            items.iter().any(is_news).then_some(())
        });
    }

    /// Something that happens in the folder.
    fn change(&mut self) {
        let idle =
            |item: &&String| self.items[*item].source.is_some() && !self.items[*item].is_being_copied();
        let old: Vec<&String> = self.items.keys().filter(idle).collect();
        let kind = self.chance.below(10);
        if old.is_empty() || kind < 6 && self.items.len() < STOCK {
            let name = format!("item {}", self.sources);
            return self.arrive(name, kind);
        }
        let name = self.chance.pick(&old).clone();
        let target = self.site.publish().join(&name);
        let source = if target.is_dir() {
            fs::remove_dir_all(target).unwrap();
            None
        } else if kind.is_multiple_of(2) {
            fs::remove_file(target).unwrap();
            None
        } else {
            let source = self.source(&name, 1);
            ways::like_rsync(&mut self.chance, &source, &target);
            Some(source)
        };
        self.items.get_mut(&name).expect("chosen above").becomes(source);
    }

    /// Something new: at once, or over a time in which the daemon may be killed.
    fn arrive(&mut self, name: String, kind: u64) {
        let source = self.source(&name, kind);
        let target = self.site.publish().join(&name);
        let item = self.items.entry(name).or_default();
        item.becomes(Some(source.clone()));
        let mut chance = self.chance.fork();
        match kind {
            0 => ways::top_down(&mut chance, &source, &target),
            1..4 => ways::plainly(&mut chance, &source, &target),
            _ => item.copying = Some(spawn(move || ways::with_gaps(&mut chance, &source, &target))),
        }
    }

    /// A tree, a small file, or one that takes a moment to hash.
    fn source(&mut self, name: &str, kind: u64) -> PathBuf {
        let path = self.site.folder().join("archive").join(self.sources.to_string()).join(name);
        self.sources += 1;
        if kind == 0 {
            write_tree(&mut self.chance, &path);
        } else {
            let (least, more) = if matches!(kind, 1 | 4) { (1, 100_000) } else { (4 << 20, 28 << 20) };
            let size = least + self.chance.below(more);
            write_file(&mut self.chance, &path, size);
        }
        path
    }

    fn published_names(&self) -> impl Iterator<Item = &String> {
        self.items.iter().filter(|(_, item)| item.source.is_some()).map(|(name, _)| name)
    }

    /// Bytes of everything that was not seen seeding as it is.
    fn bytes_to_hash(&self) -> u64 {
        let unseen = self.items.values().filter(|item| item.seen.is_none());
        unseen.filter_map(|item| item.source.as_ref()).map(|source| size(source)).sum()
    }

    fn pause(&mut self, most: u64) {
        sleep(Duration::from_millis(self.chance.below(most)));
    }
}

/// What is seeding, by name.
fn seeding(daemon: &Daemon) -> BTreeMap<String, Hashes> {
    let items = daemon.api.items();
    let seeding = items.iter().filter(|item| item["state"] == "seeding");
    seeding.map(|item| (item["name"].as_str().unwrap().to_owned(), Hashes::of(item).unwrap())).collect()
}
