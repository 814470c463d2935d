//! Asking the time of a server (RFC 4330, RFC 5905). Pure: packets, time and chance are arguments.

use std::time::Duration;

/// Bytes of a packet without extensions.
pub const PACKET: usize = 48;

/// Version 4, and mode client.
const REQUEST: u8 = 4 << 3 | 3;

/// Mode server.
const SERVER: u8 = 4;

/// Says that the server's own clock was never set.
const UNSYNCHRONIZED: u8 = 3;

/// Above this a server has no time to give; 0 is a refusal.
const MAX_STRATUM: u8 = 15;

/// Longer under way (there and back) says too little.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Seconds from 1900, where the protocol counts from, to 1970.
const TO_UNIX: u64 = 2_208_988_800;

/// Seconds after which the protocol counts from 0 again.
const ERA: u64 = 1 << 32;

/// Bytes of a request. The answer repeats `nonce`, so that nobody answers who has not seen the question.
pub fn request(nonce: [u8; 8]) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = REQUEST;
    packet[40..].copy_from_slice(&nonce);
    packet
}

/// The time since 1970 at the middle between question and answer, which came `elapsed` later. `None` for what is no
/// answer to the request with that nonce, or from a server without time. `floor` is a time since 1970 that has passed: the
/// protocol counts the 136 years after it.
pub fn time(packet: &[u8], nonce: [u8; 8], elapsed: Duration, floor: Duration) -> Option<Duration> {
    let packet: &[u8; PACKET] = packet.first_chunk()?;
    let (leap, version, mode) = (packet[0] >> 6, packet[0] >> 3 & 7, packet[0] & 7);
    if leap == UNSYNCHRONIZED
        || !(3..=4).contains(&version)
        || mode != SERVER
        || !(1..=MAX_STRATUM).contains(&packet[1])
        || packet[24..32] != nonce
    {
        return None;
    }
    let (received, sent) = (stamp(packet, 32, floor)?, stamp(packet, 40, floor)?);
    let held = sent.checked_sub(received)?;
    let delay = elapsed.checked_sub(held)?;
    (delay <= MAX_DELAY && sent >= floor).then(|| received + held / 2)
}

/// The time stamp that begins at a byte; 0 stands for none.
fn stamp(packet: &[u8; PACKET], at: usize, floor: Duration) -> Option<Duration> {
    let part = |at: usize| packet.get(at..at + 4)?.try_into().map(u32::from_be_bytes).ok();
    let (seconds, fraction) = (u64::from(part(at)?), u64::from(part(at + 4)?));
    if seconds == 0 && fraction == 0 {
        return None;
    }
    // A second of grace, so that nothing at the floor itself falls into the next era.
    let earliest = (floor.as_secs() + TO_UNIX).saturating_sub(1);
    let behind = earliest % ERA;
    let seconds = earliest - behind + seconds + if seconds < behind { ERA } else { 0 };
    let nanoseconds = u32::try_from((fraction * 1_000_000_000) >> 32).ok()?;
    Some(Duration::new(seconds.checked_sub(TO_UNIX)?, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 8] = *b"not seen";

    /// 2026-01-01.
    const FLOOR: Duration = Duration::from_hours(490_896);

    fn answer(seconds: u64) -> [u8; PACKET] {
        let mut packet = request(*b"whatever");
        packet[0] = 4 << 3 | SERVER;
        packet[1] = 2;
        packet[24..32].copy_from_slice(&NONCE);
        let low = u32::try_from((seconds + TO_UNIX) % ERA).unwrap();
        packet[32..36].copy_from_slice(&low.to_be_bytes());
        packet[36] = 0x80;
        packet[40..44].copy_from_slice(&low.wrapping_add(1).to_be_bytes());
        packet[44..48].copy_from_slice(&[0x80, 0, 0, 0]);
        packet
    }

    fn read(packet: &[u8]) -> Option<Duration> {
        time(packet, NONCE, Duration::from_millis(1200), FLOOR)
    }

    #[test]
    fn the_middle_is_told_in_every_era() {
        for seconds in [FLOOR.as_secs(), 2_000_000_000, 2_085_978_495, 2_085_978_500, 4_000_000_000] {
            assert_eq!(read(&answer(seconds)), Some(Duration::from_secs(seconds + 1)), "{seconds}");
        }
    }

    #[test]
    fn what_is_no_answer_or_no_time_is_refused() {
        let good = answer(2_000_000_000);
        for length in 0..PACKET {
            assert_eq!(read(&good[..length]), None);
        }
        let changes: [(usize, u8); 8] =
            [(0, 0xe4), (0, 0x23), (0, 0x0c), (1, 0), (1, 16), (24, 0), (31, 0), (40, 0)];
        for (at, value) in changes {
            let mut packet = good;
            packet[at] = value;
            assert_eq!(read(&packet), None, "{value:#x} at {at}");
        }
        let mut none = good;
        none[32..].fill(0);
        assert_eq!(read(&none), None);
        assert_eq!(time(&good, NONCE, Duration::from_secs(9), FLOOR), None, "under way for too long");
        assert_eq!(read(&request(NONCE)), None);
        assert!(read(&[&good[..], &[0; 20]].concat()).is_some(), "with an extension");
    }

    #[test]
    fn a_time_before_the_floor_is_taken_for_one_in_the_next_era() {
        let day_before = FLOOR.as_secs() - 86_400;
        assert_eq!(read(&answer(day_before)).unwrap().as_secs(), day_before + ERA + 1);
    }
}
