//! What was published for everybody when the box becomes one for members, and the other way round: the content is hashed
//! already, so only the info dictionaries are made anew (BEP 27), and nothing is read again.

use redb::StorageError;
use torrent::InfoHash;

use super::tables::Tables;
use super::{Record, Store, StoreError, json};
use crate::catalog::record::Past;
use crate::catalog::{Content, Item, Metadata, Torrent};
use crate::torrents::remade;

impl Store {
    /// Makes all items private or public, in one transaction. One whose metadata can't be used is left out: it is published
    /// anew from its files.
    pub(super) fn with_privacy(&mut self, items: Vec<Item>, is_private: bool) -> Vec<Item> {
        let is_so =
            |item: &Item| item.content.as_ref().is_some_and(|content| content.is_private == is_private);
        let (mut fitting, others): (Vec<_>, Vec<_>) = items.into_iter().partition(is_so);
        if others.is_empty() {
            return fitting;
        }
        let changed: Result<Vec<Option<Item>>, StoreError> =
            self.write(|tables| others.iter().map(|item| change(tables, item, is_private)).collect());
        match changed {
            Ok(changed) => {
                let before = fitting.len() + others.len();
                fitting.extend(changed.into_iter().flatten());
                match before - fitting.len() {
                    0 => {}
                    lost => tracing::error!("{lost} items are published anew: their metadata can't be used"),
                }
            }
            Err(error) => tracing::error!("{} items are published anew: {error}", others.len()),
        }
        fitting
    }
}

/// Replaces an item's torrents; its counters and what is damaged of it stay as they are.
fn change(tables: &mut Tables<'_>, item: &Item, is_private: bool) -> Result<Option<Item>, StorageError> {
    let Some(old) = &item.content else { return Ok(None) };
    let mut made: Vec<(Torrent, Metadata)> = Vec::new();
    for torrent in &old.torrents {
        let metadata = tables.metadata(&torrent.info_hash())?;
        let Some(new) = metadata.and_then(|metadata| remade(&old.listing, metadata, is_private)) else {
            return Ok(None);
        };
        made.push(new);
    }
    let (torrents, metadata): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let history = tables.past(&item.name)?;
    let content = Content::remade(old, torrents, is_private);
    content.set_similar(Past::similar(&history, &content));
    let names: Vec<InfoHash> = old.torrents.iter().map(Torrent::info_hash).collect();
    tables.forget_metadata(&names)?;
    for (torrent, metadata) in content.torrents.iter().zip(&metadata) {
        tables.put_metadata(&torrent.info_hash(), metadata)?;
    }
    tables.records.insert(item.name.as_str(), json(&Record::of(item.added, &content)).as_slice())?;
    Ok(Some(Item::published(&item.name, item.added, content.into())))
}
