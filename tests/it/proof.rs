//! The proof that the daemon serves, without which init keeps no update.

use std::fs;
use std::time::Duration;

use appliance::message::{ToDaemon, ToInit};
use system_tests::content::{Chance, write_file};
use system_tests::daemon::Site;
use system_tests::init::Init;
use system_tests::wait;

const SOON: Duration = Duration::from_secs(30);

#[track_caller]
fn wait_for_proof(init: &mut Init) {
    init.send(&ToDaemon::ProveYourself);
    init.wait_for("the proof", SOON, |message| matches!(message, ToInit::Serves).then_some(()));
}

#[test]
fn a_daemon_proves_that_it_serves_by_a_piece_of_what_is_published() {
    let key = "/alices-key_8fK2mQ7xZp4T";
    let members = format!("[members]\nalice = \"{}\"\n", &key[1..]);
    for (settings, base) in [("", ""), ("[limits]\nupload_rate = \"1 MiB/s\"\n", ""), (&members, key)] {
        let site = Site::new().with_config(settings);
        write_file(&mut Chance::fresh(), &site.publish().join("file"), 300_000);
        let (daemon, mut init) = site.start_with_init();
        let api = daemon.api.member(base);
        let item = api.seeding("file");
        let uploaded = || api.item("file").unwrap()["uploaded_bytes"].as_u64().unwrap();
        assert_eq!(uploaded(), 0, "nothing is proved before that is asked for");
        wait_for_proof(&mut init);
        let piece = u64::from(item.metainfo().1.piece_length).min(300_000);
        // The last bytes are counted when they have left.
        wait::until_holds("a piece left by the peers' listener", SOON, || uploaded() == piece);
        assert_eq!(api.item("file").unwrap()["leechers"], 0, "nobody is told of the asker");
    }
}

#[test]
fn a_daemon_that_publishes_nothing_proves_page_and_tracker() {
    let (_daemon, mut init) = Site::new().start_with_init();
    wait_for_proof(&mut init);
}

#[test]
fn a_folder_that_is_not_there_is_not_held_against_the_daemon() {
    let site = Site::new();
    let (daemon, _) = site.start_with_file();
    daemon.end();
    fs::rename(site.publish(), site.folder().join("away")).unwrap();
    fs::create_dir(site.publish()).unwrap();
    let (daemon, mut init) = site.start_with_init();
    wait::until_holds("the other folder is noticed", SOON, || !daemon.api.problems().is_empty());
    assert_eq!(daemon.api.item("file").unwrap()["state"], "offline");
    wait_for_proof(&mut init);
}
