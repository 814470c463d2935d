//! How port mapping stands, for people and for metrics.

use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};

use super::router::Trouble;

/// The names of all states, as metrics have them.
pub const STATES: [&str; 6] = ["off", "asking", "mapped", "double_nat", "refused", "no_answer"];

/// What the router forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The protocol by which it was asked.
    pub way: &'static str,
    /// Where peers reach the box.
    pub peers: SocketAddr,
    /// Where the tracker is reached.
    pub tracker: SocketAddr,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not configured.
    Off,
    /// The router has not answered yet.
    Asking,
    /// The box can be reached there.
    Mapped(Mapping),
    /// The router forwards, but is behind another one itself.
    DoubleNat(Mapping),
    /// It does not forward.
    Failed(Trouble),
}

impl State {
    /// As metrics have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Off => STATES[0],
            Self::Asking => STATES[1],
            Self::Mapped(_) => STATES[2],
            Self::DoubleNat(_) => STATES[3],
            Self::Failed(Trouble::Refused(_)) => STATES[4],
            // None that could be used.
            Self::Failed(Trouble::NoRouter | Trouble::NoAnswer | Trouble::Nonsense) => STATES[5],
        }
    }

    /// Where those outside reach the box's peer listener.
    pub(super) fn peers(&self) -> Option<SocketAddr> {
        self.mapping().map(|mapping| mapping.peers)
    }

    fn mapping(&self) -> Option<Mapping> {
        if let Self::Mapped(mapping) = self { Some(*mapping) } else { None }
    }

    /// In a line for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Off => "off".into(),
            Self::Asking => "the router is being asked".into(),
            Self::Mapped(Mapping { way, peers, tracker }) => {
                format!("by {way}: from outside, peers reach the box at {peers}, the tracker at {tracker}")
            }
            Self::DoubleNat(Mapping { way, peers, .. }) => format!(
                "by {way}, but in vain: the router's own address is {}, so it is behind another router (double NAT). \
                 Forward the ports there too, or ask the provider for a public address",
                peers.ip()
            ),
            Self::Failed(trouble) => trouble.sentence(),
        }
    }
}

/// The state, for all to see.
#[derive(Debug)]
pub struct PortMapping(RwLock<State>);

impl PortMapping {
    /// Before anything was asked.
    pub fn new(is_configured: bool) -> Self {
        Self(RwLock::new(if is_configured { State::Asking } else { State::Off }))
    }

    /// How it stands now.
    pub fn state(&self) -> State {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where those outside reach the tracker, if a router maps it.
    pub fn tracker(&self) -> Option<SocketAddr> {
        self.state().mapping().map(|mapping| mapping.tracker)
    }

    pub(super) fn set(&self, state: State) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if *current != state {
            tracing::info!("port mapping: {}", state.sentence());
        }
        *current = state;
    }
}
