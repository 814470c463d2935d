//! Members download with the clients that people have.

use system_tests::clients::{ALL, Client, DOWNLOAD, Download};
use system_tests::content::assert_downloaded;
use system_tests::network;

use super::*;

/// `None` where there can be no network like a LAN.
fn publish_in_lan() -> Option<Box> {
    if !network::make_lan() {
        system_tests::left_out("downloads by members", "no network of its own");
        return None;
    }
    Some(publish(site().listening_on(network::BOX)))
}

impl Box {
    /// Each of these clients downloads the file, from what `source` makes of what a member sees.
    #[track_caller]
    fn check(&self, name: &str, clients: &[Client], source: impl Fn(&Published) -> String) {
        let downloads: Vec<_> = clients
            .iter()
            .filter(|client| client.is_installed())
            .map(|client| {
                let folder = self.site.folder().join(format!("{name} {client:?}"));
                fs::create_dir(&folder).unwrap();
                (client.start(&source(&self.item(ALICE)), &folder), folder)
            })
            .collect();
        for (download, folder) in downloads {
            Download::finish(download, DOWNLOAD);
            assert_downloaded(&self.site.publish().join("secret.bin"), &folder.join("secret.bin"));
        }
    }
}

#[test]
fn members_download_by_what_their_page_gives_them() {
    let Some(published) = publish_in_lan() else { return };
    published.check("torrent", &ALL, |item| item.torrent_url.clone());
    published.check("magnet", &ALL, |item| item.magnet.clone());
    let completed = published.api(ALICE).item("secret.bin").unwrap()["completed"].as_u64();
    assert!(completed >= Some(2), "{completed:?}");
    published.daemon.end();
}

#[test]
fn members_download_from_the_seeder_alone() {
    let Some(published) = publish_in_lan() else { return };
    published.check("peers", &ALL, |item| item.torrent_without_web_seeds(published.site.folder()));
    // Transmission sends no path over UDP, aria2 knows no UDP trackers.
    published.check("udp", &[Client::Libtorrent, Client::Qbittorrent], |item| {
        item.changed_torrent(published.site.folder(), |metainfo| {
            metainfo.web_seeds.clear();
            metainfo.announce.iter_mut().for_each(|tier| tier.retain(|url| url.starts_with("udp:")));
        })
    });
}

#[test]
fn members_download_from_the_web_seed_alone() {
    let Some(published) = publish_in_lan() else { return };
    let clients = [Client::Aria2, Client::Transmission, Client::Libtorrent, Client::Qbittorrent];
    published.check("web", &clients, |item| {
        item.changed_torrent(published.site.folder(), |metainfo| metainfo.announce.clear())
    });
}
