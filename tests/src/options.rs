//! Options on the command lines of the programs that measure: `--name value` in any order, and switches without a value.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The options that were given.
#[derive(Debug)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads a command line. `valued` are the names of options that take a value, `switches` of those that take none.
    ///
    /// # Errors
    /// One that is not known, or a value that is missing.
    pub fn parse(
        arguments: impl IntoIterator<Item = String>,
        valued: &[&str],
        switches: &[&str],
    ) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut given = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").unwrap_or_default();
            let value = if valued.contains(&name) {
                arguments.next().ok_or_else(|| format!("{argument} wants a value"))?
            } else if switches.contains(&name) {
                String::new()
            } else {
                return Err(format!("unknown option {argument}"));
            };
            given.insert(name.to_owned(), value);
        }
        Ok(Self(given))
    }

    /// Whether a switch was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A value that was given.
    ///
    /// # Errors
    /// It can't be read.
    pub fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("--{name}: {text:?} can't be"))
    }

    /// A value that must be given.
    ///
    /// # Errors
    /// It is missing or can't be read.
    pub fn required<T: FromStr>(&self, name: &str) -> Result<T, String> {
        self.value(name)?.ok_or_else(|| format!("--{name} is missing"))
    }

    /// The values between commas; `None` if the option was not given.
    ///
    /// # Errors
    /// One of them can't be read.
    pub fn list<T: FromStr>(&self, name: &str) -> Result<Option<Vec<T>>, String> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let values = text.split(',').map(str::parse).collect::<Result<_, _>>();
        values.map(Some).map_err(|_| format!("--{name}: {text:?} can't be"))
    }
}
