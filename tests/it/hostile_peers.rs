//! Peers that mean harm, all the time while honest ones download: these get the same bytes in nearly the same time, and
//! afterwards the box is as it was before.

mod attacks;
mod field;
mod honest;

use std::thread;
use std::time::Duration;

use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::tracker::Announce;
use system_tests::wait;

use attacks::Attack;
use field::Field;
use honest::{Download, Item, PEERS};

/// Upload limit of the box in bytes a second. It decides how long a download takes, and not how busy the machine is.
const RATE: u64 = 8 << 20;

/// Bytes that the honest take from the box together.
const AMOUNT: u64 = 24 << 20;

/// How often a download under attack is tried: other things that go on make it slow now and then, an attack each time.
const TRIES: usize = 3;

/// Connections that the box accepts from one address.
const PER_ADDRESS: u64 = 100;

/// Memory of a connection at most: what came before its torrent was found (256 KiB), the start of a message (17 KiB), messages
/// (64 KiB) and copied blocks (64 KiB) that are not written, and a block that was read (16 KiB); rounded up for the rest.
const PER_CONNECTION: u64 = 512 << 10;

/// What differs from one look to the next without any attack: the allocator's reserves, and what honest peers had.
const NOISE: u64 = 16 << 20;

/// Lines that the box may say about an attack.
const LINES: usize = 10;

/// Time in which it has closed everything.
const AFTERMATH: Duration = Duration::from_secs(20);

/// A way of downloading, and what each needs.
#[derive(Debug, Clone, Copy)]
struct Way {
    download: Download,
    /// Bytes in the item.
    size: u64,
    /// Whether others can serve it: then it is not handed out piece by piece.
    is_seeded: bool,
}

/// The box is the only seed.
const HANDED_OUT: Way = Way { download: honest::together, size: AMOUNT, is_seeded: false };

/// It is not.
const SEEDED: Way = Way { download: honest::each_for_itself, size: AMOUNT / PEERS as u64, is_seeded: true };

/// Both ways: see [`check_way`].
#[track_caller]
fn check(attack: Attack, connections: u64, takers: u32) {
    check_way(HANDED_OUT, attack, connections, takers);
    check_way(SEEDED, attack, connections, takers);
}

/// Honest peers download while somebody attacks from `connections` connections, over `takers` of which blocks are taken as
/// every other peer may take them.
#[track_caller]
fn check_way(way: Way, attack: Attack, connections: u64, takers: u32) {
    let config = format!("[limits]\nupload_rate = \"8 MiB/s\"\nconnections_per_address = {PER_ADDRESS}\n");
    let site = Site::new().with_config(&config);
    write_file(&mut Chance::fresh(), &site.publish().join("file"), way.size);
    let mut daemon = site.start();
    let item = Item::new(&site, &daemon, "file");
    if way.is_seeded {
        Announce::new(item.info_hash, 1).left(0).http(daemon.tracker);
    }
    let undisturbed = (way.download)(&item);
    let before = Before::of(&daemon);
    let limited = Duration::from_secs_f64(AMOUNT as f64 / RATE as f64);
    let allowed = undisturbed + limited / 10 + limited * takers / u32::try_from(PEERS).unwrap();
    let mut times = Vec::new();
    while times.len() < TRIES && times.last().is_none_or(|time| *time > allowed) {
        times.push(download_under(attack, &item, way.download));
    }
    eprintln!("{undisturbed:?} without the attack, {times:?} with it, {allowed:?} at most");
    assert!(times.last().unwrap() <= &allowed, "the attack takes others' time: {times:?}");
    before.check(&mut daemon, connections);
    daemon.end();
}

fn download_under(attack: Attack, item: &Item, download: Download) -> Duration {
    let field = Field::new(item);
    thread::scope(|scope| {
        let attacker = scope.spawn(|| attack(&field));
        while field.blows() == 0 && !attacker.is_finished() {
            thread::yield_now();
        }
        let begun = field.blows();
        // It ends as well when the download fails, or the test would go on for ever.
        let download = scope.spawn(|| download(item)).join();
        field.end();
        let blows = field.blows() - begun;
        attacker.join().expect("the attack fails");
        eprintln!("{blows} blows");
        assert!(blows > 0, "it was not attacked meanwhile");
        download.expect("the honest are kept from downloading")
    })
}

/// The box before an attack.
struct Before {
    memory: u64,
    descriptors: usize,
    lines: usize,
}

impl Before {
    fn of(daemon: &Daemon) -> Self {
        Self {
            memory: daemon.own_memory(),
            descriptors: daemon.descriptors(),
            lines: daemon.process.said().len(),
        }
    }

    /// Nothing is left of the attack.
    #[track_caller]
    fn check(&self, daemon: &mut Daemon, connections: u64) {
        assert!(daemon.process.is_running());
        let grown = daemon.own_memory().saturating_sub(self.memory);
        eprintln!("{} KiB more", grown >> 10);
        assert!(grown < NOISE + connections * PER_CONNECTION, "{grown} bytes of memory more");
        wait::until_holds("all descriptors are closed", AFTERMATH, || {
            daemon.descriptors() <= self.descriptors
        });
        let lines = daemon.process.said().len() - self.lines;
        assert!(lines <= LINES, "{lines} lines about the attack");
        assert_eq!(daemon.api.get("/healthz").status, 200);
    }
}

#[test]
fn slow_handshakes() {
    check(attacks::drip_handshakes, attacks::MANY as u64, 0);
}

#[test]
fn padding_without_end() {
    check(attacks::endless_padding, 1, 0);
}

#[test]
fn unknown_torrents() {
    check(attacks::ask_for_unknown_torrents, 1, 0);
}

#[test]
fn churn() {
    check(attacks::come_and_go, 1, 0);
}

#[test]
fn a_crowd_at_one_address() {
    check_way(SEEDED, attacks::crowd, PER_ADDRESS, 0);
}

#[test]
fn a_crowd_at_one_address_in_a_hand_out() {
    check_way(HANDED_OUT, attacks::crowd, PER_ADDRESS, 0);
}

#[test]
fn request_flood() {
    check(attacks::flood_requests, 1, 1);
}

#[test]
fn request_flood_encrypted() {
    check(attacks::flood_requests_encrypted, 1, 1);
}

#[test]
fn refused_requests() {
    check(attacks::flood_refused_requests, 1, 0);
}

#[test]
fn cancels() {
    check(attacks::storm_of_cancels, 1, 1);
}

#[test]
fn who_never_reads() {
    check(attacks::never_read, attacks::DEAF as u64, 0);
}

#[test]
fn nonsense() {
    check(attacks::talk_nonsense, 1, 0);
}

#[test]
fn wavering() {
    check(attacks::waver, 1, 0);
}

#[test]
fn hoarding() {
    check_way(SEEDED, attacks::hoard, 1, 1);
}

#[test]
fn hoarding_in_a_hand_out() {
    check_way(HANDED_OUT, attacks::hoard, 1, 1);
}

#[test]
fn extended_handshakes() {
    check(attacks::repeat_extended_handshakes, 1, 0);
}

#[test]
fn metadata_requests() {
    check(attacks::flood_metadata_requests, 1, 0);
}

#[test]
fn bogus_metadata() {
    check(attacks::bogus_metadata, 1, 0);
}

#[test]
fn exchange_of_thousands() {
    check(attacks::tell_of_thousands, 1, 0);
}
