//! Which `blackbox.toml` is in force. Pure: what was read goes in, the choice comes out.

use appliance::Config;
use appliance::paths::CONFIG_NAME;

/// The file as it comes with the image: every option is explained, and nothing is set.
const TEMPLATE: &str = include_str!("../../../image/board/x86_64/system-partition/blackbox.toml");

/// What there is on the system partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The file.
    File(Vec<u8>),
    /// No file: somebody has deleted it.
    Nothing,
    /// It can't be read: why, as the beginning of a sentence.
    Unreadable(String),
}

/// The settings in force.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// The bytes of the file in force, free of errors.
    pub bytes: Vec<u8>,
    /// What is wrong with the file on the system partition.
    pub problem: Option<String>,
    /// Whether these are to be kept as the last good ones.
    pub keep: bool,
    /// Whether these are to be put where the file is missing.
    pub create: bool,
}

/// Takes the file from the system partition, else the last good copy, else the defaults. Who deletes the file loses nothing:
/// what was for members must not become public by that.
pub fn choose(system: Found, last_good: Option<Vec<u8>>) -> Choice {
    let what = match system {
        Found::File(bytes) => match Config::parse(&bytes) {
            Ok(_) => {
                let keep = last_good.as_ref() != Some(&bytes);
                return Choice { bytes, problem: None, keep, create: false };
            }
            Err(error) => Some(format!("{CONFIG_NAME}: {error}")),
        },
        Found::Nothing => None,
        Found::Unreadable(why) => Some(why),
    };
    let last_good = last_good.filter(|bytes| Config::parse(bytes).is_ok());
    let Some(what) = what else {
        let keep = last_good.is_none();
        return Choice { bytes: last_good.unwrap_or_else(template), problem: None, keep, create: true };
    };
    let rest = if last_good.is_some() {
        "the last good settings stay in force"
    } else {
        "the settings a new box has are in force"
    };
    Choice {
        bytes: last_good.unwrap_or_default(),
        problem: Some(format!("{what}; {rest}.")),
        keep: false,
        create: false,
    }
}

/// With the line ends that old Windows editors need.
fn template() -> Vec<u8> {
    TEMPLATE.replace('\n', "\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "public_host = \"a.example\"\n";
    const OLD: &str = "public_host = \"old.example\"\n";
    const BAD: &str = "# typo\npublik_host = \"a.example\"\n";

    /// Expects the bytes in force, parts of the problem, and whether the bytes are kept.
    fn check(system: Result<&str, &str>, last_good: Option<&str>, bytes: &str, problem: &[&str], keep: bool) {
        let found = match system {
            Ok(text) => Found::File(text.as_bytes().to_vec()),
            Err(why) => Found::Unreadable(why.to_owned()),
        };
        let choice = choose(found, last_good.map(|text| text.as_bytes().to_vec()));
        assert!(!choice.create, "{system:?}");
        assert_eq!(String::from_utf8(choice.bytes).unwrap(), bytes, "{system:?} {last_good:?}");
        assert_eq!(choice.keep, keep, "{system:?} {last_good:?}");
        assert_eq!(choice.problem.is_none(), problem.is_empty(), "{:?}", choice.problem);
        for part in problem {
            assert!(choice.problem.as_ref().unwrap().contains(part), "{:?} has {part}", choice.problem);
        }
    }

    #[test]
    fn a_file_without_errors_is_in_force_and_kept() {
        check(Ok(GOOD), None, GOOD, &[], true);
        check(Ok(GOOD), Some(OLD), GOOD, &[], true);
        check(Ok(GOOD), Some(BAD), GOOD, &[], true);
        check(Ok(GOOD), Some(GOOD), GOOD, &[], false);
        check(Ok(""), None, "", &[], true);
    }

    #[test]
    fn a_file_with_errors_leaves_the_last_good_one_in_force() {
        check(Ok(BAD), Some(OLD), OLD, &["blackbox.toml: line 2", "publik_host", "last good"], false);
        check(Ok(BAD), None, "", &["line 2", "a new box"], false);
        check(Ok(BAD), Some(BAD), "", &["line 2", "a new box"], false);
        check(Err("No disk"), Some(OLD), OLD, &["No disk; the last good"], false);
        check(Err("No disk"), None, "", &["No disk; the settings"], false);
    }

    #[test]
    fn a_file_that_is_gone_is_made_again() {
        let choice = choose(Found::Nothing, Some(OLD.as_bytes().to_vec()));
        let old = Choice { bytes: OLD.into(), problem: None, keep: false, create: true };
        assert_eq!(choice, old, "with what was in force");
        for last_good in [None, Some(BAD.as_bytes().to_vec())] {
            let choice = choose(Found::Nothing, last_good);
            assert!(choice.keep && choice.create && choice.problem.is_none());
            assert_eq!(Config::parse(&choice.bytes), Ok(Config::default()));
            let text = String::from_utf8(choice.bytes).unwrap();
            assert!(text.lines().count() > 50 && text.lines().count() == text.matches("\r\n").count());
        }
    }
}
