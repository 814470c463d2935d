//! The sockets: peers and how they are found, the tracker over HTTP and UDP, and the way to both from outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod discovery;
pub mod http;
mod packet;
pub mod peers;
pub mod places;
pub mod port_mapping;
pub mod public_host;
pub mod sockets;
mod tracker;
pub mod tracker_http;
pub mod tracker_load;
pub mod tracker_udp;
mod waiting;

/// Takes a lock: what it guards is whole even if somebody panicked who held it, as every change to it is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
