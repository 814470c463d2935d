use std::{fmt, str::FromStr};

/// A release of the system: a version and when it was built. A later one is greater.
///
/// Written as `1.2.3+1700000000`: version, and seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Major, minor and patch, as in `Cargo.toml`.
    pub version: [u32; 3],
    /// Seconds since 1970; it tells apart what was built between two versions.
    pub built: u64,
}

/// Not a release, or not one in the one way to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version like 1.2.3 with a time of build")]
pub struct NotARelease;

impl Release {
    /// The version alone, as people know it.
    pub fn version(&self) -> String {
        let [major, minor, patch] = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// Puts together a version and a time of build as they are written in texts.
    ///
    /// # Errors
    /// When one of them is not a number in its one way to be written.
    pub fn new(version: &str, built: &str) -> Result<Self, NotARelease> {
        let mut numbers = version.split('.').map(|text| number(text).and_then(|n| u32::try_from(n).ok()));
        let mut next = || numbers.next().flatten().ok_or(NotARelease);
        let version = [next()?, next()?, next()?];
        if numbers.next().is_some() {
            return Err(NotARelease);
        }
        Ok(Self { version, built: number(built).ok_or(NotARelease)? })
    }

    /// The release that an `/etc/os-release` names by `VERSION_ID` and `BUILD_ID`, which `post-build.sh` writes.
    pub fn of_os_release(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Self::new(field("VERSION_ID")?, field("BUILD_ID")?).ok()
    }
}

/// A number in decimal digits, without anything in front.
pub(crate) fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| plain)
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.version(), self.built)
    }
}

impl FromStr for Release {
    type Err = NotARelease;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (version, built) = text.split_once('+').ok_or(NotARelease)?;
        Self::new(version, built)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_releases_are_greater() {
        let releases = ["0.1.0+5", "0.1.0+6", "0.1.1+1", "0.2.0+0", "0.10.0+0", "1.0.0+0"]
            .map(|text| text.parse::<Release>().unwrap());
        assert!(releases.is_sorted_by(|a, b| a < b), "{releases:?}");
    }

    #[test]
    fn there_is_one_way_to_write_a_release() {
        for good in ["0.0.0+0", "1.2.3+1700000000", "4294967295.0.1+18446744073709551615"] {
            assert_eq!(good.parse::<Release>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "1",
            "1.2.3",
            "1.2+3",
            "1.2.3.4+5",
            "01.2.3+4",
            "1.2.3+04",
            "1.2.3++4",
            "1.2.-3+4",
            "1.2.3+",
            " 1.2.3+4",
            "1.2.3-rc1+4",
            "4294967296.0.0+1",
            "1.2.3+18446744073709551616",
            "1.2.x+4",
        ] {
            assert_eq!(bad.parse::<Release>(), Err(NotARelease), "{bad}");
        }
    }

    #[test]
    fn os_release_names_what_runs() {
        let text = "NAME=\"P2P Black Box\"\nVERSION_ID=0.1.0\nBUILD_ID=1700000000\n";
        assert_eq!(Release::of_os_release(text), "0.1.0+1700000000".parse().ok());
        for bad in
            ["", "VERSION_ID=0.1.0\n", "VERSION_ID=\"0.1.0\"\nBUILD_ID=1\n", "VERSION_ID_=0.1.0\nBUILD_ID=1"]
        {
            assert_eq!(Release::of_os_release(bad), None, "{bad}");
        }
    }
}
