//! The page, the web seed and everything for programs.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::http::{Request, get_url};
use system_tests::tracker::escape;

/// Names that break careless markup, URLs and header fields.
const AWKWARD: [&str; 5] =
    ["a & <b> \"c\"'.iso", "50% #1?x=y+z;q", "日本語 Ü.bin", "a..b ..c", "tab\there\u{1}"];

/// A daemon that seeds files of these names.
#[track_caller]
pub(super) fn publish(site: &Site, names: &[&str]) -> Daemon {
    let mut chance = Chance::fresh();
    for name in names {
        write_file(&mut chance, &site.publish().join(name), 5000);
    }
    let daemon = site.start();
    names.iter().filter(|name| !name.contains('/')).for_each(|name| drop(daemon.api.seeding(name)));
    daemon
}

#[test]
fn only_get_and_head_are_answered() {
    let site = Site::new();
    let daemon = publish(&site, &["file"]);
    let torrent = daemon.api.seeding("file").torrent_url;
    let torrent = torrent.strip_prefix(&format!("http://{}", daemon.api.address)).unwrap();
    for (target, kind) in [
        ("/", "text/html"),
        ("/admin", "text/html"),
        ("/script.js", "text/javascript"),
        ("/feed.xml", "application/rss+xml"),
        ("/api/v1/items", "application/json"),
        ("/api/v1/status", "application/json"),
        ("/api/v1/history", "application/json"),
        ("/api/v1/openapi.json", "application/json"),
        ("/metrics", "text/plain"),
        ("/healthz", "text/plain"),
        ("/files/file", ""),
        (torrent, "application/x-bittorrent"),
    ] {
        let response = daemon.api.get(target);
        assert_eq!(response.status, 200, "{target}");
        assert!(
            response.field("content-type").unwrap_or_default().starts_with(kind),
            "{target}: {response:?}"
        );
        let head = Request::new("HEAD", target).send(daemon.api.address);
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD {target}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
            let refused = Request::new(method, target).send(daemon.api.address);
            assert_eq!(
                (refused.status, refused.field("allow")),
                (405, Some("GET, HEAD")),
                "{method} {target}"
            );
        }
    }
    for target in
        ["/nothing", "/torrents/", "/torrents/x.torrent", "/files/nothing", "/admin/x", "//", "/api/v2/items"]
    {
        assert_eq!(daemon.api.get(target).status, 404, "{target}");
    }
    let unknown = format!("/torrents/{}.torrent", "ab".repeat(20));
    assert_eq!(daemon.api.get(&unknown).status, 404);
}

#[test]
fn items_have_the_fields_of_the_contract() {
    let site = Site::new();
    let daemon = publish(&site, &["folder/one", "folder/two"]);
    let item = daemon.api.wait_for("folder", "seeding", system_tests::api::SOON);
    let hash = item["info_hash_v1"].as_str().unwrap();
    assert_eq!(hash.len(), 40);
    let (name, size) = (&item["name"], &item["size_bytes"]);
    assert_eq!((name, size, &item["file_count"]), (&"folder".into(), &10_000.into(), &2.into()));
    assert_eq!(item["info_hash_v2"].as_str().map(str::len), Some(64));
    assert_eq!(item["error"], Value::Null);
    assert_eq!(item["progress"], 1.0);
    assert_eq!(item["torrent_url"], format!("http://{}/torrents/{hash}.torrent", daemon.api.address));
    assert!(item["magnet"].as_str().unwrap().starts_with(&format!("magnet:?xt=urn:btih:{hash}")), "{item}");
    for key in ["seeders", "leechers", "completed", "uploaded_bytes"] {
        assert!(item[key].is_u64(), "{key} in {item}");
    }
    let added = item["added"].as_str().unwrap();
    assert!(added.len() >= 20 && &added[10..11] == "T" && added.ends_with('Z'), "{added} is not RFC 3339");

    // What is not published yet has the same fields.
    fs::write(site.publish().join("new"), b"x").unwrap();
    let new = daemon.api.wait_for("new", "settling", std::time::Duration::from_secs(5));
    let keys = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<HashSet<_>>();
    assert_eq!(keys(&new), keys(&item));
    for key in ["info_hash_v1", "info_hash_v2", "torrent_url", "magnet"] {
        assert_eq!(new[key], Value::Null, "{key}");
    }
    assert_eq!(daemon.api.items()[0]["name"], "new", "newest first");
}

#[test]
fn awkward_names_work_on_every_surface() {
    let site = Site::new();
    let daemon = publish(&site, &AWKWARD);
    let page = daemon.api.get("/");
    assert!(!page.text().contains("<b>"), "a name broke out of its place");
    let feed = daemon.api.get("/feed.xml");
    let feed = roxmltree::Document::parse(feed.text()).unwrap();
    let enclosures: Vec<_> = feed.descendants().filter(|node| node.has_tag_name("enclosure")).collect();
    assert_eq!(enclosures.len(), AWKWARD.len());
    for enclosure in enclosures {
        let torrent = get_url(enclosure.attribute("url").unwrap());
        assert_eq!(torrent.status, 200);
        assert_eq!(enclosure.attribute("type"), Some("application/x-bittorrent"));
        assert_eq!(enclosure.attribute("length"), Some(torrent.body.len().to_string().as_str()));
    }
    for name in AWKWARD {
        let item = daemon.api.seeding(name);
        let (metainfo, info) = item.metainfo();
        assert_eq!(info.name, name);
        let page = daemon.api.get(&format!("/items/{}", item.info_hash));
        assert!(page.status == 200 && !page.text().contains("<b>"), "a name broke out of its place");
        // BEP 19: a client appends the name to the web seed.
        let seed = format!("{}{}", metainfo.web_seeds[0], escape(name.as_bytes()));
        assert!(get_url(&seed).body == fs::read(site.publish().join(name)).unwrap(), "{seed}");
        let disposition = get_url(&item.torrent_url).field("content-disposition").unwrap().to_owned();
        assert!(disposition.starts_with("attachment; ") && !disposition.contains('\u{1}'), "{disposition}");
    }
}

#[test]
fn files_are_served_with_ranges() {
    let site = Site::new();
    let daemon = publish(&site, &["file", "folder/Ü b"]);
    let content = fs::read(site.publish().join("file")).unwrap();
    let whole = daemon.api.get("/files/file");
    assert!(whole.body == content);
    assert_eq!(whole.field("accept-ranges"), Some("bytes"));
    assert!(whole.field("last-modified").is_some());
    let etag = whole.field("etag").unwrap().to_owned();
    for (range, status, expected) in [
        ("bytes=0-0", 206, &content[..1]),
        ("bytes=1000-1999", 206, &content[1000..2000]),
        ("bytes=4990-", 206, &content[4990..]),
        ("bytes=-10", 206, &content[4990..]),
        ("bytes=4000-99999", 206, &content[4000..]),
        ("lines=1-2", 200, &content),
    ] {
        let part = Request::get("/files/file").field("Range", range).send(daemon.api.address);
        assert_eq!(part.status, status, "{range}");
        assert!(part.body == expected, "{range}");
        if status == 206 {
            let at = content.windows(expected.len()).position(|window| window == expected).unwrap();
            let said = format!("bytes {at}-{}/5000", at + expected.len() - 1);
            assert_eq!(part.field("content-range"), Some(said.as_str()), "{range}");
        }
    }
    for beyond in ["bytes=5000-", "bytes=-0", "bytes=18446744073709551616-"] {
        let answer = Request::get("/files/file").field("Range", beyond).send(daemon.api.address);
        let said = (answer.status, answer.field("content-range"));
        assert_eq!(said, (416, Some("bytes */5000")), "{beyond}");
    }
    // Nobody gets more than the file, however often it is asked for at once.
    let many = format!("bytes={}0-", "0-,".repeat(2000));
    let overlapping: Vec<_> = (0..1000).map(|first| format!("{first}-{}", first + 4000)).collect();
    let overlapping = format!("bytes={}", overlapping.join(","));
    for odd in [&many, &overlapping, "bytes=9-1", "bytes=0x10-0x20"] {
        let answer = Request::get("/files/file").field("Range", odd).send(daemon.api.address);
        assert!(answer.status == 200 && answer.body == content, "{odd}");
    }
    // A download that is resumed gets the rest of the same version, or all of another one.
    let resume = |etag: &str| {
        let request = Request::get("/files/file").field("Range", "bytes=10-").field("If-Range", etag);
        request.send(daemon.api.address).status
    };
    assert_eq!((resume(&etag), resume("\"other\"")), (206, 200));
    let again = Request::get("/files/file").field("If-None-Match", &etag).send(daemon.api.address);
    assert_eq!(again.status, 304);
    let head = Request::new("HEAD", "/files/file").send(daemon.api.address);
    assert_eq!(head.field("content-length"), Some("5000"));

    daemon.api.seeding("folder");
    assert!(
        daemon.api.get("/files/folder/%C3%9C%20b").body
            == fs::read(site.publish().join("folder/Ü b")).unwrap()
    );
    assert!(daemon.api.get("/files/folder/").text().contains("Ü b"));
}

#[test]
fn texts_are_sent_compressed_and_only_when_they_have_changed() {
    let site = Site::new();
    // Enough for the shortest of them to be worth it.
    let daemon = publish(&site, &["file", "folder/one", "other file", "one more file"]);
    let hash = daemon.api.seeding("folder").info_hash;
    let ask = |target: &str, fields: &[(&str, &str)]| {
        let request = fields.iter().fold(Request::get(target), |it, (name, value)| it.field(name, value));
        request.send(daemon.api.address)
    };
    for target in ["/", &format!("/items/{hash}"), "/feed.xml", "/api/v1/items", "/style.css", "/script.js"] {
        let plain = ask(target, &[]);
        assert_eq!((plain.status, plain.field("content-encoding")), (200, None), "{target}");
        let packed = ask(target, &[("Accept-Encoding", "gzip, br")]);
        assert_eq!(packed.field("content-encoding"), Some("gzip"), "{target}");
        assert!(packed.body.len() < plain.body.len() / 2 + 200, "{target}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain.body, "{target}");
        for (answer, coding) in [(&plain, "identity"), (&packed, "gzip")] {
            let etag = answer.field("etag").unwrap();
            let again = ask(target, &[("Accept-Encoding", coding), ("If-None-Match", etag)]);
            assert_eq!((again.status, again.body.len()), (304, 0), "{target}");
        }
    }
    let before = ask("/", &[]);
    fs::write(site.publish().join("new"), b"new").unwrap();
    daemon.api.seeding("new");
    assert_eq!(ask("/", &[("If-None-Match", before.field("etag").unwrap())]).status, 200);
    let download = ask("/files/file", &[("Accept-Encoding", "gzip")]);
    assert_eq!((download.field("content-encoding"), download.body.len()), (None, 5000));
}

#[test]
fn what_many_ask_for_is_what_one_would_get() {
    let site = Site::new();
    let daemon = publish(&site, &["file", "other"]);
    let address = daemon.api.address;
    let ask = |target: &str| Request::get(target).send(address);
    let item = format!("/items/{}", daemon.api.seeding("file").info_hash);
    for target in ["/", &item, "/feed.xml", "/api/v1/items"] {
        let (many, alone) = ([(); 5].map(|()| ask(target)), daemon.api.get(target));
        for one in many {
            assert!(one.body == alone.body && one.field("etag") == alone.field("etag"), "{target}");
        }
        // Of each host its own links, and of each coding its own bytes, however soon after each other.
        let elsewhere = Request::get(target).host("other.example").send(address);
        assert!(elsewhere.body != alone.body, "{target}");
        assert_eq!(Request::get(target).field("Accept-Encoding", "gzip").send(address).status, 200);
        assert!(ask(target).body == alone.body, "{target}");
        let had = Request::get(target).field("If-None-Match", alone.field("etag").unwrap());
        assert_eq!(had.send(address).status, 304, "{target}");
    }
    // An item is gone from all at once.
    fs::remove_file(site.publish().join("file")).unwrap();
    system_tests::wait::until_holds("it is taken back", system_tests::api::SOON, || ask(&item).status == 404);
    for target in ["/", "/feed.xml", "/api/v1/items"] {
        assert!(!ask(target).text().contains(item.trim_start_matches("/items/")), "{target}");
    }
}

#[test]
fn listeners_are_told_when_something_changes_and_are_so_many_and_no_more() {
    const MANY: usize = 200;
    let site = Site::new();
    let (daemon, _) = site.start_with_file();
    let listen = || {
        let mut stream = BufReader::new(TcpStream::connect(daemon.api.address).unwrap());
        stream.get_ref().set_read_timeout(Some(system_tests::api::SOON)).unwrap();
        stream.get_mut().write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut status = String::new();
        stream.read_line(&mut status).unwrap();
        (status.contains("200").then_some(stream), status)
    };
    let next = |stream: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        while !line.starts_with("data:") {
            line.clear();
            assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the events have ended");
        }
    };
    let mut first = listen().0.expect("events");
    // One at once, so that nothing is missed between the page and its events.
    next(&mut first);
    fs::write(site.publish().join("new"), b"new").unwrap();
    // Without a change the next one comes after 15 seconds.
    first.get_ref().set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    next(&mut first);
    daemon.api.wait_for("new", "settling", std::time::Duration::from_secs(5));
    let mut listeners = vec![first];
    let refused = (0..MANY).find_map(|_| {
        let (listener, status) = listen();
        let refused = listener.is_none().then_some(status);
        listeners.extend(listener);
        refused
    });
    assert!(refused.is_some_and(|status| status.contains("503")), "all of {MANY} may listen");
    // Who leaves makes room.
    drop(listeners);
    system_tests::wait::until_holds("room", system_tests::api::SOON, || listen().0.is_some());
}

#[test]
fn a_file_that_changed_is_not_served() {
    let site = Site::new();
    let daemon = publish(&site, &["file"]);
    fs::write(site.publish().join("file"), vec![1; 5000]).unwrap();
    let response = daemon.api.get("/files/file");
    assert!([404, 410].contains(&response.status), "{}", response.status);
}

#[test]
fn links_follow_the_host_that_was_asked_or_the_public_one() {
    let site = Site::new();
    let daemon = publish(&site, &["file"]);
    let items = |host: &str| Request::get("/api/v1/items").host(host).send(daemon.api.address);
    let url = |host: &str| items(host).json()[0]["torrent_url"].as_str().unwrap().to_owned();
    assert!(url("box.local:81").starts_with("http://box.local:81/torrents/"));
    assert!(url("[::1]:81").starts_with("http://[::1]:81/torrents/"));
    for host in ["a/b", "a b", "\"><script>", "a:b:c", "a@b", "-"] {
        assert_eq!(items(host).status, 400, "{host}");
    }

    let site = Site::new().with_options(&["--public-host", "files.example.org"]);
    let daemon = publish(&site, &["file"]);
    let torrent = Request::get("/feed.xml").send(daemon.api.address);
    assert!(torrent.text().contains("http://files.example.org:"), "{}", torrent.text());
    let items = daemon.api.items();
    let magnet = items[0]["magnet"].as_str().unwrap();
    assert!(magnet.contains("files.example.org"), "{magnet}");
}

#[test]
fn metrics_are_readable_for_prometheus() {
    let site = Site::new();
    let daemon = publish(&site, &["file", "a \"b\" \\ c"]);
    let response = daemon.api.get("/metrics");
    let text = response.text();
    let mut typed = HashSet::new();
    let mut samples = HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge"].contains(&kind) && typed.insert(name.to_owned()), "{line}");
            assert!(!kind.eq("counter") || name.ends_with("_total"), "{line}");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok() && samples.insert(sample.to_owned()), "{line}");
            assert!(typed.contains(sample.split('{').next().unwrap()), "{line}");
        }
    }
    assert!(samples.iter().any(|sample| sample.starts_with("blackbox_items{state=\"seeding\"}")), "{text}");
    assert!(text.ends_with('\n'));
}

#[test]
fn the_page_asks_nobody_else_for_anything() {
    let site = Site::new();
    let daemon = publish(&site, &["file"]);
    for target in ["/", "/admin"] {
        let page = daemon.api.get(target);
        let policy = page.field("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{target}: {policy}");
        let text = page.text();
        assert!(!policy.contains("unsafe") && !text.contains("<script>"), "{target}: {policy}");
        for attribute in ["src=\"", "rel=\"stylesheet\" href=\""] {
            for found in text.match_indices(attribute) {
                let url = text[found.0 + attribute.len()..].split('"').next().unwrap();
                assert!(url.starts_with('/') && daemon.api.get(url).status == 200, "{target}: {url}");
            }
        }
    }
}
