//! Pieces that are told one by one.

use std::collections::BTreeSet;

use super::*;

/// Large enough that nobody is told of everything at once.
const SIZE: usize = 8 << 20;

/// The pieces that a peer is told of next.
async fn told(peer: &mut Peer, count: usize) -> Vec<u32> {
    let mut told = Vec::new();
    while told.len() < count {
        let piece = peer.hear(|message| match message {
            Message::Have(piece) => Some(*piece),
            Message::HaveAll | Message::Bitfield(_) => panic!("it is told of all: {message:?}"),
            _ => None,
        });
        told.push(piece.await.unwrap());
    }
    told
}

/// All blocks of a piece.
fn blocks(index: u32) -> Vec<Message<'static>> {
    let request = |begin| Message::Request(Range { index, begin, length: BLOCK });
    (0..PIECE / BLOCK).map(|number| request(number * BLOCK)).collect()
}

#[tokio::test]
async fn each_peer_is_told_of_other_pieces_and_given_these() {
    let seeding = Seeding::alone(SIZE, Some("8 MiB/s"));
    let ((mut first, _served), (mut second, _also)) = (seeding.connect().await, seeding.connect().await);
    let (told_first, told_second) = (told(&mut first, 2).await, told(&mut second, 2).await);
    let all: BTreeSet<u32> = told_first.iter().chain(&told_second).copied().collect();
    assert_eq!(all.len(), 4, "{told_first:?} {told_second:?}");
    for (peer, piece) in [(&mut first, told_first[0]), (&mut second, told_second[0])] {
        peer.say(&[Message::Interested]).await;
        peer.say(&blocks(piece)).await;
        for _ in 0..PIECE / BLOCK {
            let (offset, block) = peer.block().await.unwrap();
            assert_eq!(offset / PIECE as usize, piece as usize);
            assert!(seeding.bytes[offset..][..block.len()] == block);
        }
    }
    // Who asks for what only the other was told of is given it too.
    first.say(&blocks(told_second[1])).await;
    assert_eq!(first.block().await.unwrap().0 / PIECE as usize, told_second[1] as usize);
}

#[tokio::test]
async fn what_a_leaver_was_told_of_goes_to_another() {
    let seeding = Seeding::alone(4 * PIECE as usize, Some("8 MiB/s"));
    let (mut leaver, _served) = seeding.connect().await;
    let (mut stays, _also) = seeding.connect().await;
    told(&mut leaver, 1).await;
    drop(leaver);
    let all: BTreeSet<u32> = told(&mut stays, 4).await.into_iter().collect();
    assert_eq!(all.len(), 4);
}

#[tokio::test]
async fn where_others_seed_or_nothing_limits_the_uplink_all_is_told_at_once() {
    for seeding in [Seeding::new(SIZE, Some("8 MiB/s")), Seeding::alone(SIZE, None)] {
        let (mut peer, _served) = seeding.connect().await;
        let first = peer.hear(|message| Some(*message == Message::HaveAll)).await;
        assert_eq!(first, Some(true));
    }
}
