//! Which `blackbox.toml` is in force. Pure: what was read goes in, the choice comes out.

use appliance::Config;
use appliance::paths::CONFIG_NAME;

/// The settings in force.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// The bytes of the file in force, free of errors.
    pub bytes: Vec<u8>,
    /// What is wrong with the file on the system partition.
    pub problem: Option<String>,
    /// Whether these are to be kept as the last good ones.
    pub keep: bool,
}

/// Takes the file from the system partition, else the last good copy, else the defaults.
///
/// `system` is the file's bytes, or why it can't be read as the beginning of a sentence.
pub fn choose(system: Result<Vec<u8>, String>, last_good: Option<Vec<u8>>) -> Choice {
    let what = match system {
        Ok(bytes) => match Config::parse(&bytes) {
            Ok(_) => {
                let keep = last_good.as_ref() != Some(&bytes);
                return Choice { bytes, problem: None, keep };
            }
            Err(error) => format!("{CONFIG_NAME}: {error}"),
        },
        Err(why) => why,
    };
    let last_good = last_good.filter(|bytes| Config::parse(bytes).is_ok());
    let rest = if last_good.is_some() {
        "the last good settings stay in force"
    } else {
        "the settings a new box has are in force"
    };
    Choice { bytes: last_good.unwrap_or_default(), problem: Some(format!("{what}; {rest}.")), keep: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "public_host = \"a.example\"\n";
    const OLD: &str = "public_host = \"old.example\"\n";
    const BAD: &str = "# typo\npublik_host = \"a.example\"\n";

    /// Expects the bytes in force, parts of the problem, and whether the bytes are kept.
    fn check(system: Result<&str, &str>, last_good: Option<&str>, bytes: &str, problem: &[&str], keep: bool) {
        let choice = choose(
            system.map(|text| text.as_bytes().to_vec()).map_err(str::to_owned),
            last_good.map(|text| text.as_bytes().to_vec()),
        );
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
}
