//! How downloaders and box find each other, other than by connecting to the address that the tracker gives.

use system_tests::clients::{DOWNLOAD, libtorrent_with};
use system_tests::content::{Chance, assert_downloaded, write_file};
use system_tests::daemon::Site;
use system_tests::network;

#[test]
fn a_client_that_can_only_be_called_is_called() {
    if !network::make_lan() {
        return system_tests::left_out("calls to peers", "no network of its own");
    }
    let site = Site::new().listening_on(network::BOX);
    let path = site.publish().join("file");
    write_file(&mut Chance::fresh(), &path, 3 << 20);
    let daemon = site.start();
    let torrent = daemon.api.seeding("file").torrent_without_web_seeds(site.folder());
    let folder = site.folder().join("downloaded");
    // It announces, but connects to nobody.
    let settings = r#"{ "enable_outgoing_tcp": false, "enable_outgoing_utp": false }"#;
    libtorrent_with(&torrent, &folder, settings).finish(DOWNLOAD);
    assert_downloaded(&path, &folder.join("file"));
}
