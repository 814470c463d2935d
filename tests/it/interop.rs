//! Foreign clients download what the box publishes, byte for byte.

use system_tests::api::Published;
use system_tests::clients::{self, ALL, Client, DOWNLOAD, Demand};
use system_tests::content::{Chance, assert_downloaded, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::network;

/// A box that publishes a file and a folder.
struct Box {
    site: Site,
    daemon: Daemon,
    items: [Published; 2],
}

/// `None` where there can be no such network.
fn publish() -> Option<Box> {
    publish_in(network::make_lan(), network::BOX)
}

fn publish_in(network: bool, address: &str) -> Option<Box> {
    if !network {
        system_tests::left_out("downloads by foreign clients", "no network of its own");
        return None;
    }
    let site = Site::new().listening_on(address);
    let mut chance = Chance::fresh();
    write_file(&mut chance, &site.publish().join("film ü.iso"), (3 << 20) + 12_345);
    write_tree(&mut chance, &site.publish().join("folder & co"));
    let daemon = site.start();
    let items = ["film ü.iso", "folder & co"].map(|name| daemon.api.seeding(name));
    Some(Box { site, daemon, items })
}

impl Box {
    /// Downloads both items with each client, from what `source` makes of them.
    #[track_caller]
    fn check(&self, clients: &[Client], source: impl Fn(&Published) -> String) {
        self.check_with(Demand::Nothing, clients, source);
    }

    /// As [`Box::check`], by clients that take nothing but what is demanded.
    #[track_caller]
    fn check_with(&self, demand: Demand, clients: &[Client], source: impl Fn(&Published) -> String) {
        let mut downloads = Vec::new();
        for client in clients {
            if let Some(why) = client.cannot_demand(demand) {
                system_tests::left_out(&format!("downloads by {client:?}, demanding {demand:?}"), why);
                continue;
            }
            if !client.is_installed() {
                system_tests::left_out(&format!("downloads by {client:?}"), "it is not installed");
                continue;
            }
            for item in &self.items {
                let folder = self.site.folder().join(format!("{client:?} {}", item.name));
                let download = client.start_with(demand, &source(item), &folder);
                downloads.push((download, folder.join(&item.name), item));
            }
        }
        for (download, path, item) in downloads {
            download.finish(DOWNLOAD);
            assert_downloaded(&self.site.publish().join(&item.name), &path);
        }
    }

    /// Bytes given away for both items.
    fn uploaded(&self) -> u64 {
        self.daemon.api.items().iter().map(|item| item["uploaded_bytes"].as_u64().unwrap()).sum()
    }
}

/// All clients but those that can't do it, and why not.
fn all_but(what: &str, without: &[(Client, &str)]) -> Vec<Client> {
    for (client, why) in without {
        system_tests::left_out(&format!("downloads by {client:?} {what}"), why);
    }
    ALL.into_iter().filter(|client| without.iter().all(|(other, _)| other != client)).collect()
}

#[test]
fn clients_download_from_the_torrent_url() {
    let Some(published) = publish() else { return };
    published.check(&ALL, |item| item.torrent_url.clone());
    // Each client tells the tracker, which tells the page.
    let completed = |item: &Published| published.daemon.api.item(&item.name).unwrap()["completed"].as_u64();
    for item in &published.items {
        assert!(completed(item) >= Some(1), "{}", item.name);
    }
    published.daemon.end();
}

#[test]
fn clients_download_from_the_magnet_link() {
    let Some(published) = publish() else { return };
    published.check(&ALL, |item| item.magnet.clone());
}

#[test]
fn clients_download_from_peers_without_a_web_seed() {
    let Some(published) = publish() else { return };
    published.check(&ALL, |item| item.torrent_without_web_seeds(published.site.folder()));
    assert!(published.uploaded() > 0);
}

#[test]
fn clients_download_from_the_udp_tracker() {
    let Some(published) = publish() else { return };
    let clients = all_but("from a UDP tracker", &[(Client::Aria2, "the client knows none")]);
    published.check(&clients, |item| {
        item.changed_torrent(published.site.folder(), |metainfo| {
            metainfo.web_seeds.clear();
            metainfo.announce.iter_mut().for_each(|tier| tier.retain(|url| url.starts_with("udp:")));
            assert!(metainfo.announce.iter().any(|tier| !tier.is_empty()), "there is a UDP tracker");
        })
    });
}

#[test]
fn clients_download_from_the_web_seed_without_peers() {
    let Some(published) = publish() else { return };
    let without = [
        (Client::Rtorrent, "the client knows none"),
        (Client::Rqbit, "the client knows none"),
        (Client::Webtorrent, "the client does not escape the names of files"),
    ];
    let clients = all_but("from a web seed alone", &without);
    published.check(&clients, |item| {
        item.changed_torrent(published.site.folder(), |metainfo| metainfo.announce.clear())
    });
}

#[test]
fn clients_download_over_ipv6() {
    let Some(published) = publish_in(network::make_lan_v6(), &format!("[{}]", network::BOX_V6)) else {
        return;
    };
    let clients = all_but("over IPv6", &[(Client::Rtorrent, "the client (0.9.8) asks for no such peers")]);
    published.check(&clients, |item| item.torrent_without_web_seeds(published.site.folder()));
}

/// Those who can demand it download both items from peers alone.
#[track_caller]
fn check_demand(demand: Demand) {
    let Some(published) = publish() else { return };
    published.check_with(demand, &ALL, |item| item.torrent_without_web_seeds(published.site.folder()));
    assert!(published.uploaded() > 0);
}

#[test]
fn clients_that_demand_rc4_download() {
    check_demand(Demand::Rc4);
}

#[test]
fn clients_that_demand_an_encrypted_handshake_alone_download() {
    check_demand(Demand::EncryptedHandshake);
}

#[test]
fn clients_that_demand_utp_download() {
    check_demand(Demand::Utp);
}

impl Box {
    /// A field of an item in the API.
    fn field(&self, item: &Published, name: &str) -> String {
        self.daemon.api.item(&item.name).unwrap()[name].as_str().unwrap().to_owned()
    }
}

fn those_that_know_version_2() -> Vec<Client> {
    let others = [Client::Aria2, Client::Transmission, Client::Rtorrent, Client::Rqbit, Client::Webtorrent];
    all_but("of version 2", &others.map(|client| (client, "the client knows only version 1")))
}

#[test]
fn clients_that_know_version_2_download_by_its_torrent() {
    let Some(published) = publish() else { return };
    published.check(&those_that_know_version_2(), |item| published.field(item, "torrent_url_v2"));
    assert!(published.uploaded() > 0);
}

#[test]
fn clients_that_know_version_2_download_by_its_hash_alone() {
    let Some(published) = publish() else { return };
    // The hashes of pieces are asked for, too: they are not in the info dictionary.
    published.check(&those_that_know_version_2(), |item| {
        let (v1, v2) = (published.field(item, "info_hash_v1"), published.field(item, "info_hash_v2"));
        let magnet = item.magnet.replace(&format!("urn:btih:{v1}"), &format!("urn:btmh:1220{v2}"));
        assert_ne!(magnet, item.magnet);
        magnet
    });
}

#[test]
fn a_client_takes_what_is_new_from_the_feed_by_itself() {
    if !Client::Qbittorrent.is_installed() {
        return system_tests::left_out("downloads by a feed", "qBittorrent is not installed");
    }
    if !network::make_lan() {
        return system_tests::left_out("downloads by a feed", "no network of its own");
    }
    let site = Site::new().listening_on(network::BOX);
    let daemon = site.start();
    let folder = site.folder().join("downloads");
    let client = clients::qbittorrent_by_feed(&format!("http://{}/feed.xml", daemon.api.address), &folder);
    // It looks when it starts, finds nothing, and looks again after a minute.
    write_file(&mut Chance::fresh(), &site.publish().join("new & fine.iso"), 1 << 20);
    client.finish(DOWNLOAD * 2);
    assert_downloaded(&site.publish().join("new & fine.iso"), &folder.join("new & fine.iso"));
}
