//! Everything that is wrong with the box right now, by who said so.

use std::collections::BTreeMap;

/// Sentences taken from one source: more than these tell nobody more.
const MAX_FROM_ONE: usize = 8;

/// Who says that something is wrong; also the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A step of the boot that failed.
    Boot,
    /// The system disk.
    System,
    /// A disk that is about to fail.
    Disks,
    /// Updates.
    Update,
    /// The data partition.
    Data,
    /// `blackbox.toml`.
    Settings,
    /// The network child.
    Network,
    /// Whether the daemon runs.
    Daemon,
}

/// The sentences, each of what, where and what to do.
#[derive(Debug, Default)]
pub struct Problems {
    by_source: BTreeMap<Source, Vec<String>>,
    revision: u64,
}

impl Problems {
    /// Replaces what a source said. Returns whether that changed anything.
    pub fn set(&mut self, source: Source, mut sentences: Vec<String>) -> bool {
        sentences.truncate(MAX_FROM_ONE);
        let before = self.by_source.get(&source).map_or(&[][..], Vec::as_slice);
        if before == sentences {
            return false;
        }
        self.by_source.insert(source, sentences);
        self.revision += 1;
        true
    }

    /// Adds a sentence to what a source said.
    pub fn add(&mut self, source: Source, sentence: String) {
        let mut sentences = self.by_source.get(&source).cloned().unwrap_or_default();
        sentences.push(sentence);
        self.set(source, sentences);
    }

    /// All sentences.
    pub fn sentences(&self) -> Vec<String> {
        self.by_source.values().flatten().cloned().collect()
    }

    /// Changes with every change.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_replaces_only_what_it_said_itself() {
        let mut problems = Problems::default();
        assert!(problems.set(Source::Network, vec!["no cable".into()]));
        assert!(!problems.set(Source::Network, vec!["no cable".into()]));
        problems.add(Source::Data, "no data".into());
        assert_eq!(problems.sentences(), ["no data", "no cable"]);
        let revision = problems.revision();
        assert!(problems.set(Source::Network, vec![]));
        assert!(!problems.set(Source::Daemon, vec![]), "nothing before, nothing now");
        assert_eq!(problems.sentences(), ["no data"]);
        assert_ne!(problems.revision(), revision);
    }

    #[test]
    fn one_source_cannot_flood_the_screen() {
        let mut problems = Problems::default();
        for n in 0..100 {
            problems.add(Source::Boot, n.to_string());
        }
        assert_eq!(problems.sentences().len(), MAX_FROM_ONE);
    }
}
