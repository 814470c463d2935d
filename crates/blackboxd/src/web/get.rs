//! The ways to get an item, as they are offered on every page that shows it.

use askama::Template;

use super::links::{Links, item_path, torrent_path};
use crate::catalog::Content;

/// Links for one item.
#[derive(Debug, Template)]
#[template(path = "get.html")]
pub(super) struct Get {
    name: String,
    torrent: String,
    /// The torrent of version 2.
    torrent_v2: Option<String>,
    pub(super) magnet: String,
    /// The file itself or the listing of the folder.
    direct: String,
    direct_label: &'static str,
}

impl Get {
    pub(super) fn new(content: &Content, links: &Links) -> Self {
        let direct = links.path(&item_path(content));
        Self {
            name: content.name.clone(),
            torrent: links.path(&torrent_path(content.torrent())),
            torrent_v2: content.torrents.get(1).map(|torrent| links.path(&torrent_path(torrent))),
            magnet: links.magnet(content),
            direct_label: if direct.ends_with('/') { "Browse files" } else { "Direct download" },
            direct,
        }
    }
}
