//! DNS messages as multicast DNS uses them (RFC 1035 section 4, RFC 6762 section 18). Pure.
//!
//! Data of records stays bytes, but for names in it, which are written out: records are compared by their bytes. Types
//! that nobody here knows are no reason to refuse a message.

/// Longest message (bytes) that is read: an Ethernet frame that carries jumbo packets (RFC 6762 section 17).
pub const MAX_MESSAGE: usize = 9000;

/// More questions and records than a message that matters here has.
const MAX_ENTRIES: usize = 200;

/// Longest name (bytes), lengths included (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// Longest part of a name (bytes).
const MAX_LABEL: usize = 63;

/// Pointers that are followed for one name.
const MAX_JUMPS: usize = 16;

/// Types of records.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name in whose place this one stands.
    pub const PTR: u16 = 12;
    /// Properties.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service.
    pub const SRV: u16 = 33;
    /// Which types there are of a name.
    pub const NSEC: u16 = 47;
    /// Asks for all of them.
    pub const ANY: u16 = 255;
}

/// The one class there is.
pub const INTERNET: u16 = 1;

/// In the class of a question: an answer to the asker alone is welcome. In that of a record: there are no others.
const TOP_BIT: u16 = 0x8000;

/// In the flags: an answer.
const RESPONSE: u16 = 0x8000;

/// In the flags of an answer: from who owns the name.
const AUTHORITATIVE: u16 = 0x0400;

/// In the flags: operation and response code; anything but 0 is ignored (RFC 6762 section 18.3 and 18.11).
const OPERATION_AND_CODE: u16 = 0x780f;

/// A name as it is sent. Names that differ in upper and lower case alone are equal.
#[derive(Debug, Clone)]
pub struct Name(Vec<u8>);

impl Name {
    /// A name of these labels, each of 1 to 63 bytes.
    ///
    /// # Panics
    /// When a label or the name is too long: ours are not.
    pub fn new(labels: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for label in labels {
            let length = u8::try_from(label.len()).ok().filter(|length| usize::from(*length) <= MAX_LABEL);
            bytes.push(length.expect("invariant: our labels are short"));
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        assert!(bytes.len() <= MAX_NAME, "invariant: our names are short");
        Self(bytes)
    }

    /// The bytes, lengths included.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        // No length is a letter: they are all below 64.
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Of this name.
    pub name: Name,
    /// One of [`kind`].
    pub kind: u16,
    /// Whether an answer to the asker alone is welcome.
    pub unicast: bool,
}

/// What is said of a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The name.
    pub name: Name,
    /// One of [`kind`].
    pub kind: u16,
    /// Whether there are no others of this name and type: forget those that you know.
    pub unique: bool,
    /// Seconds for which it holds; 0 takes it back.
    pub ttl: u32,
    /// What the type says; names in it without pointers.
    pub data: Vec<u8>,
}

/// A message; of the class of the Internet only.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// Copied into the answer for those who don't speak multicast DNS; otherwise 0.
    pub id: u16,
    /// Whether it is an answer.
    pub is_response: bool,
    /// What is asked.
    pub questions: Vec<Question>,
    /// Answers; in a question those that the asker knows already.
    pub answers: Vec<Record>,
    /// In a question: what the asker wants to have.
    pub authorities: Vec<Record>,
    /// What the asker is going to ask next.
    pub additionals: Vec<Record>,
}

impl Message {
    /// Reads one. `None` for what is not whole, or not meant for multicast DNS.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes: bytes.get(..bytes.len().min(MAX_MESSAGE))?, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = usize::from(reader.u16()?);
        }
        if flags & OPERATION_AND_CODE != 0 || counts.iter().sum::<usize>() > MAX_ENTRIES {
            return None;
        }
        let mut message = Self { id, is_response: flags & RESPONSE != 0, ..Self::default() };
        for _ in 0..counts[0] {
            reader.question(&mut message.questions)?;
        }
        let sections = [&mut message.answers, &mut message.authorities, &mut message.additionals];
        for (section, count) in sections.into_iter().zip(&counts[1..]) {
            for _ in 0..*count {
                reader.record(section)?;
            }
        }
        Some(message)
    }

    /// The bytes, without pointers: what is sent here is short.
    pub fn encode(&self) -> Vec<u8> {
        let count = |length: usize| u16::try_from(length).expect("invariant: few records").to_be_bytes();
        let mut bytes = self.id.to_be_bytes().to_vec();
        let flags = if self.is_response { RESPONSE | AUTHORITATIVE } else { 0 };
        bytes.extend(flags.to_be_bytes());
        bytes.extend(count(self.questions.len()));
        let sections = [&self.answers, &self.authorities, &self.additionals];
        bytes.extend(sections.iter().flat_map(|section| count(section.len())));
        for Question { name, kind, unicast } in &self.questions {
            bytes.extend(name.bytes());
            bytes.extend(kind.to_be_bytes());
            bytes.extend((INTERNET | if *unicast { TOP_BIT } else { 0 }).to_be_bytes());
        }
        for Record { name, kind, unique, ttl, data } in sections.into_iter().flatten() {
            bytes.extend(name.bytes());
            bytes.extend(kind.to_be_bytes());
            bytes.extend((INTERNET | if *unique { TOP_BIT } else { 0 }).to_be_bytes());
            bytes.extend(ttl.to_be_bytes());
            bytes.extend(count(data.len()));
            bytes.extend(data);
        }
        bytes
    }
}

/// A message and how far it was read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Adds the next question, if it is of the class. `None` when it is cut off.
    fn question(&mut self, to: &mut Vec<Question>) -> Option<()> {
        let (name, kind, class) = (self.name()?, self.u16()?, self.u16()?);
        let is_ours = [INTERNET, kind::ANY].contains(&(class & !TOP_BIT));
        to.extend(is_ours.then_some(Question { name, kind, unicast: class & TOP_BIT != 0 }));
        Some(())
    }

    /// Likewise a record.
    fn record(&mut self, to: &mut Vec<Record>) -> Option<()> {
        let (name, kind, class) = (self.name()?, self.u16()?, self.u16()?);
        let ttl = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let length = usize::from(self.u16()?);
        let start = self.at;
        let raw = self.take(length)?;
        let data = match kind {
            kind::PTR => self.name_at(start, start + length)?.0,
            kind::SRV => {
                let mut data = raw.get(..6)?.to_vec();
                data.extend(self.name_at(start + 6, start + length)?.0);
                data
            }
            _ => raw.to_vec(),
        };
        let record = Record { name, kind, unique: class & TOP_BIT != 0, ttl, data };
        to.extend((class & !TOP_BIT == INTERNET).then_some(record));
        Some(())
    }

    fn name(&mut self) -> Option<Name> {
        let (name, end) = self.read_name(self.at)?;
        self.at = end;
        Some(name)
    }

    /// A name that ends at `end`.
    fn name_at(&self, start: usize, end: usize) -> Option<Name> {
        self.read_name(start).filter(|(_, reached)| *reached == end).map(|(name, _)| name)
    }

    /// A name, and where what follows it begins.
    fn read_name(&self, start: usize) -> Option<(Name, usize)> {
        let mut name = Vec::new();
        let (mut at, mut end, mut jumps) = (start, None, 0);
        loop {
            let length = usize::from(*self.bytes.get(at)?);
            match length {
                0 => {
                    name.push(0);
                    return (name.len() <= MAX_NAME).then_some((Name(name), end.unwrap_or(at + 1)));
                }
                1..=MAX_LABEL => {
                    name.extend(self.bytes.get(at..=at + length)?);
                    at += 1 + length;
                }
                0xc0.. => {
                    let low = usize::from(*self.bytes.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    at = (length & 0x3f) << 8 | low;
                    jumps += 1;
                }
                _ => return None,
            }
            if name.len() > MAX_NAME || jumps > MAX_JUMPS {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(&text.split('.').collect::<Vec<_>>())
    }

    fn message() -> Message {
        let record = |kind, data: &[u8]| Record {
            name: name("Box.local"),
            kind,
            unique: true,
            ttl: 120,
            data: data.to_vec(),
        };
        Message {
            id: 7,
            is_response: true,
            questions: vec![Question { name: name("box.local"), kind: kind::ANY, unicast: true }],
            answers: vec![record(kind::A, &[192, 0, 2, 1]), record(kind::PTR, name("a.b").bytes())],
            authorities: vec![record(kind::SRV, &[&[0, 0, 0, 0, 0, 80], name("box.local").bytes()].concat())],
            additionals: vec![record(kind::TXT, b"\x06path=/"), record(9999, b"")],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = message().encode();
        assert_eq!(Message::parse(&bytes), Some(message()));
        assert_eq!(name("BOX.Local"), name("box.lOCAL"));
        assert_ne!(name("box.local"), name("box-2.local"));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let bytes = message().encode();
        for length in 0..bytes.len() {
            assert_eq!(Message::parse(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn pointers_are_followed_and_written_out() {
        let mut bytes = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend(b"\x05_http\x04_tcp\x05local\x00");
        bytes.extend([0, 12, 0, 1, 0, 0, 0, 9, 0, 4]);
        bytes.extend(b"\x01x\xc0\x0c");
        let parsed = Message::parse(&bytes).unwrap();
        assert_eq!(parsed.answers[0].data, name("x._http._tcp.local").bytes());
        assert_eq!(parsed.answers[0].ttl, 9);
    }

    #[test]
    fn pointers_in_circles_and_long_names_end() {
        let header = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for tail in [&b"\xc0\x0c\x00\x01\x00\x01"[..], b"\x01a\xc0\x0c\x00\x01\x00\x01", b"\x40a\x00\x00\x01"]
        {
            assert_eq!(Message::parse(&[&header[..], tail].concat()), None, "{tail:?}");
        }
        let long = [&header[..], &b"\x3f".repeat(64 * 5), b"\x00\x00\x01\x00\x01"].concat();
        assert_eq!(Message::parse(&long), None);
        let many = [0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
        assert_eq!(Message::parse(&many), None);
    }

    #[test]
    fn no_bytes_do_harm() {
        // Every byte of a message that is good, replaced by each of those that mean something.
        let good = message().encode();
        for at in 0..good.len() {
            for value in [0, 1, 12, 33, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                if let Some(parsed) = Message::parse(&bytes) {
                    assert_eq!(Message::parse(&parsed.encode()), Some(parsed));
                }
            }
        }
    }

    #[test]
    fn other_operations_and_classes_are_ignored() {
        let mut bytes = message().encode();
        bytes[2] = 0x28;
        assert_eq!(Message::parse(&bytes), None, "an update");
        let question = [&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01a\x00\x00\x01\x00\x03"].concat();
        assert_eq!(Message::parse(&question).unwrap().questions, []);
    }
}
