//! What the page shows of an item, whatever its state.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{Content, Progress};
use crate::words;

/// One top-level file or folder of the publish folder, or a medium on its way into it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Name in the publish folder, as shown to people (escaped where it is not UTF-8; then the item never publishes).
    pub name: String,
    /// The drive it comes from, while it is only on a medium and not (yet) in the publish folder.
    pub medium: Option<String>,
    /// When the box first saw it.
    pub added: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Bytes of content, as far as known.
    pub size_bytes: u64,
    /// Number of files, as far as known.
    pub file_count: usize,
    /// How far copying or hashing has come.
    pub progress: Arc<Progress>,
    /// What is wrong and what to do, in a sentence for people.
    pub error: Option<String>,
    /// The published content; present exactly in the states [`State::Seeding`] and [`State::Offline`].
    pub content: Option<Arc<Content>>,
}

/// Where an item stands, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Seen, but something in it changed less than the settle time ago.
    Settling,
    /// Being copied (and hashed in the same pass) from a medium.
    Copying,
    /// Settled; being read and hashed.
    Hashing,
    /// Published: peers, tracker, page and feed have it.
    Seeding,
    /// Published, but its volume is not there now. Nothing is lost.
    Offline,
    /// Can't be published; `error` says why.
    Failed,
}

impl Item {
    /// An item that is not published (yet).
    pub fn unpublished(name: &str, added: Timestamp, state: State) -> Self {
        Self {
            name: name.to_owned(),
            medium: None,
            added,
            state,
            size_bytes: 0,
            file_count: 0,
            progress: Arc::default(),
            error: None,
            content: None,
        }
    }

    /// A published item.
    pub fn published(name: &str, added: Timestamp, content: Arc<Content>) -> Self {
        let size = content.size_bytes();
        Self {
            name: name.to_owned(),
            medium: None,
            added,
            state: State::Seeding,
            size_bytes: size,
            file_count: content.file_count(),
            progress: Arc::default(),
            error: None,
            content: Some(content),
        }
    }

    /// What is being done with it, such as `Reading DISC_1, 2.1 of 4.4 GB, 6 minutes left`; `None` while nothing is.
    pub fn activity(&self) -> Option<String> {
        let verb = match self.state {
            State::Copying => "Reading",
            State::Hashing => "Hashing",
            _ => return None,
        };
        let (done, total) = (words::bytes(self.progress.done()), words::bytes(self.progress.total()));
        let left = self.progress.time_left().map(|left| format!(", {} left", words::duration(left)));
        Some(format!("{verb} {}, {done} of {total}{}", self.name, left.unwrap_or_default()))
    }

    /// Progress as the API tells it: 1 when published, otherwise the part that was copied or hashed.
    pub fn fraction(&self) -> f64 {
        match self.state {
            State::Seeding | State::Offline => 1.0,
            State::Settling | State::Failed => 0.0,
            State::Copying | State::Hashing => self.progress.fraction(),
        }
    }

    /// Whether it will change by itself soon.
    pub fn is_in_progress(&self) -> bool {
        matches!(self.state, State::Settling | State::Copying | State::Hashing)
    }
}
