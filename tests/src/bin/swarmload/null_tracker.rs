//! A tracker that knows nothing and answers all the same: the limit of the machine for packets in batches.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt};

use crate::announce_udp::{BATCH, KERNEL_BUFFER, LONGEST};

/// Bytes of the answer to an announce: it names 50 peers.
const ANSWER: usize = 20 + 50 * 6;

/// Answers until it is killed.
///
/// # Errors
/// A wrong option, or a socket that does not work.
pub fn run(arguments: impl IntoIterator<Item = String>) -> Result<(), String> {
    let options = crate::options(arguments, &["listen"], &[])?;
    let listen: SocketAddr = options.required("listen")?;
    serve(listen).map_err(|error| format!("{listen}: {error}"))
}

fn serve(listen: SocketAddr) -> std::io::Result<()> {
    let socket = UdpSocket::bind(listen)?;
    setsockopt(&socket, sockopt::RcvBuf, &KERNEL_BUFFER)?;
    println!("ready {}", socket.local_addr()?);
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut answer_headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut buffers = vec![[0; LONGEST]; BATCH];
    loop {
        let mut parts = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect::<Vec<_>>();
        let flags = MsgFlags::MSG_WAITFORONE;
        let messages = recvmmsg(socket.as_raw_fd(), &mut headers, &mut parts, flags, None)?;
        let mut from = [(None, 0); BATCH];
        let received = messages.zip(&mut from);
        let count = received.map(|(message, from)| *from = (message.address, message.bytes)).count();
        for (buffer, (_, length)) in buffers.iter_mut().zip(&from[..count]) {
            let is_announce = *length >= 98 && buffer[11] == 1;
            buffer.copy_within(12..16, 4);
            buffer[..4].copy_from_slice(&[0, 0, 0, u8::from(is_announce)]);
            buffer[8..20].copy_from_slice(&[0, 0, 7, 8, 0, 0, 0, 25, 0, 0, 0, 25]);
        }
        let answer = |length: usize| if length >= 98 { ANSWER } else { 16 };
        let parts: Vec<_> = buffers
            .iter()
            .zip(&from[..count])
            .map(|(buffer, (_, length))| [IoSlice::new(&buffer[..answer(*length)])])
            .collect();
        let addresses = from.map(|(address, _)| address);
        // An answer that can't be sent is lost like any other packet.
        let _ = sendmmsg(
            socket.as_raw_fd(),
            &mut answer_headers,
            &parts,
            &addresses[..count],
            [],
            MsgFlags::empty(),
        );
    }
}
