//! What init reads from the kernel's command line.

use std::time::Duration;

use appliance::boot_state::{Nonce, Slot};

/// More consoles than a machine has; the rest is ignored.
const MAX_CONSOLES: usize = 4;

/// The words of `/proc/cmdline` that mean something to init.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cmdline {
    /// Serial consoles by device name, such as `ttyS0`.
    pub serial: Vec<String>,
    /// The slot the system was booted from.
    pub slot: Option<Slot>,
    /// The nonce of the update that this boot is the trial of.
    pub trial: Option<Nonce>,
    /// How long the trial may take, if not as long as usual.
    pub trial_limit: Option<Duration>,
    /// How long daemon and init may be silent, if not as long as usual.
    pub patience: Option<Duration>,
    /// Whether init fails when the power button is pressed, for a test of what comes of that.
    pub fault_on_button: bool,
}

impl Cmdline {
    /// Reads the line. Unknown words are the kernel's business.
    pub fn parse(text: &str) -> Self {
        let mut cmdline = Self::default();
        for word in text.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("console", value)) => {
                    let name = value.split(',').next().unwrap_or_default();
                    if is_serial(name)
                        && cmdline.serial.len() < MAX_CONSOLES
                        && !cmdline.serial.iter().any(|known| known == name)
                    {
                        cmdline.serial.push(name.to_owned());
                    }
                }
                Some(("blackbox.slot", value)) => cmdline.slot = value.parse().ok().or(cmdline.slot),
                Some(("blackbox.trial", value)) => cmdline.trial = value.parse().ok(),
                Some(("blackbox.trial-seconds", value)) => {
                    cmdline.trial_limit = value.parse().ok().map(Duration::from_secs);
                }
                Some(("blackbox.patience-seconds", value)) => {
                    cmdline.patience = value.parse().ok().map(Duration::from_secs);
                }
                None if word == "blackbox.fault-on-button" => cmdline.fault_on_button = true,
                _ => {}
            }
        }
        cmdline
    }
}

/// Serial ports, and the consoles of hypervisors; not `tty0`, which is the screen.
fn is_serial(name: &str) -> bool {
    ["ttyS", "ttyAMA", "ttyUSB", "hvc"].iter().any(|kind| {
        name.strip_prefix(kind)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_and_slot_are_found() {
        for (text, serial, slot) in [
            ("", &[][..], None),
            ("console=tty0 console=ttyS0,115200 panic=10 quiet blackbox.slot=a\n", &["ttyS0"], Some(Slot::A)),
            ("console=ttyS1 console=hvc0 console=ttyS1,9600", &["ttyS1", "hvc0"], None),
            ("console=ttyS console=ttyS0/../x console= console", &[], None),
            ("blackbox.slot=b blackbox.slot=c", &[], Some(Slot::B)),
        ] {
            let cmdline = Cmdline::parse(text);
            assert_eq!(cmdline.serial, serial, "{text:?}");
            assert_eq!(cmdline.slot, slot, "{text:?}");
        }
    }

    #[test]
    fn a_trial_is_known_by_its_nonce() {
        let trial = |text: &str| Cmdline::parse(text).trial;
        assert_eq!(trial("blackbox.slot=b blackbox.trial=00000000000000ff"), Some(Nonce(255)));
        for text in ["", "blackbox.trial=", "blackbox.trial=ff", "blackbox.trial=00000000000000FF"] {
            assert_eq!(trial(text), None, "{text}");
        }
        let limit = Cmdline::parse("blackbox.trial-seconds=30").trial_limit;
        assert_eq!(limit, Some(Duration::from_secs(30)));
        let patience = Cmdline::parse("blackbox.patience-seconds=20").patience;
        assert_eq!(patience, Some(Duration::from_secs(20)));
    }
}
