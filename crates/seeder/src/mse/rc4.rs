//! The stream cipher RC4. Broken for all that has to stay secret; here it only has to look like noise.

#[cfg(target_arch = "x86_64")]
use super::rc4_x86_64 as fast;

/// Bytes of the keystream that are not used, since they tell of the key.
const DISCARDED: usize = 1024;

/// One direction of an encrypted connection: where its keystream has got to.
#[derive(Debug)]
pub struct Rc4 {
    table: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    /// The keystream of this key from its byte 1024 on.
    pub(super) fn new(key: &[u8; 20]) -> Self {
        let mut rc4 = Self::from_start(key);
        rc4.apply(&mut [0; DISCARDED]);
        rc4
    }

    fn from_start(key: &[u8]) -> Self {
        let mut table = [0; 256];
        table.iter_mut().zip(0..=u8::MAX).for_each(|(entry, value)| *entry = value);
        let mut j = 0_u8;
        for (i, byte) in (0..table.len()).zip(key.iter().cycle()) {
            j = j.wrapping_add(table[i]).wrapping_add(*byte);
            table.swap(i, j.into());
        }
        Self { table, i: 0, j: 0 }
    }

    /// Encrypts or decrypts the next bytes of the stream.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        let bytes = self.apply_groups(bytes);
        self.apply_anywhere(bytes);
    }

    /// Takes bytes by groups, up to what fills none; that is left.
    #[cfg(target_arch = "x86_64")]
    fn apply_groups<'a>(&mut self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let before = usize::from(!self.i) % fast::GROUP;
        let (first, bytes) = bytes.split_at_mut(before.min(bytes.len()));
        self.apply_anywhere(first);
        let (words, rest) = bytes.as_chunks_mut();
        let (next, j) = fast::apply(&mut self.table, words, self.i.wrapping_add(1), self.j);
        (self.i, self.j) = (next.wrapping_sub(1), j);
        rest
    }

    /// On any processor.
    ///
    /// Two things make this fast: the keystream is applied by words, and each entry is read before the exchange
    /// ahead of it is written, which changes it but once in 256 times. So nothing waits for a write.
    fn apply_anywhere(&mut self, bytes: &mut [u8]) {
        let (words, rest) = bytes.as_chunks_mut::<8>();
        let Self { table, i, j } = self;
        let (mut at, mut to) = (i.wrapping_add(1), *j);
        let mut a = table[usize::from(at)];
        let mut key_byte = || {
            to = to.wrapping_add(a);
            let after = at.wrapping_add(1);
            let mut next = table[usize::from(after)];
            let b = table[usize::from(to)];
            table[usize::from(to)] = a;
            table[usize::from(at)] = b;
            let key = table[usize::from(a.wrapping_add(b))];
            if to == after {
                std::hint::cold_path();
                next = a;
            }
            (at, a) = (after, next);
            key
        };
        for word in words {
            let mut key = 0;
            for byte in 0..8 {
                key |= u64::from(key_byte()) << (8 * byte);
            }
            *word = (u64::from_le_bytes(*word) ^ key).to_le_bytes();
        }
        for byte in rest {
            *byte ^= key_byte();
        }
        // Both are those of the last byte again.
        (*i, *j) = (at.wrapping_sub(1), to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6229: a key, an offset into its keystream, and 16 bytes from there.
    const VECTORS: &[(&[u8], usize, u128)] = &[
        (b"\x01\x02\x03\x04\x05", 0, 0xb239_6305_f03d_c027_ccc3_524a_0a11_18a8),
        (b"\x01\x02\x03\x04\x05", 240, 0x28cb_1132_c96c_e286_421d_caad_b8b6_9eae),
        (b"\x01\x02\x03\x04\x05", 1024, 0x30ab_bcc7_c20b_0160_9f23_ee2d_5f6b_b7df),
        (b"\x01\x02\x03\x04\x05", 4096, 0xff25_b589_9599_6707_e51f_bdf0_8b34_d875),
        (
            b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
            0,
            0x9ac7_cc9a_609d_1ef7_b293_2899_cde4_1b97,
        ),
        (
            b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
            1024,
            0xbdf0_324e_6083_dcc6_d3ce_dd3c_a8c5_3c16,
        ),
    ];

    #[test]
    fn keystreams_are_those_of_the_rfc() {
        for (key, offset, want) in VECTORS {
            let mut stream = vec![0; offset + 16];
            Rc4::from_start(key).apply(&mut stream);
            assert_eq!(stream[*offset..], want.to_be_bytes(), "{key:x?} from {offset} on");
        }
    }

    #[test]
    fn every_processor_encrypts_alike() {
        for key in 0..=u8::MAX {
            let [mut ours, mut any] = [Rc4::from_start(&[key, 1, 2]), Rc4::from_start(&[key, 1, 2])];
            for size in [1000, 0, 7, 1001, 9, 2000] {
                let (mut want, mut got) = (vec![key; size], vec![key; size]);
                any.apply_anywhere(&mut want);
                ours.apply(&mut got);
                assert!(got == want, "key {key}, {size} bytes");
            }
        }
    }

    #[test]
    fn a_stream_may_come_in_pieces_of_any_size() {
        let key = *b"a key of twenty byte";
        let mut whole = [0x5a; 100];
        Rc4::new(&key).apply(&mut whole);
        for size in 1..whole.len() {
            let mut pieces = [0x5a; 100];
            let mut rc4 = Rc4::new(&key);
            pieces.chunks_mut(size).for_each(|piece| rc4.apply(piece));
            assert_eq!(pieces, whole, "pieces of {size}");
        }
    }
}
