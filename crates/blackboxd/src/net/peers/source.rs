//! Finds blocks in memory, many at a time.

use std::io::IoSliceMut;
use std::ops::Range;

use crate::catalog::Content;
use crate::storage::{ServeError, Slices, Storage, View, check_damage};

/// Bytes whose presence in memory is asked for at once: requests mostly follow each other.
const ASK: u64 = 1 << 20;

/// Finds bytes of `content` that can be sent at once. What was found holds for that moment, so make it anew each time.
#[derive(Debug)]
pub(super) struct Source<'a> {
    storage: &'a Storage,
    content: &'a Content,
    views: Vec<View>,
    /// What of the last view is in memory.
    present: Range<u64>,
}

/// Bytes to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Planned<'a> {
    /// These.
    Bytes(&'a [u8]),
    /// These bytes of content, which are in the view with this number.
    Viewed { view: usize, offset: u64, length: u64 },
}

impl Planned<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Viewed { length, .. } => usize::try_from(*length).unwrap_or(usize::MAX),
        }
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(storage: &'a Storage, content: &'a Content) -> Self {
        Self { storage, content, views: Vec::new(), present: 0..0 }
    }

    /// Adds bytes of content to the plan, unless some of them can't be sent at once. Does not block.
    pub(super) fn find(&mut self, offset: u64, length: u64, plan: &mut Vec<Planned<'_>>) -> bool {
        let planned = plan.len();
        let end = offset + length;
        let mut at = offset;
        while at < end && self.look_at(at, end - at) {
            let view = self.views.len() - 1;
            let length = self.views[view].covers(at, end - at);
            plan.push(Planned::Viewed { view, offset: at, length });
            at += length;
        }
        let found = at == end && check_damage(self.content, offset, length).is_ok();
        if !found {
            plan.truncate(planned);
        }
        found
    }

    /// Copies what is planned into `to`, which has just room for it. Does not block.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub(super) fn copy(&self, plan: &[Planned<'_>], mut to: &mut [u8]) -> Result<(), ServeError> {
        // What follows each other in a file is read in one call, with what comes in between left out.
        let mut parts = Vec::with_capacity(plan.len());
        let mut read: Option<(usize, Range<u64>)> = None;
        for planned in plan {
            let (part, rest) = to.split_at_mut(planned.len());
            to = rest;
            match *planned {
                Planned::Bytes(bytes) => part.copy_from_slice(bytes),
                Planned::Viewed { view, offset, length } => {
                    match &mut read {
                        Some((last, range)) if *last == view && range.end == offset => range.end += length,
                        _ => {
                            self.read(read.replace((view, offset..offset + length)), &mut parts)?;
                            parts.clear();
                        }
                    }
                    parts.push(IoSliceMut::new(part));
                }
            }
        }
        self.read(read, &mut parts)
    }

    fn read(
        &self,
        read: Option<(usize, Range<u64>)>,
        parts: &mut [IoSliceMut<'_>],
    ) -> Result<(), ServeError> {
        let Some((view, range)) = read else { return Ok(()) };
        self.views[view].read(parts, range.start)
    }

    /// What is planned, ready to be sent.
    pub(super) fn slices<'s>(&'s self, plan: &[Planned<'s>]) -> Slices<'s> {
        let mut slices = Slices::with_capacity(plan.len());
        for planned in plan {
            match *planned {
                Planned::Bytes(bytes) => slices.push(bytes),
                Planned::Viewed { view, offset, length } => {
                    self.views[view].push(&mut slices, offset, length);
                }
            }
        }
        slices
    }

    /// Whether the last view has the byte at `offset`, and as many of the `length` bytes from there on as it covers.
    fn look_at(&mut self, offset: u64, length: u64) -> bool {
        if self.views.last().is_none_or(|view| view.covers(offset, length) == 0) {
            let Some(view) = self.storage.view(self.content, offset) else { return false };
            self.views.push(view);
            self.present = 0..0;
        }
        let view = self.views.last().expect("invariant: one was just added, if there was none");
        let length = view.covers(offset, length);
        if self.present.contains(&offset) && offset + length <= self.present.end {
            return true;
        }
        let ahead = view.covers(offset, ASK.max(length));
        let present = if view.has(offset, ahead) {
            ahead
        } else if view.has(offset, length) {
            length
        } else {
            return false;
        };
        self.present = offset..offset + present;
        true
    }
}
