//! What the store of swarms may grow to.

/// What a store may grow to. What does not fit gets an answer but is not remembered.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Swarms with peers or finished downloads; those in which the box is are kept in any case.
    pub swarms: usize,
    /// Peers in all swarms together.
    pub peers: usize,
    /// Peers in one swarm.
    pub peers_per_swarm: usize,
    /// Peers of one network (see [`prefix`](crate::prefix)) in one swarm: more than a campus behind one address has.
    pub peers_per_swarm_and_network: usize,
    /// Peers of one network in all swarms together: 500 clients with 1,000 torrents each.
    pub peers_per_network: usize,
}

impl Default for Limits {
    /// 62 MB when full of IPv4 peers, 92 MB when full of IPv6 ones.
    fn default() -> Self {
        Self {
            swarms: 50_000,
            peers: 2_000_000,
            peers_per_swarm: 200_000,
            peers_per_swarm_and_network: 5_000,
            peers_per_network: 500_000,
        }
    }
}
