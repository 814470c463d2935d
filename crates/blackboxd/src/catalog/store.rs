//! The catalog on disk: one redb file, one transaction for each change, durable when it returns.

mod history;
mod privacy;
mod tables;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableHandle};
use torrent::InfoHash;

use super::gone::Gone;
use super::record::{Past, Record};
use super::reserve::Reserve;
use super::{Item, Metadata};
use crate::catalog::content::Sums;
use crate::history::{Entry, Figures, Loaded as History};
use crate::members::Account;
use history::Counted;
use tables::{
    COUNTERS, DAMAGE, FOLDER_ID, HISTORY, INFOS, LAYERS, MEMBERS, NAMES, RECORDS, SETTINGS, Tables,
};

/// Name of the catalog's file in the state folder.
const FILE: &str = "catalog.redb";

/// Memory the store may use as cache, in bytes: most of it is read once at start and then only written.
const CACHE: usize = 8 << 20;

/// Why the catalog could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("the catalog {path:?} can't be {operation}: {source}")]
    Database {
        /// The catalog's file.
        path: PathBuf,
        /// What was tried, as a participle.
        operation: &'static str,
        /// The cause.
        source: Box<redb::Error>,
    },
    /// The state folder can't be used.
    #[error("the state folder {path:?} can't be used: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The owner's thread could not be started.
    #[error("no thread for the catalog: {0}")]
    Thread(std::io::Error),
    /// The daemon is ending.
    #[error("the catalog is closed")]
    Closed,
}

/// What was on disk at start.
#[derive(Default)]
pub(super) struct Loaded {
    pub items: Vec<Item>,
    pub gone: Gone,
    pub folder_id: Option<String>,
    pub accounts: BTreeMap<String, Account>,
    /// What of items' counters is in their series.
    pub gathered: HashMap<String, Figures>,
    pub history: History,
}

pub(super) struct Store {
    path: PathBuf,
    /// `None` after an error of the disk: redb wants to be opened anew then.
    database: Option<Database>,
    reserve: Reserve,
}

impl Store {
    /// Opens the catalog, or makes an empty one. One that can't be read is kept aside under another name: its items are
    /// then rebuilt from the published files, which gives the same info hashes. All items are made private, or public.
    pub(super) fn open(state: &Path, is_private: bool) -> Result<(Self, Loaded), StoreError> {
        let (mut store, mut loaded) = Self::open_as_it_is(state)?;
        loaded.items = store.with_privacy(loaded.items, is_private);
        Ok((store, loaded))
    }

    fn open_as_it_is(state: &Path) -> Result<(Self, Loaded), StoreError> {
        let folder = |source| StoreError::Folder { path: state.to_owned(), source };
        fs::create_dir_all(state).map_err(folder)?;
        let path = state.join(FILE);
        let mut opened = caught(|| Self::try_open(&path));
        // What a power cut left behind is put in order first, which takes space.
        if opened.as_ref().is_err_and(is_full) && Reserve::beside(&path).release() {
            opened = caught(|| Self::try_open(&path));
        }
        match opened {
            Ok(opened) => return Ok(opened),
            Err(error) if !is_unreadable(&error) => return Err(error_of(&path, "opened")(error)),
            Err(error) => tracing::error!("{path:?} can't be read: {error}"),
        }
        let aside = state.join(format!("{FILE}.unreadable-{}", Timestamp::now().as_second()));
        tracing::error!("it is kept as {aside:?}, and the catalog is rebuilt from the files");
        fs::rename(&path, &aside).map_err(folder)?;
        Self::try_open(&path).map_err(error_of(&path, "made"))
    }

    fn try_open(path: &Path) -> Result<(Self, Loaded), redb::Error> {
        let reserve = Reserve::beside(path);
        let mut store = Self { path: path.to_owned(), database: Some(create(path)?), reserve };
        let database = store.database()?;
        // Not written to again without need: a box with a full disk must be able to start.
        let names: Vec<_> =
            database.begin_read()?.list_tables()?.map(|table| table.name().to_owned()).collect();
        if !NAMES.iter().all(|wanted| names.iter().any(|name| name == wanted)) {
            let transaction = database.begin_write()?;
            Tables::open(&transaction)?;
            transaction.commit()?;
        }
        let loaded = load(database)?;
        store.reserve.refill();
        Ok((store, loaded))
    }

    /// Remembers an item and the metadata of its torrents, replacing what had that name and these `old` torrents. `entry` is what
    /// there is still to say of when that was given away.
    pub(super) fn put(
        &mut self,
        name: &str,
        record: &Record,
        metadata: &[(InfoHash, &Metadata)],
        sums: Sums,
        old: &[InfoHash],
        entry: Option<&Entry>,
    ) -> Result<(), StoreError> {
        let record = json(record);
        self.write(|tables| {
            entry.map_or(Ok(()), |entry| tables.add_entry(entry))?;
            tables.forget_metadata(old)?;
            tables.records.insert(name, record.as_slice())?;
            tables.counters.insert(name, json(&Counted::all(sums)).as_slice())?;
            tables.damage.remove(name)?;
            for (info_hash, metadata) in metadata {
                tables.put_metadata(info_hash, metadata)?;
            }
            Ok(())
        })
    }

    /// Forgets an item and its torrents, but not that there was one, and when how much of it was given away: `entry` is added.
    pub(super) fn remove(
        &mut self,
        name: &str,
        torrents: &[InfoHash],
        history: &[Past],
        entry: Option<&Entry>,
    ) -> Result<(), StoreError> {
        self.write(|tables| {
            entry.map_or(Ok(()), |entry| tables.add_entry(entry))?;
            tables.forget_metadata(torrents)?;
            tables.records.remove(name)?;
            tables.counters.remove(name)?;
            tables.damage.remove(name)?;
            tables.history.insert(name, json(&history).as_slice())?;
            Ok(())
        })
    }

    /// What was published under that name before, newest first.
    pub(super) fn history(&mut self, name: &str) -> Result<Vec<Past>, StoreError> {
        self.read(|database| Ok(tables::past(&database.begin_read()?.open_table(HISTORY)?, name)?))
    }

    /// The metadata of a torrent.
    pub(super) fn metadata(&mut self, info_hash: &InfoHash) -> Result<Option<Metadata>, StoreError> {
        self.read(|database| {
            let transaction = database.begin_read()?;
            let (infos, layers) = (transaction.open_table(INFOS)?, transaction.open_table(LAYERS)?);
            Ok(tables::metadata(&infos, &layers, info_hash)?)
        })
    }

    /// Remembers which bytes of an item are damaged.
    pub(super) fn put_damage(&mut self, name: &str, ranges: &[Range<u64>]) -> Result<(), StoreError> {
        self.write(|tables| tables.damage.insert(name, json(&ranges).as_slice()).map(drop))
    }

    /// Remembers by which id the publish folder is known.
    pub(super) fn put_folder_id(&mut self, id: &str) -> Result<(), StoreError> {
        self.write(|tables| tables.settings.insert(FOLDER_ID, id).map(drop))
    }

    /// Remembers what is known of members, and nothing of others.
    pub(super) fn put_accounts(&mut self, accounts: &BTreeMap<String, Account>) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.members.retain(|name, _| accounts.contains_key(name))?;
            tables.member_series.retain(|name, _| accounts.contains_key(name))?;
            for (name, account) in accounts {
                tables.members.insert(name.as_str(), json(account).as_slice())?;
            }
            Ok(())
        })
    }

    /// Sees to it that the next full disk finds the reserve filled.
    pub(super) fn refill_reserve(&self) {
        self.reserve.refill();
    }

    /// Makes a change; on a full disk with the space that is reserved for that.
    fn write<T>(&mut self, change: impl Fn(&mut Tables) -> Result<T, StorageError>) -> Result<T, StoreError> {
        let mut result = self.try_write(&change);
        if result.as_ref().is_err_and(is_full) && self.reserve.release() {
            result = self.try_write(&change);
        }
        result.map_err(error_of(&self.path, "written"))
    }

    fn try_write<T>(
        &mut self,
        change: &impl Fn(&mut Tables) -> Result<T, StorageError>,
    ) -> Result<T, redb::Error> {
        let mut run = || {
            let transaction = self.database()?.begin_write()?;
            let changed = change(&mut Tables::open(&transaction)?)?;
            transaction.commit()?;
            Ok(changed)
        };
        let result = caught(&mut run);
        if result.is_err() {
            self.database = None;
        }
        result
    }

    fn read<T>(&mut self, read: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let result = caught(|| read(self.database()?));
        if result.is_err() {
            self.database = None;
        }
        result.map_err(error_of(&self.path, "read"))
    }

    fn database(&mut self) -> Result<&Database, redb::Error> {
        match &mut self.database {
            Some(database) => Ok(database),
            closed => Ok(closed.insert(create(&self.path)?)),
        }
    }
}

/// A damaged file can make redb panic: an error like others.
fn caught<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    // A database that panicked is opened anew.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("it makes no sense".into())))
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: our records have only string keys")
}

fn error_of(path: &Path, operation: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
    move |source| StoreError::Database { path: path.to_owned(), operation, source: Box::new(source) }
}

/// Reads everything, if only to see that it can be read, and keeps what is always at hand. An item whose record can't be used
/// is left out (it is published anew from its files).
fn load(database: &Database) -> Result<Loaded, redb::Error> {
    let transaction = database.begin_read()?;
    let infos = transaction.open_table(INFOS)?;
    let counters = transaction.open_table(COUNTERS)?;
    let damage = transaction.open_table(DAMAGE)?;
    let layers = transaction.open_table(LAYERS)?;
    let mut gone = Gone::default();
    for entry in transaction.open_table(HISTORY)?.iter()? {
        let (name, history) = entry?;
        let history: Vec<Past> = serde_json::from_slice(history.value()).unwrap_or_default();
        gone.remember(name.value(), history.iter().flat_map(Past::names_on_the_wire));
    }
    let (mut items, mut gathered) = (Vec::new(), HashMap::new());
    for entry in transaction.open_table(RECORDS)?.iter()? {
        let (name, record) = entry?;
        let name = name.value();
        let item = match Record::read(record.value()).and_then(|record| record.item(name)) {
            Ok(item) => item,
            Err(error) => {
                tracing::error!("{name:?} is published anew: {error}");
                continue;
            }
        };
        let content = item.content.as_ref().expect("invariant: a record is of a published item");
        let mut lost = None;
        for torrent in &content.torrents {
            let key = torrent.info_hash();
            let info = infos.get(key.as_bytes())?.map(|info| info.value().len());
            let piece_layers = layers.get(key.as_bytes())?.map(|layers| layers.value().len());
            if info != Some(torrent.info_size) || piece_layers != torrent.layers_size {
                lost = Some(torrent);
            }
        }
        if let Some(lost) = lost {
            tracing::error!("{name:?} is published anew: the metadata of {} is lost", lost.info_hash());
            continue;
        }
        if let Some(sums) = counters.get(name)? {
            let counted = Counted::read(sums.value());
            content.counters.set(counted.sums);
            gathered.insert(name.to_owned(), counted.gathered.unwrap_or(counted.sums.into()));
        }
        if let Some(ranges) = damage.get(name)? {
            content.damage.set(serde_json::from_slice(ranges.value()).unwrap_or_default());
        }
        items.push(item);
    }
    let folder_id = transaction.open_table(SETTINGS)?.get(FOLDER_ID)?.map(|id| id.value().to_owned());
    let mut accounts = BTreeMap::new();
    for entry in transaction.open_table(MEMBERS)?.iter()? {
        let (name, account) = entry?;
        accounts.insert(name.value().to_owned(), serde_json::from_slice(account.value()).unwrap_or_default());
    }
    let history = history::load(&transaction)?;
    Ok(Loaded { items, gone, folder_id, accounts, gathered, history })
}

fn create(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE).create(path)
}

/// Whether the file's content is at fault, so that another start would not help.
fn is_unreadable(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. } => true,
        redb::Error::Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    }
}

/// Whether there was no space left.
fn is_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}
