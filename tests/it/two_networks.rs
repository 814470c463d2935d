//! A box at home, behind a router that masks it: who is at home and who is in the world both get everything, each by
//! addresses that work for him.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use system_tests::api::{Api, Published};
use system_tests::clients::{COMMON, Client, DOWNLOAD, Download};
use system_tests::content::{Chance, assert_downloaded, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::gateway::{Gateway, Manners};
use system_tests::rooms::{self, Home, Room};
use system_tests::tracker::{Announce, Answer, UdpClient};
use system_tests::{left_out, wait};

/// A box that publishes a file at home.
struct Box {
    home: Home,
    site: Site,
    path: PathBuf,
    daemon: Daemon,
    item: Published,
}

/// A download, and the folder it fills.
type Begun = (Download, PathBuf);

const NO_DISCOVERY: &str = "[discovery]\nlocal = false\ndht = false\nexchange = false\n";

/// A home, unless this machine can have none; the calling thread is with the box.
fn home() -> Option<Home> {
    Home::new().inspect_err(|reason| left_out("a box behind a router", reason)).ok()
}

fn publish(home: Home, config: &str) -> Box {
    home.r#box.enter();
    let anywhere = ["--web", "[::]:0", "--tracker", "[::]:0", "--peer", "[::]:0"];
    let site = Site::new().with_options(&anywhere).with_config(&format!("{config}{NO_DISCOVERY}"));
    let path = site.publish().join("file");
    write_file(&mut Chance::fresh(), &path, (3 << 20) + 12_345);
    let daemon = site.start();
    // As the home sees it: the links on its page lead to where they were asked for.
    let address = SocketAddr::new(ip(rooms::BOX), daemon.api.address.port());
    let item = Api::new(address).seeding("file");
    Box { home, site, path, daemon, item }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Box {
    /// A client of each kind in this room begins to download from peers alone, by what these trackers say.
    #[track_caller]
    fn start(&self, room: &Room, who: &str, trackers: &[String], clients: &[Client]) -> Vec<Begun> {
        let own = self.site.folder().join(who);
        fs::create_dir(&own).unwrap();
        self.home.neighbour.enter();
        let torrent = self.item.changed_torrent(&own, |metainfo| {
            metainfo.web_seeds.clear();
            metainfo.announce = trackers.iter().map(|tracker| vec![tracker.clone()]).collect();
        });
        room.enter();
        let start = |client: &Client| {
            let folder = own.join(format!("{client:?}"));
            (client.start(&torrent, &folder), folder)
        };
        clients.iter().map(start).collect()
    }

    /// All of them get everything.
    #[track_caller]
    fn finish(&self, downloads: impl IntoIterator<Item = Vec<Begun>>) {
        for (download, folder) in downloads.into_iter().flatten() {
            download.finish(DOWNLOAD);
            assert_downloaded(&self.path, &folder.join("file"));
        }
    }

    /// What a peer of this number is told over HTTP, who comes from one address and asks at another.
    #[track_caller]
    fn told(&self, room: &Room, number: u16, from: &str, at: SocketAddr) -> Answer {
        room.enter();
        Announce::new(self.item.info_hash, number).http_from(ip(from), at)
    }

    /// The same over UDP.
    #[track_caller]
    fn told_by_udp(&self, room: &Room, number: u16, from: &str, at: SocketAddr) -> Answer {
        room.enter();
        let client = UdpClient::connect(SocketAddr::new(ip(from), 0), at);
        client.announce(&Announce::new(self.item.info_hash, number)).unwrap()
    }

    fn tracker_at(&self, address: &str) -> SocketAddr {
        SocketAddr::new(ip(address), self.daemon.tracker.port())
    }

    fn peers_at(&self, address: &str) -> SocketAddr {
        SocketAddr::new(ip(address), self.daemon.peer.port())
    }

    /// Whoever asks is told addresses that work for him, the box's among them. `outside` is where the router forwards to
    /// the tracker and the peers.
    #[track_caller]
    fn check_addresses(&self, outside: [SocketAddr; 2]) {
        let Home { neighbour, stranger, .. } = &self.home;
        let [tracker, peers] = outside;
        let at_home = [rooms::NEIGHBOUR, rooms::NEIGHBOUR_V6].map(ip);
        let cases = [
            (neighbour, rooms::NEIGHBOUR, self.tracker_at(rooms::BOX), self.peers_at(rooms::BOX)),
            (
                neighbour,
                rooms::NEIGHBOUR_V6,
                self.tracker_at(rooms::BOX_PRIVATE_V6),
                self.peers_at(rooms::BOX_PRIVATE_V6),
            ),
            // Through the router and back.
            (neighbour, rooms::NEIGHBOUR, tracker, self.peers_at(rooms::BOX)),
            (stranger, rooms::STRANGER, tracker, peers),
            (stranger, rooms::STRANGER_V6, self.tracker_at(rooms::BOX_V6), self.peers_at(rooms::BOX_V6)),
        ];
        // Twice, so that everybody is there when they are asked for the second time.
        for _ in 0..2 {
            for (number, (room, from, at, own)) in (1..).zip(cases) {
                for answer in [self.told(room, number, from, at), self.told_by_udp(room, number, from, at)] {
                    let is_stranger = std::ptr::eq(room, stranger);
                    assert!(answer.peers.contains(&own), "{from} asked {at}: {answer:?}");
                    for peer in &answer.peers {
                        let ip = peer.ip();
                        assert!(
                            !ip.is_unspecified() && !ip.is_loopback() && peer.port() != 0,
                            "{from}: {answer:?}"
                        );
                        let is_private = at_home.contains(&ip) || ip.to_string().starts_with("192.168.");
                        let is_private = is_private || ip.to_string().starts_with("fd");
                        assert!(!(is_private && is_stranger), "{from} is told of {peer}");
                    }
                }
            }
        }
        // Those at home hear of each other.
        let answer = self.told(neighbour, 9, rooms::NEIGHBOUR, self.tracker_at(rooms::BOX));
        assert!(answer.peers.iter().any(|peer| peer.ip() == at_home[0]), "{answer:?}");
        for (number, (room, from, at, _)) in (1..).zip(cases).chain([(9, cases[0])]) {
            room.enter();
            Announce::new(self.item.info_hash, number).event("stopped").http_from(ip(from), at);
        }
    }
}

/// By how much the ports that the router maps are higher.
const SHIFT: u16 = 77;

/// The clients that ask a UDP tracker; aria2 knows none.
const UDP: &[Client] = &[Client::Transmission, Client::Libtorrent];

#[test]
fn clients_at_home_and_in_the_world_finish_under_the_configured_public_host() {
    let Some(home) = home() else { return };
    let published = publish(home, &format!("public_host = \"{}\"\n", rooms::OUTSIDE));
    let Daemon { tracker, peer, api, .. } = &published.daemon;
    for port in [tracker.port(), peer.port(), api.address.port()] {
        published.home.forward(port, port);
    }
    published.check_addresses([published.tracker_at(rooms::OUTSIDE), published.peers_at(rooms::OUTSIDE)]);

    // As it is given to everybody: under the public host, which those at home reach through the router and back.
    let (metainfo, _) = published.home.neighbour.visit(|| published.item.metainfo());
    let trackers: Vec<String> = metainfo.announce.concat();
    assert_eq!(trackers.len(), 2, "over HTTP and UDP");
    assert!(trackers.iter().all(|url| url.contains(rooms::OUTSIDE)), "{trackers:?}");
    let Home { neighbour, stranger, .. } = &published.home;
    let at = |address| [format!("http://{}/announce", published.tracker_at(address))];
    let both = [Client::Libtorrent, Client::Transmission];
    published.finish([
        published.start(neighbour, "at home", &trackers[..1], &COMMON),
        published.start(stranger, "far away", &trackers[..1], &COMMON),
        published.start(stranger, "far away over UDP", &trackers[1..], UDP),
        published.start(stranger, "far away over IPv6", &at(rooms::BOX_V6), &both),
        published.start(neighbour, "at home over IPv6", &at(rooms::BOX_PRIVATE_V6), &both),
    ]);
    published.daemon.end();
}

#[test]
fn clients_at_home_and_in_the_world_finish_where_the_router_maps_other_ports() {
    let Some(home) = home() else { return };
    let gateway = Gateway::start(&home, Manners { shift: SHIFT, forwards: true, ..Manners::default() });
    let published = publish(home, "[network]\nport_mapping = true\n");
    wait::until_holds("the ports are mapped", DOWNLOAD, || {
        published.daemon.api.metric("blackbox_port_mapping{state=\"mapped\"}") == 1
    });
    let outside = [published.tracker_at(rooms::OUTSIDE), published.peers_at(rooms::OUTSIDE)]
        .map(|address| SocketAddr::new(address.ip(), address.port().wrapping_add(SHIFT)));
    published.check_addresses(outside);
    let Home { neighbour, stranger, .. } = &published.home;
    let http = |tracker| [format!("http://{tracker}/announce")];
    published.finish([
        published.start(neighbour, "at home", &http(published.tracker_at(rooms::BOX)), &COMMON),
        published.start(stranger, "far away", &http(outside[0]), &COMMON),
        published.start(stranger, "far away over UDP", &[format!("udp://{}", outside[0])], UDP),
    ]);
    published.daemon.end();
    assert!(gateway.asked().iter().any(|asked| asked.is_end), "nothing was taken back");
}
