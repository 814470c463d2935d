//! How downloaders and box find each other, other than by connecting to the address that the tracker gives.

use std::path::PathBuf;

use system_tests::api::Published;
use system_tests::clients::{DOWNLOAD, dht_node, libtorrent_that_meets, libtorrent_with};
use system_tests::content::{Chance, assert_downloaded, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::network;

/// A box that publishes a file in a network like a LAN.
struct Box {
    site: Site,
    path: PathBuf,
    daemon: Daemon,
    item: Published,
}

/// A network like a LAN; `false` where there can be none.
fn make_lan() -> bool {
    let is_made = network::make_lan();
    if !is_made {
        system_tests::left_out("discovery of peers", "no network of its own");
    }
    is_made
}

fn publish(config: &str) -> Box {
    let site = Site::new().listening_on(network::BOX).with_config(config);
    let path = site.publish().join("file");
    write_file(&mut Chance::fresh(), &path, 3 << 20);
    let daemon = site.start();
    let item = daemon.api.seeding("file");
    Box { site, path, daemon, item }
}

impl Box {
    /// A magnet link that leads nowhere: it only says what is wanted.
    fn bare_magnet(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.item.info_hash)
    }

    /// libtorrent downloads the file with these settings.
    #[track_caller]
    fn check(&self, source: &str, settings: &str) {
        let folder = self.site.folder().join("downloaded");
        libtorrent_with(source, &folder, settings).finish(DOWNLOAD);
        assert_downloaded(&self.path, &folder.join("file"));
    }
}

/// Settings of a client that connects to nobody.
const PASSIVE: &str = r#"{ "enable_outgoing_tcp": false, "enable_outgoing_utp": false }"#;

#[test]
fn a_client_that_can_only_be_called_is_called() {
    if !make_lan() {
        return;
    }
    let published = publish("[discovery]\nlocal = false\ndht = false\n");
    let torrent = published.item.torrent_without_web_seeds(published.site.folder());
    published.check(&torrent, PASSIVE);
    published.daemon.end();
}

#[test]
fn clients_in_the_same_network_find_the_box_by_themselves() {
    if !make_lan() {
        return;
    }
    let published = publish("[discovery]\ndht = false\n");
    published.check(&published.bare_magnet(), r#"{ "enable_lsd": true }"#);
}

#[test]
fn clients_find_the_box_in_the_dht() {
    if !make_lan() {
        return;
    }
    let (mut node, port) = dht_node(network::CLIENT);
    let nodes = format!("{}:{port}", network::CLIENT);
    let published = publish(&format!("[discovery]\nlocal = false\ndht_nodes = [\"{nodes}\"]\n"));
    let hash = published.item.info_hash.to_string();
    // Clients ask the DHT at their start, and then not for a quarter of an hour.
    node.wait_for_line("the box's announcement", DOWNLOAD, |line| {
        let announced = line.contains("incoming dht announce") && line.contains(&hash);
        (announced && line.contains(network::BOX)).then_some(())
    });
    // At an address that it was told: at others without a way to the Internet it is no node.
    let settings = format!(
        r#"{{ "enable_dht": true, "dht_bootstrap_nodes": "{nodes}", "listen_interfaces": "{}:0" }}"#,
        network::CLIENT
    );
    published.check(&published.bare_magnet(), &settings);
}

#[test]
fn the_box_tells_downloaders_of_each_other() {
    if !make_lan() {
        return;
    }
    // Slow enough for all of them to be there at the same time.
    let published =
        publish("[discovery]\nlocal = false\ndht = false\n[limits]\nupload_rate = \"64 KiB/s\"\n");
    let folder = |name: &str| published.site.folder().join(name);
    let torrent = published.item.torrent_without_web_seeds(published.site.folder());
    let _passive = libtorrent_with(&torrent, &folder("passive"), PASSIVE);
    // This one knows the box and nobody else.
    let source = format!("{}&x.pe={}", published.bare_magnet(), published.daemon.peer);
    libtorrent_that_meets(&source, &folder("active")).finish(DOWNLOAD);
}
