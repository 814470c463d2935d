//! What every surface shows of an item, taken from the catalog and the swarms at one moment.

use std::sync::Arc;

use torrent::InfoHash;
use tracker::Scrape;

use crate::app::App;
use crate::catalog::{Content, Item, Progress, State};
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
    // What keeps items offline is wrong with the whole publish folder, and comes first.
    let offline = app.health.problems().into_iter().next();
    let listed = |item: &Arc<Item>| {
        let mut listed = listed_one(app, item);
        if item.state == State::Offline && listed.error.is_none() {
            listed.error.clone_from(&offline);
        }
        listed
    };
    app.catalog.snapshot().items().iter().map(listed).collect()
}

/// An item of the catalog.
pub(super) fn listed_one(app: &App, item: &Arc<Item>) -> Listed {
    let scrape = item.content.as_ref().map(|content| swarm(content, |name| app.swarms.scrape(name)));
    Listed::new(Arc::clone(item), scrape)
}

/// The figures of all swarms of an item: each of its torrents has one.
fn swarm(content: &Content, scrape: impl Fn(&InfoHash) -> Option<Scrape>) -> Scrape {
    content.names_on_the_wire().filter_map(|name| scrape(&name)).fold(Scrape::default(), |sum, swarm| {
        Scrape {
            complete: sum.complete.saturating_add(swarm.complete),
            incomplete: sum.incomplete.saturating_add(swarm.incomplete),
            downloaded: sum.downloaded.saturating_add(swarm.downloaded),
        }
    })
}

impl Listed {
    /// An item with what the tracker knows of its swarm, which does not count the box.
    pub(super) fn new(item: Arc<Item>, scrape: Option<Scrape>) -> Self {
        let others = scrape.unwrap_or_default();
        let own = u32::from(item.state == State::Seeding);
        Self {
            seeders: others.complete.saturating_add(own),
            leechers: others.incomplete,
            error: item.error.clone().or_else(|| damage(&item)),
            item,
        }
    }

    /// The content, if it can be downloaded now.
    pub(super) fn seeding(&self) -> Option<&Arc<Content>> {
        self.item.content.as_ref().filter(|_| self.item.state == State::Seeding)
    }

    /// Bytes of it given away so far.
    pub(super) fn uploaded(&self) -> u64 {
        self.item.content.as_ref().map_or(0, |content| content.counters.sums().uploaded)
    }

    /// Downloads that peers completed.
    pub(super) fn completed(&self) -> u64 {
        self.item.content.as_ref().map_or(0, |content| content.counters.sums().completed)
    }

    /// Bytes of it that are damaged on the disk.
    pub(super) fn damaged(&self) -> u64 {
        let ranges = self.item.content.as_ref().map(|content| content.damage.ranges()).unwrap_or_default();
        ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether its content is being read.
    pub(super) fn is_being_read(&self) -> bool {
        matches!(self.item.state, State::Copying | State::Hashing)
    }

    /// How much it is; empty while that is not known.
    pub(super) fn extent(&self) -> String {
        let (size, files) = (words::bytes(self.item.size_bytes), self.item.file_count);
        match files {
            0 if self.item.size_bytes == 0 => String::new(),
            0 | 1 => size,
            _ => format!("{size} in {files} files"),
        }
    }

    /// When the box first saw it.
    pub(super) fn added(&self) -> String {
        self.item.added.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// Where it stands, and what is wrong with it.
    pub(super) fn standing(&self) -> String {
        let percent = words::percent(self.item.fraction());
        let words = match self.item.state {
            State::Seeding => words::swarm(self.seeders, self.leechers),
            State::Settling if self.error.is_some() => "Not published yet.".to_owned(),
            State::Settling => "Waiting until copying has finished.".to_owned(),
            State::Copying => format!("Being copied: {percent} %{}.", pace(&self.item.progress)),
            State::Hashing => format!("Being prepared: {percent} % read{}.", pace(&self.item.progress)),
            State::Offline => "Offline, but nothing is lost.".to_owned(),
            State::Failed => "Not published.".to_owned(),
        };
        match &self.error {
            Some(error) => format!("{words} {}", words::sentence(error)),
            None => words,
        }
    }
}

/// Which bytes the disk does not give back, in a sentence; `None` if all is well.
fn damage(item: &Item) -> Option<String> {
    let content = item.content.as_ref()?;
    let ranges = content.damage.ranges();
    let first = ranges.first()?;
    let span = content.spans.spans(first.start, first.end - first.start).next()?;
    let (path, _) = content.file(span.file);
    let more = match ranges.len() - 1 {
        0 => String::new(),
        more => format!(" and {}", words::count(more as u64, "other place", "other places")),
    };
    Some(format!(
        "The disk is damaged: {:?} can't be given at byte {} ({} bytes){more}. Copy it there again.",
        path.display().to_string(),
        span.offset,
        span.length,
    ))
}

/// How fast it goes and when it will be done, as far as known, after something else.
fn pace(progress: &Progress) -> String {
    let rate = progress.rate().map(|rate| format!(", {} a second", words::bytes(rate)));
    let left = progress.time_left().map(|left| format!(", {} left", words::duration(left)));
    rate.into_iter().chain(left).collect()
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
    use crate::catalog::testing;

    /// A published file (no `files`) or folder; content is not looked at by any view.
    pub(in crate::web) fn published(name: &str, files: &[(&str, u64)]) -> Listed {
        let added = "2024-05-06T07:08:09Z".parse().unwrap();
        let content = testing::published(name, files).content;
        Listed::new(Arc::new(Item::published(name, added, content)), None)
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
    fn an_item_has_the_swarms_of_both_its_torrents() {
        let content = testing::published("a", &[]).content;
        let v1 = content.info_hash_v1().unwrap();
        let scrape = |name: &InfoHash| {
            Some(Scrape { complete: 1, incomplete: if *name == v1 { 10 } else { 5 }, downloaded: 0 })
        };
        let Scrape { complete, incomplete, .. } = swarm(&content, scrape);
        assert_eq!((complete, incomplete), (2, 15));
    }

    #[test]
    fn every_state_says_where_it_stands() {
        for (state, error, sentence) in [
            (State::Settling, None, "Waiting until copying has finished."),
            (State::Settling, Some("It is empty."), "Not published yet. It is empty."),
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
