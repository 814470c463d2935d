//! What the daemon takes from itself, and the signs of life that it gives to init.

use appliance::message::{PULSE, ToInit};
use system_tests::daemon::Site;

#[test]
fn no_thread_of_the_daemon_has_more_rights_than_it_needs() {
    let (daemon, _) = Site::new().start_with_file();
    // Filters (2), and no way back by another program.
    for (key, expected) in [("Seccomp:", "2"), ("NoNewPrivs:", "1")] {
        assert_eq!(daemon.threads_say(key), [expected.to_owned()].into(), "{key}");
    }
    daemon.end();
}

#[test]
fn a_daemon_gives_signs_of_life() {
    let (daemon, mut init) = Site::new().start_with_init();
    for _ in 0..3 {
        let sign = |message: &ToInit| matches!(message, ToInit::Alive).then_some(());
        init.wait_for("a sign of life", 4 * PULSE, sign);
    }
    daemon.end();
}
