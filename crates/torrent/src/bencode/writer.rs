//! The writer.

/// Writes a dictionary; `write` is given the [`DictionaryWriter`] for its entries.
///
/// ```
/// let bytes = torrent::bencode::dictionary(|d| {
///     d.integer(b"interval", 1800_u32);
///     d.list(b"peers", |l| l.dictionary(|d| d.bytes(b"ip", b"192.0.2.1")));
/// });
/// assert_eq!(bytes, b"d8:intervali1800e5:peersld2:ip9:192.0.2.1eee");
/// ```
pub fn dictionary(write: impl FnOnce(&mut DictionaryWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_dictionary(&mut out, write);
    out
}

/// Writes the entries of a dictionary.
///
/// Keys must come in ascending order (bytewise), each once; debug builds panic if they don't, others write
/// what clients will refuse. Sorting here would mean to hold everything twice.
pub struct DictionaryWriter<'a> {
    out: &'a mut Vec<u8>,
    last_key: Option<std::ops::Range<usize>>,
}

/// Writes the values of a list.
pub struct ListWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl DictionaryWriter<'_> {
    /// Writes an integer.
    pub fn integer(&mut self, key: &[u8], value: impl Into<i128>) {
        self.key(key);
        put_integer(self.out, value.into());
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, key: &[u8], value: impl AsRef<[u8]>) {
        self.key(key);
        put_bytes(self.out, value.as_ref());
    }

    /// Writes a list.
    pub fn list(&mut self, key: &[u8], write: impl FnOnce(&mut ListWriter<'_>)) {
        self.key(key);
        put_list(self.out, write);
    }

    /// Writes a dictionary.
    pub fn dictionary(&mut self, key: &[u8], write: impl FnOnce(&mut DictionaryWriter<'_>)) {
        self.key(key);
        put_dictionary(self.out, write);
    }

    /// Writes a value that is encoded already, such as an info dictionary, byte for byte.
    pub fn raw(&mut self, key: &[u8], encoded: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(encoded);
    }

    fn key(&mut self, key: &[u8]) {
        debug_assert!(
            self.last_key.as_ref().is_none_or(|last| &self.out[last.clone()] < key),
            "key {:?} is not in order",
            String::from_utf8_lossy(key)
        );
        put_bytes(self.out, key);
        self.last_key = Some(self.out.len() - key.len()..self.out.len());
    }
}

impl ListWriter<'_> {
    /// Writes an integer.
    pub fn integer(&mut self, value: impl Into<i128>) {
        put_integer(self.out, value.into());
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, value: impl AsRef<[u8]>) {
        put_bytes(self.out, value.as_ref());
    }

    /// Writes a list.
    pub fn list(&mut self, write: impl FnOnce(&mut ListWriter<'_>)) {
        put_list(self.out, write);
    }

    /// Writes a dictionary.
    pub fn dictionary(&mut self, write: impl FnOnce(&mut DictionaryWriter<'_>)) {
        put_dictionary(self.out, write);
    }
}

fn put_integer(out: &mut Vec<u8>, value: i128) {
    out.push(b'i');
    out.extend_from_slice(value.to_string().as_bytes());
    out.push(b'e');
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn put_list(out: &mut Vec<u8>, write: impl FnOnce(&mut ListWriter<'_>)) {
    out.push(b'l');
    write(&mut ListWriter { out });
    out.push(b'e');
}

fn put_dictionary(out: &mut Vec<u8>, write: impl FnOnce(&mut DictionaryWriter<'_>)) {
    out.push(b'd');
    write(&mut DictionaryWriter { out, last_key: None });
    out.push(b'e');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_in_each_kind_of_container() {
        let bytes = dictionary(|d| {
            d.bytes(b"a", [0xff, b':']);
            d.dictionary(b"b", |d| d.integer(b"x", i64::MIN));
            d.integer(b"c", u64::MAX);
            d.list(b"d", |l| {
                l.bytes("e");
                l.dictionary(|_| {});
                l.integer(0_u8);
                l.list(|_| {});
            });
            d.raw(b"e", b"i1e");
        });
        let want: &[u8] =
            b"d1:a2:\xff:1:bd1:xi-9223372036854775808ee1:ci18446744073709551615e1:dl1:edei0elee1:ei1ee";
        assert_eq!(bytes, want);
    }

    #[test]
    #[should_panic(expected = "key \"a\" is not in order")]
    #[cfg(debug_assertions)]
    fn keys_out_of_order_are_noticed() {
        dictionary(|d| {
            d.integer(b"b", 1);
            d.integer(b"a", 1);
        });
    }
}
