//! What init reads from the kernel's command line.

/// More consoles than a machine has; the rest is ignored.
const MAX_CONSOLES: usize = 4;

/// The words of `/proc/cmdline` that mean something to init.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cmdline {
    /// Serial consoles by device name, such as `ttyS0`.
    pub serial: Vec<String>,
    /// The slot the system was booted from, `a` or `b`.
    pub slot: Option<String>,
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
                Some(("blackbox.slot", value @ ("a" | "b"))) => cmdline.slot = Some(value.to_owned()),
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
            ("console=tty0 console=ttyS0,115200 panic=10 quiet blackbox.slot=a\n", &["ttyS0"], Some("a")),
            ("console=ttyS1 console=hvc0 console=ttyS1,9600", &["ttyS1", "hvc0"], None),
            ("console=ttyS console=ttyS0/../x console= console", &[], None),
            ("blackbox.slot=b blackbox.slot=c", &[], Some("b")),
        ] {
            let cmdline = Cmdline::parse(text);
            assert_eq!(cmdline.serial, serial, "{text:?}");
            assert_eq!(cmdline.slot.as_deref(), slot, "{text:?}");
        }
    }
}
