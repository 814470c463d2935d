//! Judges an update file and writes what is in it to the slot that does not run.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use appliance::boot_state::{BootState, Nonce, Slot};
use appliance::update::PRODUCT;
use appliance::{Release, paths};
use minisign_verify::PublicKey;

use super::package::{Package, PackageError};
use super::system_partition::{Access, INITRAMFS, KERNEL, SystemPartition};
use crate::{sys, tools};

/// What stays free on the system partition, in bytes, for settings and folders.
const RESERVE: u64 = 1 << 20;

/// Where an update goes.
#[derive(Debug)]
pub struct Target {
    /// Node of the system partition.
    pub node: String,
    /// The slot that runs, which stays untouched.
    pub slot: Slot,
    /// The release that runs.
    pub running: Release,
}

/// A file that is good.
#[derive(Debug, PartialEq, Eq)]
pub enum Installed {
    /// It is in the other slot, and what is started next.
    Now(Release),
    /// It is what runs.
    Before,
}

/// Why a file is not used, as the end of a sentence.
#[derive(Debug)]
pub enum Refusal {
    /// The box has no key to verify it with.
    NoKey(String),
    /// It is no good, whatever box it is for.
    Package(PackageError),
    /// It is for something else.
    Product(String),
    /// It is older than what runs.
    Older {
        /// What is in it.
        offered: Release,
        /// What runs.
        running: Release,
    },
    /// It was started before and did not prove itself.
    Failed(Release),
    /// There is so much room on the system partition, of so much that is needed, in bytes.
    NoRoom(u64, u64),
    /// The system partition can't be written.
    Write(io::Error),
    /// What was written is not what comes back from the disk.
    NotWritten,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(why) => write!(f, "the key that it has to be signed with is missing ({why})"),
            Self::Package(error) => error.fmt(f),
            Self::Product(name) => write!(f, "it is for {name}, and this is {PRODUCT}"),
            Self::Older { offered, running } if offered.version == running.version => {
                write!(f, "it is an older build of version {} than the one that runs", running.version())
            }
            Self::Older { offered, running } => {
                write!(f, "version {} is older than {}, which runs", offered.version(), running.version())
            }
            Self::Failed(release) => write!(
                f,
                "version {} was started before and did not come to serve; to try it once more, put it into the \
                 folder {} of the data partition",
                release.version(),
                paths::UPDATE.trim_start_matches(paths::DATA).trim_start_matches('/')
            ),
            Self::NoRoom(free, needed) => {
                write!(f, "it needs {} MB of the system partition, which has {}", needed / 1_000_000, free / 1_000_000)
            }
            Self::Write(error) => write!(f, "it can't be written to the system partition ({error})"),
            Self::NotWritten => f.write_str(
                "what was written to the system partition comes back from the disk as something else; replace the disk",
            ),
        }
    }
}

/// Installs what is in a file, if it is signed, for this box, and later than what runs; and later than what has failed
/// of late, for a file that would be found again after a failure.
///
/// # Errors
/// Why it is not used. Nothing has changed then but what is in the slot that does not run.
pub fn install(target: &Target, path: &Path, failed: Option<Release>) -> Result<Installed, Refusal> {
    let key = fs::read_to_string(paths::UPDATE_KEY).map_err(|error| Refusal::NoKey(error.to_string()))?;
    let key = PublicKey::decode(&key).map_err(|error| Refusal::NoKey(error.to_string()))?;
    let mut package = Package::open(path).map_err(Refusal::Package)?;
    package.verify(&key).map_err(Refusal::Package)?;
    let release = package.header.release;
    if let Some(installed) = judge(target.running, &package.header.product, release, failed)? {
        return Ok(installed);
    }
    write_slot(target, &mut package)?;
    verify_slot(target, &package, &key)?;
    let nonce = Nonce(u64::from_ne_bytes(sys::random().map_err(Refusal::Write)?));
    set_state(target, |state| state.with_trial(nonce, release)).map_err(Refusal::Write)?;
    Ok(Installed::Now(release))
}

/// Compares what is in a file with what runs; `None` if it is to be installed.
fn judge(
    running: Release,
    product: &str,
    offered: Release,
    failed: Option<Release>,
) -> Result<Option<Installed>, Refusal> {
    if product != PRODUCT {
        return Err(Refusal::Product(product.to_owned()));
    }
    if offered == running {
        return Ok(Some(Installed::Before));
    }
    if offered < running {
        return Err(Refusal::Older { offered, running });
    }
    if failed.is_some_and(|failed| offered <= failed) {
        return Err(Refusal::Failed(offered));
    }
    Ok(None)
}

/// Writes kernel and initramfs to the slot that does not run, which from the beginning on is not what is to be started.
fn write_slot(target: &Target, package: &mut Package) -> Result<(), Refusal> {
    mend(&target.node);
    set_state(target, |state| state).map_err(Refusal::Write)?;
    let system = SystemPartition::mount(&target.node, Access::Write).map_err(Refusal::Write)?;
    let folder = system.slot(target.slot.other());
    let needed = package.header.kernel_bytes + package.header.initramfs_bytes + RESERVE;
    let free = system.free_bytes().map_err(Refusal::Write)? + bytes_in(&folder);
    if free < needed {
        return Err(Refusal::NoRoom(free, needed));
    }
    let write = |package: &mut Package| {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        // The clusters of the old files are free on the disk too before new files take them.
        system.flush()?;
        copy(&mut package.initramfs()?, &folder.join(INITRAMFS))?;
        // Without a kernel nothing is started, so it comes last.
        copy(&mut package.kernel()?, &folder.join(KERNEL))
    };
    write(package).map_err(Refusal::Write)?;
    system.unmount().map_err(Refusal::Write)
}

/// Reads from the disk what was written to it.
fn verify_slot(target: &Target, package: &Package, key: &PublicKey) -> Result<(), Refusal> {
    let system = SystemPartition::mount(&target.node, Access::Read).map_err(Refusal::Write)?;
    let folder = system.slot(target.slot.other());
    let open = |name: &str| File::open(folder.join(name)).map_err(Refusal::Write);
    let verified = package.verify_copies(key, open(KERNEL)?, open(INITRAMFS)?);
    verified.map_err(|error| match error {
        PackageError::Read(error) => Refusal::Write(error),
        _ => Refusal::NotWritten,
    })?;
    system.unmount().map_err(Refusal::Write)
}

/// Changes the boot state from one in which the slot that runs is the good one and nothing is on trial.
fn set_state(target: &Target, change: impl Fn(BootState) -> BootState) -> io::Result<()> {
    let system = SystemPartition::mount(&target.node, Access::Write)?;
    let failed = system.state().and_then(|state| state.failed);
    system.set_state(&change(BootState { failed, ..BootState::new(target.slot) }))?;
    system.unmount()
}

/// Frees what a power cut has left allocated: FAT has no journal. What can't be mended is found out by what follows.
fn mend(node: &str) {
    match tools::confined(tools::FSCK_FAT, &["-a", node]).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            eprintln!("fsck.fat: {} {}", said.trim().replace('\n', "; "), output.status);
        }
        Err(error) => eprintln!("{}: {error}", tools::FSCK_FAT),
    }
}

fn copy(from: &mut impl Read, to: &Path) -> io::Result<()> {
    let mut file = File::create(to)?;
    io::copy(from, &mut file)?;
    file.sync_all()
}

/// Bytes of the files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_is_later_is_installed() {
        let check = |offered: &str, failed: Option<&str>| {
            judge(release("0.2.0+100"), PRODUCT, release(offered), failed.map(release))
                .map_err(|refusal| refusal.to_string())
        };
        assert_eq!(check("0.2.0+101", None), Ok(None));
        assert_eq!(check("0.3.0+1", None), Ok(None));
        assert_eq!(check("0.2.0+100", Some("0.2.0+100")), Ok(Some(Installed::Before)));
        for (offered, failed, words) in [
            ("0.1.9+200", None, "version 0.1.9 is older than 0.2.0"),
            ("0.2.0+99", None, "an older build of version 0.2.0"),
            ("0.3.0+1", Some("0.3.0+1"), "was started before"),
            ("0.3.0+1", Some("0.4.0+1"), "was started before"),
        ] {
            let why = check(offered, failed).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        assert_eq!(check("0.3.0+2", Some("0.3.0+1")), Ok(None));
        let other = judge(release("0.2.0+100"), "blackbox-riscv64", release("0.3.0+1"), None).unwrap_err();
        assert_eq!(other.to_string(), "it is for blackbox-riscv64, and this is blackbox-x86_64");
    }
}
