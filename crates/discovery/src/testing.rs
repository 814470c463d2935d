//! Time for the tests.

use std::time::Instant;

/// Some instant; tests count from it.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to an Instant; nothing depends on which it is"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
