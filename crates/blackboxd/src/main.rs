//! The daemon of the P2P Black Box: everything in the publish folder becomes a torrent, is seeded, tracked and shown.

mod app;
mod catalog;
mod confine;
mod daemon;
mod hash;
mod history;
mod identity;
mod import;
mod info_hash;
mod init_link;
mod journal;
mod lease;
mod limit;
mod listing;
mod members;
mod net;
mod options;
mod priority;
mod proof;
mod publish;
mod pulse;
mod random;
mod recent;
mod runtimes;
mod scrub;
mod storage;
mod torrents;
mod traffic;
mod watch;
mod web;
mod words;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use appliance::{Config, exit};
use options::{HELP, Options, Request};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let options = match options::parse(env::args_os().skip(1)) {
        Ok(Request::Run(options)) => options,
        Ok(Request::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Request::Hash { path, v1_only }) => return info_hash::print(&path, v1_only),
        Ok(Request::Version) => {
            println!("blackboxd {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(error) => return usage(&error),
    };
    let config = match configuration(&options) {
        Ok(config) => config,
        Err(error) => return usage(&error),
    };
    let link = match init_link::InitLink::from_environment() {
        Ok(link) => link,
        Err(error) => return usage(&error),
    };
    start_log();
    confine::confine(&options);
    match daemon::run(&options, config, link) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blackboxd: {error:#}");
            ExitCode::from(exit::FAILED)
        }
    }
}

/// Writes what happens to the standard error, and keeps the last of it.
fn start_log() {
    let lines =
        tracing_subscriber::fmt::layer().with_writer(|| recent::Recorder).with_ansi(false).with_target(false);
    // uTP finds each system's limit on its buffers worth a warning.
    let levels = Targets::new().with_default(Level::INFO).with_target("librqbit_utp", Level::ERROR);
    tracing_subscriber::registry().with(lines).with(levels).init();
}

fn usage(error: &str) -> ExitCode {
    eprintln!("blackboxd: {error}");
    ExitCode::from(exit::USAGE)
}

/// The configuration file with the options that go before it put in.
fn configuration(options: &Options) -> Result<Config, String> {
    let mut config = match &options.config {
        None => Config::default(),
        Some(path) => {
            let bytes =
                fs::read(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
            Config::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    if options.public_host.is_some() {
        config.public_host.clone_from(&options.public_host);
    }
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if absolute(&options.state).starts_with(absolute(&options.publish)) {
        return Err(format!(
            "--state {} is inside the publish folder and would be published; choose another folder",
            options.state.display()
        ));
    }
    Ok(config)
}
