//! Those who show no passkey, or one that opens nothing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use seeder::mse::{CHANCE, Initiator, Offer};
use seeder::{Handshake, Reserved};
use system_tests::content::Chance;
use system_tests::http::{Request, connect_from};
use system_tests::network;
use system_tests::peer::Peer;
use system_tests::tracker::{Announce, UdpClient, escape};
use torrent::{InfoHash, PeerId};

use super::*;

/// Of the form of a key, and nobody's.
const NOBODY: &str = "/nobodys-key_8fK2mQ7xZp4T";

#[test]
fn strangers_are_told_that_there_are_members_and_nothing_else() {
    let published = publish(site());
    let (item, address) = (published.item(ALICE), published.daemon.api.address);
    let (hash, file) = (item.info_hash, "secret.bin");
    for path in [
        "/",
        "/feed.xml",
        "/api/v1/items",
        "/api/v1/status",
        &format!("/torrents/{hash}.torrent"),
        &format!("/torrents/{}.torrent", item.hashes.v2.unwrap()),
        &format!("/files/{file}"),
        "/files/",
        "/nothing",
    ] {
        let bare = Request::get(path).send(address);
        assert_eq!(bare.status, 401, "{path}");
        assert!(bare.field("www-authenticate").is_some_and(|field| field.starts_with("Basic ")), "{path}");
        assert!(bare.text().contains("This box is for its members."), "{path}");
        let wrong = Request::get(&format!("{NOBODY}{path}")).send(address);
        assert_eq!(wrong.status, 403, "{path}");
        // anybody:nobodys-key_8fK2mQ7xZp4T
        let password = "Basic YW55Ym9keTpub2JvZHlzLWtleV84ZksybVE3eFpwNFQ=";
        let mistaken = Request::get(path).field("Authorization", password).send(address);
        assert_eq!(mistaken.status, 401, "{path}");
        for response in [bare, wrong, mistaken] {
            assert!(!tells_of_it(&response, &item), "{path}: {response:?}");
        }
        let range = Request::get(path).field("Range", "bytes=0-0").send(address);
        assert_eq!(range.status, 401, "{path}");
    }
    assert_eq!(Request::get("/healthz").send(address).status, 200);
}

#[test]
fn a_password_opens_like_a_key_in_the_path() {
    let published = publish(site());
    let (item, address) = (published.item(ALICE), published.daemon.api.address);
    for path in [
        "/".to_owned(),
        "/feed.xml".into(),
        "/files/secret.bin".into(),
        format!("/torrents/{}.torrent", item.info_hash),
    ] {
        // alice:alices-key_8fK2mQ7xZp4T
        let password = "Basic YWxpY2U6YWxpY2VzLWtleV84ZksybVE3eFpwNFQ=";
        let response = Request::get(&path).field("Authorization", password).send(address);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.field("cache-control"), Some("private, no-cache"), "{path}");
        assert_eq!(response.body, published.api(ALICE).get(&path).body, "{path}");
    }
}

#[test]
fn the_tracker_refuses_strangers_in_words() {
    let published = publish(site());
    let (hash, tracker) = (published.item(ALICE).info_hash, published.daemon.tracker);
    let is_refusal = |failure: Option<&str>| failure.is_some_and(|words| words.contains("for members"));
    for (base, is_member) in [("", false), (NOBODY, false), (ALICE, true), (BOB, true)] {
        let announce = Announce::new(hash, 1).member(base);
        let answer = announce.http(tracker);
        assert_eq!(is_refusal(answer.failure.as_deref()), !is_member, "{base}: {answer:?}");
        assert_eq!(answer.peers.is_empty(), !is_member, "{base}: {answer:?}");
        let client = UdpClient::connect(network::local(0), tracker);
        let answer = client.announce(&announce);
        assert_eq!(answer.is_ok(), is_member, "{base}: {answer:?}");
        if let Err(words) = answer {
            assert!(is_refusal(Some(&words)), "{words}");
        }
        // Whoever asks for what is not here is told no more.
        let other = Announce::new(InfoHash([9; 20]), 1).member(base).http(tracker).failure;
        assert_eq!(is_refusal(other.as_deref()), !is_member, "{base}");
        let target = format!("{base}/scrape?info_hash={}", escape(hash.as_bytes()));
        let scraped = Request::get(&target).send(tracker);
        assert_eq!(String::from_utf8_lossy(&scraped.body).contains("for members"), !is_member, "{base}");
    }
    // A scrape over UDP carries no key: it is answered where a member has announced.
    let scrape = |source: [u8; 4]| {
        UdpClient::connect(SocketAddr::new(IpAddr::from(source), 0), tracker).scrape(&hash).unwrap()
    };
    assert_eq!(scrape([127, 0, 0, 1])[0], 1);
    assert_eq!(scrape([127, 0, 0, 9]), [0, 0, 0]);
}

/// A handshake as a client that offers extensions, whose peer id says where it comes from.
fn handshake(info_hash: InfoHash) -> Handshake {
    let reserved = Reserved([0, 0, 0, 0, 0, 0x10, 0, 4]);
    Handshake { reserved, info_hash, peer_id: PeerId(*b"-TS0001-000000000001") }
}

/// All that the box says in return to a connection from `source` and these first bytes, until it hangs up.
fn said_to(source: IpAddr, address: SocketAddr, first: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect_from(source, address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(first)?;
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(said),
    }
}

/// Shakes hands encrypted; whether the box agreed, which it does only if it shows that it has the item.
fn agrees(mut stream: TcpStream, info_hash: InfoHash) -> bool {
    let random = Chance::fresh().bytes(CHANCE).try_into().expect("so many");
    let mut to_send = Vec::new();
    let mut initiator = Initiator::new(handshake(info_hash), Offer::Rc4, &random, &mut to_send);
    loop {
        let sent = stream.write_all(&to_send);
        to_send.clear();
        let mut byte = [0];
        if sent.is_err() || stream.read_exact(&mut byte).is_err() {
            return false;
        }
        if initiator.receive(&byte, &mut to_send).expect("a proper answer").is_some() {
            return true;
        }
    }
}

#[test]
fn the_seeder_hangs_up_on_who_was_not_admitted() {
    let published = publish(site());
    let (item, peer) = (published.item(ALICE), published.daemon.peer);
    let [home, elsewhere] = [[127, 0, 0, 1], [127, 0, 0, 9]].map(IpAddr::from);
    let names = [item.info_hash, item.hashes.v2.unwrap().truncated()];
    let open = |source| connect_from(source, peer).unwrap();
    // Extended handshake and interest are sent at once, should there be an answer to them.
    let greeting = |name| {
        [&handshake(name).to_bytes()[..], b"\0\0\0\x1a\x14\0d1:md11:ut_metadatai1eee\0\0\0\x01\x02"].concat()
    };
    for name in names {
        for source in [home, elsewhere] {
            assert_eq!(said_to(source, peer, &greeting(name)).unwrap(), b"", "nobody has announced");
            assert!(!agrees(open(source), name), "nobody has announced");
        }
    }
    assert_eq!(published.announce(NOBODY, 1).map(|words| words.contains("members")), Some(true));
    assert_eq!(said_to(home, peer, &greeting(names[0])).unwrap(), b"", "announced, but not as a member");

    // From there, and only from there, by any torrent of the item.
    assert_eq!(published.announce(ALICE, 1), None);
    for name in names {
        assert_eq!(said_to(elsewhere, peer, &greeting(name)).unwrap(), b"");
        assert!(!agrees(open(elsewhere), name));
        assert!(agrees(open(home), name));
    }
    let mut connected = Peer::shake_hands(open(home), &names[0], true).unwrap();
    connected.become_unchoked().unwrap();
    let (_, info) = item.metainfo();
    assert_eq!(connected.download(&info).unwrap(), published.content());
}

#[test]
fn a_stock_client_with_the_torrent_minus_the_key_gets_nothing() {
    use system_tests::clients::{DOWNLOAD, libtorrent_with};
    if !network::make_lan() {
        return system_tests::left_out("downloads by members", "no network of its own");
    }
    let published = publish(site().listening_on(network::BOX));
    let item = published.item(ALICE);
    let folder = |name: &str| published.site.folder().join(name);
    // A member in the same network, all the while.
    let torrent = item.torrent_without_web_seeds(published.site.folder());
    libtorrent_with(&torrent, &folder("member"), "{}").finish(DOWNLOAD);
    let uploaded = || published.api(ALICE).item("secret.bin").unwrap()["uploaded_bytes"].as_u64().unwrap();
    let before = uploaded();
    assert!(before > 0);

    // It knows where the box is, whatever the tracker says. Its web seed and tracker are those of the torrent.
    let (metainfo, _) = item.metainfo();
    let without = |url: &String| url.replace(ALICE, "");
    let trackers = metainfo.announce.iter().flatten().map(|url| format!("&tr={}", without(url)));
    let seeds = metainfo.web_seeds.iter().map(|url| format!("&ws={}", without(url)));
    let source = format!(
        "magnet:?xt=urn:btih:{}&x.pe={}{}",
        item.info_hash,
        published.daemon.peer,
        trackers.chain(seeds).collect::<String>()
    );
    let stranger = "192.168.7.77";
    for settings in [
        "\"out_enc_policy\": 2",
        "\"out_enc_policy\": 0, \"allowed_enc_level\": 2, \"prefer_rc4\": true",
        "\"enable_outgoing_tcp\": false",
    ] {
        // All categories of what it notices.
        let settings = format!(
            "{{ \"listen_interfaces\": \"{stranger}:0\", \"outgoing_interfaces\": \"{stranger}\", \"alert_mask\": 2147483647, {settings} }}"
        );
        let mut client = libtorrent_with(&source, &folder("stranger"), &settings);
        let refused = |line: &str| line.contains("for members").then_some(());
        client.process.wait_for_line("the tracker's refusal", DOWNLOAD, refused);
        let hung_up =
            |line: &str| (line.contains("disconnecting") && line.contains(network::BOX)).then_some(());
        client.process.wait_for_line("the end of a connection", DOWNLOAD, hung_up);
        let said = client.process.said().join("\n");
        assert!(!said.contains("metadata successfully received"), "{said}");
    }
    assert_eq!(uploaded(), before);
}

#[test]
fn a_removed_member_is_out_at_once() {
    let published = publish(site());
    let item = published.item(BOB);
    assert_eq!(published.announce(BOB, 1), None);
    let mut connected = Peer::connect(published.daemon.peer, &item.info_hash, true).unwrap();
    connected.become_unchoked().unwrap();

    let published = published.restart_with(&[("alice", ALICE)]);
    assert!(connected.block(0, 0, 1 << 14).is_err(), "the connection ended with the daemon");
    published.item(ALICE);
    assert!(Peer::connect(published.daemon.peer, &item.info_hash, true).is_err(), "it was admitted before");
    let failure = published.announce(BOB, 1);
    assert!(failure.as_ref().is_some_and(|words| words.contains("for members")), "{failure:?}");
    assert!(Peer::connect(published.daemon.peer, &item.info_hash, true).is_err(), "it has announced in vain");
    for path in ["/".to_owned(), "/files/secret.bin".into(), format!("/torrents/{}.torrent", item.info_hash)]
    {
        let response = published.api(BOB).get(&path);
        assert_eq!(response.status, 403, "{path}");
        assert!(!tells_of_it(&response, &item), "{path}");
    }
    // Who stays is none the wiser.
    assert_eq!(published.announce(ALICE, 1), None);
    assert!(Peer::connect(published.daemon.peer, &item.info_hash, true).is_ok());
}

#[test]
fn the_stock_client_of_a_removed_member_gets_nothing_more() {
    use system_tests::clients::libtorrent_with;
    if !network::make_lan() {
        return system_tests::left_out("downloads by members", "no network of its own");
    }
    // In a network of its own the box can have the same ports again.
    let [web, tracker, peer] = [80, 6969, 6881].map(|port| format!("{}:{port}", network::BOX));
    let slowly =
        format!("{}[limits]\nupload_rate = \"64 KiB/s\"\n", config(&[("alice", ALICE), ("bob", BOB)]));
    let site = Site::new().with_options(&["--web", &web, "--tracker", &tracker, "--peer", &peer]);
    let published = publish(site.with_config(&slowly));
    let torrent = published.item(BOB).torrent_without_web_seeds(published.site.folder());
    let folder = published.site.folder().join("bob");
    let mut client =
        libtorrent_with(&torrent, &folder, r#"{ "alert_mask": 2147483647, "min_reconnect_time": 1 }"#);
    let uploaded =
        |box_: &Box| box_.api(ALICE).item("secret.bin").unwrap()["uploaded_bytes"].as_u64().unwrap();
    let minute = Duration::from_mins(1);
    system_tests::wait::until_holds("a part of it", minute, || uploaded(&published) > 0);

    let published = published.restart_with(&[("alice", ALICE)]);
    published.item(ALICE);
    let (before, said) = (uploaded(&published), client.process.said().len());
    let hung_up = |line: &String| line.contains("disconnecting") && line.contains(network::BOX);
    system_tests::wait::until_holds("it comes again and again", minute, || {
        client.process.said()[said..].iter().filter(|line| hung_up(line)).count() >= 3
    });
    assert!(client.process.is_running(), "it has got everything");
    assert_eq!(uploaded(&published), before);
}
