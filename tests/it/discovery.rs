//! How downloaders and box find each other, other than by connecting to the address that the tracker gives.

use std::path::PathBuf;

use system_tests::api::Published;
use system_tests::clients::{DOWNLOAD, libtorrent_with};
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

/// `None` where there can be no such network.
fn publish(config: &str) -> Option<Box> {
    if !network::make_lan() {
        system_tests::left_out("discovery of peers", "no network of its own");
        return None;
    }
    let site = Site::new().listening_on(network::BOX).with_config(config);
    let path = site.publish().join("file");
    write_file(&mut Chance::fresh(), &path, 3 << 20);
    let daemon = site.start();
    let item = daemon.api.seeding("file");
    Some(Box { site, path, daemon, item })
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

#[test]
fn a_client_that_can_only_be_called_is_called() {
    let Some(published) = publish("[discovery]\nlocal = false\ndht = false\n") else { return };
    let torrent = published.item.torrent_without_web_seeds(published.site.folder());
    // It announces, but connects to nobody.
    published.check(&torrent, r#"{ "enable_outgoing_tcp": false, "enable_outgoing_utp": false }"#);
    published.daemon.end();
}

#[test]
fn clients_in_the_same_network_find_the_box_by_themselves() {
    let Some(published) = publish("[discovery]\ndht = false\n") else { return };
    published.check(&published.bare_magnet(), r#"{ "enable_lsd": true }"#);
}
