//! The history on a real disk.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::testing::{published, with_catalog};
use super::{Content, Handle};
use crate::history::{Event, Figures, Kind};
use crate::members::Account;

/// Waits for all that was said to the owner.
fn settle(catalog: &Handle) {
    catalog.accounts().unwrap();
}

fn give(content: &Content, to_peers: u64, over_http: u64) {
    content.counters.uploaded.fetch_add(to_peers + over_http, Ordering::Relaxed);
    content.counters.over_http.fetch_add(over_http, Ordering::Relaxed);
    content.counters.completed.fetch_add(1, Ordering::Relaxed);
}

fn of_the_box(catalog: &Handle) -> Figures {
    let snapshot = catalog.snapshot();
    let (series, now) = catalog.history().of_the_box(snapshot.sums());
    series.last(2, 2, now).into_iter().fold([0; 3], |all, day| [0, 1, 2].map(|at| all[at] + day[at]))
}

fn of_an_item(catalog: &Handle, content: &Content) -> Figures {
    let (series, now) = catalog.series(content).unwrap();
    series.last(2, 2, now).into_iter().fold([0; 3], |all, week| [0, 1, 2].map(|at| all[at] + week[at]))
}

fn named(catalog: &Handle, name: &str) -> Arc<Content> {
    Arc::clone(catalog.snapshot().named(name).unwrap().content.as_ref().unwrap())
}

#[test]
fn a_power_cut_costs_the_minute_in_which_it_comes() {
    let (state, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_catalog(state.path(), |catalog| {
        let content = published("one", &[]);
        catalog.publish("one", content.clone()).unwrap();
        give(&content.content, 100, 10);
        catalog.history().note(Kind::Problem, "No cable.");
        catalog.save_counters();
        settle(catalog);
        give(&content.content, 5, 0);
        assert_eq!(of_the_box(catalog), [105, 10, 2], "what is shown needs no disk");
        assert_eq!(of_an_item(catalog, &content.content), [105, 10, 2]);
        // The disk as the power cut leaves it.
        fs::copy(state.path().join("catalog.redb"), after.path().join("catalog.redb")).unwrap();
    });
    with_catalog(after.path(), |catalog| {
        assert_eq!(of_the_box(catalog), [100, 10, 1]);
        let content = named(catalog, "one");
        assert_eq!(of_an_item(catalog, &content), [100, 10, 1], "its series has not been written yet");
        give(&content, 1, 0);
        assert_eq!(of_an_item(catalog, &content), [101, 10, 2]);
        let events: Vec<_> = catalog.history().events().iter().map(Event::sentence).collect();
        assert_eq!(events, ["No cable.", "Published one."]);
    });
    for _ in 0..2 {
        with_catalog(after.path(), |catalog| {
            assert_eq!(of_the_box(catalog), [101, 10, 2]);
            assert_eq!(of_an_item(catalog, &named(catalog, "one")), [101, 10, 2]);
        });
    }
}

#[test]
fn an_item_that_is_replaced_or_comes_back_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let (old, new) = (published("one", &[]), published("one", &[("a", 1)]));
    with_catalog(state.path(), |catalog| {
        catalog.publish("one", old.clone()).unwrap();
        give(&old.content, 100, 0);
        catalog.publish("one", new.clone()).unwrap();
        give(&new.content, 20, 0);
        catalog.retire("one").unwrap();
        assert_eq!(of_the_box(catalog), [120, 0, 2]);
    });
    with_catalog(state.path(), |catalog| {
        let back = published("one", &[("a", 1)]);
        catalog.publish("one", back.clone()).unwrap();
        assert_eq!(back.content.counters.sums().uploaded, 20);
        give(&back.content, 3, 0);
        assert_eq!(of_the_box(catalog), [123, 0, 3]);
        assert_eq!(of_an_item(catalog, &back.content), [123, 0, 3]);
    });
}

#[test]
fn a_disk_that_nobody_downloads_from_may_sleep() {
    let state = tempfile::tempdir().unwrap();
    with_catalog(state.path(), |catalog| {
        let content = published("one", &[]).content;
        catalog.publish("one", published("one", &[])).unwrap();
        give(&content, 1, 1);
        catalog.save_counters();
        settle(catalog);
        let file = state.path().join("catalog.redb");
        let before = fs::read(&file).unwrap();
        for _ in 0..3 {
            catalog.save_counters();
        }
        settle(catalog);
        assert!(fs::read(&file).unwrap() == before, "written without news");
    });
}

#[test]
fn members_are_remembered_as_long_as_they_are_some() {
    let state = tempfile::tempdir().unwrap();
    let accounts = |names: &[&str], sent| {
        names.iter().map(|name| ((*name).to_owned(), Account { sent, ..Account::default() })).collect()
    };
    with_catalog(state.path(), |catalog| {
        catalog.save_accounts(accounts(&["alice", "bob"], 0));
        catalog.save_accounts(accounts(&["alice", "bob"], 7));
    });
    with_catalog(state.path(), |catalog| {
        let members = catalog.history().members();
        let sent = |name: &str| members[name].series.last(2, 2, catalog.history().now());
        assert_eq!(sent("alice").iter().map(|week| week[0]).sum::<u64>(), 7);
        catalog.save_accounts(accounts(&["bob"], 8));
    });
    with_catalog(state.path(), |catalog| {
        assert_eq!(catalog.history().members().into_keys().collect::<Vec<_>>(), ["bob"]);
    });
}
