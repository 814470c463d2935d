//! Gives the box a name in its networks by multicast DNS (RFC 6762). Pure: packets, time and chance are arguments.
//!
//! A link goes through three stages: it asks three times whether anybody has the name, says twice that the box has it
//! now, and then answers. Somebody else's claim has the box take the next name on all links, so that it has one name.
//! Nothing that is heard is kept, but that the name is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::message::{Message, Question, Record, kind};
use super::records::{Group, MAX_NUMBER, Names, everything};

/// Port of multicast DNS. Who asks from another one does not speak it, and gets a plain answer (RFC 6762 section 6.7).
pub const PORT: u16 = 5353;

/// Probes before the name is taken, and the time between two of them (RFC 6762 section 8.1).
const PROBES: u8 = 3;
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How often it is said that the name was taken, and the time between (RFC 6762 section 8.3).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);

/// The wait of who loses against another one that probes for the same name (RFC 6762 section 8.2).
const DEFER: Duration = Duration::from_secs(1);

/// Nothing is said to a group more often than this; who probes is answered sooner (RFC 6762 section 6).
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_FOR_PROBES: Duration = Duration::from_millis(250);

/// Seconds for which plain answers hold at most (RFC 6762 section 6.7).
const PLAIN_TTL: u32 = 10;

/// After so many names that were taken, one after the other, the next one is tried more slowly (RFC 6762 section 8.1).
const MAX_CONFLICTS: u32 = 15;
const CONFLICT_PAUSE: Duration = Duration::from_secs(5);

/// A name that was kept for so long ends such a row.
const CALM: Duration = Duration::from_secs(10);

/// A version of the Internet Protocol; each has a group of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// 224.0.0.251
    V4,
    /// `ff02::fb`
    V6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A packet to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// On the link with this index.
    pub link: u32,
    /// Over this protocol.
    pub family: Family,
    /// To this address alone, or else to the group.
    pub to: Option<SocketAddr>,
    /// What is sent.
    pub bytes: Vec<u8>,
}

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Probing { sent: u8 },
    Announcing { sent: u8 },
    Settled,
}

#[derive(Debug)]
struct Link {
    addresses: Vec<IpAddr>,
    stage: Stage,
    /// When the stage goes on.
    due: Option<Instant>,
    /// Answers to the group that wait, with the types that were asked for.
    waiting: BTreeMap<Family, (Instant, BTreeSet<(Group, u16)>)>,
    /// When what was said to the group last.
    said: BTreeMap<(Family, Group), Instant>,
}

/// The state of all links.
#[derive(Debug)]
pub struct Responder {
    base: String,
    port: u16,
    number: u32,
    names: Names,
    random: u64,
    links: BTreeMap<u32, Link>,
    /// Names that were taken, since there was calm last.
    conflicts: u32,
    last_conflict: Option<Instant>,
}

impl Responder {
    /// For a box that is to be called `base`, a label of at most 50 bytes, and has its page at `port`. `random` keeps boxes
    /// apart that start at the same time.
    pub fn new(base: &str, port: u16, random: u64) -> Self {
        Self {
            base: base.to_owned(),
            port,
            number: 1,
            names: Names::new(base, 1, port),
            random,
            links: BTreeMap::new(),
            conflicts: 0,
            last_conflict: None,
        }
    }

    /// The name by which the box is found, once it is its own on all links.
    pub fn name(&self) -> Option<String> {
        let is_ours = |link: &Link| !matches!(link.stage, Stage::Probing { .. });
        (!self.links.is_empty() && self.links.values().all(is_ours)).then(|| self.names.host_name())
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn deadline(&self) -> Option<Instant> {
        let of = |link: &Link| link.due.into_iter().chain(link.waiting.values().map(|(due, _)| *due)).min();
        self.links.values().filter_map(of).min()
    }

    /// Takes the links that there are, by their indices, with all their addresses.
    pub fn set_links(&mut self, now: Instant, links: &BTreeMap<u32, Vec<IpAddr>>) {
        self.links.retain(|index, _| links.get(index).is_some_and(|addresses| !addresses.is_empty()));
        for (index, addresses) in links.iter().filter(|(_, addresses)| !addresses.is_empty()) {
            match self.links.get_mut(index) {
                Some(link) if link.addresses == *addresses => {}
                Some(link) => {
                    link.addresses.clone_from(addresses);
                    if !matches!(link.stage, Stage::Probing { .. }) {
                        // The name stays ours; what others know of it is replaced.
                        (link.stage, link.due) = (Stage::Announcing { sent: 0 }, Some(now));
                    }
                }
                None => {
                    let due = now + self.wait(0, 250);
                    self.links.insert(*index, Link::new(addresses.clone(), due));
                }
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Output> {
        if self.last_conflict.is_some_and(|last| now.duration_since(last) >= CALM) {
            (self.conflicts, self.last_conflict) = (0, None);
        }
        let mut outputs = Vec::new();
        for (index, link) in &mut self.links {
            if link.due.is_some_and(|due| now >= due) {
                outputs.extend(link.go_on(now, *index, &self.names));
            }
            let due: Vec<_> =
                link.waiting.iter().filter(|(_, (due, _))| now >= *due).map(|(family, _)| *family).collect();
            for family in due {
                let Some((_, asked)) = link.waiting.remove(&family) else { continue };
                for (group, _) in &asked {
                    link.said.insert((family, *group), now);
                }
                let bytes = link.answer(&self.names, &asked).encode();
                outputs.push(Output { link: *index, family, to: None, bytes });
            }
        }
        outputs
    }

    /// Takes back everything that was said, since the box ends (RFC 6762 section 10.1): nobody looks for it where it was.
    pub fn goodbye(&self) -> Vec<Output> {
        let told = self.links.iter().filter(|(_, link)| !matches!(link.stage, Stage::Probing { .. }));
        let goodbye = |(index, link): (&u32, &Link)| {
            let mut message = link.answer(&self.names, &everything());
            message.answers.iter_mut().for_each(|record| record.ttl = 0);
            link.to_all(*index, &message)
        };
        told.flat_map(goodbye).collect()
    }

    /// Takes a packet that came to the group on a link.
    pub fn receive(&mut self, now: Instant, index: u32, from: SocketAddr, bytes: &[u8]) -> Vec<Output> {
        let Some(message) = Message::parse(bytes) else { return Vec::new() };
        if !self.links.contains_key(&index) {
            return Vec::new();
        }
        if message.is_response {
            if from.port() == PORT {
                self.hear(now, index, &message);
            }
            return Vec::new();
        }
        self.give_way(now, index, &message);
        self.answer(now, index, from, &message)
    }

    /// Looks for other owners of the name.
    fn hear(&mut self, now: Instant, index: u32, message: &Message) {
        let own: Vec<IpAddr> = self.links.values().flat_map(|link| link.addresses.clone()).collect();
        let said = message.answers.iter().chain(&message.additionals);
        if !said.into_iter().any(|record| self.names.contradicts(record, &own)) {
            return;
        }
        match self.links.get_mut(&index) {
            Some(link) if matches!(link.stage, Stage::Probing { .. }) => self.take_next_name(now),
            Some(link) => {
                // Two networks became one: both ask again who has it, and one gives way (RFC 6762 section 9).
                (link.stage, link.due) = (Stage::Probing { sent: 0 }, Some(now));
                link.waiting.clear();
            }
            None => {}
        }
    }

    fn take_next_name(&mut self, now: Instant) {
        self.conflicts += 1;
        self.last_conflict = Some(now);
        self.number = if self.number < MAX_NUMBER { self.number + 1 } else { 1 };
        self.names = Names::new(&self.base, self.number, self.port);
        let pause = if self.conflicts > MAX_CONFLICTS { CONFLICT_PAUSE } else { Duration::ZERO };
        let due = now + pause + self.wait(0, 250);
        for link in self.links.values_mut() {
            *link = Link::new(std::mem::take(&mut link.addresses), due);
        }
    }

    /// Of two that probe for the same name at the same time the one whose records are less waits; by then the other one
    /// answers (RFC 6762 section 8.2).
    fn give_way(&mut self, now: Instant, index: u32, message: &Message) {
        let Some(link) = self.links.get_mut(&index) else { return };
        let theirs = self.names.claimed(&message.authorities);
        let ours = self.names.sorted_addresses(&link.addresses);
        if matches!(link.stage, Stage::Probing { .. }) && !theirs.is_empty() && theirs > ours {
            (link.stage, link.due) = (Stage::Probing { sent: 0 }, Some(now + DEFER));
        }
    }

    fn answer(&mut self, now: Instant, index: u32, from: SocketAddr, message: &Message) -> Vec<Output> {
        let pause = self.wait(20, 120);
        let Some(link) = self.links.get_mut(&index) else { return Vec::new() };
        if matches!(link.stage, Stage::Probing { .. }) {
            return Vec::new();
        }
        let family = Family::of(from.ip());
        let mut alone = BTreeSet::new();
        for question in &message.questions {
            let Some(group) = self.names.group(question) else { continue };
            if link.is_known(&self.names, group, question.kind, &message.answers) {
                continue;
            }
            if from.port() != PORT || question.unicast {
                alone.insert((group, question.kind));
                continue;
            }
            let least = if message.authorities.is_empty() { PAUSE } else { PAUSE_FOR_PROBES };
            if link.said.get(&(family, group)).is_some_and(|said| now.duration_since(*said) < least) {
                continue;
            }
            // What others may answer too is answered a little later, each after another wait (RFC 6762 section 6).
            let is_shared = matches!(group, Group::Listing | Group::Types);
            let due = if is_shared { now + pause } else { now };
            let waiting = link.waiting.entry(family).or_insert((due, BTreeSet::new()));
            waiting.0 = waiting.0.min(due);
            waiting.1.insert((group, question.kind));
        }
        if alone.is_empty() {
            return self.handle_timeout(now);
        }
        let mut answer = link.answer(&self.names, &alone);
        if from.port() != PORT {
            make_plain(&mut answer, message);
        }
        let mut outputs = vec![Output { link: index, family, to: Some(from), bytes: answer.encode() }];
        outputs.extend(self.handle_timeout(now));
        outputs
    }

    /// A wait of some milliseconds (`SplitMix64`).
    fn wait(&mut self, least: u64, most: u64) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Duration::from_millis(least + (mixed >> 33) % (most - least))
    }
}

impl Link {
    fn new(addresses: Vec<IpAddr>, due: Instant) -> Self {
        Self {
            addresses,
            stage: Stage::Probing { sent: 0 },
            due: Some(due),
            waiting: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    /// The next step of the stage.
    fn go_on(&mut self, now: Instant, index: u32, names: &Names) -> Vec<Output> {
        let message = match self.stage {
            Stage::Probing { sent } if sent < PROBES => {
                (self.stage, self.due) = (Stage::Probing { sent: sent + 1 }, Some(now + PROBE_INTERVAL));
                Message {
                    questions: names.probe_questions(),
                    authorities: names.claims(&self.addresses),
                    ..Message::default()
                }
            }
            Stage::Probing { .. } => {
                self.stage = Stage::Announcing { sent: 0 };
                return self.go_on(now, index, names);
            }
            Stage::Announcing { sent } if sent < ANNOUNCEMENTS => {
                (self.stage, self.due) =
                    (Stage::Announcing { sent: sent + 1 }, Some(now + ANNOUNCE_INTERVAL));
                self.answer(names, &everything())
            }
            Stage::Announcing { .. } | Stage::Settled => {
                (self.stage, self.due) = (Stage::Settled, None);
                return Vec::new();
            }
        };
        self.to_all(index, &message)
    }

    /// A message to the groups of the link.
    fn to_all(&self, index: u32, message: &Message) -> Vec<Output> {
        let families: BTreeSet<_> = self.addresses.iter().map(|address| Family::of(*address)).collect();
        let bytes = message.encode();
        families
            .into_iter()
            .map(|family| Output { link: index, family, to: None, bytes: bytes.clone() })
            .collect()
    }

    /// Whether who asks has the answers already (RFC 6762 section 7.1).
    fn is_known(&self, names: &Names, group: Group, kind: u16, known: &[Record]) -> bool {
        let records = names.records(group, &self.addresses);
        let mut asked = records.iter().filter(|record| record.kind == kind).peekable();
        let has = |record: &Record| {
            known.iter().any(|known| {
                known.name == record.name
                    && known.kind == record.kind
                    && known.data.eq_ignore_ascii_case(&record.data)
                    && known.ttl >= record.ttl / 2
            })
        };
        asked.peek().is_some() && asked.all(has)
    }

    /// An answer: what was asked for, and what is going to be asked for next.
    fn answer(&self, names: &Names, asked: &BTreeSet<(Group, u16)>) -> Message {
        let mut message = Message { is_response: true, ..Message::default() };
        let mut groups: BTreeSet<Group> = asked.iter().map(|(group, _)| *group).collect();
        if groups.contains(&Group::Listing) {
            groups.insert(Group::Service);
        }
        if groups.contains(&Group::Service) {
            groups.insert(Group::Host);
        }
        for group in groups {
            let records = names.records(group, &self.addresses);
            let wants = |wanted: u16| asked.contains(&(group, wanted)) || asked.contains(&(group, kind::ANY));
            let is_asked = asked.iter().any(|(of, _)| *of == group);
            let is_there = records.iter().any(|record| wants(record.kind));
            for record in records {
                // That there is nothing of a type is an answer too.
                if wants(record.kind) || is_asked && !is_there && record.kind == kind::NSEC {
                    message.answers.push(record);
                } else {
                    message.additionals.push(record);
                }
            }
        }
        message
    }
}

/// For who knows nothing of multicast DNS: the question again, and records as everywhere.
fn make_plain(answer: &mut Message, question: &Message) {
    answer.id = question.id;
    answer.questions = question.questions.iter().map(|q| Question { unicast: false, ..q.clone() }).collect();
    for record in answer.answers.iter_mut().chain(&mut answer.additionals) {
        record.unique = false;
        record.ttl = record.ttl.min(PLAIN_TTL);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Name;
    use super::*;

    const LINK: u32 = 2;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A LAN on which everybody hears everybody else, in virtual time.
    struct Lan {
        now: Instant,
        boxes: Vec<(SocketAddr, Responder)>,
        /// Everything that was sent, by whom.
        sent: Vec<(usize, Output)>,
    }

    impl Lan {
        fn new() -> Self {
            Self { now: Instant::now(), boxes: Vec::new(), sent: Vec::new() }
        }

        fn join(&mut self, ip: &str) -> usize {
            let number = self.boxes.len();
            let mut responder = Responder::new("blackbox", 80, number as u64);
            responder.set_links(self.now, &BTreeMap::from([(LINK, vec![address(ip)])]));
            self.boxes.push((SocketAddr::new(address(ip), PORT), responder));
            number
        }

        fn deliver(&mut self, from: usize, outputs: Vec<Output>) {
            let source = self.boxes[from].0;
            for output in outputs {
                let others: Vec<_> = (0..self.boxes.len()).filter(|other| *other != from).collect();
                for other in others {
                    // What is sent to one alone is not heard by those who listen to the group.
                    if output.to.is_none() {
                        let answers = self.boxes[other].1.receive(self.now, LINK, source, &output.bytes);
                        self.deliver(other, answers);
                    }
                }
                self.sent.push((from, output));
            }
        }

        fn run(&mut self, seconds: u64) {
            let end = self.now + Duration::from_secs(seconds);
            while let Some(due) = self.boxes.iter().filter_map(|(_, one)| one.deadline()).min()
                && due <= end
            {
                self.now = self.now.max(due);
                for number in 0..self.boxes.len() {
                    let outputs = self.boxes[number].1.handle_timeout(self.now);
                    self.deliver(number, outputs);
                }
            }
            self.now = end;
        }

        fn names(&self) -> Vec<Option<String>> {
            self.boxes.iter().map(|(_, one)| one.name()).collect()
        }

        /// What box 0 answers somebody.
        fn ask(&mut self, from: &str, message: &Message) -> Vec<(Option<SocketAddr>, Message)> {
            let (now, responder) = (self.now, &mut self.boxes[0].1);
            let mut outputs = responder.receive(now, LINK, from.parse().unwrap(), &message.encode());
            self.now += Duration::from_millis(200);
            outputs.extend(responder.handle_timeout(self.now));
            outputs.into_iter().map(|output| (output.to, Message::parse(&output.bytes).unwrap())).collect()
        }
    }

    fn question(labels: &[&str], kind: u16, unicast: bool) -> Message {
        let questions = vec![Question { name: Name::new(labels), kind, unicast }];
        Message { questions, ..Message::default() }
    }

    fn kinds(records: &[Record]) -> Vec<u16> {
        records.iter().map(|record| record.kind).collect()
    }

    fn settled() -> Lan {
        let mut lan = Lan::new();
        lan.join("192.0.2.1");
        lan.run(10);
        lan
    }

    #[test]
    fn a_name_is_asked_for_three_times_and_announced_twice() {
        let mut lan = Lan::new();
        lan.join("192.0.2.1");
        assert_eq!(lan.names(), [None]);
        lan.run(10);
        assert_eq!(lan.names(), [Some("blackbox.local".into())]);
        let sent: Vec<_> =
            lan.sent.iter().map(|(_, output)| Message::parse(&output.bytes).unwrap()).collect();
        assert_eq!(sent.len(), 5);
        for probe in &sent[..3] {
            assert!(!probe.is_response && probe.questions.len() == 2);
            assert_eq!(kinds(&probe.authorities), [kind::A, kind::SRV]);
        }
        for announcement in &sent[3..] {
            assert!(announcement.is_response && announcement.questions.is_empty());
            let expected = [kind::A, kind::NSEC, kind::SRV, kind::TXT, kind::PTR, kind::PTR];
            assert_eq!(kinds(&announcement.answers), expected);
            assert!(announcement.answers.iter().all(|record| record.unique == (record.kind != kind::PTR)));
        }
        assert_eq!(lan.boxes[0].1.deadline(), None, "then it is quiet");
    }

    #[test]
    fn a_box_that_ends_takes_back_what_it_has_said() {
        let mut lan = Lan::new();
        lan.join("192.0.2.1");
        assert_eq!(lan.boxes[0].1.goodbye(), [], "it has said nothing yet");
        lan.run(10);
        let goodbye = lan.boxes[0].1.goodbye();
        let said = Message::parse(&goodbye[0].bytes).unwrap();
        assert!(goodbye.len() == 1 && goodbye[0].to.is_none() && said.is_response);
        assert_eq!(kinds(&said.answers), [kind::A, kind::NSEC, kind::SRV, kind::TXT, kind::PTR, kind::PTR]);
        assert!(said.answers.iter().all(|record| record.ttl == 0));
    }

    #[test]
    fn the_later_of_two_boxes_takes_another_name() {
        let mut lan = settled();
        lan.join("192.0.2.2");
        lan.join("192.0.2.3");
        lan.run(20);
        let mut names = lan.names();
        assert_eq!(names.remove(0).unwrap(), "blackbox.local");
        names.sort();
        assert_eq!(names, [Some("blackbox-2.local".into()), Some("blackbox-3.local".into())]);
    }

    #[test]
    fn boxes_that_start_together_have_different_names() {
        let mut lan = Lan::new();
        for number in 1..=5 {
            lan.join(&format!("192.0.2.{number}"));
        }
        lan.run(60);
        let names: BTreeSet<_> = lan.names().into_iter().map(Option::unwrap).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(names.contains("blackbox.local"), "{names:?}");
    }

    #[test]
    fn one_gives_way_when_two_networks_become_one() {
        let (mut lan, mut other) = (settled(), settled());
        let (_, mut guest) = other.boxes.remove(0);
        guest.set_links(lan.now, &BTreeMap::from([(LINK, vec![address("192.0.2.9")])]));
        lan.boxes.push(("192.0.2.9:5353".parse().unwrap(), guest));
        lan.run(30);
        let mut names = lan.names();
        names.sort();
        assert_eq!(names, [Some("blackbox-2.local".into()), Some("blackbox.local".into())]);
    }

    #[test]
    fn a_box_with_two_cards_in_one_network_is_no_stranger_to_itself() {
        let now = Instant::now();
        let mut one = Responder::new("blackbox", 80, 1);
        one.set_links(
            now,
            &BTreeMap::from([(2, vec![address("192.0.2.1")]), (3, vec![address("192.0.2.2")])]),
        );
        let mut time = now;
        while time < now + Duration::from_secs(30) {
            for output in one.handle_timeout(time) {
                let (other, from) = if output.link == 2 { (3, "192.0.2.1") } else { (2, "192.0.2.2") };
                one.receive(time, other, SocketAddr::new(address(from), PORT), &output.bytes);
            }
            time += Duration::from_millis(50);
        }
        assert_eq!(one.name().as_deref(), Some("blackbox.local"));
    }

    #[test]
    fn who_asks_is_answered_as_asked() {
        let asker = "192.0.2.7:5353";
        let mut lan = settled();
        let answers = lan.ask(asker, &question(&["BlackBox", "LOCAL"], kind::A, false));
        let [(None, answer)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(kinds(&answer.answers), [kind::A]);
        assert_eq!(answer.answers[0].data, [192, 0, 2, 1]);
        assert!(answer.answers[0].unique && answer.questions.is_empty());

        let answers = lan.ask(asker, &question(&["blackbox", "local"], kind::AAAA, true));
        let [(Some(to), answer)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(to.to_string(), asker);
        assert_eq!(kinds(&answer.answers), [kind::NSEC], "there is none");

        let listing = question(&["_http", "_tcp", "local"], kind::PTR, false);
        let answers = lan.ask(asker, &listing);
        assert_eq!(kinds(&answers[0].1.answers), [kind::PTR]);
        assert_eq!(kinds(&answers[0].1.additionals), [kind::A, kind::NSEC, kind::SRV, kind::TXT]);
        assert_eq!(lan.ask(asker, &listing), [], "not so soon again");
        let known = Message { answers: answers[0].1.answers.clone(), ..listing.clone() };
        lan.run(5);
        assert_eq!(lan.ask(asker, &known), [], "that is known");
        assert_eq!(lan.ask(asker, &listing).len(), 1);

        let types = question(&["_services", "_dns-sd", "_udp", "local"], kind::PTR, false);
        assert_eq!(
            lan.ask(asker, &types)[0].1.answers[0].data,
            Name::new(&["_http", "_tcp", "local"]).bytes()
        );
        for other in [&["blackbox-2", "local"][..], &["blackbox", "example"], &["local"]] {
            assert_eq!(lan.ask(asker, &question(other, kind::ANY, false)), []);
        }
    }

    #[test]
    fn who_does_not_speak_it_gets_a_plain_answer() {
        let mut lan = settled();
        let message = Message { id: 77, ..question(&["blackbox", "local"], kind::A, false) };
        let answers = lan.ask("192.0.2.7:40000", &message);
        let [(Some(_), answer)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((answer.id, answer.questions.len()), (77, 1));
        assert!(answer.answers.iter().all(|record| !record.unique && record.ttl <= PLAIN_TTL));
    }

    #[test]
    fn a_new_address_is_told_under_the_same_name() {
        let mut lan = settled();
        lan.sent.clear();
        let now = lan.now;
        lan.boxes[0].1.set_links(now, &BTreeMap::from([(LINK, vec![address("198.51.100.7")])]));
        lan.run(10);
        assert_eq!(lan.names(), [Some("blackbox.local".into())]);
        let told = Message::parse(&lan.sent[0].1.bytes).unwrap();
        assert_eq!(told.answers[0].data, [198, 51, 100, 7]);
        lan.boxes[0].1.set_links(now, &BTreeMap::new());
        assert_eq!((lan.names(), lan.boxes[0].1.deadline()), (vec![None], None));
    }

    #[test]
    fn who_claims_every_name_is_not_raced() {
        let mut lan = Lan::new();
        lan.join("192.0.2.1");
        let end = lan.now + Duration::from_mins(1);
        while lan.now < end {
            let (now, responder) = (lan.now, &mut lan.boxes[0].1);
            let names = responder.names.clone();
            let claims = names.records(Group::Host, &[address("192.0.2.66")]);
            let message = Message { is_response: true, answers: claims, ..Message::default() };
            responder.receive(now, LINK, "192.0.2.66:5353".parse().unwrap(), &message.encode());
            let end = now + Duration::from_millis(50);
            lan.run(0);
            lan.now = end;
        }
        assert!(lan.sent.len() < 100, "{} packets in a minute", lan.sent.len());
        lan.run(30);
        assert!(lan.names()[0].is_some(), "when it is over there is a name");
    }
}
