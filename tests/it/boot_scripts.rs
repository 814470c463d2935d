//! The two commands of the README, as somebody types them who has just cloned the repository.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use system_tests::api::Api;
use system_tests::clients::{Client, DOWNLOAD};
use system_tests::content::{Chance, assert_downloaded, write_tree};
use system_tests::process::Process;
use system_tests::vm::{DISC, READY};
use system_tests::{disc, network};

/// A box that `scripts/boot` started; it is stopped with the value.
struct Running<'a> {
    folder: &'a Path,
}

impl Running<'_> {
    #[track_caller]
    fn script<A: AsRef<OsStr>>(&self, name: &str, arguments: &[A], limit: Duration) -> Vec<String> {
        let mut command = Command::new(system_tests::root().join("scripts").join(name));
        command
            .args(arguments)
            .env("BLACKBOX_VM_DIR", self.folder.join("vm"))
            .env("BLACKBOX_DISK_SIZE", "2G");
        Process::start(command).succeed(limit)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // After the test has stopped it there is nothing to stop, which is fine; after a failure this is a power cut.
        if let Some(id) =
            std::fs::read_to_string(self.folder.join("vm/pid")).ok().and_then(|id| id.trim().parse().ok())
        {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

#[test]
fn the_commands_of_the_readme_work() {
    if !network::make_private() {
        return system_tests::left_out(
            "scripts/boot and scripts/disc",
            "no network of its own, and the ports may be in use",
        );
    }
    // The script builds a stale image; here it must be fresh, or this would test the compiler.
    system_tests::image::image();
    let bench = system_tests::temporary_folder_on_disk();
    let running = Running { folder: bench.path() };
    let said = running.script("boot", &[] as &[&str], READY);
    let api = Api::new("127.0.0.1:8080".parse().unwrap());
    assert!(said.iter().any(|line| line.ends_with("http://127.0.0.1:8080/")), "{said:?}");

    let folder = bench.path().join("SOME");
    write_tree(&mut Chance::fresh(), &folder);
    let iso = disc::burn(&folder, "SOME", &bench.path().join("some.iso"));
    running.script("disc", &[OsStr::new("insert"), iso.as_os_str()], Duration::from_secs(20));
    let item = api.seeding_within("SOME", DISC);
    for client in [Client::Aria2, Client::Libtorrent] {
        let target = bench.path().join(format!("{client:?}"));
        client.download(&item.torrent_url, &target, DOWNLOAD);
        assert_downloaded(&folder, &target.join("SOME"));
    }
    // From peers too, although the ports are forwarded.
    let target = bench.path().join("peers");
    Client::Libtorrent.download(&item.torrent_without_web_seeds(bench.path()), &target, DOWNLOAD);
    assert_downloaded(&folder, &target.join("SOME"));
    // The box has opened the tray by itself, so there is nothing left to do.
    running.script("disc", &["eject"], Duration::from_secs(30));
    // Twice is not once more.
    let again = running.script("boot", &[] as &[&str], Duration::from_secs(20));
    assert!(again.iter().any(|line| line.ends_with("http://127.0.0.1:8080/")), "{again:?}");
    running.script("boot", &["--stop"], Duration::from_mins(1));
    assert!(!bench.path().join("vm/pid").exists());
}
