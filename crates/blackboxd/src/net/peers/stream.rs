//! The two directions of a connection to a peer, over TCP or uTP (BEP 29), plain or encrypted.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use librqbit_utp::{UtpStream, UtpStreamReadHalf, UtpStreamWriteHalf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use seeder::mse::{Decrypt, Rc4};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::storage::Slices;

/// Bytes that the kernel takes for a peer before it has sent them: what a fast one takes in a few milliseconds, and no more,
/// since thousands of slow ones have as much.
const UNSENT: u32 = 512 * 1024;

/// The same for a connection whose queue is kept short.
const SHORT_UNSENT: u32 = 64 * 1024;

/// Bytes that uTP is given at a time: it does not tell how many it takes.
const UTP_ROOM: usize = 32 * 1024;

/// A connection whose directions are still together.
pub(super) enum Stream {
    Tcp(TcpStream),
    Utp(UtpStream),
}

/// What comes from the peer.
pub(super) struct Reader {
    half: ReadHalf,
    decrypt: Option<Decrypt>,
}

/// What goes to the peer.
pub(super) struct Writer {
    half: WriteHalf,
    encrypt: Option<Box<Rc4>>,
    /// Bytes that the kernel takes before it has sent them.
    unsent: u32,
}

enum ReadHalf {
    Tcp(OwnedReadHalf),
    Utp(UtpStreamReadHalf),
}

enum WriteHalf {
    Tcp(OwnedWriteHalf),
    Utp(UtpStreamWriteHalf),
}

impl Stream {
    pub(super) fn split(self) -> (Reader, Writer) {
        let (read, write) = match self {
            Self::Tcp(stream) => {
                // Only for speed.
                let _ = stream.set_nodelay(true);
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Utp(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Utp(read), WriteHalf::Utp(write))
            }
        };
        let mut writer = Writer { half: write, encrypt: None, unsent: 0 };
        writer.limit_unsent(UNSENT);
        (Reader { half: read, decrypt: None }, writer)
    }
}

impl Reader {
    /// From now on what arrives is decrypted.
    pub(super) fn decrypt(&mut self, decrypt: Decrypt) {
        self.decrypt = Some(decrypt);
    }

    /// Whether the first words were encrypted, whatever came then.
    pub(super) fn was_encrypted(&self) -> bool {
        self.decrypt.is_some()
    }

    /// Reads what has arrived, as far as there is room in the empty buffer; nothing at the end of the connection.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(match &mut self.half {
            ReadHalf::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            ReadHalf::Utp(half) => Pin::new(half).poll_read(context, buffer),
        })?;
        if let Some(decrypt) = &mut self.decrypt {
            decrypt.apply(buffer.filled_mut());
        }
        Poll::Ready(Ok(()))
    }
}

impl Writer {
    /// From now on what is written has to be [encrypted](Self::apply), if there is a cipher.
    pub(super) fn encrypt(&mut self, cipher: Option<Box<Rc4>>) {
        self.encrypt = cipher;
    }

    /// Whether there is a cipher.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypt.is_some()
    }

    /// Whether it goes over uTP.
    pub(super) fn is_utp(&self) -> bool {
        matches!(self.half, WriteHalf::Utp(_))
    }

    /// Encrypts bytes, if this connection is encrypted; each byte once and in the order of writing.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        if let Some(cipher) = &mut self.encrypt {
            cipher.apply(bytes);
        }
    }

    /// Whether there is [room](Self::room); uTP does not tell before it is given bytes.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let WriteHalf::Tcp(half) = &self.half else { return Poll::Ready(Ok(())) };
        let socket: &TcpStream = half.as_ref();
        loop {
            ready!(socket.poll_write_ready(context))?;
            // That may be from before the last write.
            match socket.try_io(Interest::WRITABLE, || can_write(socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                can => return Poll::Ready(can),
            }
        }
    }

    /// Bytes that are taken when there is room, unless the kernel has no memory.
    pub(super) fn room(&self) -> usize {
        match &self.half {
            WriteHalf::Tcp(half) => {
                // A socket that can be written to has a third of its memory left, and less than half of `unsent` in it.
                let memory = SockRef::from(half.as_ref()).send_buffer_size().unwrap_or(0) / 3;
                memory.min(self.unsent as usize / 2)
            }
            WriteHalf::Utp(_) => UTP_ROOM,
        }
    }

    /// Writes as many bytes (there are some) as are taken, as they are; one at least.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(match &mut self.half {
            WriteHalf::Tcp(half) => Pin::new(half).poll_write(context, bytes),
            WriteHalf::Utp(half) => Pin::new(half).poll_write(context, bytes),
        })? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Writes all bytes as they are. To be used before there is anything else to write.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|context| self.poll_write(context, bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Has the kernel take little more than what the peer's network takes: what waits there can't be ordered any more.
    pub(super) fn keep_queue_short(&mut self) {
        self.limit_unsent(SHORT_UNSENT);
    }

    fn limit_unsent(&mut self, bytes: u32) {
        self.unsent = bytes;
        if let WriteHalf::Tcp(half) = &self.half {
            // Where it can't be set more memory is used, and the order is worse.
            let _ = SockRef::from(half.as_ref()).set_tcp_notsent_lowat(bytes);
        }
    }

    /// The socket, if it takes bytes as they are, [`Slices`] too.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match &self.half {
            WriteHalf::Tcp(half) if self.encrypt.is_none() => Some(half.as_ref()),
            _ => None,
        }
    }
}

/// Fails with `WouldBlock` while the socket takes less than [`Writer::room`].
fn can_write(socket: &TcpStream) -> io::Result<()> {
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut asked, PollTimeout::ZERO)? == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
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
