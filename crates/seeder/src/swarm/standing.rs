//! A place among those who wait for the upload limit.

/// How much a member's next block shortens the swarm's time; the least is sent first.
///
/// The default is that of a block of an item that others can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    is_repeat: bool,
    is_new: bool,
    debt: u32,
    sent: u64,
}

impl Standing {
    /// After everything else.
    pub const LAST: Self = Self { is_repeat: true, is_new: true, debt: u32::MAX, sent: u64::MAX };

    /// A first copy comes before others, a piece that was begun before another one (only whole pieces can be
    /// passed on), who passes on before who doesn't, who got little (`sent` in bytes) before who got much.
    pub(crate) fn new(is_first_copy: bool, is_started: bool, debt: f64, sent: u64) -> Self {
        // A float is cut to the range of the integer.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Self { is_repeat: !is_first_copy, is_new: !is_started, debt: debt as u32, sent }
    }

    /// Whether this is a first copy, on which others wait.
    pub fn is_first_copy(self) -> bool {
        !self.is_repeat
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::new(false, false, 0.0, 0)
    }
}
