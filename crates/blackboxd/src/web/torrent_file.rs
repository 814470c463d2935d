//! `/torrents/{info_hash}.torrent`: metainfo with the trackers and the web seed as the asker reaches them.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::CONTENT_DISPOSITION;
use tokio::sync::Semaphore;
use torrent::{InfoHash, InfoHashV2, Metainfo, PieceLayers, piece_layers};

use super::links::Links;
use super::reply;
use crate::app::App;
use crate::catalog::{Content, Item, Metadata, StoreError, Torrent};
use crate::net::http::Response;

/// What is being made of metadata, which can have many megabytes: no more at once than there are threads to make it.
pub(super) static MAKING: Semaphore = Semaphore::const_new(2);

/// An info dictionary with nothing in it, to measure what is around one.
const EMPTY: &[u8] = b"de";

/// Answers for the part of the path after `/torrents/`.
pub(super) async fn respond(app: &App, name: &str, links: &Links) -> Response {
    let catalog = app.catalog.snapshot();
    let found = name.strip_suffix(".torrent").and_then(info_hash).and_then(|info_hash| {
        let item = catalog.seeding(&info_hash)?;
        let content = item.content.as_ref()?;
        Some((item, content, content.torrent_named(&info_hash)?))
    });
    let Some((item, content, torrent)) = found else { return reply::not_found() };
    let (store, info_hash) = (app.catalog.clone(), torrent.info_hash());
    let (item, around) = (Arc::clone(item), around(item, content, links, Vec::new()));
    let Ok(place) = MAKING.acquire().await else { return reply::not_found() };
    let made =
        tokio::task::spawn_blocking(move || Ok(store.metadata(&info_hash)?.map(|it| metainfo(around, &it))))
            .await;
    drop(place);
    let metainfo = match made.unwrap_or_else(|_| Err(StoreError::Closed)) {
        Ok(Some(metainfo)) => metainfo,
        Ok(None) => return reply::not_found(),
        Err(error) => return unreadable(&error.to_string()),
    };
    let disposition = reply::attachment(&file_name(&item.name, content, torrent));
    reply::with(reply::cacheable("application/x-bittorrent", metainfo), CONTENT_DISPOSITION, disposition)
}

/// By any of a torrent's names, that of version 2 in its full length or cut.
pub(super) fn info_hash(text: &str) -> Option<InfoHash> {
    let v2 = || Some(text.parse::<InfoHashV2>().ok()?.truncated());
    text.parse().ok().or_else(v2)
}

/// What the file is called by default; two torrents of an item don't have the same name.
fn file_name(name: &str, content: &Content, torrent: &Torrent) -> String {
    let version = if torrent == content.torrent() { "" } else { ".v2" };
    format!("{name}{version}.torrent")
}

fn unreadable(error: &str) -> Response {
    tracing::error!("a torrent can't be given: {error}");
    reply::error(StatusCode::SERVICE_UNAVAILABLE, "The torrent can't be read right now; try again later.")
}

/// The content of the file. Equal as long as the item and the host are.
fn metainfo(around: Metainfo, metadata: &Metadata) -> Vec<u8> {
    let mut metainfo = Metainfo { info_bytes: metadata.info_bytes.clone(), ..around };
    metainfo.piece_layers = metadata.piece_layers.as_deref().and_then(piece_layers::from_bytes);
    metainfo.to_bytes()
}

/// Length of the file of the torrent that everybody is given, without making it: it can have many megabytes.
pub(super) fn length(item: &Item, content: &Content, links: &Links) -> usize {
    let torrent = content.torrent();
    let mut around = around(item, content, links, EMPTY.to_vec());
    around.piece_layers = torrent.layers_size.map(|_| PieceLayers::new());
    around.to_bytes().len() - EMPTY.len()
        + torrent.info_size
        + torrent.layers_size.map_or(0, |layers| layers - EMPTY.len())
}

fn around(item: &Item, content: &Content, links: &Links, info_bytes: Vec<u8>) -> Metainfo {
    Metainfo {
        announce: links.announce().iter().map(|url| vec![url.clone()]).collect(),
        web_seeds: vec![links.web_seed()],
        // By these a client finds what it has of earlier states of the item, and need not download again (BEP 38).
        collections: content.listing.folder().map(|_| content.name.clone()).into_iter().collect(),
        similar: content.similar().to_vec(),
        created_by: Some("P2P Black Box".into()),
        creation_date: u64::try_from(item.added.as_second()).ok(),
        ..Metainfo::new(info_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::*;
    use crate::catalog::testing::published;

    #[test]
    fn it_is_the_published_torrent_with_our_own_urls() {
        let links = links(None, "[2001:db8::1]:8080");
        for (files, collections) in [(&[][..], 0), (&[("b c/d", 3_000_000), ("e", 0)], 1)] {
            let publication = published("a", files);
            let content = &publication.content;
            let item = Item::published("a", "2024-05-06T07:08:09Z".parse().unwrap(), Arc::clone(content));
            for (number, metadata) in publication.metadata.iter().enumerate() {
                let bytes = metainfo(around(&item, content, &links, Vec::new()), metadata);
                // The hashes of test content are none, so that piece layers do not fit.
                let has_layers = metadata.piece_layers.as_ref().is_some_and(|layers| layers != EMPTY);
                if !has_layers {
                    let (read, _) = Metainfo::parse(&bytes).unwrap();
                    assert_eq!(read.info_bytes, metadata.info_bytes);
                    let trackers = [["http://[2001:db8::1]:6969/announce"], ["udp://[2001:db8::1]:6969"]];
                    assert_eq!(read.announce, trackers);
                    assert_eq!(read.web_seeds, ["http://[2001:db8::1]:8080/files/"]);
                    assert_eq!(read.collections.len(), collections);
                }
                assert!(number > 0 || length(&item, content, &links) == bytes.len());
            }
        }
    }

    #[test]
    fn it_is_found_by_every_name_and_each_has_a_file_name_of_its_own() {
        let content = published("a", &[("x", 1)]).content;
        let (v1, v2) = (content.info_hash_v1().unwrap(), content.info_hash_v2().unwrap());
        assert_eq!(info_hash(&v1.to_string()), Some(v1));
        assert_eq!(info_hash(&v2.to_string()), Some(v2.truncated()));
        assert_eq!(info_hash("v1"), None);
        let names = content.torrents.iter().map(|torrent| file_name("a", &content, torrent));
        assert_eq!(names.collect::<Vec<_>>(), ["a.torrent", "a.v2.torrent"]);
    }
}
