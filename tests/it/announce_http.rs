//! The tracker over HTTP (BEP 3, 7, 23, 48).

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use system_tests::api::SOON;
use system_tests::daemon::{Daemon, Site};
use system_tests::http;
use system_tests::network::{self, local};
use system_tests::tracker::{Announce, UdpClient, escape};
use torrent::InfoHash;
use torrent::bencode::{self, Limits};

#[test]
fn peers_hear_of_the_box_and_of_each_other_but_not_of_themselves() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    let [first, second] = [1, 2].map(|client| Announce::new(info_hash, client));
    let answer = first.clone().event("started").http(daemon.tracker);
    assert_eq!((answer.failure, answer.peers), (None, vec![daemon.peer]));
    assert_eq!((answer.complete, answer.incomplete), (1, 1), "the box is a seeder");
    assert!((60..=3600).contains(&answer.interval), "{}", answer.interval);

    let mut expected = vec![daemon.peer, local(first.port)];
    expected.sort_unstable();
    for more in ["", "&compact=1", "&compact=0", "&compact=0&no_peer_id=1"] {
        let answer = second.clone().more(more).http(daemon.tracker);
        assert_eq!(answer.peers, expected, "{more}");
        assert_eq!(
            (answer.complete, answer.incomplete),
            (1, 2),
            "{more}: announced again it is still one peer"
        );
    }
    assert_eq!(second.clone().more("&numwant=0").http(daemon.tracker).peers, []);
    assert_eq!(second.clone().more("&numwant=1").http(daemon.tracker).peers.len(), 1);
    // Where it says it is counts for nothing.
    first.clone().more("&ip=192.0.2.66").http(daemon.tracker);
    assert_eq!(second.http(daemon.tracker).peers, expected);

    // One that takes no connections is nobody to be told of.
    Announce { port: 0, ..Announce::new(info_hash, 3) }.http(daemon.tracker);
    assert_eq!(second.http(daemon.tracker).peers, expected);

    first.clone().event("stopped").http(daemon.tracker);
    assert_eq!(second.http(daemon.tracker).peers, [daemon.peer]);
}

#[test]
fn a_download_is_counted_once() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    let peer = Announce::new(info_hash, 1);
    peer.http(daemon.tracker);
    for _ in 0..3 {
        let answer = peer.clone().event("completed").left(0).http(daemon.tracker);
        assert_eq!((answer.complete, answer.incomplete), (2, 0));
    }
    let item = daemon.api.item("file").unwrap();
    assert_eq!((&item["completed"], &item["seeders"], &item["leechers"]), (&1.into(), &2.into(), &0.into()));
    // Seeders are not told of each other; of the box they are, because aria2 with a magnet link says that it lacks
    // nothing before it knows what there is.
    let answer = Announce::new(info_hash, 2).left(0).http(daemon.tracker);
    assert_eq!((answer.complete, answer.peers), (3, vec![daemon.peer]));
}

#[test]
fn a_swarm_of_hundreds_is_handed_out_in_parts() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    for client in 0..300 {
        Announce::new(info_hash, client).http(daemon.tracker);
    }
    let answer = Announce::new(info_hash, 0).more("&numwant=1000").http(daemon.tracker);
    assert_eq!(answer.incomplete, 300);
    assert!((50..=200).contains(&answer.peers.len()), "{}", answer.peers.len());
    let mut unique = answer.peers.clone();
    unique.dedup();
    assert_eq!(unique, answer.peers, "each peer once");
    assert!(answer.peers.contains(&daemon.peer), "the box is always among them");
}

#[test]
fn scrapes_tell_the_figures() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    Announce::new(info_hash, 1).http(daemon.tracker);
    let unknown = escape(&[9; 20]);
    let target = format!("/scrape?info_hash={}&info_hash={unknown}", escape(info_hash.as_bytes()));
    let response = http::get(daemon.tracker, &target);
    let root =
        bencode::scan(&response.body, Limits { bytes: 4096, depth: 4 }).unwrap().as_dictionary().unwrap();
    let files = root.get(b"files").and_then(torrent::bencode::Value::as_dictionary).unwrap();
    let swarm = files.get(info_hash.as_bytes()).and_then(torrent::bencode::Value::as_dictionary).unwrap();
    let figures =
        [&b"complete"[..], b"downloaded", b"incomplete"].map(|key| swarm.get(key).unwrap().as_integer());
    assert_eq!(figures, [Some(1), Some(0), Some(1)]);
    assert!(files.get(&[9; 20]).is_none(), "nothing is said of what is not published");
}

#[test]
fn what_is_not_published_or_malformed_is_refused_in_words() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    let failure = Announce::new(InfoHash([9; 20]), 1).http(daemon.tracker).failure;
    assert_eq!(failure.as_deref(), Some("this torrent is not published here"));
    let hash = escape(info_hash.as_bytes());
    for query in [
        String::new(),
        format!("info_hash={hash}"),
        format!("info_hash={hash}&peer_id=short&port=1&left=0"),
        format!("info_hash={hash}&peer_id=-TS0001-000000000001&port=99999&left=0"),
        "info_hash=%zz&peer_id=-TS0001-000000000001&port=1&left=0".to_owned(),
    ] {
        let response = http::get(daemon.tracker, &format!("/announce?{query}"));
        let answer =
            bencode::scan(&response.body, Limits { bytes: 4096, depth: 2 }).unwrap().as_dictionary().unwrap();
        let reason = answer.get(b"failure reason").and_then(torrent::bencode::Value::as_str);
        assert!(reason.is_some_and(|reason| reason.contains(' ')), "{query}: {reason:?}");
    }
    assert_eq!(http::get(daemon.tracker, "/").status, 404);
    assert_eq!(http::Request::new("POST", "/announce").send(daemon.tracker).status, 405);
    daemon.end();
}

#[test]
fn an_open_tracker_takes_every_torrent() {
    let site = Site::new().with_config("[tracker]\nopen = true\n");
    let (daemon, _) = site.start_with_file();
    let foreign = InfoHash([9; 20]);
    let first = Announce::new(foreign, 1);
    assert_eq!(first.http(daemon.tracker).peers, [], "the box does not seed it");
    assert_eq!(Announce::new(foreign, 2).http(daemon.tracker).peers, [local(first.port)]);
}

#[test]
fn a_retired_item_comes_back_with_an_empty_swarm() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    Announce::new(info_hash, 1).http(daemon.tracker);
    let path = site.publish().join("file");
    fs::remove_file(&path).unwrap();
    system_tests::wait::until_holds("gone", Duration::from_secs(5), || daemon.api.item("file").is_none());
    fs::write(&path, b"content").unwrap();
    assert_eq!(daemon.api.seeding("file").info_hash, info_hash);
    assert_eq!(Announce::new(info_hash, 2).http(daemon.tracker).peers, [daemon.peer]);
}

#[test]
fn who_has_an_old_torrent_is_told_what_became_of_it() {
    let site = Site::new();
    let (daemon, old) = site.start_with_file();
    let path = site.publish().join("file");
    let over_http = |daemon: &Daemon, info_hash| Announce::new(info_hash, 1).http(daemon.tracker).failure;
    let told = |daemon: &Daemon, info_hash| {
        let over_http = over_http(daemon, info_hash);
        let over_udp =
            UdpClient::connect(local(0), daemon.tracker).announce(&Announce::new(info_hash, 1)).err();
        assert_eq!(over_http, over_udp);
        over_http.unwrap_or_default()
    };
    fs::write(&path, b"another content").unwrap();
    let changing = "the files of this torrent have changed; a new version is being made";
    // While that goes on the two may be asked at different moments.
    system_tests::wait::until_holds("taken back", SOON, || {
        over_http(&daemon, old).as_deref() == Some(changing)
    });
    let new = daemon.api.wait_for("file", "seeding", SOON);
    let hash = new["info_hash_v1"].as_str().unwrap().to_owned();
    let replaced = format!(
        "this torrent was replaced by a new version: \"file\", info hash {hash}; get its .torrent from \
         http://{}/torrents/{hash}.torrent",
        daemon.api.address
    );
    assert_eq!(told(&daemon, old), replaced);
    daemon.end();

    let daemon = site.start();
    daemon.api.seeding("file");
    let replaced = replaced.rsplit_once(" from ").unwrap().0.to_owned();
    assert!(told(&daemon, old).starts_with(&replaced), "after a restart: {}", told(&daemon, old));
    fs::remove_file(&path).unwrap();
    let retired = "this torrent is no longer published here";
    let hash = hash.parse().unwrap();
    system_tests::wait::until_holds("taken back", SOON, || {
        over_http(&daemon, hash).as_deref() == Some(retired)
    });
    assert_eq!(told(&daemon, hash), retired);
    assert_eq!(told(&daemon, old), retired);
}

/// Addresses of a machine with one foot in a LAN and one in the world, and of askers in both.
const ADDRESSES: [&str; 6] = [
    "192.168.7.1/32",
    "198.51.100.1/32",
    "192.168.7.20/32",
    "203.0.113.5/32",
    "fd00:7::1/128",
    "2001:db8::5/128",
];

#[test]
fn everybody_is_told_the_address_at_which_he_reaches_the_box() {
    if !network::make_private_with(&ADDRESSES) {
        return system_tests::left_out("addresses of the box", "no network of its own");
    }
    let anywhere = ["--web", "[::]:0", "--tracker", "[::]:0", "--peer", "[::]:0"];
    let site = Site::new().with_options(&anywhere);
    let (daemon, info_hash) = site.start_with_file();
    let (tracker, peer) = (daemon.tracker.port(), daemon.peer.port());
    for (asker, asked) in [
        ("127.0.0.1", "127.0.0.1"),
        ("192.168.7.20", "192.168.7.1"),
        ("203.0.113.5", "198.51.100.1"),
        ("fd00:7::1", "fd00:7::1"),
        ("2001:db8::5", "2001:db8::5"),
    ] {
        let [asker, asked]: [IpAddr; 2] = [asker, asked].map(|address| address.parse().unwrap());
        let answer = Announce::new(info_hash, 1).http_from(asker, SocketAddr::new(asked, tracker));
        assert_eq!(
            answer.peers.first(),
            Some(&SocketAddr::new(asked, peer)),
            "{asker} asked {asked}: {answer:?}"
        );
        Announce::new(info_hash, 1).event("stopped").http_from(asker, SocketAddr::new(asked, tracker));
    }
    // A peer of the LAN is told to its neighbours and to nobody outside.
    let [neighbour, stranger]: [IpAddr; 2] =
        ["192.168.7.20", "203.0.113.5"].map(|address| address.parse().unwrap());
    let [inside, outside]: [IpAddr; 2] =
        ["192.168.7.1", "198.51.100.1"].map(|address| address.parse().unwrap());
    let first = Announce::new(info_hash, 1);
    first.http_from(neighbour, SocketAddr::new(inside, tracker));
    let answer = Announce::new(info_hash, 2).http_from(stranger, SocketAddr::new(outside, tracker));
    assert_eq!(answer.peers, [SocketAddr::new(outside, peer)]);
    let answer = Announce::new(info_hash, 3).http_from(inside, SocketAddr::new(inside, tracker));
    assert!(answer.peers.contains(&SocketAddr::new(neighbour, first.port)), "{answer:?}");
}

#[test]
fn strangers_are_told_the_public_address() {
    if !network::make_private_with(&ADDRESSES) {
        return system_tests::left_out("public address of the box", "no network of its own");
    }
    let options =
        ["--web", "[::]:0", "--tracker", "[::]:0", "--peer", "[::]:0", "--public-host", "198.51.100.77"];
    let site = Site::new().with_options(&options);
    let (daemon, info_hash) = site.start_with_file();
    let stranger: IpAddr = "203.0.113.5".parse().unwrap();
    let asked = SocketAddr::new("198.51.100.1".parse().unwrap(), daemon.tracker.port());
    let public = SocketAddr::new("198.51.100.77".parse().unwrap(), daemon.peer.port());
    assert_eq!(Announce::new(info_hash, 1).http_from(stranger, asked).peers, [public]);
    let neighbour: IpAddr = "192.168.7.20".parse().unwrap();
    let asked = SocketAddr::new("192.168.7.1".parse().unwrap(), daemon.tracker.port());
    let inside = SocketAddr::new(asked.ip(), daemon.peer.port());
    assert_eq!(Announce::new(info_hash, 1).http_from(neighbour, asked).peers.first(), Some(&inside));
}

#[test]
fn connections_of_one_network_leave_room_for_others() {
    // A quarter of all that a listener holds.
    const OF_ONE_NETWORK: usize = 256;
    let [greedy, neighbour, other]: [IpAddr; 3] =
        ["203.0.113.5", "203.0.113.6", "203.0.114.5"].map(|it| it.parse().unwrap());
    if !network::make_private_with(&["198.51.100.1/32", "203.0.113.5/32", "203.0.113.6/32", "203.0.114.5/32"])
    {
        return system_tests::left_out("connections of one network", "no network of its own");
    }
    let site = Site::new().listening_on("[::]");
    let (daemon, info_hash) = site.start_with_file();
    let tracker = SocketAddr::new("198.51.100.1".parse().unwrap(), daemon.tracker.port());
    let is_answered = |source: IpAddr| {
        let mut stream = http::connect_from(source, tracker).unwrap();
        // It may be hung up on before it has asked.
        let _ = stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said.starts_with(b"HTTP/1.1 404")
    };
    let kept: Vec<_> = (0..OF_ONE_NETWORK).map(|_| http::connect_from(greedy, tracker).unwrap()).collect();
    assert!(!is_answered(greedy) && !is_answered(neighbour));
    assert_eq!(Announce::new(info_hash, 1).http_from(other, tracker).failure, None);
    let local = SocketAddr::new(local(0).ip(), tracker.port());
    assert_eq!(Announce::new(info_hash, 2).http(local).failure, None, "this machine");
    drop(kept);
    system_tests::wait::until_holds("their places again", Duration::from_secs(10), || is_answered(neighbour));
    daemon.end();
}
