//! The two directions of a connection to a peer, over TCP or µTP (BEP 29).

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use librqbit_utp::{UtpStream, UtpStreamReadHalf, UtpStreamWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::storage::Slices;

/// A connection whose directions are still together.
pub(super) enum Stream {
    Tcp(TcpStream),
    Utp(UtpStream),
}

/// What comes from the peer.
pub(super) enum Reader {
    Tcp(OwnedReadHalf),
    Utp(UtpStreamReadHalf),
}

/// What goes to the peer.
pub(super) enum Writer {
    Tcp(OwnedWriteHalf),
    Utp(UtpStreamWriteHalf),
}

impl Stream {
    pub(super) fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                // Only for speed.
                let _ = stream.set_nodelay(true);
                let (read, write) = stream.into_split();
                (Reader::Tcp(read), Writer::Tcp(write))
            }
            Self::Utp(stream) => {
                let (read, write) = stream.split();
                (Reader::Utp(read), Writer::Utp(write))
            }
        }
    }
}

impl Reader {
    /// Reads what has arrived, as far as there is room; 0 bytes at the end of the connection.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Tcp(half) => Pin::new(half).poll_read(context, &mut buffer),
            Self::Utp(half) => Pin::new(half).poll_read(context, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }
}

impl Writer {
    /// Writes as many bytes as are taken.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_write(context, bytes),
            Self::Utp(half) => Pin::new(half).poll_write(context, bytes),
        }
    }

    /// The socket, if it takes whatever bytes it is given, [`Slices`] too.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(half) => Some(half.as_ref()),
            Self::Utp(_) => None,
        }
    }
}

/// Writes as many bytes as the socket takes.
pub(super) fn poll_write_slices(
    context: &mut Context<'_>,
    socket: &TcpStream,
    slices: &Slices<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(context))?;
        match socket.try_io(Interest::WRITABLE, || slices.write_to(socket.as_fd())) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return Poll::Ready(written),
        }
    }
}
