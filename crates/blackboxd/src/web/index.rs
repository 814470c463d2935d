//! `/`: what is here, for people who want to download it.

use std::cmp::Reverse;

use askama::Template;
use hyper::StatusCode;

use super::get::Get;
use super::links::{Links, page_path};
use super::query::{Pages, Query, Sort};
use super::reply;
use super::view::{self, Listed};
use crate::app::App;
use crate::catalog::State;
use crate::net::http::{Request, Response};
use crate::words;

/// Items on one page: with two magnet links each it stays under 100 kB.
const PER_PAGE: usize = 50;

#[derive(Debug, Template)]
#[template(path = "index.html")]
struct IndexPage {
    /// What all paths begin with.
    base: String,
    problems: Vec<String>,
    /// Whether there is nothing at all, whatever is searched for.
    is_empty: bool,
    query: Query,
    orders: Vec<Order>,
    entries: Vec<Entry>,
    summary: String,
    pages: Pages,
}

/// A link to the same in another order.
#[derive(Debug)]
struct Order {
    words: &'static str,
    address: String,
    is_current: bool,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Its own page.
    page: Option<String>,
    extent: String,
    added: String,
    standing: String,
    /// Whether it is not published and will not be by itself.
    stuck: bool,
    percent: Option<u8>,
    get: Option<Get>,
}

/// Answers for `/`.
pub(super) fn respond(app: &App, request: &Request, links: &Links) -> Response {
    let query = Query::of(request.head.uri.query());
    let page = IndexPage::new(&view::listed(app), app.health.problems(), links, query);
    reply::page(StatusCode::OK, &page)
}

impl IndexPage {
    /// Numbers of pages out of range mean the nearest page.
    fn new(listed: &[Listed], problems: Vec<String>, links: &Links, query: Query) -> Self {
        let found = found(listed, &query);
        let last = found.len().div_ceil(PER_PAGE).max(1);
        let page = query.page.clamp(1, last);
        let shown = found.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE);
        let address = |query: Query| links.path(&format!("/{}", query.address()));
        Self {
            base: links.path(""),
            problems,
            is_empty: listed.is_empty(),
            orders: Sort::ALL
                .into_iter()
                .map(|sort| Order {
                    words: sort.words(),
                    address: address(query.sorted(sort)),
                    is_current: sort == query.sort,
                })
                .collect(),
            entries: shown.map(|listed| Entry::new(listed, links)).collect(),
            summary: summary(found.len(), &query),
            pages: Pages::around(page, last, |page| address(query.at(page))),
            query,
        }
    }
}

/// What is searched for, in the order that is asked for.
fn found<'a>(listed: &'a [Listed], query: &Query) -> Vec<&'a Listed> {
    let mut found: Vec<&Listed> = listed.iter().filter(|listed| query.is_met_by(&listed.item.name)).collect();
    // Stable: among equals the newest comes first.
    match query.sort {
        Sort::Newest => {}
        Sort::Name => found.sort_by_cached_key(|listed| listed.item.name.to_lowercase()),
        Sort::Size => found.sort_by_key(|listed| Reverse(listed.item.size_bytes)),
        Sort::Downloads => found.sort_by_key(|listed| Reverse(listed.completed())),
    }
    found
}

fn summary(found: usize, query: &Query) -> String {
    let count = words::count(found as u64, "item", "items");
    if query.search.is_empty() { format!("{count}.") } else { format!("{count} found.") }
}

impl Entry {
    fn new(listed: &Listed, links: &Links) -> Self {
        let item = &listed.item;
        let seeding = listed.seeding();
        Self {
            name: item.name.clone(),
            page: seeding.map(|content| links.path(&page_path(content))),
            extent: listed.extent(),
            added: listed.added(),
            standing: listed.standing(),
            stuck: matches!(item.state, State::Offline | State::Failed),
            percent: listed.is_being_read().then(|| words::percent(item.fraction())),
            get: seeding.map(|content| Get::new(content, links)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::super::view::tests::{published, unpublished};
    use super::*;

    fn html(listed: &[Listed], problems: &[&str], address: &str) -> String {
        let problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
        let query = Query::of(Some(address));
        IndexPage::new(listed, problems, &links(None, "box.local"), query).render().unwrap()
    }

    #[test]
    fn an_item_has_all_ways_to_get_it() {
        let file = published("a&b.iso", &[]);
        let hash = file.seeding().unwrap().info_hash().to_string();
        let html = html(&[file, published("folder", &[("x", 1), ("y", 2)])], &[], "");
        for part in [
            "a&#38;b.iso",
            &format!("href=\"/items/{hash}\""),
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
    fn problems_and_errors_are_told_and_escaped() {
        let failed = unpublished("<b>", State::Failed, Some("<script> is no name."));
        let html = html(&[failed], &["No <cable>: plug one in."], "");
        assert!(html.contains("No &#60;cable&#62;: plug one in."), "{html}");
        assert!(html.contains("Not published. &#60;script&#62; is no name."), "{html}");
        assert!(!html.contains("<script>"), "{html}");
    }

    #[test]
    fn many_items_come_in_pages() {
        let listed: Vec<_> =
            (0..=PER_PAGE).map(|number| published(&format!("item-{number}."), &[])).collect();
        let first = html(&listed, &[], "");
        assert!(first.contains("item-0.") && !first.contains("item-50.") && first.contains("/?page=2\""));
        for address in ["page=2", "page=3", "page=18446744073709551615"] {
            let last = html(&listed, &[], address);
            assert!(last.contains("item-50.") && last.contains("href=\"/\"") && !last.contains("page=3"));
        }
        let found = html(&listed, &[], "q=ITEM&sort=name&page=2");
        assert!(found.contains("href=\"/?q=ITEM&#38;sort=name\"") && found.contains("51 items found."));
    }

    #[test]
    fn items_come_in_the_order_that_is_asked_for() {
        let listed = [published("b", &[("x", 1)]), published("C", &[("x", 2)]), published("a", &[("x", 3)])];
        listed[1].seeding().unwrap().counters.completed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let names = |address: &str| {
            let query = Query::of(Some(address));
            found(&listed, &query).into_iter().map(|listed| listed.item.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["b", "C", "a"]);
        assert_eq!(names("sort=name"), ["a", "b", "C"]);
        assert_eq!(names("sort=size"), ["a", "C", "b"]);
        assert_eq!(names("sort=downloads"), ["C", "b", "a"]);
        assert_eq!(names("q=c"), ["C"]);
    }

    #[test]
    fn an_empty_box_says_so_and_so_does_a_search_in_vain() {
        assert!(html(&[], &[], "").contains("Nothing is published yet"));
        let html = html(&[published("a", &[])], &[], "q=%22%3E%3Cscript%3E");
        assert!(html.contains("0 items found.") && !html.contains("Nothing is published yet"));
        assert!(html.contains("value=\"&#34;&#62;&#60;script&#62;\""), "{html}");
    }
}
