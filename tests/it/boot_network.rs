//! The image in a real LAN: it is found by its name, with and without somebody who gives addresses, and what is downloaded from
//! it survives that it gets another address.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::boot::import;
use system_tests::api::Api;
use system_tests::clients::{DOWNLOAD, libtorrent_with};
use system_tests::content::{Chance, assert_downloaded, write_file};
use system_tests::http::Request;
use system_tests::image::Disk;
use system_tests::lan::{Avahi, Lan, SWITCH, TAP};
use system_tests::process::Process;
use system_tests::vm::{DISC, Hardware, Vm};
use system_tests::{disc, figure, sound, temporary_folder_on_disk, wait};

/// Time for whatever happens in a network without anybody's doing.
const SOON: Duration = Duration::from_mins(1);

/// Seconds.
const YEAR: i64 = 365 * 86_400;

/// Bytes of what is downloaded, and the box's limit on it: long enough for the address to change.
const FILM: u64 = 8 << 20;
const RATE: &str = "128 KiB/s";

#[test]
fn it_is_found_by_its_name_whatever_its_address_is() {
    let lan = match Lan::new() {
        Ok(lan) => lan,
        Err(why) => return system_tests::left_out("the image in a real LAN", why),
    };
    let folder = temporary_folder_on_disk();
    let folder = folder.path();
    // The computer is called as the box would like to be.
    let Some(avahi) = Avahi::start(folder, "blackbox") else {
        return system_tests::left_out("the image in a real LAN", "no Avahi");
    };
    let disk = Disk::flash(folder, 1024);
    disk.write_settings(&format!("[limits]\nupload_rate = \"{RATE}\"\n"));
    let hardware = Hardware {
        direct: true,
        tap: Some(TAP),
        speaker: Some(folder.join("speaker.wav")),
        clock: Some("2001-02-03T04:05:06"),
        ..Hardware::default()
    };
    let mut vm = lan.switch.visit(|| Vm::start(&disk, &hardware));
    vm.wait_until_ready();

    // Nobody gives addresses.
    let (name, alone) = find(&avahi, "blackbox-2.local", |ip| ip.to_string().starts_with("169.254."));
    opens_by_name(name, alone);
    vm.wait_for_console("http://169.254.", SOON);
    vm.wait_for_console("http://blackbox-2.local/", SOON);
    let pages = avahi.pages();
    let is_page =
        |page: &String| page.starts_with("=;") && page.contains("blackbox-2.local") && page.contains(";80;");
    assert!(pages.iter().any(is_page), "{pages:?}");

    // Now somebody does, and tells the time. Before, the box knows when it was built.
    let age = age_of_clock(alone);
    assert!((60..10 * YEAR).contains(&age), "the box's clock is {age} s behind");
    let clock = lan.tell_time(folder);
    let time_server = format!("--dhcp-option=option:ntp-server,{SWITCH}");
    let giver = lan.give_addresses(folder, "192.168.7.20", "192.168.7.29", &[&time_server]);
    let (name, first) = find(&avahi, "blackbox-2.local", |ip| ip.to_string().starts_with("192.168.7.2"));
    opens_by_name(name, first);
    match clock {
        Some(_) => {
            wait::until_holds("the clock is right", SOON, || age_of_clock(first).abs() <= 2);
            wait::until_holds("the machine's own clock is right too", SOON, || vm.clock_year() > 2025);
        }
        None => system_tests::left_out("the clock of the box", "no chrony"),
    }
    let v6 = wait::until("an address of IPv6", SOON, || avahi.resolve("blackbox-2.local", "-6"));
    assert!(v6.to_string().starts_with("fd00:7:") || v6.to_string().starts_with("fe80:"), "{v6}");
    wait::until_holds("the network's prefix of IPv6 is used", SOON, || {
        vm.console().contains("http://[fd00:7:")
    });

    // What is downloaded goes on while the lease is renewed, and while the address becomes another one.
    vm.api = Api::new(SocketAddr::new(first, 80));
    let content = folder.join("FILM");
    write_file(&mut Chance::fresh(), &content.join("film.bin"), FILM);
    let film = disc::burn(&content, "FILM", &folder.join("film.iso"));
    let (item, _) = import(&mut vm, &film, "FILM", DISC);
    let target = folder.join("download");
    // The tracker's address is another one then; in the same network it hears of the box all the same.
    let torrent = item.torrent_without_web_seeds(folder);
    let download = libtorrent_with(&torrent, &target, r#"{ "enable_lsd": true }"#);
    giver.wait_for_leases(2, SOON);
    assert_eq!(avahi.resolve("blackbox-2.local", "-4"), Some(first), "a renewed lease is the same");
    let uploaded = |vm: &Vm| vm.api.item("FILM").unwrap()["uploaded_bytes"].as_u64().unwrap();
    wait::until_holds("the download is under way", SOON, || uploaded(&vm) > FILM / 16);
    drop(giver);
    let _giver = lan.give_addresses(folder, "192.168.7.40", "192.168.7.49", &[]);
    let (name, second) = find(&avahi, "blackbox-2.local", |ip| ip.to_string().starts_with("192.168.7.4"));
    vm.api = Api::new(SocketAddr::new(second, 80));
    let before = uploaded(&vm);
    assert!(before < FILM, "it is over too early: {before}");
    figure(
        "part of a download that was left when the box got another address",
        1.0 - before as f64 / FILM as f64,
    );
    opens_by_name(name, second);
    download.finish(2 * DOWNLOAD);
    assert_downloaded(&content, &target.join("FILM"));
    vm.power_off();
    let tones = sound::tones(&folder.join("speaker.wav"));
    let is_chime = |pair: &[usize]| pair[0].abs_diff(880) < 90 && pair[1].abs_diff(1319) < 130;
    assert!(tones.windows(2).any(is_chime), "the disc that was published was heard as {tones:?}");
}

/// By how many seconds the box's clock is behind ours.
#[track_caller]
fn age_of_clock(ip: IpAddr) -> i64 {
    let page = Request::get("/healthz").send(SocketAddr::new(ip, 80));
    let mut command = std::process::Command::new("date");
    command.args(["+%s", "-d", page.field("date").expect("a date")]);
    let said = Process::start(command).succeed(SOON);
    let its: i64 = said[0].parse().expect("seconds");
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    ours.cast_signed() - its
}

/// Waits until a name has such an address.
#[track_caller]
fn find<'a>(avahi: &Avahi, name: &'a str, is_right: impl Fn(&IpAddr) -> bool) -> (&'a str, IpAddr) {
    let found = wait::try_until(2 * SOON, || avahi.resolve(name, "-4").filter(&is_right));
    let ip = found.unwrap_or_else(|| {
        panic!("{name} is at {:?}; Avahi says\n{}", avahi.resolve(name, "-4"), avahi.said().join("\n"))
    });
    (name, ip)
}

/// The page and the one for the LAN are shown to who asks for them by name.
#[track_caller]
fn opens_by_name(name: &str, ip: IpAddr) {
    for path in ["/", "/admin"] {
        let page = Request::get(path).host(name).send(SocketAddr::new(ip, 80));
        assert_eq!(page.status, 200, "{path}");
        assert!(path == "/" || page.text().contains(name), "{}", page.text());
    }
}
