//! How an exchange goes on: from one thing that is waited for to the next.

use super::Error;
use super::ciphers::Agreed;

/// What a look at the bytes that are there has led to; `P` says what is waited for.
pub(super) enum Step<P> {
    /// On to this, which may be there already.
    Next(P),
    /// More bytes are needed for the same.
    Wait(P),
    /// The exchange is at its end.
    Done(Agreed),
}

/// Takes steps from `phase` on, as many as there are bytes for. There is no phase after the end, nor after an error.
pub(super) fn run<P>(
    phase: &mut Option<P>,
    mut step: impl FnMut(P) -> Result<Step<P>, Error>,
) -> Result<Option<Agreed>, Error> {
    while let Some(present) = phase.take() {
        match step(present)? {
            Step::Next(next) => *phase = Some(next),
            Step::Wait(same) => {
                *phase = Some(same);
                break;
            }
            Step::Done(agreed) => return Ok(Some(agreed)),
        }
    }
    Ok(None)
}
