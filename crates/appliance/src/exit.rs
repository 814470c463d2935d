//! Exit codes of `blackboxd`.

/// A wrong option or configuration: starting again will not help until someone changes it.
pub const USAGE: u8 = 2;

/// The daemon could not go on; starting it again may help.
pub const FAILED: u8 = 1;
