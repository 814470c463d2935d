//! What a peer that connects gets: the bytes that were published, fairly, and nothing else.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use system_tests::content::{Chance, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::peer::{BLOCK, Message, Peer};
use torrent::{Info, InfoHash};

/// A box that seeds one file, and what is in it.
struct Seeded {
    site: Site,
    daemon: Daemon,
    info_hash: InfoHash,
    info: Info,
    content: Vec<u8>,
}

fn seed(length: u64) -> Seeded {
    let site = Site::new();
    let path = site.publish().join("file");
    write_file(&mut Chance::fresh(), &path, length);
    let daemon = site.start();
    let item = daemon.api.seeding("file");
    let (_, info) = item.metainfo();
    Seeded { info_hash: item.info_hash, info, content: fs::read(path).unwrap(), site, daemon }
}

impl Seeded {
    fn connect(&self) -> Peer {
        Peer::connect(self.daemon.peer, &self.info_hash, true).unwrap()
    }
}

#[test]
fn a_peer_is_told_what_there_is_and_gets_every_byte() {
    // The last piece and its last block are short.
    let seeded = seed((1 << 20) + 12_345);
    for is_fast in [true, false] {
        let mut peer = Peer::connect(seeded.daemon.peer, &seeded.info_hash, is_fast).unwrap();
        peer.interested().unwrap();
        let have = peer.read_until(|message| match message {
            Message::HaveAll => Some(None),
            Message::Bitfield(bits) => Some(Some(bits.clone())),
            _ => None,
        });
        let pieces = seeded.info.pieces().unwrap().len() / 20;
        match have.unwrap() {
            None => assert!(is_fast, "have-all is for those who know it"),
            Some(bits) => {
                let ones: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                assert_eq!(
                    (bits.len(), ones as usize),
                    (pieces.div_ceil(8), pieces),
                    "all pieces, spare bits zero"
                );
            }
        }
        peer.read_until(|message| (*message == Message::Unchoke).then_some(())).unwrap();
        assert!(peer.download(&seeded.info).unwrap() == seeded.content, "other bytes than were published");
    }
    let uploaded = seeded.daemon.api.item("file").unwrap()["uploaded_bytes"].as_u64().unwrap();
    assert_eq!(uploaded, 2 * seeded.content.len() as u64);
}

#[test]
fn blocks_cross_the_borders_of_files() {
    let site = Site::new();
    let folder = site.publish().join("folder");
    let mut chance = Chance::fresh();
    write_tree(&mut chance, &folder);
    let daemon = site.start();
    let item = daemon.api.seeding("folder");
    let (_, info) = item.metainfo();
    let torrent::Mode::Multiple { files } = &info.mode else { panic!("a folder") };
    let content: Vec<u8> =
        files.iter().flat_map(|file| fs::read(folder.join(file.path.as_str())).unwrap()).collect();
    let mut peer = Peer::connect(daemon.peer, &item.info_hash, true).unwrap();
    peer.become_unchoked().unwrap();
    assert!(peer.download(&info).unwrap() == content, "other bytes than were published");
}

#[test]
fn an_unknown_info_hash_is_hung_up_on() {
    let seeded = seed(1);
    let unknown = InfoHash([7; 20]);
    assert!(Peer::connect(seeded.daemon.peer, &unknown, true).is_err());
    // And so is one that was known.
    fs::remove_file(seeded.site.publish().join("file")).unwrap();
    system_tests::wait::until_holds("hung up", Duration::from_secs(5), || {
        Peer::connect(seeded.daemon.peer, &seeded.info_hash, true).is_err()
    });
}

#[test]
fn a_slow_peer_does_not_hold_up_another() {
    let seeded = seed(32 << 20);
    // These ask for much and read nothing: the box's buffers for them are full soon.
    let mut slow: Vec<Peer> = (0..8).map(|_| seeded.connect()).collect();
    for peer in &mut slow {
        peer.become_unchoked().unwrap();
        for number in 0..200 {
            let piece_length = seeded.info.piece_length;
            let offset = number * BLOCK;
            peer.request(offset / piece_length, offset % piece_length, BLOCK).unwrap();
        }
    }
    let mut quick = seeded.connect();
    let started = Instant::now();
    quick.become_unchoked().unwrap();
    assert!(quick.download(&seeded.info).unwrap() == seeded.content);
    // A debug build on a busy machine takes a second; waiting for the slow ones would take for ever.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // The slow ones were not dropped either: the first asks go on to be answered.
    let first = slow[0].read_until(|message| match message {
        Message::Piece { block, .. } => Some(block.clone()),
        _ => None,
    });
    assert_eq!(first.unwrap(), &seeded.content[..BLOCK as usize]);
}

#[test]
fn a_changed_file_is_retired_before_a_wrong_byte_is_sent() {
    let seeded = seed(8 << 20);
    let mut peer = seeded.connect();
    peer.become_unchoked().unwrap();
    let first = peer.block(0, 0, BLOCK).unwrap();
    assert_eq!(first, &seeded.content[..BLOCK as usize]);

    // Same length, same inode, and read at once: before any event can have been handled.
    let mut file = fs::OpenOptions::new().write(true).open(seeded.site.publish().join("file")).unwrap();
    file.seek(SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(&vec![0xaa; 6 << 20]).unwrap();
    drop(file);
    let piece_length = seeded.info.piece_length;
    for offset in (1 << 20..7 << 20).step_by(BLOCK as usize) {
        // Refused or hung up on: anything but bytes.
        if peer.request(offset / piece_length, offset % piece_length, BLOCK).is_err() {
            break;
        }
    }
    loop {
        match peer.read() {
            Ok(Message::Piece { index, begin, block }) => {
                let offset = (index * piece_length + begin) as usize;
                assert!(block == seeded.content[offset..offset + block.len()], "a wrong byte at {offset}");
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    system_tests::wait::until_holds("the item is retired", Duration::from_secs(5), || {
        seeded.daemon.api.item("file").is_none_or(|item| item["state"] != "seeding")
    });
    assert_ne!(seeded.daemon.api.seeding("file").info_hash, seeded.info_hash);
}

#[test]
fn the_upload_rate_is_kept_by_peers_and_web_together() {
    const RATE: u64 = 4 << 20;
    let site = Site::new().with_config("[limits]\nupload_rate = \"4 MiB/s\"\n");
    let path = site.publish().join("file");
    write_file(&mut Chance::fresh(), &path, 12 << 20);
    let daemon = site.start();
    let item = daemon.api.seeding("file");
    let (_, info) = item.metainfo();
    let content = fs::read(path).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let web = scope.spawn(|| daemon.api.get("/files/file").body);
        let mut peer = Peer::connect(daemon.peer, &item.info_hash, true).unwrap();
        peer.become_unchoked().unwrap();
        assert!(peer.download(&info).unwrap() == content);
        assert!(web.join().unwrap() == content);
    });
    let took = started.elapsed().as_secs_f64();
    let least = (2 * content.len() as u64) as f64 / RATE as f64;
    // A second's worth may be given in advance.
    assert!(took > least - 1.5, "{took} s instead of {least} s");
    assert!(took < least * 1.5 + 2.0, "{took} s instead of {least} s");
}
