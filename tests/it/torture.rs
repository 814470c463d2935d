//! A thousand copies at the same time, in every way that programs copy: all that is complete is published, once and under
//! its right name, and nothing else is, not for a moment.

mod story;
mod tales;

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use system_tests::api::Hashes;
use system_tests::content::{Chance, files, size};
use system_tests::daemon::{Daemon, Site};
use system_tests::foreign::Foreign;
use system_tests::watcher::Watcher;
use system_tests::{figure, http};

use story::{Outcome, Stage, Story};
use tales::{TALES, Tale};

/// Copies in all.
const COPIES: usize = 1000;

/// Stories that are told at the same time; most of them wait.
const THREADS: usize = 64;

/// Time for the last to settle and be hashed, when all copies are complete.
const AFTERWARDS: Duration = Duration::from_mins(1);

/// Names as people give them; a story's title and a number follow. (Without backslash, which makes libtorrent's
/// torrents unusable.)
const NAMES: [&str; 12] = [
    "plain",
    "with  spaces",
    "\u{dc}bung",
    // The same in the form that macOS writes.
    "U\u{308}bung",
    "100%",
    "a%20b",
    "it's \"quoted\"",
    "日本語",
    "#hash?q&x=",
    "-dash",
    "semi;colon:",
    "very long",
];

/// Items that are downloaded and compared.
const SAMPLE: usize = 60;

type Plan = (String, Chance, &'static Tale);

/// All stories to be told: each tale once, then as often as its weight says.
fn plan(chance: &mut Chance) -> Vec<Plan> {
    let tickets: Vec<&Tale> = TALES.iter().flat_map(|tale| iter::repeat_n(tale, tale.weight)).collect();
    let mut copies = 0;
    let mut plans = Vec::new();
    while copies < COPIES {
        let drawn = chance.pick(&tickets);
        let tale = TALES.get(plans.len()).unwrap_or(drawn);
        copies += tale.copies;
        let mut name = format!("{} {} {}", chance.pick(&NAMES), tale.title, plans.len());
        if name.starts_with("very long") {
            name += &"x".repeat(240 - name.len());
        }
        plans.push((name, chance.fork(), tale));
    }
    plans
}

/// Tells all stories, as many at a time as there are threads.
fn tell(stage: &Arc<Stage>, plans: &[Plan]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        while let Some((name, chance, tale)) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (stage, name, chance) = (Arc::clone(stage), name.clone(), chance.clone());
            let mut story = Story { stage, chance, name, outcome: Outcome::default() };
            (tale.tell)(&mut story);
            outcomes.push(story.outcome);
        }
        outcomes
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a story that ends well")).collect()
    })
}

/// What was promised for each name.
struct Promise {
    /// Every content that the name had when a copy was complete.
    states: BTreeMap<String, Vec<Option<PathBuf>>>,
    words: BTreeMap<String, &'static str>,
}

impl Promise {
    fn of(outcomes: &[Outcome]) -> Self {
        let states = outcomes.iter().flat_map(|outcome| outcome.states.clone()).collect();
        let words = outcomes.iter().flat_map(|outcome| outcome.words.clone()).collect();
        Self { states, words }
    }

    /// What should be published at the end, by name.
    fn last(&self) -> BTreeMap<&str, &Path> {
        let states = self.states.iter();
        states.filter_map(|(name, states)| Some((name.as_str(), states.last()?.as_deref()?))).collect()
    }

    /// All that is complete is seeding, of all else it is said why not, and nothing else is there.
    fn wait_until_kept(&self, watcher: &Watcher) {
        let last = self.last();
        let deadline = Instant::now() + AFTERWARDS;
        loop {
            let now = watcher.now();
            let is_kept = |name: &&str| match (now.get(*name), self.words.get(*name)) {
                (Some(item), None) => item["state"] == "seeding" && last.contains_key(name),
                (Some(item), Some(word)) => {
                    item["state"] != "seeding"
                        && item["error"].as_str().is_some_and(|error| error.contains(word))
                }
                (None, _) => !last.contains_key(name),
            };
            let names = now.keys().chain(self.states.keys()).map(String::as_str);
            let broken: Vec<_> =
                names.filter(|name| !is_kept(name)).map(|name| (name, now.get(name))).collect();
            if broken.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "not within {AFTERWARDS:?}: {broken:#?}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whatever was ever published is what a complete copy holds, and in the end it is what is there.
    fn assert_hashes_are_right(&self, watcher: &Watcher) {
        let foreign = Foreign::of(self.states.values().flatten().flatten().cloned());
        for (name, hashes) in watcher.published() {
            let states = &self.states[&name];
            for hash in hashes {
                let is_whole = states.iter().flatten().any(|source| foreign.agrees(source, &hash));
                assert!(
                    is_whole,
                    "{name:?} was published in part: {hash:?} is none of {:?}",
                    states.iter().flatten().map(|source| (source, size(source))).collect::<Vec<_>>()
                );
            }
        }
        let now = watcher.now();
        for (name, source) in self.last() {
            let hashes = Hashes::of(&now[name]).expect("it is published");
            assert!(foreign.agrees(source, &hashes), "{name:?} is not published as it is: {hashes:?}");
        }
    }

    /// Each complete copy is read once.
    fn most_bytes_hashed(&self) -> u64 {
        self.states.values().flatten().flatten().map(|source| size(source)).sum()
    }
}

#[test]
fn a_thousand_copies_at_once_are_published_whole_and_once() {
    let site = Site::new();
    let mut chance = Chance::fresh();
    let stage = Arc::new(Stage {
        publish: site.publish(),
        archive: site.folder().join("archive"),
        watcher: Watcher::default(),
        sources: AtomicUsize::new(0),
    });
    fs::create_dir(&stage.archive).unwrap();
    let daemon = site.start();
    let (shared, api) = (Arc::clone(&stage), daemon.api);
    let watching = thread::spawn(move || shared.watcher.run(&api));
    let started = Instant::now();
    let outcomes = tell(&stage, &plan(&mut chance));
    let copied = started.elapsed();

    let promise = Promise::of(&outcomes);
    promise.wait_until_kept(&stage.watcher);
    figure("a thousand copies at once, copied and published", (copied, started.elapsed()));
    stage.watcher.stop();
    watching.join().expect("nothing was ever shown twice");
    promise.assert_hashes_are_right(&stage.watcher);
    let (hashed, most) = (daemon.bytes_hashed(), promise.most_bytes_hashed());
    assert!(hashed <= most, "{hashed} bytes were hashed of {most}: something was hashed twice");
    assert_sample_downloads(&daemon, &promise, &mut chance);
    daemon.end();
}

/// Some of the items, byte for byte over HTTP.
fn assert_sample_downloads(daemon: &Daemon, promise: &Promise, chance: &mut Chance) {
    let all: Vec<(&str, &Path)> = promise.last().into_iter().collect();
    for _ in 0..SAMPLE {
        let (name, source) = chance.pick(&all);
        for (path, file) in files(source).into_iter().take(20) {
            let path = Path::new("/files").join(name).join(path);
            let url = http::encode(path.to_str().unwrap().trim_end_matches('/'));
            let response = daemon.api.get(&url);
            assert_eq!(response.status, 200, "{url}");
            assert!(response.body == fs::read(file).unwrap(), "{path:?} is served with other bytes");
        }
    }
}
