//! What the disk forgets is not given to anyone.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::Site;
use system_tests::http::Request;
use system_tests::volume::{Volume, damage};
use system_tests::wait;

/// Everything is read once in some 2 seconds.
const CONFIG: &str = "[scrub]\ndays = 0.00002\n";

/// Time for several times that on a busy machine.
const FOUND: Duration = Duration::from_secs(90);

const SIZE: usize = 1 << 20;
const DAMAGED: usize = 300_000;

#[test]
fn damage_is_named_and_counted_and_not_given_until_it_is_gone() {
    let site = Site::on_disk().with_config(CONFIG);
    let image = site.folder().join("disk");
    let Some(_volume) = Volume::mount_image(&image, &site.publish(), 32) else {
        return system_tests::left_out("damage on a disk", "no loop devices");
    };
    let item = site.publish().join("item");
    write_file(&mut Chance::fresh(), &item, SIZE as u64);
    let content = std::fs::read(&item).unwrap();
    let daemon = site.start();
    daemon.api.seeding("item");
    let part = |start: usize| {
        let range = format!("bytes={start}-{}", start + 99);
        Request::get("/files/item").field("Range", &range).send(daemon.api.address)
    };
    let error = || daemon.api.item("item").unwrap()["error"].clone();
    assert!(Command::new("sync").status().unwrap().success());

    damage(&image, &content[DAMAGED..DAMAGED + 64]);
    let sentence = wait::until("damage is found", FOUND, || error().as_str().map(str::to_owned));
    // The piece of 16 KiB around it.
    assert!(sentence.contains("\"item\" can't be given at byte 294912 (16384 bytes)"), "{sentence}");
    assert_eq!(daemon.api.item("item").unwrap()["state"], "seeding", "the rest of it is");
    assert_eq!(daemon.api.item("item").unwrap()["damaged_bytes"], 16384);
    assert_eq!(part(1000).body, &content[1000..1100]);
    assert_eq!(part(DAMAGED).status, 410);

    damage(&image, &content[DAMAGED..DAMAGED + 64]);
    wait::until_holds("it is good again", FOUND, || error() == Value::Null);
    assert_eq!(part(DAMAGED).body, &content[DAMAGED..DAMAGED + 100]);
    daemon.end();
}
