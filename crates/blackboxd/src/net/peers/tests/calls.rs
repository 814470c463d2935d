//! Encryption, and peers that are called.

use seeder::mse::{CHANCE, Decrypt, Initiator, Offer, Rc4, Responder};

use super::*;
use crate::net::peers;

pub(super) fn handshake(seeding: &Seeding) -> Handshake {
    Handshake { reserved: Reserved::OURS, info_hash: seeding.content.info_hash(), peer_id: PeerId([2; 20]) }
}

/// A peer's end of an encrypted connection.
struct Encrypted {
    stream: TcpStream,
    decrypt: Decrypt,
    encrypt: Option<Box<Rc4>>,
    /// What has come, decrypted.
    inbox: Vec<u8>,
}

impl Encrypted {
    async fn say(&mut self, messages: &[Message<'_>]) {
        let mut bytes = Vec::new();
        for message in messages {
            message.encode(&mut bytes);
        }
        if let Some(cipher) = &mut self.encrypt {
            cipher.apply(&mut bytes);
        }
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Reads until these bytes have come.
    async fn read_until(&mut self, wanted: &[u8]) {
        while !self.inbox.windows(wanted.len()).any(|window| window == wanted) {
            assert!(self.inbox.len() < 1 << 20, "something else came");
            let before = self.inbox.len();
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.inbox)).await;
            assert!(read.expect("nothing more came").unwrap() > 0, "it hung up");
            self.decrypt.apply(&mut self.inbox[before..]);
        }
    }
}

/// Connects with encryption of this kind.
async fn encrypted(seeding: &Seeding, offer: Offer) -> Encrypted {
    let (mut stream, served) = pair().await;
    let app = Arc::clone(&seeding.app);
    tokio::spawn(async move { listen(&app, Stream::Tcp(served), ([127, 0, 0, 1], 1).into()).await });
    let mut to_send = Vec::new();
    let mut initiator = Initiator::new(handshake(seeding), offer, &[7; CHANCE], &mut to_send);
    loop {
        stream.write_all(&to_send).await.unwrap();
        to_send.clear();
        let mut received = vec![0; 1024];
        let count = timeout(PATIENCE, stream.read(&mut received)).await.unwrap().unwrap();
        assert!(count > 0, "it hung up");
        if let Some(agreed) = initiator.receive(&received[..count], &mut to_send).unwrap() {
            let (decrypt, encrypt) = (agreed.decrypt, agreed.encrypt);
            return Encrypted { stream, decrypt, encrypt, inbox: agreed.received };
        }
    }
}

#[tokio::test]
async fn encrypted_peers_get_the_same_bytes() {
    let seeding = Seeding::new(1 << 20, None);
    for (offer, is_encrypted) in [(Offer::Rc4, true), (Offer::PlainOrRc4, false)] {
        let mut peer = encrypted(&seeding, offer).await;
        assert_eq!(peer.encrypt.is_some(), is_encrypted, "{offer:?}");
        peer.say(&[Message::Interested]).await;
        let mut unchoke = Vec::new();
        Message::Unchoke.encode(&mut unchoke);
        peer.read_until(&unchoke).await;
        peer.say(&[Message::Request(block(3))]).await;
        peer.read_until(&seeding.bytes[3 * BLOCK as usize..4 * BLOCK as usize]).await;
    }
}

/// Where a peer takes connections, and the address to call.
pub(super) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The box calls a peer at this address.
pub(super) fn call(seeding: &Seeding, address: SocketAddr) -> JoinHandle<bool> {
    let (app, info_hash) = (Arc::clone(&seeding.app), seeding.content.info_hash());
    tokio::spawn(async move { peers::connect(&app, info_hash, address).await })
}

/// Downloads a block over a connection whose handshakes are said.
async fn check_served(seeding: &Seeding, stream: TcpStream) {
    let mut peer = Peer { stream, inbox: Vec::new() };
    peer.become_unchoked().await;
    peer.check_given(seeding, 1).await;
}

#[tokio::test]
async fn a_peer_that_wants_no_encryption_is_called_again_without() {
    let seeding = Seeding::new(1 << 20, None);
    let (listener, address) = listener().await;
    let called = call(&seeding, address);
    drop(listener.accept().await.unwrap());
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs).await.unwrap();
    let theirs = Handshake::parse(&theirs).unwrap().unwrap();
    assert_eq!((theirs.info_hash, theirs.peer_id), (seeding.content.info_hash(), seeding.app.peer_id));
    stream.write_all(&handshake(&seeding).to_bytes()).await.unwrap();
    check_served(&seeding, stream).await;
    assert!(timeout(PATIENCE, called).await.expect("it ends when the peer hangs up").unwrap());
}

#[tokio::test]
async fn without_a_free_place_nobody_is_called() {
    let seeding = Seeding::new(1 << 20, None);
    let (listener, address) = listener().await;
    let taken: Vec<_> = std::iter::from_fn(|| seeding.app.peers.places.try_free()).collect();
    assert!(!call(&seeding, address).await.unwrap());
    drop(taken);
    let _called = call(&seeding, address);
    timeout(PATIENCE, listener.accept()).await.expect("it calls").unwrap();
}

#[tokio::test]
async fn a_peer_that_encrypts_is_called_encrypted() {
    let seeding = Seeding::new(1 << 20, None);
    let (listener, address) = listener().await;
    let _called = call(&seeding, address);
    let (mut stream, _) = listener.accept().await.unwrap();
    let (mut responder, mut received) = (Responder::new(&[9; CHANCE]), Vec::new());
    let mut agreed = loop {
        received.clear();
        stream.read_buf(&mut received).await.unwrap();
        let mut answer = Vec::new();
        let agreed =
            responder.receive(&received, |_| Some(seeding.content.info_hash()), &mut answer).unwrap();
        stream.write_all(&answer).await.unwrap();
        if let Some(agreed) = agreed {
            break agreed;
        }
    };
    // It comes along with the offer, in as many parts as it likes.
    while agreed.received.len() < 68 {
        let before = agreed.received.len();
        stream.read_buf(&mut agreed.received).await.unwrap();
        agreed.decrypt.apply(&mut agreed.received[before..]);
    }
    let theirs = Handshake::parse(&agreed.received).unwrap().unwrap();
    assert_eq!(theirs.info_hash, seeding.content.info_hash());
    stream.write_all(&handshake(&seeding).to_bytes()).await.unwrap();
    check_served(&seeding, stream).await;
}
