//! An update file, which is believed nothing before its signature was found to hold.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use appliance::update::{self, ENVELOPE_BYTES, FormatError, HEADER_BYTES, Header};
use minisign_verify::{Error as SignatureError, PublicKey, Signature};

use crate::sys;

/// Read at once, in bytes.
const CHUNK: usize = 1 << 20;

/// An update file whose beginning was read.
#[derive(Debug)]
pub struct Package {
    file: File,
    signature: String,
    header_bytes: [u8; HEADER_BYTES],
    /// What the file says of itself.
    pub header: Header,
    file_bytes: u64,
}

/// Why a file is no good, as the end of a sentence.
#[derive(Debug)]
pub enum PackageError {
    /// It can't be read.
    Read(io::Error),
    /// It is no update file.
    Format(FormatError),
    /// It has so many bytes, of so many.
    CutShort(u64, u64),
    /// It has so many bytes too many.
    TooLong(u64),
    /// It is signed, but not with the key that the box knows.
    OtherKey,
    /// It is not what was signed.
    Changed,
}

impl std::fmt::Display for PackageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it can't be read ({error})"),
            Self::Format(error) => error.fmt(f),
            Self::CutShort(bytes, all) => write!(f, "it is cut short, {bytes} of {all} bytes; copy it again"),
            Self::TooLong(bytes) => write!(f, "it is damaged: it has {bytes} bytes too many; copy it again"),
            Self::OtherKey => f.write_str("it is signed with another key than the one that this box knows"),
            Self::Changed => f.write_str("it is damaged, or was changed after it was signed; copy it again"),
        }
    }
}

impl From<io::Error> for PackageError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Package {
    /// Reads the beginning of a file. Nothing of it is to be trusted yet.
    ///
    /// # Errors
    /// When it is no update file, or not as long as it says.
    pub fn open(path: &Path) -> Result<Self, PackageError> {
        // Not a link, and nothing that would have to be waited for.
        let flags = sys::NONBLOCK | sys::NOFOLLOW;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(PackageError::Format(FormatError::NotAnUpdate));
        }
        let mut envelope = [0; ENVELOPE_BYTES];
        let mut header_bytes = [0; HEADER_BYTES];
        let file_bytes = metadata.len();
        if file_bytes < (ENVELOPE_BYTES + HEADER_BYTES) as u64 {
            return Err(PackageError::Format(FormatError::NotAnUpdate));
        }
        file.read_exact(&mut envelope)?;
        file.read_exact(&mut header_bytes)?;
        let signature = update::signature(&envelope).map_err(PackageError::Format)?.to_owned();
        let header = Header::parse(&header_bytes).map_err(PackageError::Format)?;
        let all = header.file_bytes();
        if file_bytes < all {
            return Err(PackageError::CutShort(file_bytes, all));
        }
        if file_bytes > all {
            return Err(PackageError::TooLong(file_bytes - all));
        }
        Ok(Self { file, signature, header_bytes, header, file_bytes })
    }

    /// Reads the whole file and finds out whether it is what was signed.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(&mut self, key: &PublicKey) -> Result<(), PackageError> {
        let mut content = self.content(0, self.file_bytes - (ENVELOPE_BYTES + HEADER_BYTES) as u64)?;
        let (signature, header) = (&self.signature, &self.header_bytes);
        verify(key, signature, header, &mut content)
    }

    /// Finds out whether the signature holds for this kernel and initramfs.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify_copies(
        &self,
        key: &PublicKey,
        kernel: impl Read,
        initramfs: impl Read,
    ) -> Result<(), PackageError> {
        let kernel = kernel.take(self.header.kernel_bytes + 1);
        let initramfs = initramfs.take(self.header.initramfs_bytes + 1);
        verify(key, &self.signature, &self.header_bytes, &mut kernel.chain(initramfs))
    }

    /// The kernel, to be read once.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn kernel(&mut self) -> io::Result<impl Read> {
        self.content(0, self.header.kernel_bytes)
    }

    /// The initramfs, to be read once.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn initramfs(&mut self) -> io::Result<impl Read> {
        self.content(self.header.kernel_bytes, self.header.initramfs_bytes)
    }

    /// What is behind the header.
    fn content(&self, offset: u64, length: u64) -> io::Result<io::Take<&File>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start((ENVELOPE_BYTES + HEADER_BYTES) as u64 + offset))?;
        Ok(file.take(length))
    }
}

fn verify(
    key: &PublicKey,
    signature: &str,
    header: &[u8; HEADER_BYTES],
    content: &mut impl Read,
) -> Result<(), PackageError> {
    let signature = Signature::decode(signature).map_err(|error| judge(&error))?;
    let mut verifier = key.verify_stream(&signature).map_err(|error| judge(&error))?;
    verifier.update(header);
    let mut chunk = vec![0; CHUNK];
    loop {
        match content.read(&mut chunk) {
            Ok(0) => break,
            Ok(bytes) => verifier.update(&chunk[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    verifier.finalize().map_err(|error| judge(&error))
}

fn judge(error: &SignatureError) -> PackageError {
    match error {
        SignatureError::UnexpectedKeyId => PackageError::OtherKey,
        _ => PackageError::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    /// The key whose public half is `update.pub` has signed `good.update`: 300 bytes of kernel, 700 of initramfs.
    fn vector(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/update").join(name)
    }

    fn key() -> PublicKey {
        PublicKey::decode(&fs::read_to_string(vector("update.pub")).unwrap()).unwrap()
    }

    /// A file with these bytes, opened and verified: what is in it.
    fn check(folder: &TempDir, bytes: &[u8]) -> Result<(Header, Vec<u8>), String> {
        let path = folder.path().join("x.update");
        fs::write(&path, bytes).unwrap();
        let verified = || {
            let mut package = Package::open(&path)?;
            package.verify(&key())?;
            let mut content = Vec::new();
            package.kernel()?.read_to_end(&mut content)?;
            package.initramfs()?.read_to_end(&mut content)?;
            Ok((package.header, content))
        };
        verified().map_err(|error: PackageError| error.to_string())
    }

    fn good() -> Vec<u8> {
        fs::read(vector("good.update")).unwrap()
    }

    #[test]
    fn what_was_signed_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (header, content) = check(&folder, &good()).unwrap();
        assert_eq!(header.release, "0.2.0+1700000000".parse().unwrap());
        assert_eq!((header.kernel_bytes, header.initramfs_bytes), (300, 700));
        assert_eq!(content, good()[ENVELOPE_BYTES + HEADER_BYTES..]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let good = good();
        for end in 0..good.len() {
            let why = check(&folder, &good[..end]).unwrap_err();
            let short = end >= ENVELOPE_BYTES + HEADER_BYTES;
            assert!(why.contains(if short { "cut short" } else { "not an update" }), "{end}: {why}");
        }
        assert!(check(&folder, &[&good[..], b"x"].concat()).unwrap_err().contains("1 bytes too many"));
    }

    #[test]
    fn a_flipped_bit_is_refused_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let good = good();
        let expected = check(&folder, &good).unwrap();
        // The one line that minisign does not sign, as its name says; nobody reads it.
        let comment = update::ENVELOPE_MAGIC.len();
        let comment = comment..comment + good[comment..].iter().position(|byte| *byte == b'\n').unwrap();
        let mut harmless = 0;
        // All bits up to the content, then one of each byte.
        let head = ENVELOPE_BYTES + HEADER_BYTES;
        for bit in (0..head * 8).chain((head..good.len()).map(|at| at * 8 + at % 8)) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match check(&folder, &bad) {
                Err(_) => {}
                Ok(found) => {
                    assert!(comment.contains(&(bit / 8)), "bit {bit} of byte {}", bit / 8);
                    assert_eq!(found, expected);
                    harmless += 1;
                }
            }
        }
        assert!(harmless > 0, "the comment is not signed");
    }

    #[test]
    fn unsigned_and_foreign_files_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut unsigned = good();
        unsigned[update::ENVELOPE_MAGIC.len()..ENVELOPE_BYTES].fill(0);
        assert_eq!(check(&folder, &unsigned).unwrap_err(), "it is not signed");
        assert!(check(&folder, &[b'x'; 5000]).unwrap_err().contains("not an update"));
        assert!(check(&folder, &[0; 5000]).unwrap_err().contains("not an update"));

        let other =
            PublicKey::from_base64("RWQ+udIsm5AvlmbTI5U+N/VkXejH0/NEQaa1pTVwZZXija0cVnNVs3Ek").unwrap();
        let mut package = Package::open(&vector("good.update")).unwrap();
        assert!(package.verify(&other).unwrap_err().to_string().contains("another key"));

        let path = folder.path().join("link.update");
        std::os::unix::fs::symlink(vector("good.update"), &path).unwrap();
        assert!(matches!(Package::open(&path), Err(PackageError::Read(_))), "links are not followed");
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = Package::open(&folder.path().join("pipe"));
        assert!(matches!(pipe, Err(PackageError::Format(FormatError::NotAnUpdate))), "nothing is waited for");
    }

    #[test]
    fn copies_are_compared_with_the_signature() {
        let package = Package::open(&vector("good.update")).unwrap();
        let good = good();
        let (kernel, initramfs) = good[ENVELOPE_BYTES + HEADER_BYTES..].split_at(300);
        assert!(package.verify_copies(&key(), kernel, initramfs).is_ok());
        let mut changed = initramfs.to_vec();
        changed[699] ^= 1;
        let longer = [initramfs, b"x"].concat();
        for bad in [&changed[..], &longer, &initramfs[..699], b""] {
            assert!(package.verify_copies(&key(), kernel, bad).is_err());
        }
    }
}
