//! The log of the box as files: what the kernel, init and all its children say, of this start and of those before. init has
//! them written, and the daemon shows them in its report.
//!
//! A folder holds a few segments under increasing numbers. The last one is written to; when it is full, the first one goes.

/// Segments in a folder.
pub const SEGMENTS: usize = 4;

/// Most bytes of a segment on the data partition.
pub const SEGMENT_BYTES: u64 = 1 << 20;

/// Most bytes of a segment in memory, where the log is while the data partition can't be written.
pub const MEMORY_SEGMENT_BYTES: u64 = 128 << 10;

/// How names of segments end.
const SUFFIX: &str = ".log";

/// The name of a segment. Names are in the order of the numbers.
pub fn segment_name(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

/// The number of the segment of this name; `None` for a file that is none.
pub fn segment_number(name: &str) -> Option<u32> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let numbers = [0, 9, 10, 4_000_000_000, u32::MAX];
        let names = numbers.map(segment_name);
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(names.each_ref().map(|name| segment_number(name)), numbers.map(Some));
        for other in
            ["", ".log", "1.log", "0000000001", "0000000001.log.new", "000000000x.log", "+000000001.log"]
        {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}
