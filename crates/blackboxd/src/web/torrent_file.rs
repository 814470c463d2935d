//! `/torrents/{info_hash}.torrent`: metainfo with the trackers and the web seed as the asker reaches them.

use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use torrent::{InfoHash, Metainfo};

use super::links::Links;
use super::reply;
use crate::app::App;
use crate::catalog::{Content, Item};
use crate::net::http::{Request, Response};

/// Answers for the part of the path after `/torrents/`.
pub(super) fn respond(app: &App, request: &Request, name: &str, links: &Links) -> Response {
    let info_hash = name.strip_suffix(".torrent").and_then(|hash| hash.parse::<InfoHash>().ok());
    let catalog = app.catalog.snapshot();
    let Some((item, content)) = info_hash
        .and_then(|info_hash| catalog.seeding(&info_hash))
        .and_then(|item| Some((item, item.content.as_ref()?)))
    else {
        return reply::not_found();
    };
    let mut response = reply::cacheable(request, "application/x-bittorrent", metainfo(item, content, links));
    if response.status() == StatusCode::OK {
        let disposition = reply::attachment(&format!("{}.torrent", item.name));
        response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-bittorrent"));
    }
    response
}

/// The content of the file. Equal as long as the item and the host are.
pub(super) fn metainfo(item: &Item, content: &Content, links: &Links) -> Vec<u8> {
    around(item, links, content.info_bytes.to_vec()).to_bytes()
}

/// Length of [`metainfo`] without making it: an info dictionary can have many megabytes.
pub(super) fn length(item: &Item, content: &Content, links: &Links) -> usize {
    const EMPTY: &[u8] = b"de";
    around(item, links, EMPTY.to_vec()).to_bytes().len() - EMPTY.len() + content.info_bytes.len()
}

fn around(item: &Item, links: &Links, info_bytes: Vec<u8>) -> Metainfo {
    Metainfo {
        announce: links.announce().iter().map(|url| vec![url.clone()]).collect(),
        web_seeds: vec![links.web_seed()],
        created_by: Some("P2P Black Box".into()),
        creation_date: u64::try_from(item.added.as_second()).ok(),
        ..Metainfo::new(info_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::super::view::tests::published;
    use super::*;

    #[test]
    fn it_is_the_published_torrent_with_our_own_urls() {
        let listed = published("a", &[("b c/d", 3), ("e", 0)]);
        let content = listed.seeding().unwrap();
        let bytes = metainfo(&listed.item, content, &links(None, "[2001:db8::1]:8080"));
        let (metainfo, info) = Metainfo::parse(&bytes).unwrap();
        assert_eq!(metainfo.info_hash(), content.info_hash);
        assert_eq!(info, content.info);
        assert_eq!(metainfo.announce, [["http://[2001:db8::1]:6969/announce"], ["udp://[2001:db8::1]:6969"]]);
        assert_eq!(metainfo.web_seeds, ["http://[2001:db8::1]:8080/files/"]);
        assert_eq!(length(&listed.item, content, &links(None, "[2001:db8::1]:8080")), bytes.len());
    }
}
