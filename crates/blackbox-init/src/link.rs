//! Init's end of the conversation with the daemon (see [`appliance::message`]). It never waits for the daemon.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use appliance::message::{self, MAX_LINE, ToDaemon, ToInit};

use crate::lines::Lines;

/// Bytes that may wait for the daemon to read them. State is small; a daemon this far behind does not run any more.
const MAX_WAITING: usize = 1 << 20;

/// Read at once (bytes) before others have their turn.
const READ_BYTES: usize = 16 * 1024;

/// The stream, and what could not be written yet.
pub struct Link {
    stream: UnixStream,
    lines: Lines,
    waiting: VecDeque<u8>,
}

impl Link {
    /// Takes init's end of a stream pair.
    ///
    /// # Errors
    /// When the stream can't be made non-blocking.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, lines: Lines::new(MAX_LINE), waiting: VecDeque::new() })
    }

    /// Whether something waits to be written.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Queues a message and writes what can be written.
    ///
    /// # Errors
    /// The conversation is over: the daemon ended or is stuck.
    pub fn send(&mut self, message: &ToDaemon) -> io::Result<()> {
        let line = message::encode(message).map_err(io::Error::other)?;
        if self.waiting.len() + line.len() > MAX_WAITING {
            return Err(io::Error::other("the daemon reads no messages"));
        }
        self.waiting.extend(line);
        self.flush()
    }

    /// Writes what can be written.
    ///
    /// # Errors
    /// The conversation is over.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.stream.write(self.waiting.as_slices().0) {
                Ok(bytes) => drop(self.waiting.drain(..bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes the messages that have come.
    ///
    /// # Errors
    /// The conversation is over: the daemon ended, or wrote what is not a message.
    pub fn receive(&mut self) -> io::Result<Vec<ToInit>> {
        let mut buffer = [0; READ_BYTES];
        let bytes = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        self.lines
            .push(&buffer[..bytes])
            .into_iter()
            .map(|line| {
                if line.cut {
                    return Err(io::Error::other("a message is too long"));
                }
                message::decode(&line.bytes).map_err(io::Error::other)
            })
            .collect()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    fn pair() -> (Link, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Link::new(ours).unwrap(), theirs)
    }

    #[test]
    fn messages_go_both_ways() {
        let (mut link, mut daemon) = pair();
        assert_eq!(link.receive().unwrap(), []);
        daemon.write_all(b"{\"type\":\"ready\",\"web_port\":80}\n{\"type\":\"eject\",").unwrap();
        assert_eq!(link.receive().unwrap(), [ToInit::Ready { web_port: 80 }]);
        daemon.write_all(b"\"drive\":\"sr0\"}\n").unwrap();
        assert_eq!(link.receive().unwrap(), [ToInit::Eject { drive: "sr0".into() }]);
        let message = ToDaemon::MediumRemoved { drive: "sr0".into() };
        link.send(&message).unwrap();
        let mut line = Vec::new();
        BufReader::new(daemon).read_until(b'\n', &mut line).unwrap();
        assert_eq!(message::decode::<ToDaemon>(&line).unwrap(), message);
    }

    #[test]
    fn a_daemon_that_does_not_read_is_given_up_without_waiting() {
        let (mut link, _daemon) = pair();
        let message = ToDaemon::Problems { sentences: vec!["x".repeat(1000); 50] };
        let sent = (0..1000).take_while(|_| link.send(&message).is_ok()).count();
        assert!((10..100).contains(&sent), "{sent}");
        assert!(link.is_waiting());
    }

    #[test]
    fn nonsense_and_an_end_close_the_conversation() {
        for bytes in [&b"nonsense\n"[..], &[b'x'; READ_BYTES], b""] {
            let (mut link, mut daemon) = pair();
            daemon.write_all(bytes).unwrap();
            drop(daemon);
            let over = (0..10).any(|_| link.receive().is_err());
            assert!(over, "{bytes:?}");
        }
    }
}
