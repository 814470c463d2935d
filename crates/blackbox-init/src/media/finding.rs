//! What a look into a drive found, as the child tells PID 1.

use appliance::message::Medium;
use serde::{Deserialize, Serialize};

/// The outcome of a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing to import: no disc, or a disk whose partitions are looked at instead.
    Nothing,
    /// Still what it was before; only said when asked for a drive that is known to hold something.
    Unchanged,
    /// A medium that is mounted now.
    Found(Medium),
    /// A medium that is mounted now, with an update at its top: it is not imported.
    Update,
    /// Something that can't be mounted, with a sentence for people.
    Unusable(String),
}
