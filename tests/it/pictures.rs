//! The picture of the console for the README: made on each run, kept in the repository when asked to.

use std::fs;
use std::process::Command;
use std::time::Duration;

use system_tests::process::Process;
use system_tests::vm::Vm;

/// Takes it, of a box that has something to show.
pub(crate) fn take(vm: &mut Vm) {
    let update = std::env::var_os("BLACKBOX_UPDATE_PICTURES").is_some();
    let folder = system_tests::root().join(if update { "tests/pictures" } else { "target/pictures" });
    fs::create_dir_all(&folder).unwrap();
    let console = folder.join("console.png");
    vm.photograph(&console);
    let bytes = fs::read(&console).unwrap();
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 2000, "{console:?} shows nothing");
    let mut command = Command::new("zbarimg");
    command.args(["--quiet", "--raw"]).arg(&console);
    let read = Process::start(command).succeed(Duration::from_mins(1));
    // It also says that it can't reach a desktop's bus, where there is none.
    let url = format!("http://{}/", vm.api.address.ip());
    assert!(read.contains(&url), "a phone reads something else off the screen: {read:?}");
}
