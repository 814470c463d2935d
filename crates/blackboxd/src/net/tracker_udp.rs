//! The tracker over UDP (BEP 15): one task that answers packet by packet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tracker::address::Approach;
use tracker::connection_id::ConnectionIds;
use tracker::udp::{self as codec, MAX_PACKET, Reject, Request};

use super::packet::{self, Received};
use super::tracker::Tracker;
use crate::app::SharedApp;
use crate::random;

/// Wait after a packet that the system could not deliver, so that a lasting error does not fill the log.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Answers on `socket` until `shutdown`.
///
/// # Errors
/// When the system has no randomness, or does not tell which address packets were sent to.
pub async fn run(app: SharedApp, socket: UdpSocket, shutdown: CancellationToken) -> std::io::Result<()> {
    packet::prepare(&socket)?;
    let ids = ConnectionIds::new(&random::bytes()?, Instant::now());
    let desk = Desk { tracker: Tracker::new(Arc::clone(&app))?, ids };
    tokio::select! {
        () = answer_all(&desk, &socket) => {}
        () = desk.tracker.public_host.watch() => {}
        () = shutdown.cancelled() => {}
    }
    Ok(())
}

/// Never ends.
async fn answer_all(desk: &Desk, socket: &UdpSocket) {
    // One byte more than is read, to tell packets that are too long.
    let mut buffer = [0; MAX_PACKET + 1];
    loop {
        match packet::receive(socket, &mut buffer).await {
            Ok(received) => {
                if let Some(answer) = desk.answer(&buffer[..received.length], &received, Instant::now()) {
                    // An answer that can't be sent is lost like any other packet; the client asks again.
                    let _ = packet::answer(socket, &received, &answer);
                }
            }
            Err(error) => {
                tracing::warn!("receiving a tracker packet failed: {error}");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

struct Desk {
    tracker: Tracker,
    ids: ConnectionIds,
}

impl Desk {
    /// The answer to a packet; `None` for what deserves none.
    fn answer(&self, packet: &[u8], received: &Received, now: Instant) -> Option<Vec<u8>> {
        let asker = received.source.ip().to_canonical();
        let request = match codec::parse(packet, asker, |id| self.ids.accepts(now, asker, id)) {
            Ok(request) => request,
            Err(Reject::Answer(transaction, failure)) => {
                return Some(codec::error_response(transaction, &failure));
            }
            Err(Reject::Silent) => return None,
        };
        Some(match request {
            Request::Connect(transaction) => codec::connect_response(transaction, self.ids.issue(now, asker)),
            Request::Announce(transaction, announce) => {
                let approach = Approach { asker, local: received.local.to_canonical(), host: None };
                match self.tracker.announce(now, &announce, &approach) {
                    Ok(answer) => codec::announce_response(transaction, &answer, asker),
                    Err(failure) => codec::error_response(transaction, &failure),
                }
            }
            Request::Scrape(transaction, hashes) => {
                let swarms: Vec<_> = hashes
                    .iter()
                    .map(|hash| self.tracker.scrape_from(asker, hash).unwrap_or_default())
                    .collect();
                codec::scrape_response(transaction, &swarms)
            }
        })
    }
}
