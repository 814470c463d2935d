//! The machine's memory.

/// Bytes of memory, as the kernel counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// What programs could have without anything being swapped: free memory and caches.
    pub(super) available: u64,
    /// In all, without what the kernel itself occupies.
    pub(super) total: u64,
}

/// The memory now; `None` where there is no `/proc`.
pub(super) fn now() -> Option<Memory> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(meminfo: &str) -> Option<Memory> {
    let bytes = |name: &str| -> Option<u64> {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { available: bytes("MemAvailable")?, total: bytes("MemTotal")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read() {
        let meminfo = "MemTotal:         240000 kB\nMemFree:          90 kB\nMemAvailable:     100 kB\n";
        assert_eq!(parse(meminfo), Some(Memory { available: 102_400, total: 245_760_000 }));
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
        assert_eq!(parse(""), None);
    }
}
