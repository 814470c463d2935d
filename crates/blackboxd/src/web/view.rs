//! What every surface shows of an item, taken from the catalog and the swarms at one moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracker::Scrape;

use crate::app::App;
use crate::catalog::{Content, Item, State};
use crate::words;

/// An item with its swarm's figures.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// As the catalog has it.
    pub(super) item: Arc<Item>,
    /// Who has all of it, the box included.
    pub(super) seeders: u32,
    /// Who is downloading it.
    pub(super) leechers: u32,
    /// What is wrong with it, in a sentence.
    pub(super) error: Option<String>,
}

/// All items, newest first.
pub(super) fn listed(app: &App) -> Vec<Listed> {
    let catalog = app.catalog.snapshot();
    // What keeps items offline is wrong with the whole publish folder, and comes first.
    let offline = app.health.problems().into_iter().next();
    let swarms = app.swarms();
    let listed = |item: &Arc<Item>| {
        let scrape = item.content.as_ref().and_then(|content| swarms.scrape(&content.info_hash));
        let mut listed = Listed::new(Arc::clone(item), scrape);
        if item.state == State::Offline && listed.error.is_none() {
            listed.error.clone_from(&offline);
        }
        listed
    };
    catalog.items().iter().map(listed).collect()
}

impl Listed {
    /// An item with what the tracker knows of its swarm, which does not count the box.
    pub(super) fn new(item: Arc<Item>, scrape: Option<Scrape>) -> Self {
        let others = scrape.unwrap_or_default();
        let own = u32::from(item.state == State::Seeding);
        Self {
            seeders: others.complete.saturating_add(own),
            leechers: others.incomplete,
            error: item.error.clone(),
            item,
        }
    }

    /// The content, if it can be downloaded now.
    pub(super) fn seeding(&self) -> Option<&Arc<Content>> {
        self.item.content.as_ref().filter(|_| self.item.state == State::Seeding)
    }

    /// Bytes of it given away so far.
    pub(super) fn uploaded(&self) -> u64 {
        self.item.content.as_ref().map_or(0, |content| content.counters.uploaded.load(Ordering::Relaxed))
    }

    /// Downloads that peers completed.
    pub(super) fn completed(&self) -> u64 {
        self.item.content.as_ref().map_or(0, |content| content.counters.completed.load(Ordering::Relaxed))
    }

    /// Whether it will change by itself soon.
    pub(super) fn is_in_progress(&self) -> bool {
        matches!(self.item.state, State::Settling | State::Copying | State::Hashing)
    }

    /// Where it stands, and what is wrong with it.
    pub(super) fn standing(&self) -> String {
        let percent = words::percent(self.item.fraction());
        let words = match self.item.state {
            State::Seeding => words::swarm(self.seeders, self.leechers),
            State::Settling => "Waiting until copying has finished.".to_owned(),
            State::Copying => format!("Being copied: {percent} %."),
            State::Hashing => format!("Being prepared: {percent} % read."),
            State::Offline => "Offline, but nothing is lost.".to_owned(),
            State::Failed => "Not published.".to_owned(),
        };
        match &self.error {
            Some(error) => format!("{words} {}", words::sentence(error)),
            None => words,
        }
    }
}

/// The state as the API names it.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Settling => "settling",
        State::Copying => "copying",
        State::Hashing => "hashing",
        State::Seeding => "seeding",
        State::Offline => "offline",
        State::Failed => "failed",
    }
}

/// All states, in the order of an item's life.
pub(super) const STATES: [State; 6] =
    [State::Settling, State::Copying, State::Hashing, State::Seeding, State::Offline, State::Failed];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::Identity;
    use torrent::{File, FilePath, Hashes, Info, Mode};

    /// A published file (no `files`) or folder; content is not looked at by any view.
    pub(in crate::web) fn published(name: &str, files: &[(&str, u64)]) -> Listed {
        let file = |(path, length): &(&str, u64)| File {
            path: FilePath::from_components(path.split('/')).unwrap(),
            length: *length,
        };
        let mode = match files {
            [] => Mode::Single { length: 5 },
            files => Mode::Multiple { files: files.iter().map(file).collect() },
        };
        let hashes = Hashes::V1 { pieces: Vec::new() };
        let mut info = Info { name: name.into(), piece_length: 1 << 20, mode, hashes, private: false };
        let pieces = usize::try_from(info.total_length().div_ceil(1 << 20)).unwrap();
        info.hashes = Hashes::V1 { pieces: vec![7; 20 * pieces] };
        let identity = |size| Identity { inode: 1, size, mtime: 784_111_777_000_000_000 };
        let identities: Vec<_> = match files {
            [] => vec![identity(5)],
            files => files.iter().map(|(_, length)| identity(*length)).collect(),
        };
        let content = Content::new(info.to_bytes().into(), &identities).unwrap();
        let added = "2024-05-06T07:08:09Z".parse().unwrap();
        Listed::new(Arc::new(Item::published(name, added, Arc::new(content))), None)
    }

    /// An item that is not published.
    pub(in crate::web) fn unpublished(name: &str, state: State, error: Option<&str>) -> Listed {
        let mut item = Item::unpublished(name, "2024-05-06T07:08:09Z".parse().unwrap(), state);
        item.error = error.map(Into::into);
        Listed::new(Arc::new(item), None)
    }

    #[test]
    fn the_box_counts_as_seeder_while_it_seeds() {
        let scrape = Scrape { complete: 2, incomplete: 3, downloaded: 4 };
        let item = published("a", &[]).item;
        let listed = Listed::new(Arc::clone(&item), Some(scrape));
        assert_eq!((listed.seeders, listed.leechers), (3, 3));
        let offline = Item { state: State::Offline, ..Item::clone(&item) };
        let listed = Listed::new(Arc::new(offline), Some(scrape));
        assert_eq!((listed.seeders, listed.leechers), (2, 3));
        assert!(listed.seeding().is_none());
    }

    #[test]
    fn every_state_says_where_it_stands() {
        for (state, error, sentence) in [
            (State::Settling, None, "Waiting until copying has finished."),
            (State::Copying, None, "Being copied: 0 %."),
            (State::Hashing, Some("It is slow."), "Being prepared: 0 % read. It is slow."),
            (State::Offline, None, "Offline, but nothing is lost."),
            (State::Offline, Some("No disk."), "Offline, but nothing is lost. No disk."),
            (State::Failed, Some("a name is not UTF-8"), "Not published. A name is not UTF-8."),
        ] {
            assert_eq!(unpublished("x", state, error).standing(), sentence);
        }
        let sentence = "This box has all of it; nobody is downloading right now.";
        assert_eq!(published("a", &[]).standing(), sentence);
    }

    #[test]
    fn states_have_the_names_of_the_api() {
        for state in STATES {
            assert_eq!(serde_json::to_value(state).unwrap(), state_name(state));
        }
    }
}
