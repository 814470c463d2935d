//! One peer over several connections.

use std::net::Ipv4Addr;

use super::calls::{call, handshake, listener};
use super::*;

const PEER: PeerId = PeerId([7; 20]);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// How often a peer says something that is not to be taken for dead.
const SIGN_OF_LIFE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn the_connection_that_the_peer_keeps_is_served() {
    let seeding = Seeding::new(1 << 20, None);
    let (mut first, first_served) = seeding.connect_as(PEER, HERE).await;
    first.become_unchoked().await;
    let (second, second_served) = seeding.connect_as(PEER, HERE).await;
    drop(second);
    assert!(matches!(end(second_served).await, End::Hangup | End::Socket(_)));
    first.check_given(&seeding, 0).await;
    let (mut third, _served) = seeding.connect_as(PEER, HERE).await;
    drop(first);
    assert!(matches!(end(first_served).await, End::Hangup | End::Socket(_)));
    third.become_unchoked().await;
    third.check_given(&seeding, 1).await;
}

#[tokio::test]
async fn a_peer_that_calls_while_it_is_called_is_served_over_one_connection() {
    let seeding = Seeding::new(1 << 20, None);
    let (listener, address) = listener().await;
    let called = call(&seeding, address);
    // It wants no encryption.
    drop(listener.accept().await.unwrap());
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&handshake(&seeding).to_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 68]).await.unwrap();
    let mut first = Peer { stream, inbox: Vec::new() };
    first.become_unchoked().await;
    let (mut second, _served) = seeding.connect_as(handshake(&seeding).peer_id, HERE).await;
    assert_eq!(seeding.app.peers.len(), 1);
    drop(first);
    assert!(timeout(PATIENCE, called).await.expect("it ends when the peer hangs up").unwrap());
    second.become_unchoked().await;
    second.check_given(&seeding, 0).await;
}

#[tokio::test]
async fn while_a_peer_is_served_its_other_connections_end() {
    let seeding = Seeding::new(1 << 20, None);
    let (mut first, first_served) = seeding.connect_as(PEER, HERE).await;
    first.become_unchoked().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let (mut other, served) = seeding.connect_as(PEER, HERE).await;
        other.say(&[Message::Interested]).await;
        others.push((other, served));
    }
    for (mut other, served) in others {
        let ended = async {
            assert!(matches!(end(served).await, End::Twice));
            let unchoked = other.hear(|message| matches!(message, Message::Unchoke).then_some(()));
            assert_eq!(unchoked.await, None, "it is served too");
        };
        let lives = async {
            loop {
                first.say(&[Message::KeepAlive]).await;
                tokio::time::sleep(SIGN_OF_LIFE).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = lives => {}
        }
    }
    assert!(!first_served.is_finished());
    first.check_given(&seeding, 0).await;
}

#[tokio::test]
async fn a_peer_that_comes_back_is_served_before_its_lost_connection_ends() {
    let seeding = Seeding::new(1 << 20, None);
    let (mut lost, lost_served) = seeding.connect_as(PEER, HERE).await;
    lost.become_unchoked().await;
    lost.say(&[Message::Request(block(0))]).await;
    let (mut back, served) = seeding.connect_as(PEER, HERE).await;
    back.become_unchoked().await;
    back.check_given(&seeding, 0).await;
    assert!(matches!(end(lost_served).await, End::Twice));
    // And once more.
    let (mut again, _served) = seeding.connect_as(PEER, HERE).await;
    again.become_unchoked().await;
    again.check_given(&seeding, 1).await;
    assert!(matches!(end(served).await, End::Twice));
    assert_eq!(seeding.app.peers.len(), 1);
}

#[tokio::test]
async fn nobody_takes_the_place_of_somebody_else() {
    let seeding = Seeding::new(1 << 20, None);
    let mut peers = Vec::new();
    for (peer_id, address) in [(PEER, HERE), (PEER, ELSEWHERE), (PeerId([8; 20]), HERE)] {
        let (mut peer, served) = seeding.connect_as(peer_id, address).await;
        peer.become_unchoked().await;
        peers.push((peer, served));
    }
    assert_eq!(seeding.app.peers.len(), peers.len());
    for (peer, _served) in &mut peers {
        peer.check_given(&seeding, 0).await;
    }
}
