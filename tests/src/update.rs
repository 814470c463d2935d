//! Update files, made of the system that was built: good ones, and ones that go wrong in a chosen way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use appliance::paths;

use crate::image::image;
use crate::process::Process;

/// A version that is later than any that is built.
pub const NEWER: &str = "99.0.0";

/// A version that was before any that is built.
pub const OLDER: &str = "0.0.1";

/// What is put into an update. [`Update::default`] is the system that was built, as [`NEWER`].
#[derive(Debug, Clone)]
pub struct Update {
    /// Version that the file and the system in it have.
    pub version: String,
    /// A kernel instead of the one that was built.
    pub kernel: Option<Vec<u8>>,
    /// Whether there is anything in the initramfs but its version.
    pub is_empty: bool,
    /// Programs instead of those that were built, by their paths.
    pub programs: Vec<(&'static str, Vec<u8>)>,
    /// Secret key instead of the one whose public half is in the image.
    pub key: Option<PathBuf>,
    /// Another image, whose kernel and initramfs are taken.
    pub image: Option<PathBuf>,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            version: NEWER.into(),
            kernel: None,
            is_empty: false,
            programs: Vec::new(),
            key: None,
            image: None,
        }
    }
}

impl Update {
    /// Makes the file `name` in a folder.
    ///
    /// # Panics
    /// When that fails.
    pub fn make(&self, folder: &Path, name: &str) -> PathBuf {
        fs::create_dir_all(folder).expect("a folder");
        let [kernel, initramfs] = ["kernel.part", "initramfs.part"].map(|part| folder.join(part));
        let built = self.image.clone().unwrap_or_else(image).with_file_name("");
        match &self.kernel {
            Some(bytes) => fs::write(&kernel, bytes).expect("a new file"),
            None => drop(fs::copy(built.join("bzImage"), &kernel).expect("the kernel that was built")),
        }
        let archive = if self.is_empty {
            let mut archive = Vec::new();
            append(&mut archive, &self.changes());
            archive
        } else {
            with_changes(&built, &self.changes())
        };
        fs::write(&initramfs, archive).expect("a new file");
        let update = folder.join(name);
        let key = self.key.clone().unwrap_or_else(|| crate::root().join("target/keys/update.key"));
        let mut command = Command::new(crate::root().join("image/make-update"));
        command.args([&kernel, &initramfs]).args([&self.version, "1"]).args([&key, &update]);
        Process::start(command).succeed(Duration::from_mins(1));
        for part in [kernel, initramfs] {
            fs::remove_file(part).expect("a file of ours");
        }
        update
    }

    /// The files that are other than those that were built.
    fn changes(&self) -> Vec<(String, Vec<u8>)> {
        let release = format!("ID=blackbox\nVERSION_ID={}\nBUILD_ID=1\n", self.version);
        let programs = self.programs.iter().map(|(path, program)| ((*path).to_owned(), program.clone()));
        [(paths::OS_RELEASE.to_owned(), release.into_bytes())].into_iter().chain(programs).collect()
    }
}

/// The initramfs that was built, with other files at these paths.
///
/// # Panics
/// When there is none.
pub fn initramfs(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    with_changes(&image().with_file_name(""), files)
}

fn with_changes(built: &Path, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = fs::read(built.join("rootfs.cpio.zst")).expect("the initramfs that was built");
    append(&mut archive, files);
    archive
}

/// Appends files to an initramfs, which the kernel unpacks over those of the same paths. They can be executed.
fn append(initramfs: &mut Vec<u8>, files: &[(String, Vec<u8>)]) {
    initramfs.resize(initramfs.len().next_multiple_of(4), 0);
    for (path, content) in files {
        add(initramfs, path, 0o100_755, content);
    }
    add(initramfs, "TRAILER!!!", 0, b"");
}

/// Makes another key and returns the file of its secret half.
///
/// # Panics
/// When that fails.
pub fn other_key(folder: &Path) -> PathBuf {
    let key = folder.join("other.key");
    let mut command = Command::new("minisign");
    command.args(["-G", "-W", "-p"]).arg(folder.join("other.pub")).arg("-s").arg(&key);
    Process::start(command).succeed(Duration::from_mins(1));
    key
}

/// Adds a file to an archive in cpio's format "newc".
fn add(archive: &mut Vec<u8>, path: &str, mode: u32, content: &[u8]) {
    let name = path.trim_start_matches('/');
    let (length, name_length) = (content.len(), name.len() + 1);
    let fields = [0, mode as usize, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// A program that ends at once, with code 1.
pub fn program_that_ends() -> Vec<u8> {
    // mov edi, 1; mov eax, 60 (exit); syscall
    program(&[0xbf, 1, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05])
}

/// A program that does nothing, and goes on with it.
pub fn program_that_hangs() -> Vec<u8> {
    // mov eax, 34 (pause); syscall; jmp to the beginning
    program(&[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7])
}

/// A program that waits for some seconds, gives a file another name, and then does nothing.
///
/// # Panics
/// When the names are very long.
pub fn program_that_renames(seconds: u8, from: &str, to: &str) -> Vec<u8> {
    // lea rdi, [rip + time]; xor esi, esi; mov eax, 35 (nanosleep); syscall
    let mut code = b"\x48\x8d\x3d\x27\0\0\0\x31\xf6\xb8\x23\0\0\0\x0f\x05".to_vec();
    // lea rdi, [rip + from]; lea rsi, [rip + to]; mov eax, 82 (rename); syscall
    let to_distance = u8::try_from(33 + from.len()).expect("a short name");
    code.extend(b"\x48\x8d\x3d\x27\0\0\0\x48\x8d\x35");
    code.extend([to_distance, 0, 0, 0, 0xb8, 82, 0, 0, 0, 0x0f, 0x05]);
    // As in the program that hangs.
    code.extend(b"\xb8\x22\0\0\0\x0f\x05\xeb\xf7");
    code.extend([u64::from(seconds), 0].map(u64::to_le_bytes).concat());
    code.extend([from.as_bytes(), b"\0", to.as_bytes(), b"\0"].concat());
    program(&code)
}

/// The smallest ELF file for x86-64 that runs this code.
fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let length = HEADERS + code.len() as u64;
    let halves =
        |file: &mut Vec<u8>, halves: &[u16]| halves.iter().for_each(|n| file.extend(n.to_le_bytes()));
    let words = |file: &mut Vec<u8>, words: &[u32]| words.iter().for_each(|n| file.extend(n.to_le_bytes()));
    let longs = |file: &mut Vec<u8>, longs: &[u64]| longs.iter().for_each(|n| file.extend(n.to_le_bytes()));
    // An executable; its entry is behind both headers, of which the second follows the first.
    halves(&mut file, &[2, 62]);
    words(&mut file, &[1]);
    longs(&mut file, &[BASE + HEADERS, 64, 0]);
    words(&mut file, &[0]);
    halves(&mut file, &[64, 56, 1, 64, 0, 0]);
    // One segment, to be read and run: the whole file.
    words(&mut file, &[1, 5]);
    longs(&mut file, &[0, BASE, BASE, length, length, 0x1000]);
    file.extend_from_slice(code);
    file
}
