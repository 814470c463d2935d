//! Answers as they were a moment ago: what many ask for is made once in a second and not for each of them.
//!
//! Nothing outlives the catalog that it was made of, so that an item is there and is gone for everybody at once. Who must have what
//! holds now, counters included, says `Cache-Control: no-cache` (RFC 9111, section 5.2.1.4), as a browser does when it
//! is told to load a page again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::header::CACHE_CONTROL;

use super::finish::{self, Finished};
use super::links::Links;
use crate::catalog::Catalog;
use crate::net::http::Request;

/// How old an answer may be.
const LIFE: Duration = Duration::from_secs(1);

/// Answers, and bytes of all their contents, that are kept at most; there is little need for more in that time.
const MAX_ANSWERS: usize = 256;
const MAX_BYTES: usize = 8 << 20;

/// What an answer depends on, apart from what the box is doing. Links have secrets in them, so that none of this is ever printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    path: String,
    query: Option<String>,
    links: Links,
    is_compressed: bool,
}

impl Key {
    /// Of a request for this path; `None` if its answer is to be made for it alone.
    pub(super) fn of(request: &Request, path: &str, links: &Links) -> Option<Self> {
        let is_shared = matches!(path, "/" | "/feed.xml" | "/api/v1/items") || path.starts_with("/items/");
        let is_fresh = request.head.headers.get_all(CACHE_CONTROL).iter().any(|it| it == "no-cache");
        (is_shared && !is_fresh && request.head.method == Method::GET).then(|| Self {
            path: path.to_owned(),
            query: request.head.uri.query().map(str::to_owned),
            links: links.clone(),
            is_compressed: finish::takes_compressed(request),
        })
    }
}

/// The answers.
#[derive(Default)]
pub(super) struct Shelf(Mutex<HashMap<Key, Entry>>);

struct Entry {
    made: Instant,
    catalog: Weak<Catalog>,
    answer: Finished,
}

impl Entry {
    fn holds(&self, now: Instant, catalog: &Arc<Catalog>) -> bool {
        now.saturating_duration_since(self.made) < LIFE && self.catalog.as_ptr() == Arc::as_ptr(catalog)
    }
}

impl Shelf {
    /// The answer, if there is one that was made of this catalog a moment ago.
    pub(super) fn find(&self, key: &Key, now: Instant, catalog: &Arc<Catalog>) -> Option<Finished> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|entry| entry.holds(now, catalog)).map(|entry| entry.answer.clone())
    }

    /// Keeps an answer that was made of this catalog, if there is room.
    pub(super) fn put(&self, key: Key, now: Instant, catalog: &Arc<Catalog>, answer: &Finished) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.holds(now, catalog));
        let bytes: usize = entries.values().map(|entry| entry.answer.len()).sum();
        if entries.len() < MAX_ANSWERS && bytes + answer.len() <= MAX_BYTES {
            let catalog = Arc::downgrade(catalog);
            entries.insert(key, Entry { made: now, catalog, answer: answer.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::*;
    use crate::net::http::{Response, response};

    fn request(target: &str, fields: &[(&str, &str)]) -> Request {
        let mut builder = hyper::Request::get(target);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let (head, ()) = builder.body(()).unwrap().into_parts();
        let nowhere = "127.0.0.1:1".parse().unwrap();
        Request { head, peer: nowhere, local: nowhere }
    }

    fn key(target: &str, host: &str) -> Option<Key> {
        let request = request(target, &[]);
        Key::of(&request, request.head.uri.path(), &links(None, host))
    }

    async fn answer(bytes: usize) -> Finished {
        let page: Response = response(hyper::StatusCode::OK, "text/html", vec![b'x'; bytes]);
        finish::finish(&request("/", &[]), page).await.unwrap()
    }

    #[test]
    fn only_the_same_for_all_is_shared() {
        for target in ["/", "/?q=a", "/items/ab", "/api/v1/items", "/feed.xml"] {
            assert!(key(target, "a").is_some(), "{target}");
            assert!(key(target, "a") != key(target, "b"), "links differ");
        }
        assert!(key("/", "a") != key("/?q=a", "a"));
        for target in ["/admin", "/files/a", "/api/v1/status", "/healthz", "/metrics"] {
            assert!(key(target, "a").is_none(), "{target}");
        }
        let again = request("/", &[("Cache-Control", "no-cache")]);
        assert!(Key::of(&again, "/", &links(None, "a")).is_none());
        let packed = request("/", &[("Accept-Encoding", "gzip")]);
        assert!(Key::of(&packed, "/", &links(None, "a")) != key("/", "a"));
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_a_moment_and_no_longer_than_its_catalog() {
        let (shelf, now, catalog) = (Shelf::default(), Instant::now(), Arc::new(Catalog::default()));
        let (key, answer) = (key("/", "a").unwrap(), answer(1).await);
        shelf.put(key.clone(), now, &catalog, &answer);
        assert!(shelf.find(&key, now, &catalog).is_some());
        assert!(shelf.find(&key, now + LIFE, &catalog).is_none());
        assert!(shelf.find(&key, now, &Arc::new(Catalog::default())).is_none());
    }

    #[tokio::test]
    async fn no_more_is_kept_than_may_be() {
        let (shelf, now, catalog) = (Shelf::default(), Instant::now(), Arc::new(Catalog::default()));
        let kept = || shelf.0.lock().unwrap().len();
        let small = answer(1).await;
        for number in 0..2 * MAX_ANSWERS {
            shelf.put(key(&format!("/?q={number}"), "a").unwrap(), now, &catalog, &small);
        }
        assert_eq!(kept(), MAX_ANSWERS);
        // What is old makes room.
        let large = answer(MAX_BYTES).await;
        for name in ["/", "/feed.xml"] {
            shelf.put(key(name, "a").unwrap(), now + LIFE, &catalog, &large);
        }
        assert_eq!(kept(), 1);
    }
}
