//! The child that asks for the time, `blackbox-init time FLOOR SERVER...`. It has no privileges, asks until one server answers, and
//! ends. PID 1 judges what it says ([`policy`]) and sets the clock.

pub mod policy;
mod sntp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use policy::Reading;

use crate::{confine, sys};

/// Port of time servers.
const PORT: u16 = 123;

/// Addresses of one server that are asked.
const MAX_ADDRESSES: usize = 3;

/// Wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Packets that may come instead of the answer.
const MAX_OTHERS: usize = 16;

/// Asks the servers, names or addresses, in this order. `floor` is a time in seconds since 1970 that has passed.
///
/// # Errors
/// When no server gives an answer that can be used.
pub fn run(floor: &str, servers: &[&str]) -> io::Result<()> {
    confine::time();
    let floor = Duration::from_secs(floor.parse().map_err(io::Error::other)?);
    for server in servers {
        let addresses = match (*server, PORT).to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(error) => {
                eprintln!("{server}: {error}");
                continue;
            }
        };
        for address in addresses.take(MAX_ADDRESSES) {
            match ask(address, floor) {
                Ok(reading) => {
                    println!("{}", serde_json::to_string(&reading)?);
                    return Ok(());
                }
                Err(error) => eprintln!("{server} ({}): {error}", address.ip()),
            }
        }
    }
    Err(io::Error::other("nobody tells the time"))
}

fn ask(server: SocketAddr, floor: Duration) -> io::Result<Reading> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // From now on it hears nobody else.
    socket.connect(server)?;
    let nonce: [u8; 8] = sys::random()?;
    let start = sys::uptime();
    socket.send(&sntp::request(nonce))?;
    let mut buffer = [0; 512];
    for _ in 0..MAX_OTHERS {
        let left = PATIENCE.saturating_sub(sys::uptime().saturating_sub(start));
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left))?;
        let bytes = socket.recv(&mut buffer)?;
        let elapsed = sys::uptime().saturating_sub(start);
        if let Some(time) = sntp::time(&buffer[..bytes], nonce, elapsed, floor) {
            return Ok(Reading { time, uptime: start + elapsed / 2, server: server.ip() });
        }
    }
    Err(io::Error::other("no answer that can be used"))
}
