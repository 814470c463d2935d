//! Calls a peer. A session can't begin a conversation yet, so this begins it, and then leads the peer to the box's own
//! listener as if it had called.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use seeder::{HANDSHAKE_LENGTH, HANDSHAKE_LIMIT, Handshake, Reserved};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;
use torrent::InfoHash;

use crate::app::App;

/// Time for a call to be answered.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Connects to a peer, says so when it has greeted, and serves it until either side has enough.
pub async fn connect(app: &App, info_hash: InfoHash, address: SocketAddr) {
    if let Err(error) = serve(app, info_hash, address).await {
        tracing::debug!("{address} was called: {error}");
    }
}

async fn serve(app: &App, info_hash: InfoHash, address: SocketAddr) -> io::Result<()> {
    let mut peer = timeout(CALL_LIMIT, TcpStream::connect(address)).await??;
    let ours = Handshake { reserved: Reserved::OURS, info_hash, peer_id: app.peer_id };
    peer.write_all(&ours.to_bytes()).await?;
    let mut greeting = [0; HANDSHAKE_LENGTH];
    timeout(HANDSHAKE_LIMIT, peer.read_exact(&mut greeting)).await??;
    let theirs = Handshake::parse(&greeting).ok().flatten().filter(|theirs| theirs.info_hash == info_hash);
    let mut theirs = theirs.ok_or_else(|| io::Error::other("it is no peer of this item"))?;
    // The torrent was chosen by calling.
    theirs.reserved.0[7] &= !Reserved::OURS_UPGRADABLE.0[7] | Reserved::OURS.0[7];
    app.dialler.connected(info_hash, address);

    let mut listener = app.listeners.peer;
    if listener.ip().is_unspecified() {
        listener.set_ip(if listener.is_ipv4() { [127, 0, 0, 1].into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let mut session = TcpStream::connect(listener).await?;
    session.write_all(&theirs.to_bytes()).await?;
    session.read_exact(&mut greeting).await?;
    copy_bidirectional(&mut peer, &mut session).await?;
    Ok(())
}
