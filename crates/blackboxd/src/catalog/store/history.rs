//! What the history keeps: read at the start, and written along with the counters.

use std::collections::HashMap;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, StorageError};
use serde::{Deserialize, Serialize};

use super::tables::{EVENTS, ITEM_SERIES, MEMBER_SERIES, PERIODS, Tables};
use super::{Store, StoreError, json};
use crate::catalog::Sums;
use crate::history::series::{Kept, OF_ONE};
use crate::history::{Change, Entry, Figures, Loaded, Member, Series};

/// Items that are gone and whose series are kept all the same.
const MAX_GONE: u64 = 1000;

/// An item's counters as they are on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    #[serde(flatten)]
    pub(super) sums: Sums,
    /// What of them is in its series; `None` where a version wrote that had none.
    pub(super) gathered: Option<Figures>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct MemberRecord {
    gathered: Figures,
    series: Kept,
}

impl Counted {
    /// Those of an item whose series has everything.
    pub(super) fn all(sums: Sums) -> Self {
        Self { sums, gathered: Some(sums.into()) }
    }

    pub(super) fn read(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }
}

impl Store {
    /// Remembers the sums of many items, and what the history has to say, in one transaction.
    pub(in crate::catalog) fn save_counters(
        &mut self,
        items: &[(&str, Sums)],
        change: &Change,
    ) -> Result<(), StoreError> {
        let gathered: HashMap<_, _> =
            change.entries.iter().map(|entry| (entry.name.as_str(), entry.gathered)).collect();
        self.write(|tables| {
            for (name, sums) in items {
                let before = tables.counters.get(*name)?.map(|counted| Counted::read(counted.value()));
                let gathered = gathered.get(name).copied().or(before.and_then(|before| before.gathered));
                let counted = Counted { sums: *sums, gathered };
                tables.counters.insert(*name, json(&counted).as_slice())?;
            }
            for (period, figures) in &change.periods {
                match figures {
                    Some([a, b, c]) => drop(tables.periods.insert(*period, (*a, *b, *c))?),
                    None => drop(tables.periods.remove(*period)?),
                }
            }
            for (number, event) in &change.events {
                match event {
                    Some(event) => drop(tables.events.insert(*number, json(event).as_slice())?),
                    None => drop(tables.events.remove(*number)?),
                }
            }
            change.entries.iter().try_for_each(|entry| tables.add_entry(entry))?;
            tables.forget_series_of_the_gone()
        })
    }

    /// Remembers the series of members.
    pub(in crate::catalog) fn put_members(&mut self, members: &[(String, Member)]) -> Result<(), StoreError> {
        self.write(|tables| {
            for (name, Member { gathered, series }) in members {
                let record = MemberRecord { gathered: *gathered, series: Kept::of(series) };
                tables.member_series.insert(name.as_str(), json(&record).as_slice())?;
            }
            Ok(())
        })
    }

    /// What is kept of an item.
    pub(in crate::catalog) fn item_series(&mut self, name: &str) -> Result<Series, StoreError> {
        self.read(|database| {
            use redb::ReadableDatabase;
            let table = database.begin_read()?.open_table(ITEM_SERIES)?;
            let kept = table.get(name)?;
            Ok(kept.map_or_else(|| Series::new(&OF_ONE), |kept| Kept::read(kept.value())))
        })
    }
}

impl Tables<'_> {
    /// Adds to the series of an item.
    pub(super) fn add_entry(&mut self, entry: &Entry) -> Result<(), StorageError> {
        let name = entry.name.as_str();
        let kept = self.item_series.get(name)?.map(|kept| Kept::read(kept.value()));
        let mut series = kept.unwrap_or_else(|| Series::new(&OF_ONE));
        series.add(entry.at, entry.figures);
        series.expire(entry.at);
        self.item_series.insert(name, json(&Kept::of(&series)).as_slice())?;
        Ok(())
    }

    /// Forgets the older half of those that belong to no item, when they have become many.
    fn forget_series_of_the_gone(&mut self) -> Result<(), StorageError> {
        if self.item_series.len()? <= self.records.len()? + MAX_GONE {
            return Ok(());
        }
        let mut gone = Vec::new();
        for entry in self.item_series.iter()? {
            let (name, kept) = entry?;
            if self.records.get(name.value())?.is_none() {
                gone.push((Kept::read(kept.value()).latest(), name.value().to_owned()));
            }
        }
        gone.sort();
        for (_, name) in &gone[..gone.len() / 2] {
            self.item_series.remove(name.as_str())?;
        }
        Ok(())
    }
}

/// What is always at hand.
pub(super) fn load(transaction: &ReadTransaction) -> Result<Loaded, redb::Error> {
    let mut loaded = Loaded::default();
    for entry in transaction.open_table(PERIODS)?.iter()? {
        let (period, figures) = entry?;
        let (a, b, c) = figures.value();
        loaded.periods.push((period.value(), [a, b, c]));
    }
    for entry in transaction.open_table(EVENTS)?.iter()? {
        let (number, event) = entry?;
        loaded.events.extend(serde_json::from_slice(event.value()).ok().map(|event| (number.value(), event)));
    }
    for entry in transaction.open_table(MEMBER_SERIES)?.iter()? {
        let (name, record) = entry?;
        let record: MemberRecord = serde_json::from_slice(record.value()).unwrap_or_default();
        let member = Member { gathered: record.gathered, series: record.series.series() };
        loaded.members.insert(name.value().to_owned(), member);
    }
    Ok(loaded)
}
