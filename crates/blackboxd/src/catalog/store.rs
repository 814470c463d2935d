//! The catalog on disk: one redb file, one transaction for each change, durable when it returns.

use std::fs;
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::{Content, Identity, Item};

/// Name of the catalog's file in the state folder.
const FILE: &str = "catalog.redb";

/// Memory the store may use as cache, in bytes: it is read once at start and then only written.
const CACHE: usize = 8 << 20;

/// Item name -> [`Record`] as JSON.
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
/// Item name -> info dictionary.
const INFOS: TableDefinition<&str, &[u8]> = TableDefinition::new("infos");
/// Item name -> bytes uploaded, downloads completed. A table of its own: it changes every minute, the rest hardly ever.
const COUNTERS: TableDefinition<&str, Sums> = TableDefinition::new("counters");

/// Facts about the catalog as a whole, by name.
const SETTINGS: TableDefinition<&str, &str> = TableDefinition::new("settings");
/// The setting that holds the id of the publish folder.
const FOLDER_ID: &str = "folder id";

/// What the catalog remembers of an item beside its info dictionary.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    added: Timestamp,
    /// One for each file, in the order of the info dictionary.
    identities: Vec<Identity>,
}

impl Record {
    pub(super) fn of(added: Timestamp, content: &Content) -> Self {
        Self { added, identities: content.files.iter().map(|file| file.identity).collect() }
    }
}

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

/// Bytes uploaded and downloads completed of an item.
pub(super) type Sums = (u64, u64);

/// What was on disk at start.
#[derive(Default)]
pub(super) struct Loaded {
    pub items: Vec<Item>,
    pub folder_id: Option<String>,
}

pub(super) struct Store {
    path: PathBuf,
    /// `None` after an error of the disk: redb wants to be opened anew then.
    database: Option<Database>,
}

impl Store {
    /// Opens the catalog, or makes an empty one. One that can't be read is kept aside under another name: its items are
    /// then rebuilt from the published files, which gives the same info hashes.
    pub(super) fn open(state: &Path) -> Result<(Self, Loaded), StoreError> {
        let folder = |source| StoreError::Folder { path: state.to_owned(), source };
        fs::create_dir_all(state).map_err(folder)?;
        let path = state.join(FILE);
        // A damaged file can make redb panic, too.
        match catch_unwind(|| Self::try_open(&path)) {
            Ok(Err(error)) if !is_unreadable(&error) => return Err(Self::error(&path, "opened")(error)),
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) => tracing::error!("{path:?} can't be read: {error}"),
            Err(_) => tracing::error!("{path:?} can't be read"),
        }
        let aside = state.join(format!("{FILE}.unreadable-{}", Timestamp::now().as_second()));
        tracing::error!("it is kept as {aside:?}, and the catalog is rebuilt from the files");
        fs::rename(&path, &aside).map_err(folder)?;
        Self::try_open(&path).map_err(Self::error(&path, "made"))
    }

    fn try_open(path: &Path) -> Result<(Self, Loaded), redb::Error> {
        let mut store = Self { path: path.to_owned(), database: Some(create(path)?) };
        let database = store.database()?;
        // Not written to again without need: a box with a full disk must be able to start.
        if database.begin_read()?.list_tables()?.count() == TABLES {
            let loaded = load(database)?;
            return Ok((store, loaded));
        }
        let transaction = database.begin_write()?;
        Tables::open(&transaction)?;
        transaction.commit()?;
        Ok((store, Loaded::default()))
    }

    /// Remembers an item, replacing what had that name.
    pub(super) fn put(&mut self, name: &str, record: &Record, info_bytes: &[u8]) -> Result<(), StoreError> {
        let json = serde_json::to_vec(record).expect("invariant: a record has only string keys");
        self.write(|tables| {
            tables.records.insert(name, json.as_slice())?;
            let same = tables.infos.insert(name, info_bytes)?.is_some_and(|old| old.value() == info_bytes);
            if !same {
                tables.counters.remove(name)?;
            }
            Ok(())
        })
    }

    /// Forgets an item.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.records.remove(name)?;
            tables.infos.remove(name)?;
            tables.counters.remove(name)?;
            Ok(())
        })
    }

    /// Remembers the sums of many items in one transaction.
    pub(super) fn save_counters<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a str, Sums)>,
    ) -> Result<(), StoreError> {
        self.write(|tables| {
            for (name, sums) in items {
                tables.counters.insert(name, sums)?;
            }
            Ok(())
        })
    }

    /// Remembers by which id the publish folder is known.
    pub(super) fn put_folder_id(&mut self, id: &str) -> Result<(), StoreError> {
        self.write(|tables| tables.settings.insert(FOLDER_ID, id).map(drop))
    }

    fn write(
        &mut self,
        change: impl FnOnce(&mut Tables) -> Result<(), StorageError>,
    ) -> Result<(), StoreError> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            change(&mut Tables::open(&transaction)?)?;
            transaction.commit()?;
            Ok(())
        };
        let result = run();
        if result.is_err() {
            self.database = None;
        }
        result.map_err(Self::error(&self.path, "written"))
    }

    fn database(&mut self) -> Result<&Database, redb::Error> {
        match &mut self.database {
            Some(database) => Ok(database),
            closed => Ok(closed.insert(create(&self.path)?)),
        }
    }

    fn error(path: &Path, operation: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
        move |source| StoreError::Database { path: path.to_owned(), operation, source: Box::new(source) }
    }
}

/// All tables, open for writing.
struct Tables<'a> {
    records: Table<'a, &'static str, &'static [u8]>,
    infos: Table<'a, &'static str, &'static [u8]>,
    counters: Table<'a, &'static str, Sums>,
    settings: Table<'a, &'static str, &'static str>,
}

/// How many tables there are.
const TABLES: usize = 4;

impl<'a> Tables<'a> {
    fn open(transaction: &'a WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            infos: transaction.open_table(INFOS)?,
            counters: transaction.open_table(COUNTERS)?,
            settings: transaction.open_table(SETTINGS)?,
        })
    }
}

/// Reads everything. An item whose record can't be used is left out (it is published anew from its files).
fn load(database: &Database) -> Result<Loaded, redb::Error> {
    let transaction = database.begin_read()?;
    let infos = transaction.open_table(INFOS)?;
    let counters = transaction.open_table(COUNTERS)?;
    let mut items = Vec::new();
    for entry in transaction.open_table(RECORDS)?.iter()? {
        let (name, record) = entry?;
        let info = infos.get(name.value())?;
        let info = info.as_ref().map_or(&[][..], |info| info.value());
        match item(name.value(), record.value(), info) {
            Ok(item) => {
                if let (Some(content), Some(sums)) = (&item.content, counters.get(name.value())?) {
                    content.counters.uploaded.store(sums.value().0, Ordering::Relaxed);
                    content.counters.completed.store(sums.value().1, Ordering::Relaxed);
                }
                items.push(item);
            }
            Err(error) => tracing::error!("{:?} is published anew: {error}", name.value()),
        }
    }
    let folder_id = transaction.open_table(SETTINGS)?.get(FOLDER_ID)?.map(|id| id.value().to_owned());
    Ok(Loaded { items, folder_id })
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

fn item(name: &str, record: &[u8], info_bytes: &[u8]) -> Result<Item, String> {
    let record: Record =
        serde_json::from_slice(record).map_err(|error| format!("its record can't be read: {error}"))?;
    let content = Content::new(info_bytes.into(), &record.identities)?;
    Ok(Item::published(name, record.added, Arc::new(content)))
}
