//! Bencode (BEP 3): a bounded scanner for bytes from outside, and a writer for our own.
//!
//! [`scan`] checks everything once, in canonical form: no leading zeros, no `-0`, dictionary keys sorted and
//! unique, integers within `i64`. What it returns are views of the input, so scanning allocates nothing and a
//! hostile message costs no more than its own length. Nothing of the input is unchecked when a view is seen.

mod scanner;
mod writer;

pub use scanner::{Dictionary, Error, Limits, List, Problem, Value, scan, scan_prefix};
pub use writer::{DictionaryWriter, ListWriter, dictionary};
