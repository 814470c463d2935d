//! How much there may be of everything.

/// What there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Candidates of one item that are not connected; who is connected is bounded elsewhere.
    pub per_item: usize,
    /// Of these at one address: several clients may be behind one router.
    pub per_address: usize,
    /// Candidates of all items that are not connected. One takes about 200 bytes.
    pub all: usize,
    /// Calls that are not answered yet.
    pub half_open: usize,
    /// Calls in any second: those that are refused at once end as fast as they begin, and routers keep each in mind for minutes.
    pub per_second: usize,
    /// Calls and the connections that came of them.
    pub outgoing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_item: 100, per_address: 10, all: 10_000, half_open: 30, per_second: 30, outgoing: 1_000 }
    }
}
