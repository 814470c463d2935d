//! Which files a process reaches.

use std::path::Path;

use landlock::{
    Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, path_beneath_rules,
};

use crate::Error;

/// What may be done with a file, or with what is in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Read.
    Read,
    /// Read, and run as a program.
    Run,
    /// Everything with files and folders; nothing is run, and no other kinds of files are made.
    Write,
}

impl Reach {
    fn access(self) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        match self {
            Self::Read => read,
            Self::Run => read | AccessFs::Execute,
            Self::Write => {
                read | AccessFs::WriteFile
                    | AccessFs::Truncate
                    | AccessFs::MakeReg
                    | AccessFs::MakeDir
                    | AccessFs::RemoveFile
                    | AccessFs::RemoveDir
                    | AccessFs::Refer
            }
        }
    }
}

/// Limits this process to these files and what is in these folders; those that are not there do not matter. It can't mount
/// anything any more either.
///
/// # Errors
/// When the kernel can't.
pub fn limit_files(reaches: &[(Reach, &[&Path])]) -> Result<(), Error> {
    let mut rules = Ruleset::default()
        // Without it nothing could be moved from one folder to another.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(landlock::ABI::V3))?
        .create()?;
    for (reach, paths) in reaches {
        rules = rules.add_rules(path_beneath_rules(*paths, reach.access()))?;
    }
    match rules.restrict_self()?.ruleset {
        RulesetStatus::NotEnforced => Err("it has no Landlock".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn files_outside_of_its_folders_are_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let (own, foreign) = (folder.path().join("own"), folder.path().join("foreign"));
        for folder in [&own, &foreign] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("file"), b"content").unwrap();
        }
        // On a thread of its own, since there is no way back.
        let confined = || {
            limit_files(&[(Reach::Read, &[Path::new("/proc")]), (Reach::Write, &[&own])]).ok()?;
            assert_eq!(fs::read(own.join("file")).unwrap(), b"content");
            fs::create_dir(own.join("folder")).unwrap();
            fs::rename(own.join("file"), own.join("folder/moved")).unwrap();
            fs::remove_dir_all(own.join("folder")).unwrap();
            assert!(File::open("/proc/meminfo").is_ok());
            assert!(File::create("/dev/shm/blackbox-confined").is_err());
            let read = fs::read(foreign.join("file")).unwrap_err();
            let write = fs::write(foreign.join("new"), b"").unwrap_err();
            let run = Command::new("/bin/true").status().unwrap_err();
            Some([read, write, run].map(|error| error.kind()))
        };
        let done = thread::scope(|scope| scope.spawn(confined).join().unwrap());
        // A kernel without Landlock limits nothing, and says so.
        assert!(done.is_none_or(|errors| errors == [ErrorKind::PermissionDenied; 3]), "{done:?}");
    }

    #[test]
    fn what_may_be_run_can_be_run() {
        let confined = || {
            let system = ["/usr", "/bin", "/lib", "/lib64"].map(Path::new);
            limit_files(&[(Reach::Run, &system), (Reach::Write, &[Path::new("/dev/null")])]).ok()?;
            Some(Command::new("/bin/true").status().unwrap().success() && File::open("/etc/passwd").is_err())
        };
        let done = thread::scope(|scope| scope.spawn(confined).join().unwrap());
        assert!(done.is_none_or(|as_expected| as_expected));
    }
}
