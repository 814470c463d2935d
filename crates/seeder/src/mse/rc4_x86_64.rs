//! The inner loop of RC4 for x86-64, eight bytes of the stream at a time.
//!
//! Each byte exchanges two entries of the table, and the processor can't read the next one ahead of a write whose address
//! it does not know yet. So all entries that eight bytes take in turn are read before the first of their exchanges; when
//! one of these hits an entry that has been read (once in some seventy bytes), what is left of them is read again.
//!
//! In assembly, since a compiler reads neighbouring entries in one go (which waits until the bytes just written are in the
//! cache), and takes nearly twice the instructions, of which there are too many for the processor's arithmetic units.

#![expect(unsafe_code, reason = "assembly")]

use std::arch::asm;

/// Entries that are taken in turn for one word.
pub(super) const GROUP: usize = 8;

/// Reads ahead the entry `$at` of the group.
macro_rules! read {
    ($at:literal, $entry:literal) => {
        concat!("movzx {", $entry, ":e}, byte ptr [{table} + {i} + ", $at, "]\n")
    };
}

/// Exchanges the entry `$at` of the group with that at `j`, and puts the keystream's byte into its register.
#[rustfmt::skip]
macro_rules! exchange {
    ($at:literal, $entry:literal) => {
        concat!(
            "add {j:l}, {", $entry, ":l}\n",
            "movzx {other:e}, byte ptr [{table} + {j}]\n",
            "mov [{table} + {j}], {", $entry, ":l}\n",
            "mov [{table} + {i} + ", $at, "], {other:l}\n",
            "add {other:l}, {", $entry, ":l}\n",
            "movzx {", $entry, ":e}, byte ptr [{table} + {other}]\n",
        )
    };
}

/// Adds a byte to the word of the keystream, which gathers in the first register.
macro_rules! gather {
    ($shift:literal, $entry:literal) => {
        concat!("shl {", $entry, "}, ", $shift, "\n", "or {a}, {", $entry, "}\n")
    };
}

/// Goes to the label `$away` if the exchange that was just made hit one of the `$count` entries from `$next` on.
#[rustfmt::skip]
macro_rules! check {
    ($next:literal, $count:literal, $away:literal, $back:literal) => {
        concat!(
            "lea {other:e}, [{j} - ", $next, "]\n",
            "sub {other:e}, {i:e}\n",
            "cmp {other:l}, ", $count, "\n",
            "jb ", $away, "f\n",
            $back, ":\n",
        )
    };
}

/// Applies the keystream to all words, the first of them with the entries of the group at `i` (a multiple of [`GROUP`]).
/// Gives back the group that is next, and `j`.
pub(super) fn apply(table: &mut [u8; 256], words: &mut [[u8; GROUP]], i: u8, j: u8) -> (u8, u8) {
    if words.is_empty() {
        return (i, j);
    }
    let words = words.as_mut_ptr_range();
    let (mut i, mut j) = (usize::from(i) & !(GROUP - 1), usize::from(j));
    // SAFETY: `i` is a multiple of 8 below 256 and the number of an entry in the group below 8; `j` and `other` are
    // changed in their lowest bytes only before they index the table, so all of that is inside its 256 bytes. The words
    // from the first to the end are ours alone, and there is one at least.
    unsafe {
        asm!(
            "20:",
            read!(0, "a"), read!(1, "b"), read!(2, "c"), read!(3, "d"), read!(4, "e"), read!(5, "f"), read!(6, "g"),
            exchange!(0, "a"), check!(1, 6, 30, 40),
            exchange!(1, "b"), gather!(8, "b"),
            // There is no register for an eighth entry sooner.
            read!(7, "b"), check!(2, 6, 31, 41),
            exchange!(2, "c"), gather!(16, "c"), check!(3, 5, 32, 42),
            exchange!(3, "d"), gather!(24, "d"), check!(4, 4, 33, 43),
            exchange!(4, "e"), gather!(32, "e"), check!(5, 3, 34, 44),
            exchange!(5, "f"), gather!(40, "f"), check!(6, 2, 35, 45),
            exchange!(6, "g"), gather!(48, "g"), check!(7, 1, 36, 46),
            exchange!(7, "b"), gather!(56, "b"),
            "xor [{word}], {a}",
            "add {i:l}, 8",
            "add {word}, 8",
            "cmp {word}, {end}",
            "jne 20b",
            "jmp 50f",
            "30:", read!(1, "b"), read!(2, "c"), read!(3, "d"), read!(4, "e"), read!(5, "f"), read!(6, "g"), "jmp 40b",
            "31:", read!(2, "c"), read!(3, "d"), read!(4, "e"), read!(5, "f"), read!(6, "g"), read!(7, "b"), "jmp 41b",
            "32:", read!(3, "d"), read!(4, "e"), read!(5, "f"), read!(6, "g"), read!(7, "b"), "jmp 42b",
            "33:", read!(4, "e"), read!(5, "f"), read!(6, "g"), read!(7, "b"), "jmp 43b",
            "34:", read!(5, "f"), read!(6, "g"), read!(7, "b"), "jmp 44b",
            "35:", read!(6, "g"), read!(7, "b"), "jmp 45b",
            "36:", read!(7, "b"), "jmp 46b",
            "50:",
            table = in(reg) table.as_mut_ptr(),
            word = inout(reg) words.start => _,
            end = in(reg) words.end,
            i = inout(reg) i,
            j = inout(reg) j,
            other = out(reg) _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _, e = out(reg) _, f = out(reg) _, g = out(reg) _,
            options(nostack),
        );
    }
    (i.to_le_bytes()[0], j.to_le_bytes()[0])
}
