//! Several networks with a router between them: each test lays them out anew, and nothing gets out.
//!
//! A network namespace is a *room*. A thread is in one room at a time; sockets, processes and threads stay in the room
//! in which they were made.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use crate::network;
use crate::process::run;

/// Where the calling thread is.
const HERE: &str = "/proc/thread-self/ns/net";

/// A network namespace. It ends with the last process in it, and this value.
#[derive(Debug)]
pub struct Room(File);

impl Room {
    /// A new one, with nothing but a loopback device; the calling thread is in it then. `None` where there can be none.
    fn new() -> Option<Self> {
        network::make_private().then(Self::here)
    }

    /// The one that the calling thread is in.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn here() -> Self {
        Self(File::open(HERE).expect("the room of this thread"))
    }

    /// Moves the calling thread into it.
    ///
    /// # Panics
    /// When the system does not allow it.
    pub fn enter(&self) {
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).expect("a room of ours");
    }

    /// Does something in it; the calling thread is where it was then.
    ///
    /// # Panics
    /// When the system does not allow it.
    pub fn visit<T>(&self, what: impl FnOnce() -> T) -> T {
        let here = Self::here();
        self.enter();
        let done = what();
        here.enter();
        done
    }

    /// The name by which `ip` knows it.
    pub fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// A home with a box and a neighbour, a router that masks it, and somebody far away. All have both versions of the Internet
/// Protocol; only that of IPv4 is masked.
#[derive(Debug)]
pub struct Home {
    /// Has [`BOX`], [`BOX_V6`] and [`BOX_PRIVATE_V6`].
    pub r#box: Room,
    /// Has [`NEIGHBOUR`] and [`NEIGHBOUR_V6`].
    pub neighbour: Room,
    /// Has [`ROUTER`] inside and [`OUTSIDE`] outside.
    pub router: Room,
    /// Has [`STRANGER`] and [`STRANGER_V6`].
    pub stranger: Room,
}

/// The box in its home, as it is seen there.
pub const BOX: &str = "192.168.7.1";
/// Its address of IPv6, which everybody can reach.
pub const BOX_V6: &str = "2001:db8:7::1";
/// Its address of IPv6 in the home alone.
pub const BOX_PRIVATE_V6: &str = "fd00:7::1";
/// Another machine in the home.
pub const NEIGHBOUR: &str = "192.168.7.9";
/// The same, over IPv6.
pub const NEIGHBOUR_V6: &str = "fd00:7::9";
/// The router as the home sees it.
pub const ROUTER: &str = "192.168.7.254";
/// The router, and with it the box, as the world sees it.
pub const OUTSIDE: &str = "203.0.113.1";
/// Somebody in the world.
pub const STRANGER: &str = "198.51.100.5";
/// The same, over IPv6.
pub const STRANGER_V6: &str = "2001:db8:5::5";

impl Home {
    /// Lays it out; the calling thread is with the box then. `None` where that is not possible, with the reason.
    ///
    /// # Errors
    /// What this machine lacks.
    pub fn new() -> Result<Self, &'static str> {
        let room = || Room::new().ok_or("no network of its own");
        let home = Self { r#box: room()?, neighbour: room()?, stranger: room()?, router: room()? };
        // The router's room is the one that this thread is in.
        if !succeeds("nft", &["list", "ruleset"]) {
            return Err("no nft, or no right to use it");
        }
        if !succeeds("ip", &["link", "add", "name", "home", "type", "bridge"]) {
            return Err("no bridges");
        }
        for (name, room) in [("box", &home.r#box), ("neighbour", &home.neighbour), ("world", &home.stranger)]
        {
            let path = room.path();
            let peer = ["type", "veth", "peer", "name", "eth0", "netns", &path];
            if !succeeds("ip", &[&["link", "add", "name", name], &peer[..]].concat()) {
                return Err("no pairs of network devices");
            }
            run("ip", ["link", "set", name, "up"]);
        }
        for (key, value) in [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")] {
            fs::write(format!("/proc/sys/net/{key}"), value).expect("a setting of the router's own");
        }
        run("ip", ["link", "set", "box", "master", "home"]);
        run("ip", ["link", "set", "neighbour", "master", "home"]);
        run("ip", ["link", "set", "home", "up"]);
        addresses("home", &["192.168.7.254/24", "fd00:7::fe/64", "2001:db8:7::fe/64"]);
        addresses("world", &["203.0.113.1/32", "2001:db8:5::fe/64"]);
        run("ip", ["route", "add", "198.51.100.0/24", "dev", "world"]);
        run("nft", ["add table ip masking"]);
        run("nft", ["add chain ip masking before { type nat hook prerouting priority -100; }"]);
        run("nft", ["add chain ip masking after { type nat hook postrouting priority 100; }"]);
        run("nft", ["add rule ip masking after oifname world masquerade"]);
        // A machine at home that uses the address outside comes back as the router.
        run("nft", ["add rule ip masking after ip saddr 192.168.7.0/24 ct status dnat masquerade"]);
        end_point(&home.neighbour, &["192.168.7.9/24", "fd00:7::9/64"], &[ROUTER, "fd00:7::fe"]);
        end_point(&home.stranger, &["198.51.100.5/24", "2001:db8:5::5/64"], &["", "2001:db8:5::fe"]);
        end_point(
            &home.r#box,
            &["192.168.7.1/24", "fd00:7::1/64", "2001:db8:7::1/64"],
            &[ROUTER, "2001:db8:7::fe"],
        );
        Ok(home)
    }

    /// Has the router forward a port to the box, as its owner would by hand.
    pub fn forward(&self, outside: u16, inside: u16) {
        self.router.visit(|| {
            for transport in ["tcp", "udp"] {
                run("nft", [forwarding(transport, outside, BOX, inside)]);
            }
        });
    }
}

/// The command of nft that forwards a port.
pub fn forwarding(transport: &str, outside: u16, to: &str, inside: u16) -> String {
    format!("add rule ip masking before ip daddr {OUTSIDE} {transport} dport {outside} dnat to {to}:{inside}")
}

/// Runs a program, and says whether it did what it was to do.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments);
    command.output().is_ok_and(|output| output.status.success())
}

fn addresses(device: &str, addresses: &[&str]) {
    for address in addresses {
        let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        run("ip", ["address", "add", address, "dev", device].iter().chain(nodad));
    }
}

/// Enters a room with one way out of it.
fn end_point(room: &Room, own: &[&str], routers: &[&str]) {
    room.enter();
    addresses("eth0", own);
    run("ip", ["link", "set", "eth0", "up"]);
    for router in routers {
        // One who is alone with the router need not know its address.
        if router.is_empty() {
            run("ip", ["route", "add", "default", "dev", "eth0"]);
        } else {
            run("ip", ["route", "add", "default", "via", router, "dev", "eth0"]);
        }
    }
}
