//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use appliance::config::is_host;

/// Shown for `--help`.
pub const HELP: &str = "\
Publishes everything in a folder by BitTorrent: torrent maker, seeder, tracker and web page in one.

blackboxd --publish DIR --state DIR [OPTIONS]

  --publish DIR         what is put in here is published, one item for each file or folder
  --state DIR           where the daemon keeps its catalog; not inside the publish folder
  --config FILE         settings (blackbox.toml)
  --web ADDR:PORT       web page, default 127.0.0.1:8080; port 0 picks a free one, here and below
  --tracker ADDR:PORT   tracker, HTTP and UDP, default [::]:6969
  --peer ADDR:PORT      peers, default [::]:6881
  --public-host HOST    name or address under which downloaders reach this machine

blackboxd --hash PATH [--v1]

  Prints the info hashes of versions 1 and 2 that a file or folder has when it is published for everybody; with --v1 only
  the first.
";

/// The options as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `--publish`
    pub publish: PathBuf,
    /// `--state`
    pub state: PathBuf,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--web`
    pub web: SocketAddr,
    /// `--tracker`
    pub tracker: SocketAddr,
    /// `--peer`
    pub peer: SocketAddr,
    /// `--public-host`
    pub public_host: Option<String>,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Run the daemon.
    Run(Box<Options>),
    /// Print the info hashes of a file or folder.
    Hash {
        /// The file or folder.
        path: PathBuf,
        /// Of version 1 only.
        v1_only: bool,
    },
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// One line that says which option is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut publish = None;
    let mut state = None;
    let mut config = None;
    let mut public_host = None;
    let mut hash = None;
    let mut v1_only = false;
    let mut web = SocketAddr::from(([127, 0, 0, 1], 8080));
    let mut tracker = SocketAddr::from(([0_u16; 8], 6969));
    let mut peer = SocketAddr::from(([0_u16; 8], 6881));

    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let option = argument.to_str().ok_or_else(|| format!("{argument:?} is not an option; see --help"))?;
        let (option, mut inline) = match option.split_once('=') {
            Some((option, value)) => (option, Some(OsString::from(value))),
            None => (option, None),
        };
        let mut value = || {
            inline
                .take()
                .or_else(|| arguments.next())
                .ok_or_else(|| format!("{option} needs a value; see --help"))
        };
        match option {
            "--publish" => publish = Some(PathBuf::from(value()?)),
            "--state" => state = Some(PathBuf::from(value()?)),
            "--config" => config = Some(PathBuf::from(value()?)),
            "--web" => web = address(option, &value()?)?,
            "--tracker" => tracker = address(option, &value()?)?,
            "--peer" => peer = address(option, &value()?)?,
            "--public-host" => public_host = Some(host(&value()?)?),
            "--hash" => hash = Some(PathBuf::from(value()?)),
            "--v1" => v1_only = true,
            "--help" | "-h" => return Ok(Request::Help),
            "--version" | "-V" => return Ok(Request::Version),
            _ => return Err(format!("{option:?} is not an option; see --help")),
        }
    }
    if let Some(path) = hash {
        return Ok(Request::Hash { path, v1_only });
    }
    if v1_only {
        return Err("--v1 goes with --hash; what is published has both versions".into());
    }
    let publish = publish.ok_or("--publish DIR is missing: which folder is to be published?")?;
    let state = state.ok_or("--state DIR is missing: where is the catalog to be kept?")?;
    Ok(Request::Run(Box::new(Options { publish, state, config, web, tracker, peer, public_host })))
}

fn address(option: &str, value: &OsString) -> Result<SocketAddr, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("{option} {value:?} is not ADDRESS:PORT, like 127.0.0.1:8080 or [::]:8080"))
}

fn host(value: &OsString) -> Result<String, String> {
    let text = value.to_str().filter(|text| is_host(text)).map(str::to_owned);
    text.ok_or_else(|| {
        format!("--public-host {value:?} is not a host name or address (without http:// and port)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn defaults_are_those_of_a_hosted_run() {
        let Ok(Request::Run(options)) = parse_line("--publish p --state s") else { panic!("refused") };
        assert_eq!(options.web.to_string(), "127.0.0.1:8080");
        assert_eq!(options.tracker.to_string(), "[::]:6969");
        assert_eq!(options.peer.to_string(), "[::]:6881");
        assert_eq!((options.config, options.public_host), (None, None));
    }

    #[test]
    fn every_option_is_read() {
        let line = "--publish=p --state s --config c --web [::1]:0 --tracker 0.0.0.0:1 --peer 127.0.0.1:2 \
                    --public-host files.example.org";
        let Ok(Request::Run(options)) = parse_line(line) else { panic!("refused") };
        assert_eq!(options.config, Some(PathBuf::from("c")));
        assert_eq!(options.web.to_string(), "[::1]:0");
        assert_eq!(options.public_host.as_deref(), Some("files.example.org"));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (line, word) in [
            ("", "--publish"),
            ("--publish p", "--state"),
            ("--publish", "needs a value"),
            ("--publish p --state s --wbe x", "--wbe"),
            ("--publish p --state s --web 8080", "8080"),
            ("--publish p --state s --tracker localhost:6969", "localhost"),
            ("--publish p --state s --public-host http://x", "http://"),
            ("p", "\"p\""),
            ("--hash", "needs a value"),
            ("--publish p --state s --v1", "--v1 goes with --hash"),
        ] {
            let error = parse_line(line).unwrap_err();
            assert!(error.contains(word) && !error.contains('\n'), "{line}: {error}");
        }
    }
}
