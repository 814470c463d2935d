//! The catalog on disk: one redb file, one transaction for each change, durable when it returns.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{Content, Counters, Identity, Item};

/// Name of the catalog's file in the state folder.
const FILE: &str = "catalog.redb";

/// Memory the store may use as cache, in bytes: it is read once at start and then only written.
const CACHE: usize = 8 << 20;

/// Item name -> [`Record`] as JSON.
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
/// Item name -> info dictionary.
const INFOS: TableDefinition<&str, &[u8]> = TableDefinition::new("infos");
/// Item name -> bytes uploaded, downloads completed. A table of its own: it changes every minute, the rest hardly ever.
const COUNTERS: TableDefinition<&str, (u64, u64)> = TableDefinition::new("counters");

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

pub(super) struct Store {
    path: PathBuf,
    database: Database,
}

impl Store {
    /// Opens the catalog, or makes an empty one. One that can't be read is kept aside under another name: its items are
    /// then rebuilt from the published files, which gives the same info hashes.
    pub(super) fn open(state: &Path) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder { path: state.to_owned(), source };
        fs::create_dir_all(state).map_err(folder)?;
        let path = state.join(FILE);
        let database = match create(&path) {
            Err(error) if is_unreadable(&error) => {
                let aside = state.join(format!("{FILE}.unreadable-{}", Timestamp::now().as_second()));
                tracing::error!(
                    "{path:?} can't be read ({error}); it is kept as {aside:?} and rebuilt from the files"
                );
                fs::rename(&path, &aside).map_err(folder)?;
                create(&path)
            }
            result => result,
        };
        let database = database.map_err(|error| Self::error(&path, "opened")(error.into()))?;
        let store = Self { path, database };
        // Not written to again without need: a box with a full disk must be able to start.
        if !store.has_tables()? {
            store.write("made", |_, _, _| Ok(()))?;
        }
        Ok(store)
    }

    fn has_tables(&self) -> Result<bool, StoreError> {
        let count =
            || -> Result<usize, redb::Error> { Ok(self.database.begin_read()?.list_tables()?.count()) };
        count().map(|count| count > 0).map_err(Self::error(&self.path, "read"))
    }

    /// All published items. One whose record can't be used is left out (it is published anew from its files).
    pub(super) fn load(&self) -> Result<Vec<Item>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let records = transaction.open_table(RECORDS)?;
            let infos = transaction.open_table(INFOS)?;
            let counters = transaction.open_table(COUNTERS)?;
            let mut items = Vec::new();
            for entry in records.iter()? {
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
            Ok(items)
        };
        read().map_err(Self::error(&self.path, "read"))
    }

    /// Remembers an item, replacing what had that name.
    pub(super) fn put(&self, name: &str, record: &Record, info_bytes: &[u8]) -> Result<(), StoreError> {
        let json = serde_json::to_vec(record).expect("invariant: a record has only string keys");
        self.write("written", |records, infos, counters| {
            records.insert(name, json.as_slice())?;
            let same = infos.insert(name, info_bytes)?.is_some_and(|old| old.value() == info_bytes);
            if !same {
                counters.remove(name)?;
            }
            Ok(())
        })
    }

    /// Forgets an item.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.write("written", |records, infos, counters| {
            records.remove(name)?;
            infos.remove(name)?;
            counters.remove(name)?;
            Ok(())
        })
    }

    /// Remembers the sums of many items in one transaction.
    pub(super) fn save_counters<'a>(
        &self,
        items: impl Iterator<Item = (&'a str, &'a Counters)>,
    ) -> Result<(), StoreError> {
        self.write("written", |_, _, table| {
            for (name, counters) in items {
                let sums =
                    (counters.uploaded.load(Ordering::Relaxed), counters.completed.load(Ordering::Relaxed));
                if sums != (0, 0) {
                    table.insert(name, sums)?;
                }
            }
            Ok(())
        })
    }

    fn write(
        &self,
        operation: &'static str,
        change: impl FnOnce(
            &mut redb::Table<&'static str, &'static [u8]>,
            &mut redb::Table<&'static str, &'static [u8]>,
            &mut redb::Table<&'static str, (u64, u64)>,
        ) -> Result<(), StorageError>,
    ) -> Result<(), StoreError> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut records = transaction.open_table(RECORDS)?;
                let mut infos = transaction.open_table(INFOS)?;
                let mut counters = transaction.open_table(COUNTERS)?;
                change(&mut records, &mut infos, &mut counters)?;
            }
            transaction.commit()?;
            Ok(())
        };
        run().map_err(Self::error(&self.path, operation))
    }

    fn error(path: &Path, operation: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
        move |source| StoreError::Database { path: path.to_owned(), operation, source: Box::new(source) }
    }
}

fn create(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE).create(path)
}

/// Whether the file's content is at fault, so that another start would not help.
fn is_unreadable(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_))
        | DatabaseError::UpgradeRequired(_)
        | DatabaseError::RepairAborted => true,
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

fn item(name: &str, record: &[u8], info_bytes: &[u8]) -> Result<Item, String> {
    let record: Record =
        serde_json::from_slice(record).map_err(|error| format!("its record can't be read: {error}"))?;
    let content = Content::new(info_bytes.into(), &record.identities)?;
    Ok(Item::published(name, record.added, Arc::new(content)))
}
