//! A disk that does not answer holds up those who wait for it, and nobody else.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use system_tests::api::Published;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::peer::{BLOCK, Message, Peer};
use system_tests::volume::{Brake, Volume};
use system_tests::{left_out, wait};
use torrent::Mode;

/// Peers that wait for the disk: more than the threads that the daemon has for that.
const WAITING: u32 = 40;

/// Threads that wait for a disk at the most.
const THREADS: usize = 32;

/// Far enough from each other that the kernel reads no block ahead for another one.
const APART: u32 = 1 << 20;

/// Makes sure that what was just written is on the disk, and no longer in memory.
fn forget(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}

fn connect(daemon: &Daemon, item: &Published) -> Peer {
    let mut peer = Peer::connect(daemon.peer, &item.info_hash, true).unwrap();
    peer.become_unchoked().unwrap();
    peer
}

/// Downloads all files of a folder, one after the other.
fn download_folder(daemon: &Daemon, item: &Published, folder: &Path) {
    let (_, info) = item.metainfo();
    let Mode::Multiple { files } = &info.mode else { panic!("a folder") };
    let content: Vec<u8> =
        files.iter().flat_map(|file| fs::read(folder.join(file.path.as_str())).unwrap()).collect();
    assert!(connect(daemon, item).download(&info).unwrap() == content, "other bytes than were published");
}

#[test]
fn what_is_in_memory_goes_out_while_many_wait_for_the_disk() {
    let site = Site::new();
    let Some(_volume) = Volume::mount_image(&site.folder().join("disk"), &site.publish(), 128) else {
        return left_out("a disk that does not answer", "no file system can be mounted here");
    };
    let Some(brake) = Brake::on(&site.publish()) else {
        return left_out("a disk that does not answer", "no control group can stop one here");
    };
    let mut chance = Chance::fresh();
    let (cold, warm) = (site.publish().join("cold"), site.publish().join("warm"));
    write_file(&mut chance, &cold, u64::from(WAITING * APART));
    fs::create_dir(&warm).unwrap();
    write_file(&mut chance, &warm.join("large"), 2 << 20);
    for number in 0..20 {
        write_file(&mut chance, &warm.join(format!("tiny {number:02}")), 1000);
    }
    let daemon = site.start();
    let [cold_item, warm_item] = ["cold", "warm"].map(|name| daemon.api.seeding(name));
    let content = fs::read(&cold).unwrap();
    forget(&cold);

    brake.apply(daemon.process.id());
    let piece_length = cold_item.metainfo().1.piece_length;
    let mut waiting: Vec<_> = (0..WAITING)
        .map(|number| {
            let mut peer = connect(&daemon, &cold_item);
            let offset = number * APART;
            peer.request(offset / piece_length, offset % piece_length, BLOCK).unwrap();
            (peer, offset as usize)
        })
        .collect();
    wait::until_holds("many wait for the disk", Duration::from_secs(20), || {
        daemon.threads_at_disks() == THREADS
    });
    // Its files are not open yet, and then they are.
    for _ in 0..2 {
        download_folder(&daemon, &warm_item, &warm);
    }
    assert_eq!(daemon.api.item("cold").unwrap()["uploaded_bytes"], 0, "the disk has answered");

    brake.release();
    for (peer, offset) in &mut waiting {
        let block = peer.read_until(|message| match message {
            Message::Piece { block, .. } => Some(block.clone()),
            _ => None,
        });
        assert!(block.unwrap() == content[*offset..][..BLOCK as usize], "other bytes than were published");
    }
    daemon.end();
}
