use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use torrent::{FileSpans, Info, InfoHash, Lengths, Mode};

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

/// Bytes done and to do, updated by the worker without a new snapshot.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Nothing done of `total` bytes.
    pub fn of(total: u64) -> Arc<Self> {
        Arc::new(Self { done: AtomicU64::new(0), total: AtomicU64::new(total) })
    }

    /// Counts `bytes` more as done.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes to do in all.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Part done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        match self.total() {
            0 => 0.0,
            total => (self.done() as f64 / total as f64).clamp(0.0, 1.0),
        }
    }
}

/// The torrent of a published item and the files behind it. Never changes; a changed file makes a new one.
#[derive(Debug)]
pub struct Content {
    /// Info hash (v1) of `info_bytes`.
    pub info_hash: InfoHash,
    /// The info dictionary, byte for byte as it was hashed.
    pub info_bytes: Arc<[u8]>,
    /// The info dictionary, read.
    pub info: Info,
    /// Pieces and blocks.
    pub lengths: Lengths,
    /// Which bytes are in which file.
    pub spans: FileSpans,
    /// The files in the order of the info dictionary.
    pub files: Vec<PublishedFile>,
    /// What has been given away.
    pub counters: Counters,
    /// Cancelled when the item is retired.
    pub retired: CancellationToken,
    /// Cancelled while the item is offline, and when it is retired; another one for each time that it is online.
    online: Mutex<CancellationToken>,
}

/// A file as it was when it was hashed.
#[derive(Debug, Clone)]
pub struct PublishedFile {
    /// Path below the publish folder.
    pub path: PathBuf,
    /// Length in bytes.
    pub length: u64,
    /// What it must still be when it is served.
    pub identity: Identity,
}

/// Tells whether a file is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content, nanoseconds since 1970.
    pub mtime: i128,
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }
}

/// Sums since the item was published; kept over restarts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of content sent to peers and as web seed.
    pub uploaded: AtomicU64,
    /// Downloads that peers reported as completed.
    pub completed: AtomicU64,
}

impl Content {
    /// Puts an info dictionary and the identities of its files (in the dictionary's order) together.
    ///
    /// # Errors
    /// A sentence when the two do not fit or the dictionary can't be read.
    pub fn new(info_bytes: Arc<[u8]>, identities: &[Identity]) -> Result<Self, String> {
        let info = Info::parse(&info_bytes)
            .map_err(|error| format!("its info dictionary can't be read: {error}"))?;
        let root = Path::new(&info.name);
        let files: Vec<(PathBuf, u64)> = match &info.mode {
            Mode::Single { length } => vec![(root.to_owned(), *length)],
            Mode::Multiple { files } => {
                files.iter().map(|file| (root.join(file.path.as_str()), file.length)).collect()
            }
        };
        if files.len() != identities.len() || files.iter().zip(identities).any(|(file, id)| file.1 != id.size)
        {
            return Err("its info dictionary does not fit the files that were hashed".into());
        }
        let files: Vec<_> = files
            .into_iter()
            .zip(identities)
            .map(|((path, length), identity)| PublishedFile { path, length, identity: *identity })
            .collect();
        let retired = CancellationToken::new();
        let lengths = Lengths::new(info.total_length(), info.piece_length).ok_or("it has too many pieces")?;
        Ok(Self {
            info_hash: InfoHash::of(&info_bytes),
            spans: FileSpans::new(files.iter().map(|file| file.length)),
            info_bytes,
            info,
            lengths,
            files,
            counters: Counters::default(),
            online: Mutex::new(retired.child_token()),
            retired,
        })
    }

    /// Cancelled when the item is no longer served: connections that serve it end.
    pub fn online(&self) -> CancellationToken {
        self.online.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves it (again), or ends all connections that serve it.
    pub(super) fn set_online(&self, is_online: bool) {
        let mut online = self.online.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_online {
            online.cancel();
        } else if online.is_cancelled() {
            *online = self.retired.child_token();
        }
    }

    /// Bytes of content.
    pub fn size_bytes(&self) -> u64 {
        self.info.total_length()
    }
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
        let progress = Progress::of(size);
        progress.add(size);
        Self {
            name: name.to_owned(),
            medium: None,
            added,
            state: State::Seeding,
            size_bytes: size,
            file_count: content.files.len(),
            progress,
            error: None,
            content: Some(content),
        }
    }

    /// Progress as the API tells it: 1 when published, otherwise the part that was copied or hashed.
    pub fn fraction(&self) -> f64 {
        match self.state {
            State::Seeding | State::Offline => 1.0,
            State::Settling | State::Failed => 0.0,
            State::Copying | State::Hashing => self.progress.fraction(),
        }
    }
}
