//! What is in the catalog's file.

use redb::{ReadableTable, StorageError, Table, TableDefinition, WriteTransaction};
use torrent::InfoHash;

use crate::catalog::Metadata;
use crate::catalog::record::Past;
use crate::history::series::Period;

/// Item name -> [`Record`] as JSON.
pub(super) const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
/// Info hash -> info dictionary.
pub(super) const INFOS: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("info dictionaries");
/// Info hash -> piece layers.
pub(super) const LAYERS: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("piece layers");
/// Item name -> [`Sums`] as JSON. A table of its own: it changes every minute, the rest hardly ever.
pub(super) const COUNTERS: TableDefinition<&str, &[u8]> = TableDefinition::new("sums");
/// Item name -> damaged ranges of its content as JSON.
pub(super) const DAMAGE: TableDefinition<&str, &[u8]> = TableDefinition::new("damage");
/// Item name -> what was published under that name before, a list of [`Past`] as JSON.
pub(super) const HISTORY: TableDefinition<&str, &[u8]> = TableDefinition::new("history");
/// Member's name -> [`Account`](crate::members::Account) as JSON.
pub(super) const MEMBERS: TableDefinition<&str, &[u8]> = TableDefinition::new("members");
/// Facts about the catalog as a whole, by name.
pub(super) const SETTINGS: TableDefinition<&str, &str> = TableDefinition::new("settings");
/// A level and the number of a period since 1970 -> what the box gave away then.
pub(super) const PERIODS: TableDefinition<Period, (u64, u64, u64)> = TableDefinition::new("traffic");
/// Item name -> when how much of it was given away, as JSON. Kept for a while when the item is gone: it may come back.
pub(super) const ITEM_SERIES: TableDefinition<&str, &[u8]> = TableDefinition::new("traffic of items");
/// Member's name -> when it moved how much, as JSON.
pub(super) const MEMBER_SERIES: TableDefinition<&str, &[u8]> = TableDefinition::new("traffic of members");
/// Number -> [`Event`](crate::history::Event) as JSON.
pub(super) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
/// The setting that holds the id of the publish folder.
pub(super) const FOLDER_ID: &str = "folder id";

/// All tables, open for writing.
pub(super) struct Tables<'a> {
    pub(super) records: Table<'a, &'static str, &'static [u8]>,
    pub(super) infos: Table<'a, &'static [u8; 20], &'static [u8]>,
    pub(super) layers: Table<'a, &'static [u8; 20], &'static [u8]>,
    pub(super) counters: Table<'a, &'static str, &'static [u8]>,
    pub(super) damage: Table<'a, &'static str, &'static [u8]>,
    pub(super) history: Table<'a, &'static str, &'static [u8]>,
    pub(super) members: Table<'a, &'static str, &'static [u8]>,
    pub(super) settings: Table<'a, &'static str, &'static str>,
    pub(super) periods: Table<'a, Period, (u64, u64, u64)>,
    pub(super) item_series: Table<'a, &'static str, &'static [u8]>,
    pub(super) member_series: Table<'a, &'static str, &'static [u8]>,
    pub(super) events: Table<'a, u64, &'static [u8]>,
}

/// The names of all tables. A table of another name is of another version of this program, and left alone.
pub(super) const NAMES: [&str; 12] = [
    "items",
    "info dictionaries",
    "piece layers",
    "sums",
    "damage",
    "history",
    "members",
    "settings",
    "traffic",
    "traffic of items",
    "traffic of members",
    "events",
];

impl<'a> Tables<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            infos: transaction.open_table(INFOS)?,
            layers: transaction.open_table(LAYERS)?,
            counters: transaction.open_table(COUNTERS)?,
            damage: transaction.open_table(DAMAGE)?,
            history: transaction.open_table(HISTORY)?,
            members: transaction.open_table(MEMBERS)?,
            settings: transaction.open_table(SETTINGS)?,
            periods: transaction.open_table(PERIODS)?,
            item_series: transaction.open_table(ITEM_SERIES)?,
            member_series: transaction.open_table(MEMBER_SERIES)?,
            events: transaction.open_table(EVENTS)?,
        })
    }

    pub(super) fn metadata(&self, info_hash: &InfoHash) -> Result<Option<Metadata>, StorageError> {
        metadata(&self.infos, &self.layers, info_hash)
    }

    pub(super) fn put_metadata(
        &mut self,
        info_hash: &InfoHash,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        self.infos.insert(info_hash.as_bytes(), metadata.info_bytes.as_slice())?;
        if let Some(layers) = &metadata.piece_layers {
            self.layers.insert(info_hash.as_bytes(), layers.as_slice())?;
        }
        Ok(())
    }

    pub(super) fn past(&self, name: &str) -> Result<Vec<Past>, StorageError> {
        past(&self.history, name)
    }

    pub(super) fn forget_metadata(&mut self, torrents: &[InfoHash]) -> Result<(), StorageError> {
        for info_hash in torrents {
            self.infos.remove(info_hash.as_bytes())?;
            self.layers.remove(info_hash.as_bytes())?;
        }
        Ok(())
    }
}

/// The metadata of a torrent.
pub(super) fn metadata(
    infos: &impl ReadableTable<&'static [u8; 20], &'static [u8]>,
    layers: &impl ReadableTable<&'static [u8; 20], &'static [u8]>,
    info_hash: &InfoHash,
) -> Result<Option<Metadata>, StorageError> {
    let Some(info) = infos.get(info_hash.as_bytes())? else { return Ok(None) };
    let layers = layers.get(info_hash.as_bytes())?;
    let (info_bytes, piece_layers) = (info.value().to_vec(), layers.map(|layers| layers.value().to_vec()));
    Ok(Some(Metadata { info_bytes, piece_layers }))
}

/// What was published under that name before, newest first.
pub(super) fn past(
    history: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Vec<Past>, StorageError> {
    let history = history.get(name)?;
    // What can't be read is a pity, but no reason to publish nothing.
    Ok(history.and_then(|json| serde_json::from_slice(json.value()).ok()).unwrap_or_default())
}
