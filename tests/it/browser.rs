//! The pages as people see them: in Chromium, with and without scripts, by keyboard, and by what axe knows of those who can't see.

use std::fs;
use std::time::Duration;

use system_tests::browser;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::peer::{BLOCK, Peer};

/// Time for Chromium to start on a busy machine.
const START: Duration = Duration::from_mins(1);

/// Three items, the second of which is the largest.
fn three_items(site: &Site) -> Daemon {
    let mut chance = Chance::fresh();
    for (name, bytes) in [("a.iso", 3000), ("b.iso", 70_000), ("c.img", 5000)] {
        write_file(&mut chance, &site.publish().join(name), bytes);
    }
    let daemon = site.start();
    for name in ["a.iso", "b.iso", "c.img"] {
        daemon.api.seeding(name);
    }
    daemon
}

fn page_of(daemon: &Daemon) -> String {
    format!("http://{}/", daemon.api.address)
}

#[test]
fn pages_are_fit_to_be_seen_in_every_width_and_theme() {
    if !browser::is_there("pictures of all pages") {
        return;
    }
    let site = Site::new();
    let mut chance = Chance::fresh();
    for (path, bytes) in [
        ("debian-12.5.0-amd64-netinst.iso", 4_700_000),
        ("Lecture recordings 2026/01 Introduction.mp4", 2_000_000),
        ("Lecture recordings 2026/02 Measurement/part 1.mp4", 900_000),
        ("Lecture recordings 2026/02 Measurement/part 2.mp4", 800_000),
        ("Lecture recordings 2026/slides.pdf", 12_000),
        ("a-name-without-any-place-to-break-it-that-is-longer-than-a-phone-is-wide.tar.zst", 50_000),
    ] {
        write_file(&mut chance, &site.publish().join(path), bytes);
    }
    // One that can't be published, and says why.
    std::os::unix::fs::symlink("/nowhere", site.publish().join("broken link")).unwrap();
    let daemon = site.start();
    let folder = daemon.api.seeding("Lecture recordings 2026");
    daemon.api.seeding("debian-12.5.0-amd64-netinst.iso");
    daemon.api.seeding("a-name-without-any-place-to-break-it-that-is-longer-than-a-phone-is-wide.tar.zst");
    // For the charts.
    daemon.api.get("/files/debian-12.5.0-amd64-netinst.iso");
    daemon.api.get("/files/Lecture%20recordings%202026/01%20Introduction.mp4");
    // Somebody who downloads.
    let mut peer = Peer::connect(daemon.peer, &folder.info_hash, true).unwrap();
    peer.become_unchoked().unwrap();
    peer.block(0, 0, BLOCK).unwrap();
    let pictures = system_tests::root().join("target/pictures");
    fs::create_dir_all(&pictures).unwrap();
    let item = format!("{}items/{}", page_of(&daemon), folder.info_hash);
    browser::look("pictures", &[&page_of(&daemon), &item, pictures.to_str().unwrap()]);
    if std::env::var_os("BLACKBOX_UPDATE_PICTURES").is_some() {
        for (made, kept) in [
            ("index-tablet-light.png", "page.png"),
            ("item-phone-dark.png", "item.png"),
            ("admin-tablet-dark.png", "admin.png"),
        ] {
            fs::copy(pictures.join(made), system_tests::root().join("tests/pictures").join(kept)).unwrap();
        }
    }
}

#[test]
fn what_is_published_meanwhile_appears_on_the_page() {
    if !browser::is_there("a page that is kept up to date") {
        return;
    }
    let site = Site::new();
    let (daemon, _) = site.start_with_file();
    let mut looking = browser::start("live", &[&page_of(&daemon), "new.iso"]);
    looking.wait_for_line("the page", START, |line| (line == "looking").then_some(()));
    fs::write(site.publish().join("new.iso"), b"new").unwrap();
    looking.succeed(START);
}

#[test]
fn items_are_found_and_sorted_without_loading_the_page_anew() {
    if browser::is_there("search by script") {
        let daemon = three_items(&Site::new());
        browser::look("search", &[&page_of(&daemon)]);
    }
}

#[test]
fn everything_works_where_no_script_runs() {
    if browser::is_there("pages without scripts") {
        let daemon = three_items(&Site::new());
        browser::look("plain", &[&page_of(&daemon)]);
    }
}

#[test]
fn everything_is_in_reach_of_the_keyboard() {
    if browser::is_there("pages by keyboard") {
        let daemon = three_items(&Site::new());
        browser::look("keyboard", &[&page_of(&daemon)]);
    }
}

#[test]
fn who_reads_figures_is_not_disturbed() {
    if browser::is_there("charts that are kept up to date") {
        let daemon = three_items(&Site::new());
        assert_eq!(daemon.api.get("/files/a.iso").body.len(), 3000);
        browser::look("steady", &[&format!("{}admin", page_of(&daemon))]);
    }
}

#[test]
fn a_full_page_is_small_and_asks_nobody_else() {
    if !browser::is_there("how much a page is") {
        return;
    }
    let site = Site::new();
    let names: Vec<String> =
        (0..60).map(|number| format!("Recording of the {number:02}th meeting, in full.mp4")).collect();
    for name in &names {
        fs::write(site.publish().join(name), name).unwrap();
    }
    let daemon = site.start();
    for name in &names {
        daemon.api.seeding(name);
    }
    let said = browser::look("figures", &[&page_of(&daemon)]);
    let figures = said.iter().find_map(|line| line.strip_prefix("figures ")).expect("figures");
    system_tests::figure("page of 50 items in Chromium", format_args!("{figures}"));
}
