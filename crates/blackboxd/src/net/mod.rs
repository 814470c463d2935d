//! The sockets: peers and how they are found, and the tracker over HTTP and UDP.

pub mod discovery;
pub mod http;
mod packet;
pub mod peers;
mod public_host;
pub mod sockets;
mod tracker;
pub mod tracker_http;
pub mod tracker_udp;
