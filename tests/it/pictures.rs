//! Pictures of the page and of the console for the README: made on each run, kept in the repository when asked to.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use system_tests::process::Process;
use system_tests::vm::Vm;

/// Takes both pictures of a box that has something to show.
pub(crate) fn take(vm: &mut Vm) {
    let update = std::env::var_os("BLACKBOX_UPDATE_PICTURES").is_some();
    let folder = system_tests::root().join(if update { "tests/pictures" } else { "target/pictures" });
    fs::create_dir_all(&folder).unwrap();
    let (page, console) = (folder.join("page.png"), folder.join("console.png"));
    vm.photograph(&console);
    photograph_page(&format!("http://{}/", vm.api.address), &page);
    for picture in [&page, &console] {
        let bytes = fs::read(picture).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 2000, "{picture:?} shows nothing");
    }
    let mut command = Command::new("zbarimg");
    command.args(["--quiet", "--raw"]).arg(&console);
    let read = Process::start(command).succeed(Duration::from_mins(1));
    // It also says that it can't reach a desktop's bus, where there is none.
    let url = format!("http://{}/", vm.api.address.ip());
    assert_eq!(read.last(), Some(&url), "a phone reads something else off the screen: {read:?}");
}

fn photograph_page(url: &str, png: &Path) {
    let own = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ])
        .arg("--window-size=1000,700")
        .arg(format!("--user-data-dir={}", own.path().display()))
        .arg(format!("--screenshot={}", png.display()))
        .arg(url)
        .env("HOME", own.path());
    Process::start(command).succeed(Duration::from_mins(2));
}
