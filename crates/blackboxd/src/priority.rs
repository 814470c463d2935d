//! Work that can wait: peers and people can't.

use rustix::process::setpriority_process;

/// The lowest there is. A thread that is so nice also comes last at a disk (`ioprio_set(2)`: best effort, level 7).
const NICE: i32 = 19;

/// Lets the calling thread, and those that it starts from now on, do their work in what time others leave.
pub fn lower() {
    // On Linux this is of the calling thread only, in spite of the name.
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!("the priority can't be lowered: {error}");
    }
}
