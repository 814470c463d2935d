//! The tracker over UDP (BEP 15): a thread that does nothing else, so that it waits for nobody.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracker::address::Approach;
use tracker::connection_id::ConnectionIds;
use tracker::udp::{self as codec, MAX_PACKET, Reject, Request};

use super::packet::{self, Addresses, Exchange};
use super::tracker::{Moment, Tracker};
use crate::app::SharedApp;
use crate::random;

/// Wait after a packet that the system could not deliver, so that a lasting error does not fill the log.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// How long the thread waits for a packet before it looks whether the daemon is ending.
const PATIENCE: Duration = Duration::from_millis(250);

/// Longest packet that is received: a byte more than is read, to tell those that are too long.
const LONGEST: usize = MAX_PACKET + 1;

/// Answers on `socket` until `shutdown`.
///
/// # Errors
/// When the system has no randomness, or does not tell which address packets were sent to.
pub async fn run(app: SharedApp, socket: UdpSocket, shutdown: CancellationToken) -> std::io::Result<()> {
    packet::prepare(&socket, PATIENCE)?;
    let ids = ConnectionIds::new(&random::bytes()?, Instant::now());
    let desk = Desk { tracker: Tracker::new(app)?, ids };
    spawn_blocking(move || answer_all(&desk, &socket, &shutdown)).await?
}

fn answer_all(desk: &Desk, socket: &UdpSocket, shutdown: &CancellationToken) -> std::io::Result<()> {
    let mut exchange = Exchange::<LONGEST>::new(socket)?;
    while !shutdown.is_cancelled() {
        let mut moment = None;
        let turn = exchange.turn(|packet, addresses, answer| {
            // The packets of a batch have come at once.
            desk.answer(packet, addresses, moment.get_or_insert_with(|| desk.tracker.moment()), answer);
        });
        match turn {
            Err(error) if ![ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {
                tracing::warn!("receiving a tracker packet failed: {error}");
                std::thread::sleep(ERROR_PAUSE);
            }
            _ => {}
        }
    }
    Ok(())
}

struct Desk {
    tracker: Tracker,
    ids: ConnectionIds,
}

impl Desk {
    /// Writes the answer to a packet; nothing to what deserves none.
    fn answer(&self, packet: &[u8], addresses: &Addresses, moment: &Moment, answer: &mut Vec<u8>) {
        let (now, asker) = (moment.now, addresses.source.ip().to_canonical());
        let request = codec::parse(packet, asker, |id| self.ids.accepts(now, asker, id));
        // Clients ask again later by themselves, each time after twice as long.
        let is_counted = !matches!(request, Ok(Request::Connect(_)) | Err(Reject::Silent));
        if is_counted && !self.tracker.admits(moment, asker) {
            return;
        }
        match request {
            Err(Reject::Silent) => {}
            Err(Reject::Answer(transaction, failure)) => {
                codec::error_response(answer, transaction, &failure);
            }
            Ok(Request::Connect(transaction)) => {
                codec::connect_response(answer, transaction, self.ids.issue(now, asker));
            }
            Ok(Request::Announce(transaction, announce)) => {
                let approach = Approach { asker, local: addresses.local.to_canonical(), host: None };
                match self.tracker.announce(moment, &announce, &approach) {
                    Ok(told) => codec::announce_response(answer, transaction, &told, asker),
                    Err(failure) => codec::error_response(answer, transaction, &failure),
                }
            }
            Ok(Request::Scrape(transaction, hashes)) => {
                let swarms: Vec<_> = hashes
                    .iter()
                    .map(|hash| self.tracker.scrape_from(moment, asker, hash).unwrap_or_default())
                    .collect();
                codec::scrape_response(answer, transaction, &swarms);
            }
        }
    }
}
