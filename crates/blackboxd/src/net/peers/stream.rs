//! The two directions of a connection to a peer, over TCP or uTP (BEP 29), plain or encrypted.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use librqbit_utp::{UtpStream, UtpStreamReadHalf, UtpStreamWriteHalf};
use seeder::mse::{Decrypt, Rc4};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::storage::Slices;

/// Bytes that a connection whose queue is kept short has in the kernel before they are sent.
const UNSENT: u32 = 64 * 1024;

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
        (Reader { half: read, decrypt: None }, Writer { half: write, encrypt: None })
    }
}

impl Reader {
    /// From now on what arrives is decrypted.
    pub(super) fn decrypt(&mut self, decrypt: Decrypt) {
        self.decrypt = Some(decrypt);
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

    /// Encrypts bytes, if this connection is encrypted; each byte once and in the order of writing.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        if let Some(cipher) = &mut self.encrypt {
            cipher.apply(bytes);
        }
    }

    /// Whether bytes would be taken; uTP does not tell before it is given some.
    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.half {
            WriteHalf::Tcp(half) => half.as_ref().poll_write_ready(context),
            WriteHalf::Utp(_) => Poll::Ready(Ok(())),
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
    pub(super) fn keep_queue_short(&self) {
        if let WriteHalf::Tcp(half) = &self.half {
            // Where it can't be set the order is worse.
            let _ = SockRef::from(half.as_ref()).set_tcp_notsent_lowat(UNSENT);
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
