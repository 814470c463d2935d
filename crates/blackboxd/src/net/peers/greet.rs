//! The first words of a connection, until both sides know what it is about: encryption or not, and the handshakes.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use seeder::mse::{self, Agreed, Initiator, Offer, Responder};
use seeder::{Close, Event, Handshake, PeerSession};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use torrent::InfoHash;

use super::end::End;
use super::stream::{Reader, Stream, Writer};
use super::wanted::Wanted;
use crate::app::App;
use crate::random;

/// Bytes read at once: a few hundred requests.
const READ: usize = 8 * 1024;

/// Time for a peer to take a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);

/// A connection whose both sides know what it is about.
pub(super) struct Greeted {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) session: PeerSession,
    pub(super) wanted: Wanted,
    /// Where the peer is.
    pub(super) address: SocketAddr,
    /// Whether it was called.
    pub(super) is_called: bool,
    /// Whether pieces are handed out to it one by one.
    pub(super) hand_out: bool,
}

/// A connection over which the first words go.
struct Line<'a> {
    app: &'a App,
    reader: Reader,
    writer: Writer,
    session: PeerSession,
    /// Where the peer is.
    address: IpAddr,
}

/// Gives the session what arrives next.
pub(super) async fn receive(reader: &mut Reader, session: &mut PeerSession) -> Result<(), End> {
    read(reader, |bytes| Ok(session.receive(Instant::now(), bytes)?)).await
}

/// Hands over what arrives next. The buffer is on the stack, since most connections are idle, and is not cleared, since this
/// is polled whenever anything else happens.
async fn read(reader: &mut Reader, mut take: impl FnMut(&[u8]) -> Result<(), End>) -> Result<(), End> {
    poll_fn(|context| {
        let mut buffer = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(reader.poll_read(context, &mut buffer))?;
        Poll::Ready(if buffer.filled().is_empty() { Err(End::Hangup) } else { take(buffer.filled()) })
    })
    .await
}

/// Listens to a peer that has connected.
pub(super) async fn answer(app: &App, stream: Stream, address: SocketAddr) -> Result<Greeted, End> {
    let (reader, writer) = stream.split();
    let session = PeerSession::new(Instant::now(), app.peer_id);
    let mut line = Line { app, reader, writer, session, address: address.ip() };
    let wanted = in_time(line.session.next_deadline(), line.listen()).await?;
    let terms = wanted.terms(app, address.ip());
    let hand_out = terms.hand_out;
    line.session.attach(Instant::now(), terms)?;
    let Line { reader, writer, session, .. } = line;
    Ok(Greeted { reader, writer, session, wanted, address, is_called: false, hand_out })
}

/// Connects to a peer for a torrent: encrypted and, should it want none of that, plain; over TCP and, should it not be
/// reached by that, over uTP.
pub(super) async fn call(app: &App, info_hash: InfoHash, address: SocketAddr) -> Result<Greeted, End> {
    match introduce(app, connect(app, address).await?, info_hash, address, true).await {
        Err(End::Hangup | End::Socket(_) | End::Encryption(_) | End::Protocol(Close::HandshakeTimeout)) => {
            introduce(app, connect(app, address).await?, info_hash, address, false).await
        }
        other => other,
    }
}

async fn connect(app: &App, address: SocketAddr) -> Result<Stream, End> {
    let tcp = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
    match (tcp, app.peers.utp()) {
        (Ok(Ok(stream)), _) => Ok(Stream::Tcp(stream)),
        (Ok(Err(error)), None) => Err(error.into()),
        (Err(_), None) => Err(End::Unreachable),
        (_, Some(utp)) => {
            let stream = timeout(CONNECT_LIMIT, utp.connect(address)).await;
            Ok(Stream::Utp(stream.map_err(|_| End::Unreachable)??))
        }
    }
}

/// Speaks first over a new connection.
async fn introduce(
    app: &App,
    stream: Stream,
    info_hash: InfoHash,
    address: SocketAddr,
    is_encrypted: bool,
) -> Result<Greeted, End> {
    let (reader, writer) = stream.split();
    let wanted = Wanted::find(app, &info_hash, address.ip())?;
    let terms = wanted.terms(app, address.ip());
    let hand_out = terms.hand_out;
    let session = PeerSession::call(Instant::now(), app.peer_id, info_hash, terms);
    let mut line = Line { app, reader, writer, session, address: address.ip() };
    in_time(line.session.next_deadline(), line.speak(is_encrypted)).await?;
    app.dialler.connected(info_hash, address);
    let Line { reader, writer, session, .. } = line;
    Ok(Greeted { reader, writer, session, wanted, address, is_called: true, hand_out })
}

impl Line<'_> {
    /// What the peer wants that has connected.
    async fn listen(&mut self) -> Result<Wanted, End> {
        self.decide_encryption().await?;
        loop {
            if let Some(Event::Handshake { info_hash, .. }) = self.session.poll_event() {
                return Wanted::find(self.app, &info_hash, self.address);
            }
            receive(&mut self.reader, &mut self.session).await?;
        }
    }

    /// Says what the box has, until the peer has answered.
    async fn speak(&mut self, is_encrypted: bool) -> Result<(), End> {
        let handshake = self.session.poll_control(Instant::now()).unwrap_or_default();
        match Handshake::parse(&handshake) {
            Ok(Some(handshake)) if is_encrypted => self.offer_encryption(handshake).await?,
            _ => self.writer.write_all(&handshake).await?,
        }
        while self.session.stats().is_none() {
            receive(&mut self.reader, &mut self.session).await?;
        }
        Ok(())
    }

    /// Finds out whether the peer encrypts, and then agrees on how.
    async fn decide_encryption(&mut self) -> Result<(), End> {
        let mut first = Vec::new();
        let is_plain = loop {
            if let Some(is_plain) = mse::is_plain(&first) {
                break is_plain;
            }
            self.read(&mut first).await?;
        };
        if is_plain {
            return Ok(self.session.receive(Instant::now(), &first)?);
        }
        let mut responder = Responder::new(&random::bytes()?);
        // Who may not have it is not even shown that it is here.
        let (app, address) = (self.app, self.address);
        let find = |req2| {
            let name = app.catalog.snapshot().named_by_req2(&req2)?;
            Wanted::find(app, &name, address).ok().map(|_| name)
        };
        loop {
            let mut answer = Vec::new();
            let agreed = responder.receive(&first, find, &mut answer)?;
            self.writer.write_all(&answer).await?;
            if let Some(agreed) = agreed {
                return self.agree(agreed);
            }
            first.clear();
            self.read(&mut first).await?;
        }
    }

    /// Offers encryption, with the handshake inside, and agrees on it.
    async fn offer_encryption(&mut self, handshake: Handshake) -> Result<(), End> {
        let mut to_send = Vec::new();
        let mut initiator = Initiator::new(handshake, Offer::PlainOrRc4, &random::bytes()?, &mut to_send);
        let mut received = Vec::new();
        loop {
            self.writer.write_all(&to_send).await?;
            to_send.clear();
            received.clear();
            self.read(&mut received).await?;
            if let Some(agreed) = initiator.receive(&received, &mut to_send)? {
                self.writer.write_all(&to_send).await?;
                return self.agree(agreed);
            }
        }
    }

    fn agree(&mut self, agreed: Agreed) -> Result<(), End> {
        self.reader.decrypt(agreed.decrypt);
        self.writer.encrypt(agreed.encrypt);
        Ok(self.session.receive(Instant::now(), &agreed.received)?)
    }

    /// Appends what arrives next.
    async fn read(&mut self, to: &mut Vec<u8>) -> Result<(), End> {
        read(&mut self.reader, |bytes| {
            to.extend_from_slice(bytes);
            Ok(())
        })
        .await
    }
}

/// Does something in the time that there is for handshakes.
async fn in_time<T>(deadline: Instant, what: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    tokio::select! {
        done = what => done,
        () = sleep_until(deadline.into()) => Err(End::Protocol(Close::HandshakeTimeout)),
    }
}
