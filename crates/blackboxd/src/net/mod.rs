//! The sockets: peers and how they are found, the tracker over HTTP and UDP, and the way to both from outside.

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
