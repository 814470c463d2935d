//! The tracker over UDP (BEP 15).

use std::net::SocketAddr;
use std::time::Duration;

use system_tests::daemon::Site;
use system_tests::network::{self, local};
use system_tests::tracker::{Announce, UdpClient, udp_answer};
use torrent::InfoHash;

/// Time in which an answer on one machine has come if one comes.
const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn udp_and_http_are_one_swarm() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    let client = UdpClient::connect(local(0), daemon.tracker);
    let [first, second] = [1, 2].map(|client| Announce::new(info_hash, client));
    let answer = client.announce(&first.clone().event("started")).unwrap();
    assert_eq!((answer.peers, answer.complete, answer.incomplete), (vec![daemon.peer], 1, 1));
    assert!((60..=3600).contains(&answer.interval), "{}", answer.interval);

    let mut expected = vec![daemon.peer, local(first.port)];
    expected.sort_unstable();
    assert_eq!(second.http(daemon.tracker).peers, expected, "the address in the packet counts for nothing");

    client.announce(&first.clone().event("completed").left(0)).unwrap();
    client.announce(&first.clone().event("completed").left(0)).unwrap();
    assert_eq!(client.scrape(&info_hash).unwrap(), [2, 1, 1]);
    client.announce(&first.event("stopped").left(0)).unwrap();
    assert_eq!(client.scrape(&info_hash).unwrap(), [1, 1, 1]);
    assert_eq!(daemon.api.item("file").unwrap()["completed"], 1);
}

#[test]
fn what_is_not_published_is_refused_in_words() {
    let site = Site::new();
    let (daemon, _) = site.start_with_file();
    let client = UdpClient::connect(local(0), daemon.tracker);
    let refused = client.announce(&Announce::new(InfoHash([9; 20]), 1));
    assert_eq!(refused.unwrap_err(), "this torrent is not published here");
}

#[test]
fn a_forged_source_is_sent_nothing() {
    let site = Site::new();
    let (daemon, info_hash) = site.start_with_file();
    let mut announce = vec![0x5a; 8];
    announce.extend_from_slice(&[0, 0, 0, 1, 5, 6, 7, 8]);
    announce.extend_from_slice(info_hash.as_bytes());
    announce.resize(98, 1);
    for (packet, what) in [
        (&announce[..], "an announce with a made-up connection id"),
        (b"GET / HTTP/1.1\r\n\r\n", "another protocol"),
        (&[0; 15], "a packet that is too short"),
        (&[0xff; 1400], "rubbish"),
    ] {
        assert_eq!(udp_answer(daemon.tracker, packet, SILENCE), None, "{what}");
    }
    // It still listens.
    UdpClient::connect(local(0), daemon.tracker);
    daemon.end();
}

#[test]
fn a_network_that_asks_without_end_is_refused_and_others_are_not() {
    const GREEDY: &str = "203.0.113.5";
    if !network::make_private_with(&["198.51.100.1/32", "203.0.113.5/32", "203.0.113.6/32", "203.0.114.5/32"])
    {
        return system_tests::left_out("requests without end", "no network of its own");
    }
    let site = Site::new().with_options(&["--web", "[::]:0", "--tracker", "[::]:0", "--peer", "[::]:0"]);
    let (daemon, info_hash) = site.start_with_file();
    let tracker = format!("198.51.100.1:{}", daemon.tracker.port()).parse().unwrap();
    let failure = |from: &str| {
        Announce::new(info_hash, 1).http_from(from.parse().unwrap(), tracker).failure.unwrap_or_default()
    };
    assert_eq!(failure(GREEDY), "");
    let client = UdpClient::connect(format!("{GREEDY}:0").parse().unwrap(), tracker);
    system_tests::wait::until_holds("a refusal", Duration::from_mins(1), || {
        client.flood(&info_hash, 20_000);
        failure(GREEDY) == "too many requests from your network"
    });
    client.flood(&info_hash, 20_000);
    assert_eq!(failure("203.0.113.6"), "too many requests from your network", "its neighbour");
    assert_eq!(failure("203.0.114.5"), "", "another network");
    daemon.end();
}

#[test]
fn everybody_is_told_the_address_at_which_he_reaches_the_box() {
    if !network::make_private_with(&[
        "192.168.7.1/32",
        "198.51.100.1/32",
        "192.168.7.20/32",
        "203.0.113.5/32",
    ]) {
        return system_tests::left_out("addresses of the box over UDP", "no network of its own");
    }
    let site = Site::new().with_options(&["--web", "[::]:0", "--tracker", "[::]:0", "--peer", "[::]:0"]);
    let (daemon, info_hash) = site.start_with_file();
    for (asker, asked) in
        [("127.0.0.1", "127.0.0.1"), ("192.168.7.20", "192.168.7.1"), ("203.0.113.5", "198.51.100.1")]
    {
        let tracker = format!("{asked}:{}", daemon.tracker.port()).parse().unwrap();
        // The answer must come from the address that was asked, or a connected socket never sees it.
        let client = UdpClient::connect(format!("{asker}:0").parse().unwrap(), tracker);
        let answer = client.announce(&Announce::new(info_hash, 1)).unwrap();
        let expected: SocketAddr = format!("{asked}:{}", daemon.peer.port()).parse().unwrap();
        assert_eq!(answer.peers, [expected], "{asker} asked {asked}");
        client.announce(&Announce::new(info_hash, 1).event("stopped")).unwrap();
    }
}
