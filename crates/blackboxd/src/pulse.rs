//! The daemon's signs of life for init, which ends a daemon that gives none (see [`ToInit::Alive`]).
//!
//! A sign is given only while every runtime takes up new work. Threads that wait for disks are not asked: a disk that does
//! not answer is no reason to end the daemon, and could not be mended by that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use appliance::message::{PULSE, ToInit};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::init_link::InitLink;
use crate::runtimes::Runtimes;

/// How long a runtime may take to take up new work, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

/// The same for the peers' runtime. A page that is written out between the look for it and the use of it (`mincore`) is
/// read by whoever sends it, and a disk that goes bad tries for minutes.
const PATIENCE_WITH_DISKS: Duration = Duration::from_mins(10);

/// Starts the thread that gives the signs, until `ending`.
///
/// # Errors
/// When there is no thread to be had.
pub fn start(runtimes: &Runtimes, link: &Arc<InitLink>, ending: &CancellationToken) -> io::Result<()> {
    let mut parts = [
        Part::new("page", runtimes.net.handle(), PATIENCE),
        Part::new("tracker", runtimes.tracker.handle(), PATIENCE),
        Part::new("peers", runtimes.peers.handle(), PATIENCE_WITH_DISKS),
    ];
    let (link, ending) = (Arc::clone(link), ending.clone());
    let give = move || {
        let mut stuck = None;
        while !ending.is_cancelled() {
            let found = find_stuck(&mut parts, Instant::now());
            match found {
                None => drop(link.send(&ToInit::Alive)),
                Some(name) if stuck != found => {
                    tracing::error!("the runtime for the {name} takes up no work");
                }
                Some(_) => {}
            }
            stuck = found;
            thread::sleep(PULSE);
        }
    };
    thread::Builder::new().name("pulse".into()).spawn(give)?;
    Ok(())
}

/// A part of the daemon that has to keep turning.
struct Part {
    name: &'static str,
    runtime: Handle,
    patience: Duration,
    asked: Instant,
    has_answered: Arc<AtomicBool>,
}

impl Part {
    fn new(name: &'static str, runtime: &Handle, patience: Duration) -> Self {
        let has_answered = Arc::new(AtomicBool::new(true));
        Self { name, runtime: runtime.clone(), patience, asked: Instant::now(), has_answered }
    }
}

/// Asks every part that has answered again. Says which one has been silent for longer than it may, if one has.
fn find_stuck(parts: &mut [Part], now: Instant) -> Option<&'static str> {
    let mut stuck = None;
    for part in parts {
        if part.has_answered.swap(false, Ordering::Relaxed) {
            part.asked = now;
        } else {
            if now.duration_since(part.asked) > part.patience {
                stuck.get_or_insert(part.name);
            }
            // The question before is still there.
            continue;
        }
        let answer = Arc::clone(&part.has_answered);
        part.runtime.spawn(async move { answer.store(true, Ordering::Relaxed) });
    }
    stuck
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    /// Waits until a part's question has been answered.
    fn wait_for_answer(part: &Part) {
        while !part.has_answered.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_runtime_that_stands_still_is_found_when_its_time_is_over_and_not_before() {
        let (turning, standing) = (runtime(), runtime());
        let mut parts = [
            Part::new("turning", turning.handle(), PATIENCE),
            Part::new("standing", standing.handle(), PATIENCE),
        ];
        let start = Instant::now();
        assert_eq!(find_stuck(&mut parts, start), None);
        parts.iter().for_each(wait_for_answer);

        let (go_on, blocked) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        standing.spawn(async move {
            begun.send(()).unwrap();
            // Blocks the one thread that there is, as a deadlock does.
            let _ = blocked.recv();
        });
        has_begun.recv().unwrap();
        assert_eq!(find_stuck(&mut parts, start), None, "it is only asked now");
        wait_for_answer(&parts[0]);
        assert_eq!(find_stuck(&mut parts, start + PATIENCE), None, "it may take that long");
        wait_for_answer(&parts[0]);
        let late = start + PATIENCE + Duration::from_millis(1);
        assert_eq!(find_stuck(&mut parts, late), Some("standing"));
        wait_for_answer(&parts[0]);

        drop(go_on);
        wait_for_answer(&parts[1]);
        assert_eq!(find_stuck(&mut parts, late), None, "it turns again");
    }
}
