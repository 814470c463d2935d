//! What is asked for behind the `?` of an address: a search, an order, a page.

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::links::SEGMENT;

/// Longest search (characters); of a longer one the beginning counts.
const MAX_SEARCH: usize = 100;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// What names have to contain, as it was typed; empty for all.
    pub(super) search: String,
    pub(super) sort: Sort,
    /// From 1.
    pub(super) page: usize,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Newest,
    Name,
    /// Largest first.
    Size,
    /// Most completed downloads first.
    Downloads,
}

/// Links to the pages around one.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

impl Pages {
    /// Around this one of so many, which have these addresses.
    pub(super) fn around(page: usize, last: usize, address: impl Fn(usize) -> String) -> Self {
        Self {
            before: (page > 1).then(|| address(page - 1)),
            after: (page < last).then(|| address(page + 1)),
        }
    }
}

impl Sort {
    pub(super) const ALL: [Self; 4] = [Self::Newest, Self::Name, Self::Size, Self::Downloads];

    /// In an address.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Name => "name",
            Self::Size => "size",
            Self::Downloads => "downloads",
        }
    }

    /// For people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::Name => "by name",
            Self::Size => "largest first",
            Self::Downloads => "most downloaded first",
        }
    }
}

impl Query {
    /// What is not understood counts as not said: people edit addresses.
    pub(super) fn of(text: Option<&str>) -> Self {
        let mut query = Self { search: String::new(), sort: Sort::default(), page: 1 };
        for (key, value) in text.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "q" => query.search = decoded(value).trim().chars().take(MAX_SEARCH).collect(),
                "sort" => {
                    query.sort = Sort::ALL.into_iter().find(|sort| sort.name() == value).unwrap_or_default();
                }
                "page" => query.page = value.parse().unwrap_or(1),
                _ => {}
            }
        }
        query
    }

    /// Whether `name` has every word that is searched for, in any case.
    pub(super) fn is_met_by(&self, name: &str) -> bool {
        if self.search.is_empty() {
            return true;
        }
        let name = name.to_lowercase();
        self.search.to_lowercase().split_whitespace().all(|word| name.contains(word))
    }

    /// The same in another order, from the beginning.
    pub(super) fn sorted(&self, sort: Sort) -> Self {
        Self { sort, page: 1, ..self.clone() }
    }

    /// Another page of the same.
    pub(super) fn at(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// As a part of an address, with the `?`; empty where nothing has to be said.
    pub(super) fn address(&self) -> String {
        let mut pairs = Vec::new();
        if !self.search.is_empty() {
            pairs.push(format!("q={}", utf8_percent_encode(&self.search, SEGMENT)));
        }
        if self.sort != Sort::default() {
            pairs.push(format!("sort={}", self.sort.name()));
        }
        if self.page > 1 {
            pairs.push(format!("page={}", self.page));
        }
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// A value as forms write it.
fn decoded(value: &str) -> String {
    percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_asked_for_and_is_made_of_it_again() {
        for (text, search, sort, page, again) in [
            (None, "", Sort::Newest, 1, ""),
            (Some(""), "", Sort::Newest, 1, ""),
            (Some("page=7"), "", Sort::Newest, 7, "?page=7"),
            (Some("page=-1&sort=up&q"), "", Sort::Newest, 1, ""),
            (
                Some("q=+a%26b+%C3%BC&sort=size&page=2&x=y"),
                "a&b \u{fc}",
                Sort::Size,
                2,
                "?q=a%26b%20%C3%BC&sort=size&page=2",
            ),
            (Some("q=%ff%00"), "\u{fffd}\0", Sort::Newest, 1, "?q=%EF%BF%BD%00"),
        ] {
            let query = Query::of(text);
            assert_eq!(query, Query { search: search.into(), sort, page }, "{text:?}");
            assert_eq!(query.address(), again, "{text:?}");
        }
        assert_eq!(Query::of(Some(&format!("q={}", "x".repeat(10_000)))).search.len(), MAX_SEARCH);
    }

    #[test]
    fn a_name_has_all_words_in_any_case() {
        let query = Query::of(Some("q=iso+DEBIAN"));
        assert!(query.is_met_by("debian-12.ISO"));
        assert!(!query.is_met_by("debian-12.img"));
        assert!(Query::of(None).is_met_by("x"));
    }
}
