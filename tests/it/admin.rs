//! `/admin` and the report that it leads to: who may see them, and what they show to nobody.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use appliance::journal::segment_name;
use appliance::message::{Clock, Machine, ToDaemon};
use system_tests::content::{Chance, write_file};
use system_tests::daemon::Site;
use system_tests::http::Request;
use system_tests::peer::{BLOCK, Peer};
use system_tests::tracker::Announce;
use system_tests::{network, wait};
use torrent::InfoHash;

use super::web::publish;

#[test]
fn admin_is_for_the_lan_under_the_boxs_own_names() {
    if !network::make_private_with(&["192.168.7.1/32", "203.0.113.5/32", "198.51.100.1/32"]) {
        return system_tests::left_out("who may see /admin", "no network of its own");
    }
    let site = Site::new().with_options(&["--web", "[::]:0", "--public-host", "box.example.org"]);
    let daemon = publish(&site, &["file"]);
    let port = daemon.api.address.port();
    let asked = |source: &str, target: &str, host: &str| {
        let [source, target]: [IpAddr; 2] = [source, target].map(|address| address.parse().unwrap());
        let ask = |page| Request::get(page).host(host).send_from(source, (target, port).into()).status;
        let status = ask("/admin");
        assert_eq!(status, ask("/admin/report"), "it says no more than the page, to nobody else");
        status
    };
    for (source, target, host, status) in [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 200),
        ("192.168.7.1", "192.168.7.1", "192.168.7.1:8080", 200),
        ("192.168.7.1", "192.168.7.1", "localhost", 200),
        ("192.168.7.1", "192.168.7.1", "blackbox.local", 200),
        ("192.168.7.1", "192.168.7.1", "box.example.org", 200),
        ("::1", "::1", "[::1]", 200),
        // DNS rebinding.
        ("192.168.7.1", "192.168.7.1", "evil.example.com", 403),
        ("127.0.0.1", "127.0.0.1", "localhost.evil.example.com", 403),
        ("203.0.113.5", "198.51.100.1", "198.51.100.1", 403),
        ("203.0.113.5", "198.51.100.1", "box.example.org", 403),
        ("203.0.113.5", "198.51.100.1", "localhost", 403),
    ] {
        assert_eq!(asked(source, target, host), status, "{source} asks {target} as {host}");
    }
    let outsider = Request::get("/")
        .send_from("203.0.113.5".parse().unwrap(), ("198.51.100.1".parse::<IpAddr>().unwrap(), port).into());
    assert_eq!(outsider.status, 200, "the index is for everybody");
}

#[test]
fn admin_can_have_a_password() {
    let site = Site::new().with_config("[admin]\npassword = \"geheim\"\n");
    let daemon = site.start();
    let with = |field: &str| Request::get("/admin").field("Authorization", field).send(daemon.api.address);
    let without = daemon.api.get("/admin");
    assert_eq!(without.status, 401);
    assert!(without.field("www-authenticate").is_some_and(|field| field.starts_with("Basic ")));
    // admin:geheim, admin:falsch
    let page = with("Basic YWRtaW46Z2VoZWlt");
    assert_eq!((page.status, with("Basic YWRtaW46ZmFsc2No").status), (200, 401));
    assert!(!page.text().contains("geheim"), "the password is not shown");
}

#[test]
fn peers_and_what_init_knows_are_told() {
    let site = Site::new();
    write_file(&mut Chance::fresh(), &site.publish().join("a & b.iso"), 1 << 20);
    let (daemon, mut init) = site.start_with_init();
    let info_hash = daemon.api.seeding("a & b.iso").info_hash;
    let mut peer = Peer::connect(daemon.peer, &info_hash, true).unwrap();
    peer.become_unchoked().unwrap();
    peer.block(0, 0, BLOCK).unwrap();
    let clock = Clock {
        floor: 1_700_000_000,
        source: Some(IpAddr::from([192, 0, 2, 1])),
        checked: Some(1_700_000_060),
    };
    let slot = Some("b".to_owned());
    init.send(&ToDaemon::Machine(Machine {
        version: "9.8.7".into(),
        slot,
        is_trial: true,
        clock,
        ..Machine::default()
    }));
    let expected = [
        "1 peer is connected.",
        // As its peer id tells.
        "<td>-TS0001-",
        "<td>127.0.0.1:",
        "<td>a &#38; b.iso</td><td>0 %</td>",
        "<td>16.4 kB</td><td>no</td><td>TCP</td>",
        "version 9.8.7 in slot b, on trial",
        "right, as 192.0.2.1 said last on 2023-11-14 22:14 UTC",
        "0 peers in all swarms; 0 announces in the last minute, 1 since the start",
    ];
    let refused = Announce::new(InfoHash([7; 20]), 1).http(daemon.tracker);
    assert!(refused.failure.is_some());
    let missing = |page: &str| expected.into_iter().find(|part| !page.contains(part));
    let page = || daemon.api.get("/admin").text().to_owned();
    system_tests::wait::until_holds("all of it is told", Duration::from_secs(10), || {
        missing(&page()).is_none()
    });
    drop(peer);
    system_tests::wait::until_holds("it has left", Duration::from_secs(10), || {
        page().contains("Nobody is connected.")
    });
    daemon.end();
}

#[test]
fn the_report_has_what_helps_and_no_secret() {
    let (password, base) = ("geheim-9dK2", "/alices-key_8fK2mQ7xZp4T");
    let key = &base[1..];
    let settings =
        format!("[admin]\npassword = \"{password}\"\n[members]\nalice = \"{key}\"\n[scrub]\ndays = 17\n");
    let site = Site::new().with_config(&settings);
    fs::write(site.publish().join("a\nb"), b"content").unwrap();
    let daemon = site.start();
    daemon.api.member(base).seeding("a\nb");
    assert_eq!(daemon.api.get("/admin/report").status, 401);
    // admin:geheim-9dK2
    let report = Request::get("/admin/report")
        .field("Authorization", "Basic YWRtaW46Z2VoZWltLTlkSzI=")
        .send(daemon.api.address);
    let text = report.text();
    for expected in
        ["Version: ", "scrub.days: 17", "admin.password: set (not shown)", "\na b: seeding", "INFO published"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for secret in [password, key] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn the_report_has_what_init_knows_and_the_log_that_it_keeps() {
    let site = Site::new();
    // Where the daemon may read.
    let log = site.publish().with_file_name("log");
    fs::create_dir(&log).unwrap();
    fs::write(log.join(segment_name(7)), "[    0.000] kernel: Linux version 6\n").unwrap();
    fs::write(log.join(segment_name(8)), "[   12.000] init: asked to switch off\n").unwrap();
    let (daemon, mut init) = site.start_with_init();
    let facts = vec![("Slots".to_owned(), "slot a has proved itself".to_owned())];
    init.send(&ToDaemon::Machine(Machine { facts, logs: vec![log], ..Machine::default() }));
    let report = || daemon.api.report();
    wait::until_holds("the report has it", Duration::from_secs(20), || {
        report().contains("Slots: slot a has proved itself\n")
    });
    let expected = "\n== Log\n[    0.000] kernel: Linux version 6\n[   12.000] init: asked to switch off\n";
    assert!(report().ends_with(expected), "{}", report());
    assert!(daemon.api.get("/admin").text().contains("slot a has proved itself"));
    daemon.end();
}
