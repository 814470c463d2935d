//! How peers find each other, and whom to connect to.
//!
//! Pure: bytes, time and chance are arguments. Of crate `tracker` only [`Scope`](tracker::address::Scope) is used:
//! which addresses mean something to whom is the same question everywhere.
//!
//! - [`candidates`]: who is called, when, and how many at a time
//! - [`priority()`]: which connections all peers prefer (BEP 40)
//! - [`exchange`]: peers tell each other of further ones (BEP 11)
//! - [`local`]: the network tells itself (BEP 14)
//! - [`dht`]: the network of all clients (BEP 5)
//! - [`Turns`]: what is announced next, of more than can be announced at once
//!
//! Invariants: nothing that strangers send makes anything panic, or grow beyond a named limit; nobody is told of, or
//! called at, an address that has no meaning where it was told.

pub mod candidates;
mod compact;
mod crc32c;
pub mod dht;
pub mod exchange;
pub mod local;
mod priority;
#[cfg(test)]
mod testing;
mod turns;

pub use priority::priority;
pub use turns::Turns;
