//! One peer's connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use seeder::{Close, Event, PeerSession, Torrent, allowed_fast};
use tokio::net::TcpStream;
use tokio::time::sleep_until;
use torrent::InfoHash;

use super::outgoing::{Outgoing, WriteError};
use super::registry::Place;
use crate::app::App;
use crate::catalog::Content;

/// Bytes read at once: a few hundred requests.
const READ: usize = 8 * 1024;

/// Blocks written before other connections get their turn.
const BATCH: usize = 32;

/// Pieces that a peer may have while it is choked (BEP 6).
const ALLOWED_FAST: usize = 5;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the peer closed the connection")]
    Hangup,
    #[error("{0} is not published here")]
    Unknown(InfoHash),
    #[error("the item is no longer published")]
    Retired,
    #[error(transparent)]
    Protocol(#[from] Close),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Socket(#[from] io::Error),
}

/// Serves a peer until one side has enough; tells why.
pub(super) async fn serve(app: &App, stream: TcpStream, address: SocketAddr) -> End {
    // Only for speed.
    let _ = stream.set_nodelay(true);
    let mut session = PeerSession::new(Instant::now(), app.peer_id);
    match greet(app, &stream, &mut session, address).await {
        Ok((name, content)) => {
            let stats = session.stats().expect("invariant: greet attaches a torrent");
            let place = app.peers.enter(stats);
            let connection = Connection {
                app,
                stream,
                session,
                content: &content,
                place,
                outgoing: Outgoing::default(),
                booked: None,
            };
            let end = tokio::select! {
                result = connection.run() => result.map_or_else(|end| end, |never| match never {}),
                () = content.retired.cancelled() => End::Retired,
            };
            if let End::Write(WriteError::Serve(error)) = &end {
                tracing::warn!("{name:?} is looked at again: {error}");
                app.inbox.item(name.as_ref());
            }
            end
        }
        Err(end) => end,
    }
}

/// Reads the peer's handshake and finds what it wants: the item's name and content.
async fn greet(
    app: &App,
    stream: &TcpStream,
    session: &mut PeerSession,
    address: SocketAddr,
) -> Result<(String, Arc<Content>), End> {
    loop {
        tokio::select! {
            ready = stream.readable() => { ready?; read(stream, session)?; }
            () = sleep_until(session.next_deadline().into()) => session.handle_timeout(Instant::now())?,
        }
        let Some(Event::Handshake { info_hash, .. }) = session.poll_event() else { continue };
        let catalog = app.catalog.snapshot();
        let item = catalog.seeding(&info_hash).ok_or(End::Unknown(info_hash))?;
        let content = item.content.as_ref().ok_or(End::Unknown(info_hash))?;
        let torrent = Torrent {
            lengths: content.lengths,
            info_bytes: Arc::clone(&content.info_bytes),
            allowed_fast: allowed_fast(address.ip(), &info_hash, &content.lengths, ALLOWED_FAST),
        };
        session.attach(Instant::now(), torrent)?;
        return Ok((item.name.clone(), Arc::clone(content)));
    }
}

/// Gives the session what has arrived, if anything has.
fn read(stream: &TcpStream, session: &mut PeerSession) -> Result<(), End> {
    let mut buffer = [0; READ];
    match stream.try_read(&mut buffer) {
        Ok(0) => Err(End::Hangup),
        Ok(count) => Ok(session.receive(Instant::now(), &buffer[..count])?),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A connection whose item is known.
struct Connection<'a> {
    app: &'a App,
    stream: TcpStream,
    session: PeerSession,
    content: &'a Content,
    place: Place<'a>,
    outgoing: Outgoing,
    /// When the next block may be sent under the upload limit, once that is booked.
    booked: Option<Instant>,
}

impl Connection<'_> {
    async fn run(mut self) -> Result<std::convert::Infallible, End> {
        loop {
            while let Some(Event::Interested(_)) = self.session.poll_event() {
                self.update();
                self.place.interest_changed();
            }
            self.write()?;
            let deadline = self.session.next_deadline();
            let deadline = self.booked.map_or(deadline, |booked| deadline.min(booked));
            tokio::select! {
                ready = self.stream.readable() => { ready?; read(&self.stream, &mut self.session)?; }
                ready = self.stream.writable(), if !self.outgoing.is_empty() => ready?,
                unchoke = self.place.verdict() => {
                    self.session.set_choked(Instant::now(), !unchoke)?;
                    self.update();
                }
                () = sleep_until(deadline.into()) => self.session.handle_timeout(Instant::now())?,
            }
        }
    }

    /// Writes what there is until the socket or the upload limit takes no more, or others should have their turn.
    fn write(&mut self) -> Result<(), End> {
        let mut sent = 0;
        while sent < BATCH && self.fill()? {
            match self.outgoing.write(&self.stream) {
                Ok(None) => {}
                Ok(Some(block)) => {
                    sent += 1;
                    self.session.block_sent(Instant::now(), block);
                    self.content.counters.uploaded.fetch_add(block.length.into(), Ordering::Relaxed);
                }
                Err(WriteError::Socket(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if sent > 0 {
            self.update();
        }
        Ok(())
    }

    /// Whether there is something to write now.
    fn fill(&mut self) -> Result<bool, End> {
        if !self.outgoing.is_empty() {
            return Ok(true);
        }
        let now = Instant::now();
        if let Some(bytes) = self.session.poll_control(now) {
            self.outgoing.push_bytes(bytes);
            return Ok(true);
        }
        let Some(block) = self.session.peek_block() else { return Ok(false) };
        let due =
            *self.booked.get_or_insert_with(|| self.app.upload.reserve(now, block.length).unwrap_or(now));
        if due > now {
            return Ok(false);
        }
        self.booked = None;
        let Some(block) = self.session.poll_block(now) else { return Ok(false) };
        self.outgoing.push_block(&self.app.storage, self.content, block).map_err(WriteError::Serve)?;
        Ok(true)
    }

    fn update(&self) {
        if let Some(stats) = self.session.stats() {
            self.place.update(stats);
        }
    }
}
