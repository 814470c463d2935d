//! A network of its own for each test: all ports are free, every address can be had, nothing gets out.

use std::net::SocketAddr;

use nix::sched::{CloneFlags, unshare};

use crate::process::run;

/// Moves the calling thread, and what it starts from now on, into a new network that has only a loopback device.
/// Says whether that was possible: it needs root, or a user namespace as `scripts/test` makes one.
///
/// Without it tests share the machine's loopback, where ports that the kernel picks do not collide either.
pub fn make_private() -> bool {
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        return false;
    }
    run("ip", ["link", "set", "lo", "up"]);
    true
}

/// As [`make_private`], with further addresses that are all this machine's own: askers from other networks.
pub fn make_private_with(addresses: &[&str]) -> bool {
    if !make_private() {
        return false;
    }
    for address in addresses {
        let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        run("ip", ["address", "add", address, "dev", "lo"].iter().chain(nodad));
    }
    true
}

/// The one that clients have in [`make_lan`].
pub const CLIENT: &str = "192.168.7.9";

/// Address at which a box is reached in [`make_lan`].
pub const BOX: &str = "192.168.7.1";

/// A network like a LAN: the box is at [`BOX`], and whoever connects to it comes from [`CLIENT`]. Transmission connects to
/// no peer on a loopback address, so there must be others.
pub fn make_lan() -> bool {
    // On the loopback device all addresses of the subnet are this machine's, and this one is the source.
    make_private_with(&[&format!("{CLIENT}/24")])
}

/// Address at which a box is reached in [`make_lan_v6`].
pub const BOX_V6: &str = "fd00:7::1";

/// As [`make_lan`], with version 6 of the Internet Protocol alone.
pub fn make_lan_v6() -> bool {
    make_private_with(&[&format!("{BOX_V6}/64")])
}

/// A port on this machine.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
