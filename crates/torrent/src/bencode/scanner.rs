//! The scanner.

use std::fmt;

/// How much of the input is looked at.
///
/// The number of values needs no limit of its own: each takes at least two bytes of input and no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest value, in bytes of its encoding.
    pub bytes: usize,
    /// How deep lists and dictionaries may be nested; 1 allows a list of integers, 0 no list at all.
    /// The scanner recurses so deep, which is why it's a small type.
    pub depth: u8,
}

/// Why bytes were refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad bencode at byte {offset}: {problem}")]
pub struct Error {
    /// Offset of the first byte that is wrong.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with bencoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The input ends within a value.
    #[error("it ends too early")]
    Truncated,
    /// The input ends later than its value.
    #[error("something follows the value")]
    TrailingBytes,
    /// The value is longer than [`Limits::bytes`].
    #[error("it is too long")]
    TooLong,
    /// Lists and dictionaries are nested deeper than [`Limits::depth`].
    #[error("it is nested too deep")]
    TooDeep,
    /// A byte that begins or ends nothing.
    #[error("unexpected byte")]
    UnexpectedByte,
    /// A number with a leading zero or `-0`: it could be written in two ways.
    #[error("number is not in canonical form")]
    NotCanonical,
    /// An integer beyond `i64`, or a length beyond `u64`.
    #[error("number is out of range")]
    OutOfRange,
    /// A dictionary's keys are not in ascending order, or one is there twice.
    #[error("keys are not sorted")]
    KeyOrder,
}

/// A checked value, borrowed from the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `i42e`
    Integer(i64),
    /// `4:spam`
    Bytes(&'a [u8]),
    /// `l...e`
    List(List<'a>),
    /// `d...e`
    Dictionary(Dictionary<'a>),
}

/// A checked list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    raw: &'a [u8],
}

/// A checked dictionary; its keys are sorted and unique.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Dictionary<'a> {
    raw: &'a [u8],
}

/// Scans an input that is one value and nothing else.
///
/// # Errors
/// The input is not canonical bencode, is longer or deeper than `limits`, or goes on after the value.
pub fn scan(bytes: &[u8], limits: Limits) -> Result<Value<'_>, Error> {
    let (value, used) = scan_prefix(bytes, limits)?;
    if used < bytes.len() {
        return Err(Error { offset: used, problem: Problem::TrailingBytes });
    }
    Ok(value)
}

/// Scans the value at the beginning of an input, and tells how many bytes it takes.
///
/// For messages in which a payload follows the value (BEP 9); the payload doesn't count against `limits`.
///
/// # Errors
/// The input does not begin with a value in canonical bencode, or that is longer or deeper than `limits`.
pub fn scan_prefix(bytes: &[u8], limits: Limits) -> Result<(Value<'_>, usize), Error> {
    let window = &bytes[..bytes.len().min(limits.bytes)];
    let mut scanner = Scanner { bytes: window, at: 0 };
    match scanner.value(limits.depth) {
        Ok(value) => Ok((value, scanner.at)),
        // The value goes on, and so does the input: it was cut by the limit.
        Err(Problem::Truncated) if window.len() < bytes.len() => {
            Err(Error { offset: window.len(), problem: Problem::TooLong })
        }
        Err(problem) => Err(Error { offset: scanner.at, problem }),
    }
}

impl<'a> Value<'a> {
    /// The number, if this is one.
    pub fn as_integer(self) -> Option<i64> {
        if let Self::Integer(integer) = self { Some(integer) } else { None }
    }

    /// The byte string, if this is one.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The byte string as text, if this is one and it is UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// The list, if this is one.
    pub fn as_list(self) -> Option<List<'a>> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The dictionary, if this is one.
    pub fn as_dictionary(self) -> Option<Dictionary<'a>> {
        if let Self::Dictionary(dictionary) = self { Some(dictionary) } else { None }
    }
}

impl<'a> List<'a> {
    /// The bytes of the input from `l` to `e`.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The values in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut contents = Scanner::of_contents(self.raw);
        std::iter::from_fn(move || contents.next_checked())
    }
}

impl<'a> Dictionary<'a> {
    /// The bytes of the input from `d` to `e`; of the info dictionary they are what is hashed.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The value of a key.
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        let mut contents = Scanner::of_contents(self.raw);
        while let Some(Value::Bytes(candidate)) = contents.next_checked() {
            if candidate > key {
                break; // they are sorted
            }
            let value = contents.next_checked();
            if candidate == key {
                return value;
            }
        }
        None
    }

    /// The keys in ascending order, with their values.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut contents = Scanner::of_contents(self.raw);
        std::iter::from_fn(move || {
            let key = contents.next_checked()?.as_bytes().expect("invariant: the scan checked the keys");
            Some((key, contents.next_checked().expect("invariant: the scan found a value after each key")))
        })
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.raw.escape_ascii(), f)
    }
}

impl fmt::Debug for Dictionary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.raw.escape_ascii(), f)
    }
}

/// A position in the input. After an error it is where the error is.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// What is between the `l` or `d` and the `e` of a checked list or dictionary.
    fn of_contents(raw: &'a [u8]) -> Self {
        Self { bytes: &raw[1..raw.len() - 1], at: 0 }
    }

    /// The next value of checked contents.
    fn next_checked(&mut self) -> Option<Value<'a>> {
        if self.at == self.bytes.len() {
            return None;
        }
        Some(self.value(u8::MAX).expect("invariant: the contents were scanned before, no deeper than this"))
    }

    /// One value in which lists and dictionaries are nested at most `depth` deep.
    fn value(&mut self, depth: u8) -> Result<Value<'a>, Problem> {
        match self.peek()? {
            b'i' => {
                self.at += 1;
                self.integer().map(Value::Integer)
            }
            b'0'..=b'9' => self.byte_string().map(Value::Bytes),
            b'l' => self.list(depth).map(Value::List),
            b'd' => self.dictionary(depth).map(Value::Dictionary),
            _ => Err(Problem::UnexpectedByte),
        }
    }

    fn list(&mut self, depth: u8) -> Result<List<'a>, Problem> {
        let start = self.at;
        let depth = depth.checked_sub(1).ok_or(Problem::TooDeep)?;
        self.at += 1;
        while self.peek()? != b'e' {
            self.value(depth)?;
        }
        self.at += 1;
        Ok(List { raw: &self.bytes[start..self.at] })
    }

    fn dictionary(&mut self, depth: u8) -> Result<Dictionary<'a>, Problem> {
        let start = self.at;
        let depth = depth.checked_sub(1).ok_or(Problem::TooDeep)?;
        self.at += 1;
        let mut last_key: Option<&[u8]> = None;
        loop {
            let key_at = self.at;
            match self.peek()? {
                b'e' => break,
                b'0'..=b'9' => {}
                _ => return Err(Problem::UnexpectedByte),
            }
            let key = self.byte_string()?;
            if last_key.is_some_and(|last| last >= key) {
                self.at = key_at;
                return Err(Problem::KeyOrder);
            }
            last_key = Some(key);
            self.value(depth)?;
        }
        self.at += 1;
        Ok(Dictionary { raw: &self.bytes[start..self.at] })
    }

    /// The rest of an integer after its `i`.
    fn integer(&mut self) -> Result<i64, Problem> {
        let start = self.at;
        let negative = self.peek()? == b'-';
        if negative {
            self.at += 1;
        }
        let magnitude = self.digits(b'e')?;
        if negative && magnitude == 0 {
            self.at = start;
            return Err(Problem::NotCanonical);
        }
        let integer =
            if negative { 0_i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() };
        integer.ok_or_else(|| {
            self.at = start;
            Problem::OutOfRange
        })
    }

    fn byte_string(&mut self) -> Result<&'a [u8], Problem> {
        let length = usize::try_from(self.digits(b':')?);
        // A length beyond the address space is longer than any input.
        let end = length.ok().and_then(|length| self.at.checked_add(length)).ok_or(Problem::Truncated)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Problem::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    /// Decimal digits in canonical form, and the byte that must end them.
    fn digits(&mut self, end: u8) -> Result<u64, Problem> {
        let start = self.at;
        let mut number = 0_u64;
        loop {
            let byte = self.peek()?;
            if byte == end && self.at > start {
                self.at += 1;
                return Ok(number);
            }
            if !byte.is_ascii_digit() {
                return Err(Problem::UnexpectedByte);
            }
            if number == 0 && self.at > start {
                return Err(Problem::NotCanonical);
            }
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(byte - b'0')))
                .ok_or(Problem::OutOfRange)?;
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Problem> {
        self.bytes.get(self.at).copied().ok_or(Problem::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bencode::writer::{DictionaryWriter, ListWriter, dictionary};
    use crate::xorshift::Xorshift;

    const LIMITS: Limits = Limits { bytes: 1000, depth: 4 };

    /// Asserts what becomes of an input, in the notation of `Debug`.
    #[track_caller]
    fn check(input: &str, want: &str) {
        let got = match scan(input.as_bytes(), LIMITS) {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("{:?} at {}", error.problem, error.offset),
        };
        assert_eq!(got, want, "{input:?}");
    }

    #[test]
    fn integers() {
        check("i0e", "Integer(0)");
        check("i-1e", "Integer(-1)");
        check("i9223372036854775807e", "Integer(9223372036854775807)");
        check("i-9223372036854775808e", "Integer(-9223372036854775808)");
        check("i9223372036854775808e", "OutOfRange at 1");
        check("i-9223372036854775809e", "OutOfRange at 1");
        check("i99999999999999999999999e", "OutOfRange at 20");
        check("i03e", "NotCanonical at 2");
        check("i00e", "NotCanonical at 2");
        check("i-0e", "NotCanonical at 1");
        check("i-01e", "NotCanonical at 3");
        check("ie", "UnexpectedByte at 1");
        check("i-e", "UnexpectedByte at 2");
        check("i+1e", "UnexpectedByte at 1");
        check("i1 e", "UnexpectedByte at 2");
        check("i--1e", "UnexpectedByte at 2");
        check("i1", "Truncated at 2");
        check("i", "Truncated at 1");
    }

    #[test]
    fn byte_strings() {
        check("0:", "Bytes([])");
        check("2:ab", "Bytes([97, 98])");
        check("2:a", "Truncated at 2");
        check("2", "Truncated at 1");
        check("02:ab", "NotCanonical at 1");
        check("00:", "NotCanonical at 1");
        check("-1:a", "UnexpectedByte at 0");
        check("1a:a", "UnexpectedByte at 1");
        check("18446744073709551615:a", "Truncated at 21");
        check("18446744073709551616:a", "OutOfRange at 19");
    }

    #[test]
    fn lists() {
        check("le", "List(le)");
        check("li1e1:ae", "List(li1e1:ae)");
        check("l", "Truncated at 1");
        check("li1e", "Truncated at 4");
        check("l1:ax", "UnexpectedByte at 4");
        check("lllleeee", "List(lllleeee)");
        check("llllleeeee", "TooDeep at 4");
    }

    #[test]
    fn dictionaries() {
        check("de", "Dictionary(de)");
        check("d1:ai1e2:aai2ee", "Dictionary(d1:ai1e2:aai2ee)");
        check("d1:bi1e1:ai2ee", "KeyOrder at 7");
        check("d1:ai1e1:ai2ee", "KeyOrder at 7");
        check("di1ei1ee", "UnexpectedByte at 1");
        check("d1:ae", "UnexpectedByte at 4");
        check("d1:a", "Truncated at 4");
        check("d1:ai1e", "Truncated at 7");
        check("d0:d0:d0:deeee", "Dictionary(d0:d0:d0:deeee)");
        check("d0:d0:d0:d0:deeeee", "TooDeep at 12");
    }

    #[test]
    fn what_is_no_value() {
        check("", "Truncated at 0");
        check("e", "UnexpectedByte at 0");
        check("x", "UnexpectedByte at 0");
        check("i1ei2e", "TrailingBytes at 3");
        check("dee", "TrailingBytes at 2");
    }

    #[test]
    fn views_give_what_is_in_the_input() {
        let input = b"d4:infod6:lengthi7e4:name1:xe4:listli1e2:\xff\xfeee";
        let root = scan(input, LIMITS).unwrap().as_dictionary().unwrap();
        let info = root.get(b"info").unwrap().as_dictionary().unwrap();
        assert_eq!(info.raw(), b"d6:lengthi7e4:name1:xe");
        assert_eq!(info.get(b"length").unwrap().as_integer(), Some(7));
        assert_eq!(info.get(b"name").unwrap().as_str(), Some("x"));
        for missing in [&b""[..], b"a", b"nam", b"namf", b"z"] {
            assert_eq!(info.get(missing), None);
        }
        assert_eq!(root.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&b"info"[..], b"list"]);
        let list = root.get(b"list").unwrap().as_list().unwrap();
        assert_eq!(list.raw(), b"li1e2:\xff\xfee");
        let values: Vec<_> = list.iter().collect();
        assert_eq!(values, [Value::Integer(1), Value::Bytes(b"\xff\xfe")]);
        assert_eq!(values[1].as_str(), None);
        assert_eq!((values[0].as_bytes(), values[1].as_integer()), (None, None));
        assert_eq!((values[0].as_list(), values[0].as_dictionary()), (None, None));
    }

    #[test]
    fn a_payload_may_follow_the_value() {
        let message = b"d8:msg_typei1e5:piecei0eePAYLOAD";
        let (value, used) = scan_prefix(message, Limits { bytes: 25, depth: 1 }).unwrap();
        assert_eq!(value.as_dictionary().unwrap().get(b"piece").unwrap().as_integer(), Some(0));
        assert_eq!(&message[used..], b"PAYLOAD");
    }

    #[test]
    fn values_longer_than_the_limit_are_refused() {
        for bytes in 0..5 {
            let too_long = Error { offset: bytes, problem: Problem::TooLong };
            assert_eq!(scan(b"3:abc", Limits { bytes, depth: 0 }), Err(too_long));
        }
        assert_eq!(scan(b"3:abc", Limits { bytes: 5, depth: 0 }), Ok(Value::Bytes(b"abc")));
    }

    #[test]
    fn nesting_without_end_is_refused_within_a_small_stack() {
        for unit in ["l", "d0:"] {
            let nested = unit.repeat(1 << 20);
            let limits = Limits { bytes: nested.len(), depth: u8::MAX };
            // The offset tells that it stopped at the limit and looked no further.
            let want = Error { offset: unit.len() * 255, problem: Problem::TooDeep };
            let scanned = move || assert_eq!(scan(nested.as_bytes(), limits), Err(want));
            std::thread::Builder::new().stack_size(512 << 10).spawn(scanned).unwrap().join().unwrap();
        }
    }

    /// Whatever the scanner lets through has one encoding only, which is the input.
    fn assert_canonical(input: &[u8]) -> bool {
        let Ok(value) = scan(input, Limits { bytes: 1000, depth: 8 }) else { return false };
        let written = dictionary(|d| put_entry(d, b"", value));
        assert_eq!(&written[3..written.len() - 1], input, "{}", input.escape_ascii());
        true
    }

    fn put_entry(d: &mut DictionaryWriter<'_>, key: &[u8], value: Value<'_>) {
        match value {
            Value::Integer(integer) => d.integer(key, integer),
            Value::Bytes(bytes) => d.bytes(key, bytes),
            Value::List(list) => d.list(key, |l| list.iter().for_each(|value| put(l, value))),
            Value::Dictionary(inner) => {
                d.dictionary(key, |d| inner.iter().for_each(|(key, value)| put_entry(d, key, value)));
            }
        }
    }

    fn put(l: &mut ListWriter<'_>, value: Value<'_>) {
        match value {
            Value::Integer(integer) => l.integer(integer),
            Value::Bytes(bytes) => l.bytes(bytes),
            Value::List(list) => l.list(|l| list.iter().for_each(|value| put(l, value))),
            Value::Dictionary(inner) => {
                l.dictionary(|d| inner.iter().for_each(|(key, value)| put_entry(d, key, value)));
            }
        }
    }

    #[test]
    fn every_short_input_is_refused_or_canonical() {
        const ALPHABET: &[u8] = b"ilde-:0129x";
        let mut accepted = 0;
        for length in 0..=6 {
            let mut digits = vec![0; length];
            loop {
                let input: Vec<u8> = digits.iter().map(|&digit| ALPHABET[digit]).collect();
                accepted += u32::from(assert_canonical(&input));
                let Some(place) = digits.iter().position(|&digit| digit + 1 < ALPHABET.len()) else { break };
                digits[..place].fill(0);
                digits[place] += 1;
            }
        }
        assert!(accepted > 500, "only {accepted} inputs were accepted: the test tests nothing");
    }

    #[test]
    fn every_mutated_input_is_refused_or_canonical() {
        let valid =
            b"d8:announce3:a:b4:infod5:filesld6:lengthi10e4:pathl1:a2:bceee4:name1:x6:pieces2:\xff\0ee";
        let mut chance = Xorshift::new(1);
        let mut accepted = 0;
        for _ in 0..200_000 {
            let mut input = valid.to_vec();
            chance.mutate(&mut input);
            accepted += u32::from(assert_canonical(&input));
        }
        assert!(accepted > 1000, "only {accepted} inputs were accepted: the test tests nothing");
    }
}
