//! Chromium, which looks at the box's pages as `tests/browser/look.js` says.

use std::process::Command;
use std::time::Duration;

use crate::clients::node_modules;
use crate::process::Process;

/// Longest that a scene takes on a busy machine.
const SCENE: Duration = Duration::from_mins(3);

/// Whether it can be driven here; if not, `what` is left out.
pub fn is_there(what: &str) -> bool {
    let is_there = ["playwright-core", "axe-core"].iter().all(|name| node_modules().join(name).exists());
    if !is_there {
        crate::left_out(what, "playwright-core and axe-core are not installed");
    }
    is_there
}

/// Starts a scene.
///
/// # Panics
/// When it can't be started.
pub fn start(scene: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new("node");
    command.arg(crate::root().join("tests/browser/look.js")).arg(scene).args(arguments);
    command.env("NODE_PATH", node_modules());
    Process::start(command)
}

/// Plays a scene to its end; what it said.
///
/// # Panics
/// When somebody would have noticed something wrong.
#[track_caller]
pub fn look(scene: &str, arguments: &[&str]) -> Vec<String> {
    start(scene, arguments).succeed(SCENE)
}
