//! What happens to one name, or a few, in the publish folder, and what may be published of it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use system_tests::content::{Chance, write_file, write_tree};
use system_tests::watcher::Watcher;
use system_tests::ways::{self, Way};

/// Settling, and all that settles at the same time being hashed.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Where all stories take place.
#[derive(Debug)]
pub struct Stage {
    pub publish: PathBuf,
    /// Holds what is copied, each in a folder of its own.
    pub archive: PathBuf,
    pub watcher: Watcher,
    pub sources: AtomicUsize,
}

/// What became of the names of a story.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The contents that each name had when a copy was complete, in this order; `None`: nothing that may be published.
    pub states: BTreeMap<String, Vec<Option<PathBuf>>>,
    /// A word of the sentence that says why something is not published.
    pub words: BTreeMap<String, &'static str>,
    /// Held open to the end.
    pub held: Vec<File>,
}

/// A story being told.
#[derive(Debug)]
pub struct Story {
    pub stage: Arc<Stage>,
    pub chance: Chance,
    pub name: String,
    pub outcome: Outcome,
}

impl Story {
    pub(super) fn target(&self) -> PathBuf {
        self.stage.publish.join(&self.name)
    }

    /// A new place in the archive for something of that name.
    pub(super) fn new_source(&self, name: &str) -> PathBuf {
        let folder = self.stage.archive.join(self.stage.sources.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder).unwrap();
        folder.join(name)
    }

    pub(super) fn file_source(&mut self) -> PathBuf {
        let size = self.chance.pick(&[1, 16_383, 16_384, 16_385, 100_000, 500_000]);
        let size = size + self.chance.below(2) * self.chance.below(100_000);
        self.file_source_of(size)
    }

    pub(super) fn file_source_of(&mut self, size: u64) -> PathBuf {
        let path = self.new_source(&self.name);
        write_file(&mut self.chance, &path, size);
        if self.chance.below(4) == 0 {
            // A hole, or what becomes one.
            let mut file = OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all(&vec![0; usize::try_from(size / 2).unwrap()]).unwrap();
        }
        path
    }

    pub(super) fn folder_source(&mut self) -> PathBuf {
        let path = self.new_source(&self.name);
        write_tree(&mut self.chance, &path);
        path
    }

    /// A copy in the archive, to be changed.
    pub(super) fn changed_source(&mut self, source: &Path, name: &str) -> PathBuf {
        let changed = self.new_source(name);
        if source.is_dir() {
            ways::top_down(&mut self.chance, source, &changed);
        } else {
            ways::plainly(&mut self.chance, source, &changed);
        }
        changed
    }

    pub(super) fn record(&mut self, name: &str, state: Option<&Path>) {
        self.outcome.states.entry(name.to_owned()).or_default().push(state.map(Path::to_owned));
    }

    pub(super) fn now_is(&mut self, state: Option<&Path>) {
        self.record(&self.name.clone(), state);
    }

    pub(super) fn copy(&mut self, source: &Path, way: Way) {
        let target = self.target();
        way(&mut self.chance, source, &target);
        self.now_is(Some(source));
    }

    pub(super) fn seeding(&self) {
        self.stage.watcher.wait_for(&self.name, "seeding", PATIENCE);
    }

    pub(super) fn gone(&self) {
        self.stage.watcher.wait(&self.name, "gone", PATIENCE, |item| item.is_none());
    }

    pub(super) fn delete(&mut self) {
        let target = self.target();
        if target.is_dir() { fs::remove_dir_all(target) } else { fs::remove_file(target) }.unwrap();
        self.now_is(None);
    }
}
