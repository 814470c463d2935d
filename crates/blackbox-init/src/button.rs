//! The power button: which input devices have one, and what they report.

/// Size (bytes) of the kernel's `struct input_event` on 64-bit machines: two longs, two shorts, an int.
pub const EVENT_BYTES: usize = 24;

const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// Whether the events read from an input device tell that the power button went down.
pub fn is_pressed(events: &[u8]) -> bool {
    events.chunks_exact(EVENT_BYTES).any(|event| {
        let short = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
        short(16) == EV_KEY && short(18) == KEY_POWER && value == 1
    })
}

/// Whether a device has a power button: `capabilities/key` in sysfs, 64-bit words in hexadecimal, lowest last.
pub fn is_button(capabilities: &str) -> bool {
    let (word, bit) = (usize::from(KEY_POWER / 64), KEY_POWER % 64);
    capabilities
        .split_ascii_whitespace()
        .rev()
        .nth(word)
        .and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> bit & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut event = vec![0; 16];
        event.extend(kind.to_ne_bytes());
        event.extend(code.to_ne_bytes());
        event.extend(value.to_ne_bytes());
        event
    }

    #[test]
    fn only_the_power_key_going_down_counts() {
        for (kind, code, value, pressed) in
            [(1, 116, 1, true), (1, 116, 0, false), (1, 116, 2, false), (1, 30, 1, false), (0, 116, 1, false)]
        {
            assert_eq!(is_pressed(&event(kind, code, value)), pressed, "{kind} {code} {value}");
        }
        let two = [event(0, 0, 0), event(1, 116, 1)].concat();
        assert!(is_pressed(&two));
        assert!(!is_pressed(&two[..EVENT_BYTES + 8]), "half an event");
        assert!(!is_pressed(&[]));
    }

    #[test]
    fn devices_with_a_power_button_are_known() {
        for (capabilities, button) in [
            ("10000000000000 0\n", true),
            ("0\n", false),
            ("", false),
            ("402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe", true),
            ("1 10000000000000 0", true),
            ("x 0", false),
            ("feeffffdffefffff fffffffffffffffe", false),
        ] {
            assert_eq!(is_button(capabilities), button, "{capabilities}");
        }
    }
}
