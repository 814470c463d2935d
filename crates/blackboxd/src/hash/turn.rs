//! Whose turn it is to read and hash. A disk is fastest when one after the other reads from it, and memory is bounded; but
//! nobody should wait for a giant that takes hours. So the giant gives way to what is small, and goes on after it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// One for each disk: it is held by at most one job at a time.
#[derive(Debug, Default)]
pub struct Turn {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    /// Small jobs that have, or wait for, their turn.
    small: usize,
}

/// A job that has its turn, or gave it up for a rest. Dropping it ends its turn.
#[derive(Debug)]
pub struct Held<'a> {
    turn: &'a Turn,
    is_small: bool,
}

impl Turn {
    /// Waits for a turn. Large jobs give way to small ones.
    pub fn take(&self, is_small: bool) -> Held<'_> {
        let mut state = self.lock();
        state.small += usize::from(is_small);
        drop(self.wait(state, is_small));
        Held { turn: self, is_small }
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, is_small: bool) -> MutexGuard<'a, State> {
        while state.is_taken || (state.small > 0 && !is_small) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_taken = true;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// Whether a small job waits for this large one.
    pub fn is_wanted(&self) -> bool {
        !self.is_small && self.turn.lock().small > 0
    }

    /// Gives the turn up and takes another one when no small job wants it.
    pub fn pass(&mut self) {
        let mut state = self.turn.lock();
        state.is_taken = false;
        self.turn.changed.notify_all();
        drop(self.turn.wait(state, self.is_small));
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.turn.lock();
        state.is_taken = false;
        state.small -= usize::from(self.is_small);
        self.turn.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn a_large_job_gives_way_to_small_ones_and_goes_on_after_them() {
        let turn = Turn::default();
        let (say, heard) = channel();
        let mut large = turn.take(false);
        assert!(!large.is_wanted());
        thread::scope(|scope| {
            for name in ["small", "small"] {
                let (turn, say) = (&turn, say.clone());
                scope.spawn(move || {
                    let held = turn.take(true);
                    assert!(!held.is_wanted(), "small jobs give way to nobody");
                    say.send(name).unwrap();
                });
            }
            while turn.lock().small < 2 {
                thread::yield_now();
            }
            assert!(large.is_wanted());
            assert!(heard.try_recv().is_err(), "only one has its turn");
            large.pass();
            say.send("large").unwrap();
        });
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["small", "small", "large"]);
        drop(large);
        turn.take(false);
    }
}
