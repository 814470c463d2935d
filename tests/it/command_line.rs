//! Options, the ready line, exit codes and SIGTERM: what scripts rely on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use system_tests::api::SOON;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Site, program};
use system_tests::network;
use system_tests::peer::{BLOCK, Peer};
use system_tests::process::Process;
use torrent::InfoHash;

#[test]
fn port_0_picks_ports_and_the_ready_line_names_them() {
    let daemon = Site::new().start();
    for address in [daemon.api.address, daemon.tracker, daemon.peer] {
        assert_ne!(address.port(), 0);
        TcpStream::connect(address).unwrap();
    }
    // The tracker's port is taken for UDP too.
    UdpSocket::bind(daemon.tracker).unwrap_err();
    daemon.end();
}

#[test]
fn without_options_it_listens_where_the_contract_says() {
    if !network::make_private() {
        return system_tests::left_out("default ports", "no network of its own");
    }
    let site = Site::new();
    let mut command = Command::new(program());
    command.arg("--publish").arg(site.publish()).arg("--state").arg(site.state());
    let mut process = Process::start(command);
    let line = process.wait_for_line("the ready line", Duration::from_secs(10), |line| Some(line.to_owned()));
    assert_eq!(line, "ready web=127.0.0.1:8080 tracker=[::]:6969 peer=[::]:6881");
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_exit_code_2() {
    let site = Site::new().with_config("[limits]\nupload_rate = \"8 MiB/s\"\nupload_rat = \"8 MiB/s\"\n");
    let refused = |command: Command| {
        let mut process = Process::start(command);
        let status = process.wait(Duration::from_secs(5));
        (status.code(), process.said())
    };
    let (code, said) = refused(site.command());
    assert_eq!((code, said.len()), (Some(2), 1), "{said:?}");
    for word in ["blackbox.toml", "line 3", "upload_rat"] {
        assert!(said[0].contains(word), "{said:?} does not name {word}");
    }
    for (options, word) in [
        (&["--web", "8080"][..], "8080"),
        (&["--wbe", "127.0.0.1:0"], "--wbe"),
        (&["--public-host", "http://x"], "http://x"),
        (&["--config", "/nowhere/blackbox.toml"], "/nowhere/blackbox.toml"),
    ] {
        let (code, said) = refused(Site::new().with_options(options).command());
        assert_eq!((code, said.len()), (Some(2), 1), "{options:?}: {said:?}");
        assert!(said[0].contains(word), "{said:?} does not name {word}");
    }
    let (code, said) = refused(Command::new(program()));
    assert_eq!((code, said.len()), (Some(2), 1), "{said:?}");
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let daemon = Site::new().start();
    let taken = daemon.tracker.to_string();
    let site = Site::new().with_options(&["--tracker", &taken]);
    let mut process = Process::start(site.command());
    let status = process.wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(1));
    assert!(process.said().iter().any(|line| line.contains(&taken)), "{:?}", process.said());
}

#[test]
fn sigterm_ends_it_within_5_seconds_with_connections_open() {
    let daemon = Site::new().start();
    // Idle, half a request, half a handshake.
    let connections: Vec<TcpStream> = [daemon.api.address, daemon.tracker, daemon.peer]
        .into_iter()
        .flat_map(|address| {
            let idle = TcpStream::connect(address).unwrap();
            let mut half = TcpStream::connect(address).unwrap();
            half.write_all(b"GET / HTT").unwrap();
            [idle, half]
        })
        .collect();
    let unknown = Peer::connect(daemon.peer, &InfoHash([1; 20]), true);
    assert!(unknown.is_err());
    daemon.end();
    drop(connections);
}

#[test]
fn sigterm_ends_it_within_5_seconds_at_work() {
    let site = Site::new().with_config("[limits]\nupload_rate = \"1 MiB/s\"\n");
    write_file(&mut Chance::fresh(), &site.publish().join("file"), 32 << 20);
    let (daemon, mut init) = site.start_with_init();
    let file = daemon.api.seeding("file");

    // It hashes,
    sparse(&site.publish().join("huge"), 64 << 30);
    daemon.api.wait_for("huge", "hashing", SOON);
    // gives away, to a peer that takes nothing and to a browser,
    let mut peer = Peer::connect(daemon.peer, &file.info_hash, true).unwrap();
    peer.become_unchoked().unwrap();
    for piece in 0..100 {
        peer.request(piece, 0, BLOCK).unwrap();
    }
    let mut browser = TcpStream::connect(daemon.api.address).unwrap();
    browser.write_all(b"GET /files/file HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    browser.read_exact(&mut [0; 1000]).unwrap();
    // and copies a disc.
    let mount = site.folder().join("disc");
    fs::create_dir(&mount).unwrap();
    sparse(&mount.join("long"), 3 << 30);
    init.insert(Some("DISC"), &mount);
    daemon.api.wait_for("DISC", "copying", SOON);

    daemon.end();
    assert!(!site.publish().join("DISC").exists());
    assert_eq!(site.start().api.seeding_within("file", Duration::from_secs(2)).info_hash, file.info_hash);
}

/// A file of zeros that takes no room.
fn sparse(path: &Path, length: u64) {
    File::create(path).and_then(|file| file.set_len(length)).unwrap();
}
