//! What a peer does with extensions (BEP 10), and with requests for hashes (BEP 52).

use torrent::Lengths;
use torrent::bencode::{self, Problem};

use crate::bounded_queue::BoundedQueue;
use crate::client;
use crate::close::Close;
use crate::extended::{ExtendedHandshake, HANDSHAKE_ID};
use crate::hash_request::{self, HashRequest};
use crate::message::Message;
use crate::metadata::{MetadataMessage, UT_METADATA_ID};
use crate::metadata_requests::MetadataRequests;
use crate::outbox::Outbox;

/// Our number for peer exchange.
pub(crate) const UT_PEX_ID: u8 = 2;

/// The state of all extensions of one connection.
#[derive(Debug)]
pub(crate) struct Extensions {
    pub(crate) metadata: MetadataRequests,
    pub(crate) hashes: BoundedQueue<HashRequest>,
    /// The peer's number for peer exchange; 0 if it wants none.
    exchange_id: u8,
    /// Whether this side offered peer exchange.
    exchange_offered: bool,
    /// The last message of peer exchange, until it is looked at.
    pub(crate) exchange: Option<Vec<u8>>,
    /// What the peer says it is called; `None` if it does not say.
    pub(crate) client: Option<String>,
    /// Where the peer takes connections; `None` if it does not say.
    pub(crate) port: Option<u16>,
    /// Port of the peer's DHT node (BEP 5), until it is looked at.
    pub(crate) dht_port: Option<u16>,
}

impl Extensions {
    pub(crate) fn new(metadata_size: u32, lengths: &Lengths, has_v2: bool, exchange_offered: bool) -> Self {
        Self {
            metadata: MetadataRequests::new(metadata_size),
            hashes: hash_request::queue(lengths, has_v2),
            exchange_id: 0,
            exchange_offered,
            exchange: None,
            client: None,
            port: None,
            dht_port: None,
        }
    }

    /// Whether there are requests that wait for an answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.hashes.is_empty()
    }

    /// Acts on a message of an extension. Whether it made use of the connection.
    pub(crate) fn handle(&mut self, id: u8, payload: &[u8], outbox: &mut Outbox) -> Result<bool, Close> {
        match id {
            HANDSHAKE_ID => {
                let handshake = tolerate(ExtendedHandshake::parse(payload))?.unwrap_or_default();
                self.agree(&handshake);
            }
            UT_METADATA_ID => {
                if let Some(MetadataMessage::Request(index)) =
                    tolerate(MetadataMessage::parse(payload))?.flatten()
                {
                    return self.metadata_request(index, outbox);
                }
            }
            UT_PEX_ID if self.exchange_offered => self.exchange = Some(payload.to_vec()),
            _ => {}
        }
        Ok(false)
    }

    /// Queues a request for hashes, or rejects it.
    pub(crate) fn hash_request(&mut self, request: HashRequest, outbox: &mut Outbox) -> Result<(), Close> {
        if request.is_sound() && self.hashes.push(request) {
            return Ok(());
        }
        outbox.reject(Message::HashReject(request))
    }

    /// Whether the peer can be told of others.
    pub(crate) fn can_exchange(&self) -> bool {
        self.exchange_offered && self.exchange_id != 0
    }

    /// Tells the peer of others.
    pub(crate) fn exchange(&mut self, payload: &[u8], outbox: &mut Outbox) {
        if self.can_exchange() {
            outbox.write(Message::Extended { id: self.exchange_id, payload });
        }
    }

    fn agree(&mut self, handshake: &ExtendedHandshake) {
        if let Some(id) = handshake.ut_metadata {
            self.metadata.set_id(id);
        }
        if let Some(id) = handshake.ut_pex {
            self.exchange_id = id;
        }
        self.port = handshake.port.or(self.port);
        let client = handshake.client.as_deref().map(client::printable).unwrap_or_default();
        if !client.is_empty() {
            self.client = Some(client);
        }
    }

    fn metadata_request(&mut self, index: u32, outbox: &mut Outbox) -> Result<bool, Close> {
        if !self.metadata.is_on() {
            return Ok(false);
        }
        if !self.metadata.push(index) {
            let id = self.metadata.id();
            outbox.reject(Message::Extended { id, payload: &MetadataMessage::Reject(index).to_bytes() })?;
        }
        Ok(true)
    }
}

/// Some clients write sloppy bencode: they can do without extensions. But nobody nests too deep by mistake.
fn tolerate<T>(parsed: Result<T, bencode::Error>) -> Result<Option<T>, Close> {
    match parsed {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.problem == Problem::TooDeep => Err(Close::Extended(error)),
        Err(_) => Ok(None),
    }
}
