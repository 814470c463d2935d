//! Keys stay with their members, and what they move is told to whom it concerns.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use system_tests::http::Request;
use system_tests::network;
use system_tests::peer::Peer;

use super::*;

/// What everything with a member's links in it says to that member.
fn surfaces(published: &Box, base: &'static str) -> Vec<(String, Response)> {
    let item = published.item(base);
    let hash = item.info_hash;
    let paths =
        ["/".to_owned(), "/feed.xml".into(), "/api/v1/items".into(), format!("/torrents/{hash}.torrent")];
    paths.into_iter().map(|path| (path.clone(), published.api(base).get(&path))).collect()
}

#[test]
fn no_member_is_given_the_key_of_another() {
    let published = publish(site());
    for (base, other) in [(ALICE, BOB), (BOB, ALICE)] {
        for (path, response) in surfaces(&published, base) {
            assert_eq!(response.status, 200, "{path}");
            let text = String::from_utf8_lossy(&response.body).into_owned();
            assert!(text.contains(&base[1..]), "{path} has links of its own: {text}");
            assert!(!text.contains(&other[1..]), "{path}: {text}");
        }
        let (metainfo, info) = published.item(base).metainfo();
        assert!(info.private);
        let urls = metainfo.announce.iter().flatten().chain(&metainfo.web_seeds);
        assert!(urls.clone().count() > 1 && urls.clone().all(|url| url.contains(base)), "{metainfo:?}");
    }
    assert_eq!(published.item(ALICE).info_hash, published.item(BOB).info_hash, "it is one swarm");
    // Folders and what they link to lead nowhere without the key either.
    let answer = Request::get(&format!("{ALICE}/files/secret.bin/")).send(published.daemon.api.address);
    assert_eq!(answer.status, 404);
}

#[test]
fn keys_are_in_no_log_and_not_on_disk_and_items_in_no_public_figures() {
    let published = publish(site());
    let item = published.item(ALICE);
    surfaces(&published, BOB);
    published.announce(ALICE, 1);
    Peer::connect(published.daemon.peer, &item.info_hash, true).unwrap();
    let admin = published.daemon.api.get("/admin");
    let metrics = published.daemon.api.get("/metrics");
    assert!(admin.text().contains("alice") && metrics.text().contains("member=\"alice\""));
    let Box { site, mut daemon } = published;
    daemon.process.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.process.wait(system_tests::daemon::END).success());
    let said = daemon.process.said().join("\n");
    for text in [admin.text(), metrics.text(), &said] {
        assert!(!text.contains(&ALICE[1..]) && !text.contains(&BOB[1..]), "{text}");
    }
    for entry in fs::read_dir(site.state()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let key = std::ffi::OsStr::new(&ALICE[1..]).as_bytes();
        assert!(!bytes.windows(key.len()).any(|window| window == key));
    }
}

/// An asker from the Internet, and the box in it.
const ADDRESSES: [&str; 2] = ["203.0.113.5/32", "198.51.100.1/32"];

#[test]
fn who_asks_from_outside_is_named_neither_items_nor_members() {
    if !network::make_private_with(&ADDRESSES) {
        return system_tests::left_out("figures for askers from outside", "no network of its own");
    }
    let published = publish(site().listening_on("[::]"));
    let port = published.daemon.api.address.port();
    let item = Api::new(network::local(port)).member(ALICE).seeding("secret.bin");
    let [outside, host]: [IpAddr; 2] = ["203.0.113.5", "198.51.100.1"].map(|it| it.parse().unwrap());
    let address = SocketAddr::new(host, port);
    let metrics = Request::get("/metrics").send_from(outside, address);
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("blackbox_items{state=\"seeding\"} 1"));
    assert!(!tells_of_it(&metrics, &item) && !metrics.text().contains("alice"), "{}", metrics.text());
    assert_eq!(Request::get("/admin").send_from(outside, address).status, 403);
}

/// A figure of a member.
#[track_caller]
fn figure(published: &Box, name: &str, member: &str) -> u64 {
    published.daemon.api.metric(&format!("blackbox_member_{name}{{member=\"{member}\"}}"))
}

#[test]
fn what_a_member_moves_is_counted_and_kept() {
    let published = publish(site());
    let (item, size) = (published.item(ALICE), published.content().len() as u64);
    let (_, info) = item.metainfo();
    let announce = Announce::new(item.info_hash, 1).member(ALICE);
    announce.clone().event("started").http(published.daemon.tracker);
    Peer::connect(published.daemon.peer, &item.info_hash, true)
        .and_then(|mut peer| {
            peer.become_unchoked()?;
            peer.download(&info)
        })
        .unwrap();
    Announce { downloaded: size, ..announce.clone().event("completed").left(0) }
        .http(published.daemon.tracker);
    // The same client over IPv4 again, and Bob by the web seed.
    Announce { downloaded: size, ..announce.clone().left(0) }.http(published.daemon.tracker);
    assert_eq!(published.api(BOB).get("/files/secret.bin").body, published.content());

    let check = |published: &Box| {
        for member in ["alice", "bob"] {
            assert_eq!(figure(published, "sent_bytes_total", member), size, "{member}");
            assert!(figure(published, "last_seen_timestamp_seconds", member) > 1_700_000_000);
        }
        assert_eq!(figure(published, "claimed_downloaded_bytes_total", "alice"), size);
        assert_eq!(figure(published, "claimed_downloaded_bytes_total", "bob"), 0);
    };
    check(&published);
    assert_eq!(figure(&published, "clients", "alice"), 1);
    let published = published.restart_with(&[("alice", ALICE), ("bob", BOB)]);
    check(&published);
    assert_eq!(figure(&published, "clients", "alice"), 0);
}

#[test]
fn a_box_that_becomes_one_for_members_and_back_reads_nothing_again() {
    let site = Site::new();
    let published = publish(site);
    let public = published.daemon.api.seeding("secret.bin");
    assert!(!public.metainfo().1.private);
    Peer::connect(published.daemon.peer, &public.info_hash, true).unwrap();

    let published = published.restart_with(&[("alice", ALICE), ("bob", BOB)]);
    let private = published.item(ALICE);
    assert!(private.metainfo().1.private);
    assert_ne!(private.hashes, public.hashes);
    assert_eq!(published.announce(ALICE, 1), None);
    assert!(Peer::connect(published.daemon.peer, &private.info_hash, true).is_ok());
    assert!(
        Peer::connect(published.daemon.peer, &public.info_hash, true).is_err(),
        "it is not public any more"
    );
    assert_eq!(published.daemon.bytes_hashed(), 0);

    let published = published.restart_with(&[]);
    assert_eq!(published.daemon.api.seeding("secret.bin").hashes, public.hashes);
    assert!(Peer::connect(published.daemon.peer, &private.info_hash, true).is_err(), "nor for members");
    let told = published.daemon.api.get("/feed.xml");
    assert!(!told.text().contains(&private.info_hash.to_string()));
    assert_eq!(published.daemon.bytes_hashed(), 0);
}
