//! `/items/{info_hash}`: one item, with its files, for people who want to download it.

use std::ops::Range;
use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use torrent::{Info, NodeHash};

use super::chart::{self, Chart};
use super::get::Get;
use super::links::{Links, files_path};
use super::query::{Pages, Query};
use super::view::{self, Listed};
use super::{api_history, qr, reply, torrent_file};
use crate::app::App;
use crate::catalog::{self, Content};
use crate::net::http::{Request, Response};
use crate::words;

/// Files on one page: with their checksums, and the charts' figures, it stays under 100 kB.
const PER_PAGE: usize = 200;

/// Longest info dictionary (bytes) that checksums are taken from for a page; of more than about 8,000 files it is longer.
const MAX_INFO: usize = 1 << 20;

#[derive(Debug, Template)]
#[template(path = "item.html")]
struct ItemPage {
    /// What all paths begin with.
    base: String,
    name: String,
    extent: String,
    added: String,
    standing: String,
    warnings: Vec<String>,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    get: Get,
    /// The magnet link as a code, drawn.
    code: Option<String>,
    rows: Vec<Row>,
    has_checksums: bool,
    pages: Pages,
    /// When how much of it was given away; none if nothing was.
    charts: Vec<Chart>,
}

/// A line of the list of files.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// Below the item, with a slash at its end; empty for a file that is in none.
    folder: String,
    name: String,
    link: String,
    size: String,
    checksum: Option<String>,
}

/// Answers for the part of the path after `/items/`.
pub(super) async fn respond(app: &App, request: &Request, name: &str, links: &Links) -> Response {
    let item = torrent_file::info_hash(name)
        .and_then(|info_hash| app.catalog.snapshot().seeding(&info_hash).cloned());
    let Some(item) = item else { return reply::not_found() };
    let listed = view::listed_one(app, &item);
    let Some(content) = listed.seeding() else { return reply::not_found() };
    let query = Query::of(request.head.uri.query());
    let roots = roots(app.catalog.clone(), content).await;
    let mut page = ItemPage::new(&listed, content, links, &query, roots.as_deref());
    if page.pages.before.is_none() {
        page.charts = charts(app, content).await;
    }
    reply::page(StatusCode::OK, &page)
}

/// When how much of it was given away.
async fn charts(app: &App, content: &Arc<Content>) -> Vec<Chart> {
    let Some((series, now)) = api_history::series(app, content).await else { return Vec::new() };
    if series.periods().next().is_none() {
        return Vec::new();
    }
    chart::OF_ONE.iter().map(|span| span.chart(&series, now)).collect()
}

/// The roots of the files' hash trees, which version 2 knows (BEP 52), unless these are too many to be read for a page.
async fn roots(store: catalog::Handle, content: &Content) -> Option<Vec<Option<NodeHash>>> {
    let torrent = content.torrents.iter().find(|torrent| torrent.info_hashes.v2().is_some())?;
    if torrent.info_size > MAX_INFO {
        return None;
    }
    let info_hash = torrent.info_hash();
    let _place = torrent_file::MAKING.acquire().await.ok()?;
    let read = tokio::task::spawn_blocking(move || {
        let metadata = store.metadata(&info_hash).ok()??;
        Some(Info::parse(&metadata.info_bytes).ok()?.roots()?.to_vec())
    });
    read.await.ok()?
}

impl ItemPage {
    fn new(
        listed: &Listed,
        content: &Content,
        links: &Links,
        query: &Query,
        roots: Option<&[Option<NodeHash>]>,
    ) -> Self {
        let count = content.file_count();
        let last = count.div_ceil(PER_PAGE).max(1);
        let page = query.page.clamp(1, last);
        let shown = (page - 1) * PER_PAGE..(page * PER_PAGE).min(count);
        let get = Get::new(content, links);
        Self {
            base: links.path(""),
            name: content.name.clone(),
            extent: listed.extent(),
            added: listed.added(),
            standing: listed.standing(),
            warnings: content.warnings.iter().map(|warning| words::sentence(warning)).collect(),
            info_hash_v1: content.info_hash_v1().map(|hash| hash.to_string()),
            info_hash_v2: content.info_hash_v2().map(|hash| hash.to_string()),
            code: qr::svg(&get.magnet, &format!("QR code of the magnet link of {}", content.name)),
            get,
            rows: rows(content, links, shown, roots),
            has_checksums: roots.is_some(),
            charts: Vec::new(),
            pages: Pages::around(page, last, |page| format!("?page={page}")),
        }
    }
}

/// The files with these indices.
fn rows(
    content: &Content,
    links: &Links,
    shown: Range<usize>,
    roots: Option<&[Option<NodeHash>]>,
) -> Vec<Row> {
    let row = |index| {
        let (path, identity) = content.file(index);
        let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
        // The first is the item's, also where it is the only one.
        let (name, folders) = names.split_last()?;
        Some(Row {
            folder: folders.iter().skip(1).flat_map(|name| [name.as_ref(), "/"]).collect(),
            name: name.to_string(),
            link: links.path(&files_path(names.iter().map(AsRef::as_ref))),
            size: words::bytes(identity.size),
            checksum: roots.and_then(|roots| roots.get(index).copied().flatten()).map(hex),
        })
    };
    shown.filter_map(row).collect()
}

fn hex(hash: NodeHash) -> String {
    torrent::InfoHashV2(hash).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::super::view::tests::published;
    use super::*;

    fn html(listed: &Listed, address: &str, roots: Option<&[Option<NodeHash>]>) -> String {
        let query = Query::of(address.strip_prefix('?'));
        let links = links(None, "box.local");
        ItemPage::new(listed, listed.seeding().unwrap(), &links, &query, roots).render().unwrap()
    }

    #[test]
    fn files_have_their_folders_sizes_and_checksums() {
        let listed = published("item", &[("a/b", 1), ("a/c & d", 2000), ("e", 3)]);
        let links = links(None, "box.local");
        let content = listed.seeding().unwrap();
        let rows = rows(content, &links, 0..3, Some(&[Some([0xab; 32]), None, Some([1; 32])]));
        let row = |folder: &str, name: &str, link: &str, size: &str, checksum: Option<String>| Row {
            folder: folder.into(),
            name: name.into(),
            link: link.into(),
            size: size.into(),
            checksum,
        };
        assert_eq!(
            rows,
            [
                row("a/", "b", "/files/item/a/b", "1 byte", Some("ab".repeat(32))),
                row("a/", "c & d", "/files/item/a/c%20%26%20d", "2.0 kB", None),
                row("", "e", "/files/item/e", "3 bytes", Some("01".repeat(32))),
            ]
        );
    }

    #[test]
    fn the_page_has_all_that_a_downloader_needs() {
        let listed = published("a & b.iso", &[]);
        let hash = listed.seeding().unwrap().info_hash().to_string();
        let html = html(&listed, "", Some(&[Some([0xcd; 32])]));
        for part in [
            "<h1>a &#38; b.iso</h1>",
            "5 bytes",
            &hash,
            &format!("href=\"/torrents/{hash}.torrent\""),
            "href=\"/files/a%20%26%20b.iso\"",
            &"cd".repeat(32),
            "aria-label=\"QR code of the magnet link of a &#38; b.iso\"",
            "This box has all of it",
            "qBittorrent",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn many_files_come_in_pages() {
        let names: Vec<String> = (0..=PER_PAGE).map(|number| format!("{number:04}")).collect();
        let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let listed = published("item", &files);
        let first = html(&listed, "", None);
        assert!(first.contains(">0199<") && !first.contains(">0200<") && first.contains("href=\"?page=2\""));
        let last = html(&listed, "?page=9", None);
        assert!(last.contains(">0200<") && !last.contains(">0199<") && last.contains("href=\"?page=1\""));
    }
}
