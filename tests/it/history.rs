//! What was given away when, and what happened: shown at once, and kept over restarts and kills.

use std::fs;
use std::time::Duration;

use appliance::message::ToDaemon;
use serde_json::Value;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::peer::{Message, Peer};
use system_tests::wait;

/// What the box looks after each second, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(10);

/// Sums over the periods of each level: bytes, those of them over HTTP, and downloads.
fn sums(history: &Value) -> Vec<[u64; 3]> {
    let sum = |level: &Value| {
        let of = |key: &str| {
            let periods = level["periods"].as_array().unwrap().iter();
            periods.map(|period| period[key].as_u64().unwrap()).sum()
        };
        ["uploaded_bytes", "http_bytes", "completed"].map(of)
    };
    history["levels"].as_array().unwrap().iter().map(sum).collect()
}

/// The events in the report, newest first, without their times.
fn events(daemon: &Daemon) -> Vec<String> {
    let report = daemon.api.get("/admin/report");
    let (_, events) = report.text().split_once("\n== Events\n").unwrap();
    let events = events.split("\n\n").next().unwrap().lines();
    events.map(|line| line.split_once(" UTC ").unwrap().1.to_owned()).collect()
}

#[test]
fn what_was_given_away_is_kept_over_restarts_and_kills() {
    let site = Site::new();
    write_file(&mut Chance::fresh(), &site.publish().join("film"), 3_000_000);
    let daemon = site.start();
    let item = daemon.api.seeding("film");
    let (_, info) = item.metainfo();
    let mut peer = Peer::connect(daemon.peer, &item.info_hash, true).unwrap();
    peer.interested().unwrap();
    peer.read_until(|message| (*message == Message::Unchoke).then_some(())).unwrap();
    let content = peer.download(&info).unwrap();
    assert!(daemon.api.get("/files/film").body == content);
    let check = |daemon: &Daemon| {
        let of_the_box = daemon.api.get("/api/v1/history").json();
        let of_the_item = daemon.api.get(&format!("/api/v1/items/{}/history", item.info_hash)).json();
        for history in [of_the_box, of_the_item] {
            assert_eq!(sums(&history), [[6_000_000, 3_000_000, 0]; 3], "{history}");
        }
        for page in ["/admin".to_owned(), format!("/items/{}", item.info_hash)] {
            let html = daemon.api.get(&page);
            let expected = "6.0 MB given away, 3.0 MB of that over HTTP; 0 downloads completed.";
            assert!(html.text().contains(expected), "{page}: {}", html.text());
        }
    };
    // At once, before anything of it is on disk.
    check(&daemon);
    daemon.end();
    let daemon = site.start();
    check(&daemon);
    let version = |start: &str| format!("{start}: version {}.", env!("CARGO_PKG_VERSION"));
    // The second start within an hour is the same event again.
    let started = format!("{} (2 times)", version("Started"));
    assert_eq!(events(&daemon), [&started, "Ended.", "Published film."]);
    daemon.kill();
    let daemon = site.start();
    check(&daemon);
    assert_eq!(events(&daemon)[0], version("Started after a power cut or a fault"));
    assert_eq!(daemon.api.get("/api/v1/items/00/history").status, 404);
}

#[test]
fn the_first_line_and_the_events_say_what_is_wrong() {
    let site = Site::new();
    fs::write(site.publish().join("file"), b"content").unwrap();
    let (daemon, mut init) = site.start_with_init();
    daemon.api.seeding("file");
    let first_line = || {
        let page = daemon.api.get("/admin");
        let (_, line) = page.text().split_once("<strong>").unwrap();
        line.split("</span>").next().unwrap().replace("</strong>", "")
    };
    assert_eq!(first_line(), "All is well: 1 item, nobody is downloading right now.");
    let mut say = |sentences: &[&str], line: &str, event: &str| {
        let sentences = sentences.iter().map(|sentence| (*sentence).to_owned()).collect();
        init.send(&ToDaemon::Problems { sentences });
        wait::until_holds(line, SOON, || first_line().starts_with(line));
        wait::until_holds(event, SOON, || events(&daemon)[0] == event);
    };
    say(&["There is no cable."], "Attention: There is no cable.", "There is no cable.");
    say(&[], "All is well: ", "No longer so: There is no cable.");
    // The folder is gone, with all that is published.
    fs::rename(site.publish(), site.folder().join("elsewhere")).unwrap();
    wait::until_holds("trouble", SOON * 3, || first_line().starts_with("Trouble: "));
}
