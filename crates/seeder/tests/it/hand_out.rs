//! Who is told of which piece, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use seeder::{Member, Reveal, Standing, Swarm};
use torrent::{Block, Lengths, PieceIndex};

use crate::support::origin;

const BLOCK: u32 = 16 << 10;
/// Two blocks.
const PIECE: u32 = 2 * BLOCK;
const PIECES: u32 = 200;
/// Bytes a second.
const UPLINK: u64 = 50 * PIECE as u64;

/// A seed that sends at once what is asked for.
struct Seed {
    swarm: Swarm,
    now: Instant,
    lengths: Lengths,
    /// The pieces that each member was told of one by one, and those that it was sent.
    told: BTreeMap<Member, Vec<PieceIndex>>,
    taken: BTreeSet<(Member, PieceIndex)>,
    /// Who was told of everything.
    free: BTreeSet<Member>,
}

impl Seed {
    fn new() -> Self {
        let (now, lengths) = (origin(), Lengths::new(u64::from(PIECE * PIECES), PIECE).unwrap());
        let mut swarm = Swarm::new(now, lengths.clone());
        swarm.set_uplink(now, UPLINK);
        Self { swarm, now, lengths, told: BTreeMap::new(), taken: BTreeSet::new(), free: BTreeSet::new() }
    }

    /// A member at an address of its own.
    fn join(&mut self, host: u8) -> Member {
        let member = self.swarm.join(self.now, IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)));
        self.told.insert(member, Vec::new());
        self.reveal();
        self.swarm.interested(self.now, member, true);
        self.reveal();
        member
    }

    fn leave(&mut self, member: Member) {
        self.swarm.leave(self.now, member);
        self.reveal();
    }

    fn withhold(&mut self, pieces: &[PieceIndex]) {
        self.swarm.set_withheld(self.now, pieces);
        self.reveal();
    }

    fn reveal(&mut self) {
        while let Some(reveal) = self.swarm.poll_reveal(self.now) {
            match reveal {
                Reveal::Piece(member, piece) => self.told.get_mut(&member).unwrap().push(piece),
                Reveal::All(member) => assert!(self.free.insert(member), "told twice of everything"),
            }
        }
    }

    /// Lets time pass in which nobody does anything.
    fn wait(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while let Some(at) = self.swarm.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.swarm.handle_timeout(self.now);
            self.reveal();
        }
        self.now = end;
    }

    fn block(&self, piece: PieceIndex, begin: u32) -> Block {
        self.lengths.block(piece.get(), begin, BLOCK).unwrap()
    }

    fn piece(&self, index: u32) -> PieceIndex {
        self.lengths.piece(index).unwrap()
    }

    fn is_told(&self, member: Member, piece: PieceIndex) -> bool {
        self.free.contains(&member) || self.told[&member].contains(&piece)
    }

    /// Sends a piece that the member asks for.
    fn send(&mut self, member: Member, piece: PieceIndex) {
        assert!(self.is_told(member, piece));
        for block in [0, BLOCK].map(|begin| self.block(piece, begin)) {
            self.swarm.requested(self.now, member, block);
            self.swarm.sent(self.now, member, block);
        }
        self.taken.insert((member, piece));
        self.reveal();
    }

    fn show(&mut self, member: Member, piece: PieceIndex) {
        self.swarm.has(self.now, member, piece);
        self.reveal();
    }

    /// For some seconds the members take what they are told of, and show it; all of them if they `share`.
    fn work(&mut self, seconds: u64, members: &[Member], share: bool) {
        for _ in 0..seconds * 50 / members.len() as u64 {
            for member in members {
                let next = |piece: &&PieceIndex| !self.taken.contains(&(*member, **piece));
                if let Some(piece) = self.told[member].iter().find(next).copied() {
                    self.send(*member, piece);
                    let to = if share { members } else { std::slice::from_ref(member) };
                    for member in to {
                        self.show(*member, piece);
                    }
                }
            }
            self.wait(20 * members.len() as u64);
        }
    }
}

#[test]
fn each_piece_is_given_to_one_member() {
    let mut seed = Seed::new();
    let members = [1, 2, 3, 4].map(|host| seed.join(host));
    // Less than the first copy takes.
    seed.work(3, &members, true);
    let told: Vec<_> = seed.told.values().flatten().collect();
    let pieces: BTreeSet<_> = told.iter().collect();
    assert_eq!(told.len(), pieces.len(), "somebody was told of another one's piece");
    assert!(told.len() >= 150, "{} pieces", told.len());
}

#[test]
fn what_a_member_does_not_ask_for_is_given_to_others() {
    let mut seed = Seed::new();
    let (mute, other) = (seed.join(1), seed.join(2));
    let kept = seed.told[&mute][0];
    seed.work(3, &[other], false);
    assert!(seed.told[&mute].len() < 40, "it is not given piece after piece");
    seed.work(3, &[other], false);
    assert!(seed.told[&other].contains(&kept));
}

#[test]
fn what_a_choked_member_was_given_is_given_to_others() {
    let mut seed = Seed::new();
    let (choked, other) = (seed.join(1), seed.join(2));
    let (kept, count) = (seed.told[&choked][0], seed.told[&choked].len());
    seed.swarm.choked(seed.now, choked, true);
    seed.work(5, &[other], false);
    assert!(seed.is_told(other, kept));
    assert_eq!(seed.told[&choked].len(), count);
    seed.swarm.choked(seed.now, choked, false);
    seed.reveal();
    seed.wait(1000);
    assert!(seed.told[&choked].len() > count);
}

#[test]
fn nobody_seizes_pieces_by_asking_for_them() {
    let mut seed = Seed::new();
    let [greedy, a, b] = [1, 2, 3].map(|host| seed.join(host));
    for piece in seed.lengths.clone().pieces() {
        seed.swarm.requested(seed.now, greedy, seed.block(piece, 0));
    }
    let untold = |piece: &PieceIndex| seed.told.values().all(|told| !told.contains(piece));
    let untold = seed.lengths.pieces().find(untold).unwrap();
    assert!(!seed.swarm.standing(greedy, seed.block(untold, 0)).is_first_copy());
    seed.work(5, &[a, b], true);
    let told: BTreeSet<_> = seed.told.values().flatten().collect();
    assert!(told.len() >= 195, "{} pieces", told.len());
}

#[test]
fn who_asks_for_what_it_was_not_told_of_is_given_a_little_of_it() {
    let mut seed = Seed::new();
    seed.join(1);
    seed.join(2);
    let odd = seed.swarm.join(seed.now, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)));
    let mut firsts = 0;
    for index in 100..200 {
        let block = seed.block(seed.piece(index), 0);
        seed.swarm.requested(seed.now, odd, block);
        firsts += usize::from(seed.swarm.standing(odd, block).is_first_copy());
    }
    assert!((1..=9).contains(&firsts), "{firsts}");
}

#[test]
fn who_cancels_is_given_something_else() {
    let mut seed = Seed::new();
    let (member, _) = (seed.join(1), seed.join(2));
    let piece = seed.told[&member][0];
    let (told, block) = (seed.told[&member].len(), seed.block(piece, 0));
    seed.swarm.requested(seed.now, member, block);
    seed.reveal();
    assert_eq!(seed.told[&member].len(), told);
    seed.swarm.cancelled(member, block);
    seed.reveal();
    assert!(seed.told[&member].len() > told);
}

#[test]
fn what_waits_behind_other_requests_for_ever_is_given_to_others() {
    let mut seed = Seed::new();
    let [hoarder, a, b] = [1, 2, 3].map(|host| seed.join(host));
    let kept = seed.told[&hoarder][0];
    seed.swarm.requested(seed.now, hoarder, seed.block(kept, 0));
    seed.work(5, &[a, b], true);
    assert!(!seed.told[&a].contains(&kept) && !seed.told[&b].contains(&kept));
    for _ in 0..10 {
        let other = seed.block(seed.told[&a][0], 0);
        seed.swarm.requested(seed.now, hoarder, other);
        seed.swarm.requested(seed.now, hoarder, other);
        seed.swarm.sent(seed.now, hoarder, other);
        seed.work(1, &[a, b], true);
    }
    assert!(seed.told[&a].contains(&kept) || seed.told[&b].contains(&kept));
}

#[test]
fn what_is_stuck_in_a_full_socket_is_given_to_others() {
    let mut seed = Seed::new();
    let (stuck, other) = (seed.join(1), seed.join(2));
    let kept = seed.told[&stuck][0];
    let block = seed.block(kept, 0);
    seed.swarm.requested(seed.now, stuck, block);
    seed.swarm.blocked(seed.now, stuck, true);
    seed.work(6, &[other], false);
    assert!(seed.told[&other].contains(&kept));
}

#[test]
fn what_only_a_leaver_had_is_given_to_others() {
    let mut seed = Seed::new();
    // Who is alone would be told of everything.
    let [leaver, a, b] = [1, 2, 3].map(|host| seed.join(host));
    let pieces = seed.told[&leaver].clone();
    for piece in &pieces {
        seed.send(leaver, *piece);
        seed.show(leaver, *piece);
    }
    seed.leave(leaver);
    seed.work(8, &[a, b], true);
    assert!(pieces.iter().all(|piece| [a, b].iter().any(|member| seed.told[member].contains(piece))));
}

#[test]
fn what_newcomers_bring_is_not_sent_before_all_the_rest() {
    let mut seed = Seed::new();
    let brought: Vec<_> = (100..150).map(|index| seed.piece(index)).collect();
    let member = seed.join(1);
    seed.swarm.has_many(seed.now, member, brought.iter().copied());
    let other = seed.join(2);
    seed.work(2, &[member, other], true);
    assert!(seed.told.values().flatten().all(|piece| !brought.contains(piece)));
}

#[test]
fn who_passes_on_nothing_comes_last_even_when_it_comes_back() {
    let mut seed = Seed::new();
    let [taker, a, b] = [1, 2, 3].map(|host| seed.join(host));
    for _ in 0..2 {
        let piece = *seed.told[&taker].last().unwrap();
        seed.send(taker, piece);
        seed.work(1, &[a, b], true);
    }
    let next = *seed.told[&taker].last().unwrap();
    let standing = seed.swarm.standing(taker, seed.block(next, 0));
    assert!(!standing.is_first_copy());
    seed.leave(taker);
    let back = seed.join(1);
    let new = seed.join(4);
    let standing = |member: Member| {
        let piece = seed.told[&member].last();
        piece.map(|piece| seed.swarm.standing(member, seed.block(*piece, 0)))
    };
    assert!(standing(new).is_some_and(Standing::is_first_copy));
    assert!(!standing(back).is_some_and(Standing::is_first_copy));
}

#[test]
fn a_lone_member_is_told_of_everything_and_a_newcomer_is_not() {
    let mut seed = Seed::new();
    let lone = seed.join(1);
    seed.work(1, &[lone], false);
    assert!(!seed.free.contains(&lone), "others may come at any moment");
    seed.work(2, &[lone], false);
    assert!(seed.free.contains(&lone));
    let new = seed.join(2);
    assert!(!seed.told[&new].is_empty());
    assert!(!seed.free.contains(&new));
    // What the free one asks for is its own, too.
    let is_new =
        |piece: &PieceIndex| !seed.told[&new].contains(piece) && !seed.taken.contains(&(lone, *piece));
    let piece = seed.lengths.pieces().find(is_new).unwrap();
    seed.swarm.requested(seed.now, lone, seed.block(piece, 0));
    assert!(seed.swarm.standing(lone, seed.block(piece, 0)).is_first_copy());
    seed.work(1, &[new], false);
    assert!(!seed.told[&new].contains(&piece));
}

#[test]
fn the_first_to_come_is_not_told_of_everything_at_once() {
    let mut seed = Seed::new();
    seed.wait(60_000);
    let first = seed.join(1);
    assert!(!seed.free.contains(&first));
    let second = seed.join(2);
    seed.wait(5000);
    assert!(seed.free.is_disjoint(&BTreeSet::from([first, second])));
}

#[test]
fn a_lone_member_that_can_not_be_interested_yet_is_told_of_everything() {
    let mut seed = Seed::new();
    let lone = seed.join(1);
    seed.swarm.interested(seed.now, lone, false);
    seed.work(3, &[lone], false);
    assert!(seed.free.contains(&lone));
}

#[test]
fn where_others_seed_everybody_is_told_of_everything() {
    let mut seed = Seed::new();
    let members = [seed.join(1), seed.join(2)];
    seed.swarm.others_seed(seed.now, true);
    seed.reveal();
    let late = seed.join(3);
    assert_eq!(seed.free, BTreeSet::from([members[0], members[1], late]));
    assert_eq!(seed.swarm.next_deadline(), None);
    let block = seed.block(seed.piece(7), 0);
    assert!(!seed.swarm.standing(late, block).is_first_copy());
    seed.swarm.others_seed(seed.now, false);
    let new = seed.join(4);
    assert!(!seed.free.contains(&new) && !seed.told[&new].is_empty());
}

#[test]
fn who_has_everything_and_leaves_has_not_fled() {
    let mut seed = Seed::new();
    let lone = seed.join(1);
    seed.wait(3000);
    for piece in seed.lengths.clone().pieces() {
        seed.send(lone, piece);
        seed.show(lone, piece);
    }
    seed.leave(lone);
    seed.swarm.others_seed(seed.now, true);
    // It was not seen for long.
    seed.wait(5000);
    seed.swarm.others_seed(seed.now, false);
    let members = [1, 2].map(|host| seed.join(host));
    for member in members {
        assert!(!seed.free.contains(&member));
        let is_first = |piece| seed.swarm.standing(member, seed.block(piece, 0)).is_first_copy();
        assert!(!seed.told[&member].iter().any(|piece| is_first(*piece)), "others have it");
    }
    seed.work(5, &members, true);
    // Nobody is told of what the other one has from us.
    let taken: BTreeSet<_> =
        seed.taken.iter().filter(|(of, _)| *of != lone).map(|(_, piece)| *piece).collect();
    assert_eq!(taken.len(), PIECES as usize);
}

#[test]
fn a_piece_that_nobody_else_wants_holds_up_nobody() {
    let mut seed = Seed::new();
    let (a, b) = (seed.join(1), seed.join(2));
    // Neither wants the first half.
    for _ in 0..1000 {
        for member in [a, b] {
            let next = |piece: &&PieceIndex| piece.get() >= 100 && !seed.taken.contains(&(member, **piece));
            if let Some(piece) = seed.told[&member].iter().find(next).copied() {
                seed.send(member, piece);
                seed.show(member, piece);
            }
        }
        seed.wait(20);
    }
    for member in [a, b] {
        let taken = seed.taken.iter().filter(|(of, _)| *of == member).count();
        assert_eq!(taken, 100);
    }
}

#[test]
fn nothing_happens_where_nobody_does_anything() {
    let mut seed = Seed::new();
    assert_eq!(seed.swarm.next_deadline(), None);
    let (a, _) = (seed.join(1), seed.join(2));
    assert!(seed.swarm.next_deadline().is_some());
    seed.wait(60_000);
    assert_eq!(seed.swarm.next_deadline(), None);
    let piece = seed.told[&a][0];
    let block = seed.block(piece, 0);
    seed.swarm.requested(seed.now, a, block);
    assert!(seed.swarm.next_deadline().is_some());
}

#[test]
fn who_has_left_is_ignored() {
    let mut seed = Seed::new();
    let (gone, piece) = (seed.join(1), seed.piece(0));
    let block = seed.block(piece, 0);
    seed.leave(gone);
    seed.swarm.leave(seed.now, gone);
    seed.swarm.has(seed.now, gone, piece);
    seed.swarm.interested(seed.now, gone, true);
    seed.swarm.requested(seed.now, gone, block);
    seed.swarm.sent(seed.now, gone, block);
    seed.swarm.cancelled(gone, block);
    seed.swarm.blocked(seed.now, gone, true);
    seed.swarm.choked(seed.now, gone, true);
    assert_eq!(seed.swarm.standing(gone, block), Standing::default());
    assert_eq!(seed.swarm.poll_reveal(seed.now), None);
    assert_ne!(seed.join(1), gone);
}

#[test]
fn what_can_not_be_given_is_given_to_nobody_and_nobody_is_blamed() {
    let mut seed = Seed::new();
    let members = [1, 2, 3].map(|host| seed.join(host));
    let passed_on = seed.told[&members[1]][0];
    seed.send(members[1], passed_on);
    seed.show(members[1], passed_on);
    // That, all that the first was told of, and what nobody heard of.
    let unheard = seed.piece(PIECES - 1);
    let mut withheld = [&seed.told[&members[0]][..], &[passed_on, unheard]].concat();
    withheld.sort_unstable();
    seed.withhold(&withheld);
    // It is not sent, whoever asks.
    seed.taken.extend(members.iter().flat_map(|member| withheld.iter().map(|piece| (*member, *piece))));
    let before = seed.told.clone();
    seed.work(3, &members, true);
    let next = |piece: &&PieceIndex| !seed.taken.contains(&(members[0], **piece));
    let next = *seed.told[&members[0]].iter().find(next).expect("it is given something else");
    assert!(seed.swarm.standing(members[0], seed.block(next, 0)).is_first_copy(), "it is blamed");
    seed.work(3, &members, true);
    let is_given = |member: &Member, piece| seed.told[member][before[member].len()..].contains(piece);
    assert!(!members.iter().any(|member| withheld.iter().any(|piece| is_given(member, piece))));

    seed.withhold(&[]);
    seed.taken.retain(|(_, piece)| !withheld.contains(piece));
    seed.work(2, &members, true);
    for piece in &withheld {
        assert!(*piece == passed_on || seed.taken.iter().any(|(_, taken)| taken == piece), "{piece:?}");
    }
}

#[test]
fn a_crowd_that_only_listens_gets_nothing_before_others() {
    let mut seed = Seed::new();
    let members = [1, 2].map(|host| seed.join(host));
    for host in 3..=250 {
        seed.join(host);
    }
    seed.work(5, &members, true);
    let taken: BTreeSet<_> = seed.taken.iter().map(|(_, piece)| *piece).collect();
    assert_eq!(taken.len(), PIECES as usize);
}

#[test]
fn a_block_that_is_sent_twice_is_no_piece() {
    let mut seed = Seed::new();
    let (member, _) = (seed.join(1), seed.join(2));
    let piece = seed.told[&member][0];
    for _ in 0..2 {
        let block = seed.block(piece, 0);
        seed.swarm.requested(seed.now, member, block);
        seed.swarm.sent(seed.now, member, block);
    }
    let rest = seed.block(piece, BLOCK);
    assert!(seed.swarm.standing(member, rest).is_first_copy(), "all of it was sent");
    seed.swarm.sent(seed.now, member, rest);
    assert!(!seed.swarm.standing(member, rest).is_first_copy());
}

#[test]
fn an_item_without_content_has_nothing_to_reveal() {
    let now = origin();
    let mut swarm = Swarm::new(now, Lengths::new(0, PIECE).unwrap());
    let member = swarm.join(now, IpAddr::V4(Ipv4Addr::LOCALHOST));
    swarm.interested(now, member, true);
    assert_eq!(swarm.poll_reveal(now), None);
    swarm.handle_timeout(now + Duration::from_secs(5));
    assert!(!matches!(swarm.poll_reveal(now), Some(Reveal::Piece(..))));
}
