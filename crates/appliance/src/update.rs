//! The update file: one file with a signed system in it, made by `image/make-update`.
//!
//! | bytes                    | what                                                                       |
//! | ------------------------ | -------------------------------------------------------------------------- |
//! | [`ENVELOPE_BYTES`]       | [`ENVELOPE_MAGIC`], the four lines of a minisign signature, then zeros     |
//! | [`HEADER_BYTES`]         | the [`Header`] as text, then zeros                                         |
//! | [`Header::kernel_bytes`] | the kernel                                                                 |
//! | the rest                 | the initramfs                                                              |
//!
//! The signature is of everything behind the envelope.

use std::fmt;

use crate::Release;
use crate::release::number;

/// How the names of update files end.
pub const SUFFIX: &str = ".update";

/// What the updates of this image are for; an image for another machine has another name.
pub const PRODUCT: &str = "blackbox-x86_64";

/// Bytes in front of what is signed.
pub const ENVELOPE_BYTES: usize = 1024;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 512;

/// First line of the file, with the format's version.
pub const ENVELOPE_MAGIC: &str = "P2P-BLACK-BOX-UPDATE 1\n";

/// First line of what is signed: a signature of something else can't be taken for that of a system.
pub const HEADER_MAGIC: &str = "P2P-BLACK-BOX-SYSTEM 1\n";

/// Lines of a signature, each ended by a newline.
const SIGNATURE_LINES: usize = 4;

/// Largest kernel (bytes); Debian's has 8 MB.
pub const MAX_KERNEL: u64 = 64 << 20;

/// Largest initramfs (bytes): two of them and their kernels have to fit into the system partition.
pub const MAX_INITRAMFS: u64 = 112 << 20;

/// The signed facts about the system in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it is for, such as [`PRODUCT`].
    pub product: String,
    /// Which release it is.
    pub release: Release,
    /// Length of the kernel, from 1 to [`MAX_KERNEL`].
    pub kernel_bytes: u64,
    /// Length of the initramfs, from 1 to [`MAX_INITRAMFS`].
    pub initramfs_bytes: u64,
}

/// Bytes that begin no update file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Something else altogether.
    #[error("it is not an update for a P2P Black Box")]
    NotAnUpdate,
    /// The place of the signature is empty.
    #[error("it is not signed")]
    NotSigned,
    /// It begins like an update, but what follows is not as it has to be.
    #[error("it is damaged, or made for other boxes than this one")]
    Damaged,
}

/// The text of the signature in the envelope.
///
/// # Errors
/// When it is no envelope, or has no signature. Whether the signature holds is for others to say.
pub fn signature(envelope: &[u8; ENVELOPE_BYTES]) -> Result<&str, FormatError> {
    let family = ENVELOPE_MAGIC.trim_end_matches("1\n").as_bytes();
    if !envelope.starts_with(family) {
        return Err(FormatError::NotAnUpdate);
    }
    match text(envelope, ENVELOPE_MAGIC).ok_or(FormatError::Damaged)? {
        "" => Err(FormatError::NotSigned),
        signature if signature.ends_with('\n') && signature.lines().count() == SIGNATURE_LINES => {
            Ok(signature)
        }
        _ => Err(FormatError::Damaged),
    }
}

impl Header {
    /// Reads a header, which has one way to be written.
    ///
    /// # Errors
    /// [`FormatError::Damaged`]
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FormatError> {
        Self::parse_text(text(bytes, HEADER_MAGIC).ok_or(FormatError::Damaged)?).ok_or(FormatError::Damaged)
    }

    fn parse_text(text: &str) -> Option<Self> {
        let mut lines = text.split_terminator('\n');
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix('=');
        let header = Self {
            product: value("product").filter(|name| is_product(name))?.to_owned(),
            release: Release::new(value("version")?, value("built")?).ok()?,
            kernel_bytes: length(value("kernel")?, MAX_KERNEL)?,
            initramfs_bytes: length(value("initramfs")?, MAX_INITRAMFS)?,
        };
        (header.to_string() == text).then_some(header)
    }

    /// Length of the whole file.
    pub fn file_bytes(&self) -> u64 {
        (ENVELOPE_BYTES + HEADER_BYTES) as u64 + self.kernel_bytes + self.initramfs_bytes
    }
}

/// As in the file, without [`HEADER_MAGIC`] and zeros.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, release, kernel_bytes, initramfs_bytes } = self;
        let (version, built) = (release.version(), release.built);
        write!(f, "product={product}\nversion={version}\nbuilt={built}\n")?;
        write!(f, "kernel={kernel_bytes}\ninitramfs={initramfs_bytes}\n")
    }
}

/// What is between `magic` and the zeros at the end.
fn text<'a>(bytes: &'a [u8], magic: &str) -> Option<&'a str> {
    let rest = bytes.strip_prefix(magic.as_bytes())?;
    let (text, zeros) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
    std::str::from_utf8(text).ok().filter(|_| zeros.iter().all(|byte| *byte == 0))
}

fn length(text: &str, max: u64) -> Option<u64> {
    number(text).filter(|length| (1..=max).contains(length))
}

/// Letters, digits and a few more, so that it can be shown as it is.
fn is_product(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            product: PRODUCT.into(),
            release: "0.2.0+1700000000".parse().unwrap(),
            kernel_bytes: 8 << 20,
            initramfs_bytes: 30 << 20,
        }
    }

    fn block<const BYTES: usize>(text: &str) -> [u8; BYTES] {
        let mut block = [0; BYTES];
        block[..text.len()].copy_from_slice(text.as_bytes());
        block
    }

    #[test]
    fn a_header_says_what_was_written() {
        let bytes = block(&format!("{HEADER_MAGIC}{}", header()));
        assert_eq!(Header::parse(&bytes), Ok(header()));
        assert_eq!(header().file_bytes(), 1536 + (38 << 20));
    }

    #[test]
    fn every_other_header_is_refused() {
        let good = format!("{HEADER_MAGIC}{}", header());
        for end in 0..good.len() {
            assert_eq!(Header::parse(&block(&good[..end])), Err(FormatError::Damaged), "cut at {end}");
        }
        for (old, new) in [
            ("SYSTEM 1", "SYSTEM 2"),
            ("SYSTEM", "UPDATE"),
            ("product=blackbox-x86_64", "product="),
            ("product=blackbox-x86_64", "product=a b"),
            ("product=blackbox-x86_64", "product=\x1b[2J"),
            ("version=0.2.0", "version=0.2"),
            ("built=1700000000", "built=-1"),
            ("kernel=8388608", "kernel=0"),
            ("kernel=8388608", "kernel=+8388608"),
            ("kernel=8388608", "kernel=08388608"),
            ("kernel=8388608", "kernel=67108865"),
            ("initramfs=31457280", "initramfs=117440513"),
            ("initramfs=31457280", "initramfs=18446744073709551617"),
            ("initramfs=31457280\n", "initramfs=31457280\nmore=1\n"),
            ("initramfs=31457280\n", "initramfs=31457280\r\n"),
            ("version=0.2.0\nbuilt=1700000000\n", "built=1700000000\nversion=0.2.0\n"),
        ] {
            let bad = good.replace(old, new);
            assert_ne!(bad, good, "{old}");
            assert_eq!(Header::parse(&block(&bad)), Err(FormatError::Damaged), "{new}");
        }
        let mut trailing = block::<HEADER_BYTES>(&good);
        trailing[HEADER_BYTES - 1] = b'x';
        assert_eq!(Header::parse(&trailing), Err(FormatError::Damaged));
        assert_eq!(Header::parse(&[b'\n'; HEADER_BYTES]), Err(FormatError::Damaged));
    }

    #[test]
    fn no_flipped_bit_leaves_a_header_as_it_was() {
        let good: [u8; HEADER_BYTES] = block(&format!("{HEADER_MAGIC}{}", header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Header::parse(&bad), Ok(header()), "bit {bit}");
        }
    }

    #[test]
    fn the_envelope_holds_a_signature() {
        let envelope = |text: &str| block::<ENVELOPE_BYTES>(text);
        let four_lines = "untrusted comment: x\nAAAA\ntrusted comment: y\nBBBB\n";
        assert_eq!(signature(&envelope(&format!("{ENVELOPE_MAGIC}{four_lines}"))), Ok(four_lines));
        for (text, error) in [
            ("", FormatError::NotAnUpdate),
            ("PK\x03\x04", FormatError::NotAnUpdate),
            (ENVELOPE_MAGIC, FormatError::NotSigned),
            ("P2P-BLACK-BOX-UPDATE 2\nx", FormatError::Damaged),
            ("P2P-BLACK-BOX-UPDATE 1\na\nb\nc\n", FormatError::Damaged),
            ("P2P-BLACK-BOX-UPDATE 1\na\nb\nc\nd\ne\n", FormatError::Damaged),
            ("P2P-BLACK-BOX-UPDATE 1\na\nb\nc\nd", FormatError::Damaged),
        ] {
            assert_eq!(signature(&envelope(text)), Err(error), "{text:?}");
        }
        let mut full = [b'x'; ENVELOPE_BYTES];
        full[..ENVELOPE_MAGIC.len()].copy_from_slice(ENVELOPE_MAGIC.as_bytes());
        assert_eq!(signature(&full), Err(FormatError::Damaged), "there is no end");
        full[100..].fill(0);
        full[50] = 0xff;
        assert_eq!(signature(&full), Err(FormatError::Damaged), "not text");
    }
}
