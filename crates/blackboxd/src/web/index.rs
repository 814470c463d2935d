//! `/`: what is here, for people who want to download it.

use askama::Template;
use hyper::StatusCode;

use super::links::{Links, item_path, torrent_path};
use super::reply;
use super::view::{self, Listed};
use crate::app::App;
use crate::catalog::State;
use crate::net::http::{Request, Response};
use crate::words;

/// Items on one page.
const PER_PAGE: usize = 100;

#[derive(Debug, Template)]
#[template(path = "index.html")]
struct IndexPage {
    /// What all paths begin with.
    base: String,
    problems: Vec<String>,
    entries: Vec<Entry>,
    /// Whether something will change by itself soon: the page then asks for itself again now and then.
    refresh: bool,
    count: String,
    newer: Option<usize>,
    older: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    extent: String,
    added: String,
    standing: String,
    /// Whether it is not published and will not be by itself.
    stuck: bool,
    percent: Option<u8>,
    get: Option<Get>,
}

/// The ways to get an item.
#[derive(Debug)]
struct Get {
    torrent: String,
    /// The torrent of version 2.
    torrent_v2: Option<String>,
    magnet: String,
    /// The file itself or the listing of the folder.
    direct: String,
    direct_label: &'static str,
}

/// Answers for `/`.
pub(super) fn respond(app: &App, request: &Request, links: &Links) -> Response {
    let number = request.head.uri.query().and_then(page_number).unwrap_or(1);
    let page = IndexPage::new(&view::listed(app), app.health.problems(), links, number);
    reply::page(StatusCode::OK, &page)
}

/// From `page=2`.
fn page_number(query: &str) -> Option<usize> {
    query.split('&').find_map(|pair| pair.strip_prefix("page="))?.parse().ok()
}

impl IndexPage {
    /// Page `number`, from 1; numbers out of range mean the nearest page.
    fn new(listed: &[Listed], problems: Vec<String>, links: &Links, number: usize) -> Self {
        let pages = listed.len().div_ceil(PER_PAGE).max(1);
        let number = number.clamp(1, pages);
        let shown = listed.iter().skip((number - 1) * PER_PAGE).take(PER_PAGE);
        Self {
            base: links.path(""),
            problems,
            entries: shown.map(|listed| Entry::new(listed, links)).collect(),
            refresh: listed.iter().any(Listed::is_in_progress),
            count: words::count(listed.len() as u64, "item", "items"),
            newer: (number > 1).then_some(number - 1),
            older: (number < pages).then_some(number + 1),
        }
    }
}

impl Entry {
    fn new(listed: &Listed, links: &Links) -> Self {
        let item = &listed.item;
        let is_working = matches!(item.state, State::Copying | State::Hashing);
        let get = listed.seeding().map(|content| {
            let direct = links.path(&item_path(content));
            Get {
                torrent: links.path(&torrent_path(content.torrent())),
                torrent_v2: content.torrents.get(1).map(|torrent| links.path(&torrent_path(torrent))),
                magnet: links.magnet(content),
                direct_label: if direct.ends_with('/') { "Browse files" } else { "Direct download" },
                direct,
            }
        });
        let mut extent = words::bytes(item.size_bytes);
        if item.file_count > 1 {
            extent = format!("{extent} in {} files", item.file_count);
        }
        Self {
            name: item.name.clone(),
            extent: if item.size_bytes == 0 && item.file_count == 0 { String::new() } else { extent },
            added: item.added.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            standing: listed.standing(),
            stuck: matches!(item.state, State::Offline | State::Failed),
            percent: is_working.then(|| words::percent(item.fraction())),
            get,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::super::view::tests::{published, unpublished};
    use super::*;

    fn html(listed: &[Listed], problems: &[&str], number: usize) -> String {
        let problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
        IndexPage::new(listed, problems, &links(None, "box.local"), number).render().unwrap()
    }

    #[test]
    fn an_item_has_all_ways_to_get_it() {
        let file = published("a&b.iso", &[]);
        let hash = file.seeding().unwrap().info_hash().to_string();
        let html = html(&[file, published("folder", &[("x", 1), ("y", 2)])], &[], 1);
        for part in [
            "a&#38;b.iso",
            &format!("href=\"/torrents/{hash}.torrent\""),
            &format!("href=\"magnet:?xt=urn:btih:{hash}&#38;"),
            "href=\"/files/a%26b.iso\"",
            "href=\"/files/folder/\"",
            "3 bytes in 2 files",
            "This box has all of it; nobody is downloading right now.",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn the_page_refreshes_only_while_something_is_in_progress() {
        for (state, refreshes) in [
            (State::Settling, true),
            (State::Copying, true),
            (State::Hashing, true),
            (State::Offline, false),
            (State::Failed, false),
        ] {
            let html = html(&[unpublished("x", state, None)], &[], 1);
            assert_eq!(html.contains("http-equiv=\"refresh\""), refreshes, "{state:?}");
        }
        assert!(!html(&[published("x", &[])], &[], 1).contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn problems_and_errors_are_told_and_escaped() {
        let failed = unpublished("<b>", State::Failed, Some("<script> is no name."));
        let html = html(&[failed], &["No <cable>: plug one in."], 1);
        assert!(html.contains("No &#60;cable&#62;: plug one in."), "{html}");
        assert!(html.contains("Not published. &#60;script&#62; is no name."), "{html}");
        assert!(!html.contains("<script"), "{html}");
    }

    #[test]
    fn many_items_come_in_pages() {
        let listed: Vec<_> =
            (0..=PER_PAGE).map(|number| published(&format!("item-{number}."), &[])).collect();
        let first = html(&listed, &[], 1);
        assert!(first.contains("item-0.") && !first.contains("item-100.") && first.contains("?page=2"));
        for number in [2, 3, usize::MAX] {
            let last = html(&listed, &[], number);
            assert!(last.contains("item-100.") && last.contains("?page=1") && !last.contains("?page=3"));
        }
        assert_eq!(page_number("a=b&page=7"), Some(7));
        assert_eq!(page_number("page=-1"), None);
    }

    #[test]
    fn an_empty_box_says_so() {
        assert!(html(&[], &[], 1).contains("Nothing is published yet"));
    }
}
