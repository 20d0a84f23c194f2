//! The largest input that each reader accepts, with the origin of each number.
//!
//! An input of exactly that size is accepted; one byte more is `too-large`.

use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::error::{Reason, Reasoned};

/// One of the three PEM files. Real ones are 1 to 2 KiB (RSA 2048); an RSA 16384 key with a
/// full text dump before it still fits.
pub const PEM: u64 = 64 * 1024;
/// `manifest.json`. A real one is 3 KiB; the name and the paths are the only open-ended fields.
pub const MANIFEST: u64 = 64 * 1024;
/// `SHA256SUMS` inside a bundle: three lines of less than 100 bytes.
pub const INNER_SUMS: u64 = 1024;
/// A bundle's tar after gzip: three PEM files, manifest, sums, headers and padding.
pub const TAR: u64 = 512 * 1024;
/// A bundle file on disk: the tar, armored in base64, and an age header with some hundred
/// recipients.
pub const BUNDLE: u64 = 1024 * 1024;
/// `FAILED_PUSH`, and a recipient map: [`KIT_BUNDLES`] devices are about 16 MiB of the former.
pub const FAILED_PUSH: u64 = 16 * 1024 * 1024;
/// Unusable lines of one `FAILED_PUSH` that are reported one by one: as many as the largest FMC has
/// devices. A report can be a thousand times as long as a short line.
pub const FAILED_PUSH_PROBLEMS: usize = 1000;
/// Saved output of `sftunnel_status.pl`.
pub const STATUS_OUTPUT: u64 = 64 * 1024 * 1024;
/// One line of `FAILED_PUSH`: two paths of at most 4096 bytes (Linux `PATH_MAX`) and a name.
pub const FAILED_PUSH_LINE: usize = 16 * 1024;
/// `kit.json`, for [`KIT_BUNDLES`] devices.
pub const KIT_INDEX: u64 = 16 * 1024 * 1024;
/// Bundles in one kit. The largest FMC manages about 1,000 devices (docs/facts.md); ten times
/// that, doubled.
pub const KIT_BUNDLES: usize = 20_000;
/// A kit's `SHA256SUMS`: a line of at most 400 bytes for each of [`KIT_BUNDLES`].
pub const KIT_SUMS: u64 = 8 * 1024 * 1024;
/// Handoffs that a kit's index records; for each, somebody carried a stick.
pub const HANDOFFS: usize = 100;
/// An installer program in a kit.
pub const INSTALLER: u64 = 64 * 1024 * 1024;
/// An identity, a recipients file, a signer's key, a passphrase.
pub const KEY_FILE: u64 = 1024 * 1024;
/// A receipt: a claim of some hundred bytes and a certificate.
pub const RECEIPT: u64 = 128 * 1024;
/// A CRL: 20,000 revoked certificates are about as many bytes.
pub const CRL: u64 = 1024 * 1024;
/// A list of devices that the operator wrote: a full fleet by name.
pub const DEVICE_LIST: u64 = 4 * 1024 * 1024;
/// `ims.conf` of a manager or device.
pub const IMS_CONF: u64 = 1024 * 1024;
/// A device's or host's name or address, in bytes. The FMC itself takes far fewer, and DNS 253.
pub const NAME: usize = 255;
/// Characters of a device's name that are kept in the file name of its bundle: with `_`, the UUID
/// and `.tar.gz.age` that makes 64, the most that Joliet allows on an ISO image.
pub const FILE_STEM: usize = 16;
/// scrypt's log2(N) as written: 256 MiB and about a second.
pub const WORK_FACTOR_WRITTEN: u8 = 18;
/// scrypt's log2(N) as read: 1 GiB. Firewalls have little more memory to spare.
pub const WORK_FACTOR_READ: u8 = 20;

/// Reasons why reading stopped before the end of the input.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The input has more bytes than the limit.
    #[error("is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The most that is accepted.
        limit: u64,
    },
    /// The reader failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Reasoned for LimitError {
    fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Io(_) => Reason::Damaged,
        }
    }
}

/// Initial capacity; most secrets are keys, which fit.
const FIRST: usize = 2048;

/// Reads all of `reader`, but no more than `limit` bytes, into memory that is wiped.
///
/// A full buffer is copied into one twice as large and wiped, so that no copy is left behind on the
/// heap. It does not begin at the size of the limit, as a buffer is wiped byte by byte in its whole
/// length, however little of it was used.
///
/// # Errors
/// Returns [`LimitError::TooLarge`] when at least one byte follows the limit.
pub fn read_secret(mut reader: impl Read, limit: u64) -> Result<Zeroizing<Vec<u8>>, LimitError> {
    // probe one byte past the limit, so that "exactly the limit" differs from "too long"
    let most = usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(most.min(FIRST)));
    loop {
        let room = bytes.capacity() - bytes.len();
        let read = reader.by_ref().take(room as u64).read_to_end(&mut bytes)?;
        if bytes.len() >= most {
            return Err(LimitError::TooLarge { limit });
        }
        if read < room {
            return Ok(bytes);
        }
        let larger = Vec::with_capacity(most.min(bytes.capacity().saturating_mul(2)));
        let full = std::mem::replace(&mut bytes, Zeroizing::new(larger));
        bytes.extend_from_slice(&full);
    }
}

/// Reads all of `reader`, but no more than `limit` bytes.
///
/// # Errors
/// Returns [`LimitError::TooLarge`] when at least one byte follows the limit.
pub fn read_public(reader: impl Read, limit: u64) -> Result<Vec<u8>, LimitError> {
    let mut bytes = Vec::new();
    // one byte more, as above
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(LimitError::TooLarge { limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::LimitError::TooLarge;
    use super::*;

    /// The limits are part of the format, as other programs may write what is read here.
    #[test]
    fn each_limit_is_what_the_format_says() {
        let numbers = [
            ("each of the three PEM files", PEM),
            ("`manifest.json`", MANIFEST),
            ("`SHA256SUMS` in a bundle", INNER_SUMS),
            ("the tar, unpacked", TAR),
            ("a bundle file", BUNDLE),
            ("`kit.json`", KIT_INDEX),
            ("bundles in a kit", KIT_BUNDLES as u64),
            ("handoffs in a kit's index (`bad-format`)", HANDOFFS as u64),
            ("`SHA256SUMS` in a kit", KIT_SUMS),
            ("an installer", INSTALLER),
            ("`FAILED_PUSH`, recipient map", FAILED_PUSH),
            ("a line of a list or map (`bad-failed-push`)", FAILED_PUSH_LINE as u64),
            ("unusable lines of it that are told one by one", FAILED_PUSH_PROBLEMS as u64),
            ("saved output of `sftunnel_status.pl`", STATUS_OUTPUT),
            (
                "identity, recipients file, signer's key, passphrase file, `kit.identity.age`",
                KEY_FILE,
            ),
            ("a receipt", RECEIPT),
            ("a CRL", CRL),
            ("`ims.conf`", IMS_CONF),
            ("a device's name, a host's name, an address", NAME as u64),
            ("scrypt work factor, written", WORK_FACTOR_WRITTEN.into()),
            ("scrypt work factor, read", WORK_FACTOR_READ.into()),
        ];
        let rows = include_str!("../FORMAT.md").lines().filter_map(|line| {
            let (what, limit) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
            let mut words = limit.split(' ');
            let number: u64 = words.next()?.replace(',', "").parse().ok()?;
            let unit = match words.next() {
                Some("KiB") => 1 << 10,
                Some("MiB") => 1 << 20,
                _ => 1,
            };
            Some((what, number * unit))
        });
        let rows = rows.flat_map(|(what, limit)| what.split("; ").map(move |what| (what, limit)));
        let rows: std::collections::HashMap<_, _> = rows.collect();
        for (what, number) in numbers {
            assert_eq!(rows.get(what), Some(&number), "FORMAT.md, \"Limits\": {what}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_damaged_and_what_is_longer_is_too_large() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let reasons = |read: LimitError| read.reason();
        assert_eq!(read_public(Broken, 9).map_err(reasons), Err(Reason::Damaged));
        assert_eq!(read_secret(Broken, 9).map(drop).map_err(reasons), Err(Reason::Damaged));
        assert_eq!(read_public(&b"ab"[..], 1).map_err(reasons), Err(Reason::TooLarge));
    }

    #[test]
    fn exactly_the_limit_is_not_too_long() {
        assert_eq!(read_public(&b"abc"[..], 3).unwrap(), b"abc");
        assert!(matches!(read_public(&b"abcd"[..], 3), Err(LimitError::TooLarge { limit: 3 })));
    }

    /// A reader that gives a few bytes at a time, like a decryptor.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = buffer.len().min(self.0.len()).min(7);
            let (now, later) = self.0.split_at(size);
            buffer[..size].copy_from_slice(now);
            self.0 = later;
            Ok(size)
        }
    }

    #[test]
    fn a_secret_of_any_size_up_to_the_limit_is_read_whole() {
        let all: Vec<u8> = (0..5 * FIRST).map(|at| (at % 251) as u8).collect();
        for size in [0, 1, FIRST - 1, FIRST, FIRST + 1, 2 * FIRST, 4 * FIRST, 5 * FIRST] {
            let (text, size) = (&all[..size], size as u64);
            for limit in [size, size + 1, 2 * size + 10] {
                assert_eq!(*read_secret(text, limit).unwrap(), text, "{limit}");
                let read = read_secret(Slowly(text), limit).unwrap();
                assert_eq!(*read, text, "{limit}");
                assert!(read.capacity() <= FIRST.max(2 * text.len()), "no more is to be wiped");
            }
            if let Some(less) = size.checked_sub(1) {
                let TooLarge { limit } = read_secret(text, less).unwrap_err() else { panic!() };
                assert_eq!(limit, less);
                assert!(matches!(read_secret(Slowly(text), less), Err(TooLarge { .. })));
            }
        }
    }

    #[test]
    fn a_reader_without_end_is_not_read_to_it() {
        assert!(matches!(read_secret(io::repeat(1), 10_000), Err(TooLarge { limit: 10_000 })));
    }
}
