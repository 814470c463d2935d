//! HTTP as nobody means well sends it: everybody gets a clear answer or none, nothing that is not published ever leaves, and
//! whoever means well is served meanwhile.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::http::{Request, connect_from};
use system_tests::{figure, left_out, network};

use super::web::publish;

/// Time in which a nonsense request is answered, or hung up on.
const SOON: Duration = Duration::from_secs(5);

/// What is in every file that nobody may have.
const SECRET: &[u8] = b"this is secret";

/// Everything that the box says to these bytes until it hangs up.
#[track_caller]
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // It may have hung up before it has all of it.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "no hanging up on {:?}", cut(bytes));
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned()
}

/// The statuses of all answers in what was said.
fn statuses(said: &str) -> Vec<u16> {
    said.match_indices("HTTP/1.1 ")
        .chain(said.match_indices("HTTP/1.0 "))
        .map(|(at, _)| said[at + 9..at + 12].parse().unwrap())
        .collect()
}

/// A request that asks for hanging up after the answer.
fn last(request: &str) -> String {
    request.replacen("\r\n", "\r\nConnection: close\r\n", 1) + "\r\n"
}

#[test]
fn what_is_no_proper_request_is_refused_and_hung_up_on() {
    let site = Site::new();
    let daemon = site.start();
    let host = "Host: a\r\n";
    let long = "x".repeat(100_000);
    for (request, expected) in [
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), &[414, 431][..]),
        (format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n"), &[431]),
        (format!("GET / HTTP/1.1\r\n{host}{long}: x\r\n\r\n"), &[431]),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "a: b\r\n".repeat(1000)), &[431]),
        (format!("{long} / HTTP/1.1\r\n{host}\r\n"), &[400, 431]),
        (format!("GET / HTTP/1.1\r\n{host}no colon\r\n\r\n"), &[400]),
        (format!("GET / HTTP/1.1\r\n{host}X : y\r\n\r\n"), &[400]),
        (format!("GET / HTTP/1.1\r\n{host}X: y\r\n folded\r\n\r\n"), &[400]),
        (format!("GET / HTTP/1.1\r\n{host}X: \0\r\n\r\n"), &[400]),
        (format!("GET /\0 HTTP/1.1\r\n{host}\r\n"), &[400]),
        (format!("GET / HTTP/9.9\r\n{host}\r\n"), &[400, 505]),
        (format!("GET / HTTP/1.1 \r\n{host}\r\n"), &[400]),
        (format!("GE\x01T / HTTP/1.1\r\n{host}\r\n"), &[400]),
        ("GET /\r\n\r\n".to_owned(), &[400]),
        // Not even that.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{7c}\x03\x03\r\n\r\n".to_owned(), &[400]),
        // Hosts: none, two, and what is none.
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), &[400]),
        (last(&format!("GET / HTTP/1.1\r\n{host}Host: b\r\n")), &[400]),
        (last("GET / HTTP/1.1\r\nHost: a b\r\n"), &[400]),
        (last("GET http://a:b/ HTTP/1.1\r\nHost: a\r\n"), &[400]),
        (last("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n"), &[400]),
        // Nothing can be done here but to look.
        (last(&format!("CONNECT a:25 HTTP/1.1\r\n{host}")), &[405]),
        (last(&format!("OPTIONS * HTTP/1.1\r\n{host}")), &[405]),
        (last(&format!("GET * HTTP/1.1\r\n{host}")), &[400, 404]),
    ] {
        let said = exchange(daemon.api.address, request.as_bytes());
        let statuses = statuses(&said);
        assert!(
            statuses.len() == expected.len().min(1) && statuses.iter().all(|it| expected.contains(it)),
            "{:?}: {statuses:?}",
            cut(request.as_bytes())
        );
    }
    assert_eq!(daemon.api.get("/healthz").status, 200);
    daemon.end();
}

#[test]
fn no_request_hides_in_another() {
    let site = Site::new();
    let daemon = site.start();
    let hidden = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let framings = [
        // Each of these ends the body somewhere else.
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ];
    for (framing, method) in framings.iter().flat_map(|framing| [(framing, "GET"), (framing, "POST")]) {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{framing}\r\n0\r\n\r\n{hidden}");
        let said = exchange(daemon.api.address, request.as_bytes());
        assert!(statuses(&said).len() <= 1 && !said.ends_with("ok\n"), "{request:?}: {said}");
    }
}

#[test]
fn old_and_hasty_clients_are_answered() {
    let site = Site::new();
    let daemon = publish(&site, &["file"]);
    let content = fs::read(site.publish().join("file")).unwrap();
    let content = String::from_utf8_lossy(&content);
    // HTTP/1.0 hangs up after the answer, and may name no host.
    let said = exchange(daemon.api.address, b"GET /files/file HTTP/1.0\r\n\r\n");
    assert!(statuses(&said) == [200] && said.ends_with(&*content), "{}", cut(said.as_bytes()));
    // All at once are answered one after the other.
    let asked = ["GET /healthz", "HEAD /files/file", "GET /nothing", "GET /files/file"];
    let asked: Vec<String> = asked.iter().map(|it| format!("{it} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let asked = asked.concat() + &last("GET /healthz HTTP/1.1\r\nHost: a\r\n");
    let said = exchange(daemon.api.address, asked.as_bytes());
    assert_eq!(statuses(&said), [200, 200, 404, 200, 200]);
    assert!(said.contains(&*content) && said.ends_with("ok\n"), "{said}");
    // Nobody waits for a body that will not be looked at, or for another protocol.
    for fields in [
        "Content-Length: 1000000\r\nExpect: 100-continue\r\n",
        "Content-Length: 1000000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close, Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ] {
        let said = exchange(
            daemon.api.address,
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes(),
        );
        assert!(statuses(&said) == [200] && said.ends_with("ok\n"), "{fields}: {said}");
    }
}

#[test]
fn no_path_leads_out_of_what_is_published() {
    let site = Site::new();
    let published = site.publish();
    fs::create_dir_all(published.join("folder/inner")).unwrap();
    fs::create_dir(site.folder().join("outside")).unwrap();
    for path in ["secret", "outside/inside", "publish/.hidden", "publish/folder/.hidden", "publish/x.part"] {
        fs::write(site.folder().join(path), SECRET).unwrap();
    }
    std::os::unix::fs::symlink("../secret", published.join("link")).unwrap();
    fs::create_dir(published.join("trap")).unwrap();
    std::os::unix::fs::symlink("/etc", published.join("trap/etc")).unwrap();
    let daemon = publish(&site, &["file", "other/inside", "folder/inner/inside"]);
    for name in ["other", "folder"] {
        daemon.api.seeding(name);
    }
    daemon.api.wait_for("trap", "failed", system_tests::api::SOON);

    let ups = ["..", "%2e%2e", ".%2E", "%252e%252e", "..%00", "..;", "%c0%ae%c0%ae", "%uff0e%uff0e", "...."];
    let slashes = ["/", "%2f", "//", "%252f", "\\", "%5c", "/./", "%c0%af", "%00/"];
    let climbs = ups.iter().flat_map(|up| slashes.map(|slash| [*up, slash].concat()));
    let mut targets: Vec<String> = climbs
        .flat_map(|climb| {
            let (once, twice) = (climb.clone(), climb.repeat(2));
            [
                format!("/files/{once}secret"),
                format!("/files/folder/{twice}secret"),
                format!("/files/folder/inner/{once}.hidden"),
                format!("/files/file/{once}.hidden"),
                format!("/files/{}etc/passwd", climb.repeat(12)),
                format!("/{once}files/{once}secret"),
                format!("/torrents/{once}files/{once}secret"),
                format!("/items/{once}{once}secret"),
            ]
        })
        .collect();
    let single = [
        "/files//etc/passwd",
        "/files/%2fetc%2fpasswd",
        "/files/file/",
        "/files/file/x",
        "/files/folder/.hidden",
        "/files/trap/etc/passwd",
        "/files/folder//inner/inside",
        "/files/folder/inner/inside/",
        "/files/folder/inner/inside%00",
        "/files/folder/inner/inside%00.txt",
        "/files/link",
        "/files/.hidden",
        "/files/%2ehidden",
        "/files/x.part",
        "/files/.blackbox-publish-folder",
        "/files/FILE",
        "/files/file.",
        "/files/file::$DATA",
        "/files/%ff",
        "/files/",
        "/files",
    ];
    targets.extend(single.map(str::to_owned));
    for target in targets {
        let response = daemon.api.get(&target);
        assert!([400, 404].contains(&response.status), "{target}: {}", response.status);
        assert!(!response.body.windows(SECRET.len()).any(|window| window == SECRET), "{target}");
    }

    // Links put in place of a published file, and of its folder, lead nowhere.
    let secret = site.folder().join("secret");
    fs::remove_file(published.join("file")).unwrap();
    std::os::unix::fs::symlink(&secret, published.join("file")).unwrap();
    fs::remove_dir_all(published.join("other")).unwrap();
    std::os::unix::fs::symlink(site.folder().join("outside"), published.join("other")).unwrap();
    for target in ["/files/file", "/files/other/inside"] {
        let response = daemon.api.get(target);
        assert!([404, 410].contains(&response.status), "{target}: {}", response.status);
    }
}

#[test]
fn admin_believes_no_host_that_somebody_else_can_have() {
    let site = Site::new();
    let daemon = site.start();
    let own = daemon.api.address;
    for (request, status) in [
        (format!("GET /admin HTTP/1.1\r\nHost: {own}\r\n"), 200),
        ("GET /admin HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 403),
        // The target counts, where it names a host.
        (format!("GET http://evil.example/admin HTTP/1.1\r\nHost: {own}\r\n"), 403),
        (format!("GET /admin HTTP/1.1\r\nHost: evil.example\r\nHost: {own}\r\n"), 400),
        (format!("GET /admin HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n"), 400),
        (format!("GET /admin HTTP/1.1\r\nHost: {own}@evil.example\r\n"), 400),
        (format!("GET /admin HTTP/1.1\r\nHost: evil.example#{own}\r\n"), 400),
        (format!("GET /admin HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: {own}\r\n"), 403),
        ("GET /admin HTTP/1.1\r\n".to_owned(), 400),
        ("GET /%61dmin HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 404),
        ("GET //admin HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 404),
        ("GET /admin/events HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 403),
    ] {
        assert_eq!(statuses(&exchange(own, last(&request).as_bytes())), [status], "{request:?}");
    }
    // Who it is that asks is told by nobody but the kernel.
    let claims = Request::get("/admin").host("evil.example").field("X-Forwarded-For", "127.0.0.1");
    assert_eq!(claims.send(own).status, 403);
}

/// Connections that ask for nothing, or a byte at a time.
const IDLE: u32 = 10_000;

/// Those of one address.
const FROM_ONE_ADDRESS: u32 = 100;

/// An honest visitor comes after so many.
const BETWEEN_VISITS: u32 = 1_000;

/// Connections that a listener holds.
const HELD: u32 = 1024;

/// Bytes of a head that is not finished: nearly as many as there may be.
const LONG_HEAD: usize = 15_000;

/// Memory that a connection costs at most, in bytes: all that a listener holds take a tenth of the smallest machine's.
const MEMORY: u64 = 48 * 1024;

/// Of the loopback networks, which are not counted: as if everybody came from another one.
fn source(number: u32) -> IpAddr {
    let [.., third, fourth] = (number / FROM_ONE_ADDRESS).to_be_bytes();
    Ipv4Addr::new(127, 2, third, fourth).into()
}

#[track_caller]
fn visit(daemon: &Daemon) -> Duration {
    let asked = Instant::now();
    let pages = ["/", "/feed.xml"].map(|target| daemon.api.get(target));
    assert!(pages.iter().all(|page| page.status == 200));
    asked.elapsed()
}

#[test]
fn thousands_of_idle_connections_keep_nobody_out_and_take_little_memory() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    if hard < u64::from(IDLE) + 200 {
        return left_out("10,000 idle connections", "too few descriptors");
    }
    let site = Site::new();
    let daemon = site.start();
    visit(&daemon);
    let before = daemon.own_memory();
    let mut longest = Duration::ZERO;
    let mut idle = Vec::new();
    let unfinished = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "y".repeat(LONG_HEAD));
    for (what, said) in [("nothing", ""), ("a long head without its end", unfinished.as_str())] {
        for number in 0..IDLE / 2 {
            let mut stream = connect_from(source(number), daemon.api.address).unwrap();
            // It may have had to give way already.
            let _ = stream.write_all(said.as_bytes());
            idle.push(stream);
            if number % BETWEEN_VISITS == BETWEEN_VISITS - 1 {
                longest = longest.max(visit(&daemon));
            }
        }
        let each = daemon.own_memory().saturating_sub(before) / u64::from(HELD);
        figure(&format!("10,000 idle connections, memory of each that says {what} (bytes)"), each);
        assert!(each < MEMORY, "{each} bytes for each connection that says {what}");
    }
    figure("10,000 idle connections, longest wait of a visitor for two pages", longest);
    assert!(longest < SOON, "a visitor waited for {longest:?}");
    drop(idle);
    visit(&daemon);
    daemon.end();
}

#[test]
fn slow_readers_leave_downloads_to_others() {
    // Of all downloads at once, those of one network.
    const OF_ONE_NETWORK: usize = 64;
    let addresses = ["198.51.100.1/32", "203.0.113.5/32", "203.0.113.6/32", "203.0.114.5/32"];
    if !network::make_private_with(&addresses) {
        return left_out("downloads of one network", "no network of its own");
    }
    let [greedy, neighbour, other]: [IpAddr; 3] =
        ["203.0.113.5", "203.0.113.6", "203.0.114.5"].map(|it| it.parse().unwrap());
    let site = Site::new().listening_on("[::]");
    // More than the kernel takes from the box for somebody who reads nothing.
    write_file(&mut Chance::fresh(), &site.publish().join("film"), 32 << 20);
    let daemon = site.start();
    daemon.api.seeding("film");
    let web = SocketAddr::new("198.51.100.1".parse().unwrap(), daemon.api.address.port());
    let begin = |source| {
        let mut stream = connect_from(source, web).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(b"GET /files/film HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (stream, String::from_utf8_lossy(&status[9..]).into_owned())
    };
    let before = daemon.own_memory();
    let kept: Vec<_> = (0..OF_ONE_NETWORK).map(|_| begin(greedy)).collect();
    assert!(kept.iter().all(|(_, status)| status == "200"));
    let each = daemon.own_memory().saturating_sub(before) / OF_ONE_NETWORK as u64;
    figure("downloads that are not read, memory of each (bytes)", each);
    assert_eq!([begin(greedy).1, begin(neighbour).1, begin(other).1], ["503", "503", "200"]);
    drop(kept);
    system_tests::wait::until_holds("their places again", SOON, || begin(neighbour).1 == "200");
    daemon.end();
}
