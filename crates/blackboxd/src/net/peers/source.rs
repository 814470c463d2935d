//! Finds blocks in memory, many at a time.

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

    /// Fills `part` with bytes of content if they can be had at once. Does not block.
    ///
    /// # Errors
    /// See [`ServeError`]; what can't be had at once is not one.
    pub(super) fn read(&mut self, offset: u64, part: &mut [u8]) -> Result<bool, ServeError> {
        let mut plan = Vec::new();
        if !self.find(offset, part.len() as u64, &mut plan) {
            return Ok(false);
        }
        for planned in plan {
            if let Planned::Viewed { view, offset: at, length } = planned {
                let start = usize::try_from(at - offset).unwrap_or(usize::MAX);
                let end = start + usize::try_from(length).unwrap_or(usize::MAX);
                self.views[view].read(&mut part[start..end], at)?;
            }
        }
        Ok(true)
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
