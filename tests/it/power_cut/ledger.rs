//! What power cuts have cost.

use std::collections::BTreeMap;
use std::fmt;

use super::Phase;

/// What the cuts in one phase have cost.
#[derive(Debug, Default)]
pub(super) struct Costs {
    pub cuts: usize,
    /// Writes to the disk that were not flushed, and those of them that were lost.
    pub unflushed: usize,
    pub lost: usize,
    /// Boxes that did not come up again by themselves, but when they were switched off and on once more.
    pub stuck: usize,
    /// Boxes that did not come up again.
    pub bricks: usize,
    /// Published items that were not there any more, or others than before.
    pub items: usize,
    /// Data partitions that could not be mended without a human.
    pub damaged: usize,
}

/// The costs, by what the machine was doing when its power was cut.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<Phase, Costs>);

impl Ledger {
    pub fn of(&mut self, phase: Phase) -> &mut Costs {
        self.0.entry(phase).or_default()
    }

    /// Demands that there was no cost but in writes.
    pub fn assert_promises_are_kept(&self) {
        for (phase, costs) in &self.0 {
            let broken = (costs.stuck, costs.bricks, costs.items, costs.damaged);
            assert_eq!(broken, (0, 0, 0, 0), "stuck, bricks, items, damaged: {phase:?}\n{self}");
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "phase      cuts  unflushed writes  of them lost  stuck  bricks  lost items  need a human"
        )?;
        for (phase, costs) in &self.0 {
            let Costs { cuts, unflushed, lost, stuck, bricks, items, damaged } = costs;
            let phase = format!("{phase:?}");
            writeln!(
                f,
                "{phase:<9} {cuts:>5} {unflushed:>17} {lost:>13} {stuck:>6} {bricks:>7} {items:>11} {damaged:>13}"
            )?;
        }
        Ok(())
    }
}
