//! Files that the operator names on the command line: bundles, keys, passphrases.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use formats::decode::{self, NotText};
use formats::error::Reason;
use formats::limits::{self, LimitError};
use formats::seal::{OpenError, recovered};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::disk::root::require_regular;
use crate::say::failure::Failure;

/// Argument that stands for standard input.
pub const STDIN: &str = "-";

/// Opens a regular file. Its type is checked before: opening a device can have effects, and a FIFO
/// waits for its other end.
///
/// # Errors
/// Returns `not-found` or another refusal for the system's error.
pub fn open_regular(path: &Path) -> Result<File, Failure> {
    opened(path).map_err(|error| of_io(path, &error))
}

/// Like [`open_regular`], for a caller that words the failure itself ([`of_limit`]).
///
/// # Errors
/// Returns the error of `openat`; `InvalidInput` for anything but a regular file.
pub fn opened(path: &Path) -> io::Result<File> {
    let flags = OFlags::CLOEXEC | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    require_regular(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)?;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    require_regular(file.as_fd())?;
    Ok(File::from(file))
}

/// Reads a regular file, or standard input for `-`, of at most `limit` bytes.
///
/// # Errors
/// Returns `not-found`, `too-large`, or another refusal for the system's error.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let read = if path.as_os_str() == STDIN {
        limits::read_public(io::stdin().lock(), limit)
    } else {
        limits::read_public(open_regular(path)?, limit)
    };
    read.map_err(|error| of_limit(path, &error))
}

/// Reads a file that holds a secret. It may be a pipe (`--passphrase-file <(…)`).
///
/// # Errors
/// Like [`read`].
pub fn read_secret(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let open = || -> Result<Zeroizing<Vec<u8>>, LimitError> {
        if path.as_os_str() == STDIN {
            return limits::read_secret(io::stdin().lock(), limit);
        }
        limits::read_secret(File::open(path)?, limit)
    };
    open().map_err(|error| of_limit(path, &error))
}

/// Reads a secret from a descriptor that the caller opened.
///
/// # Errors
/// Like [`read`].
pub fn read_secret_fd(number: u32, limit: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // through /proc, as safe Rust cannot take over a descriptor by its number
    let file: Box<dyn Read> = match number {
        0 => Box::new(io::stdin().lock()),
        _ => Box::new(
            crate::process::hardening::while_dumpable(|| {
                File::open(format!("/proc/self/fd/{number}"))
            })
            .map_err(|error| Failure::usage(format!("file descriptor {number}: {error}")))?,
        ),
    };
    limits::read_secret(file, limit)
        .map_err(|error| of_limit(Path::new("the file descriptor"), &error))
}

/// Restores a bundle that a person copied.
///
/// # Errors
/// A bad copy gets a hint at how to make a better one.
pub fn recovered_bundle(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    match recovered(&bytes) {
        Ok(Cow::Borrowed(_)) => Ok(bytes),
        Ok(Cow::Owned(mended)) => Ok(mended),
        Err(error) => Err(Failure::of(path.display(), &error).hint(match error {
            OpenError::TwoArmored => "give each bundle by itself",
            OpenError::CutArmor => "copy it again, to the last line",
            _ => "copy it again, in binary mode",
        })),
    }
}

/// Decodes text that a person wrote or copied.
///
/// # Errors
/// Returns `bad-format`, with a hint.
pub fn decode(name: impl std::fmt::Display, bytes: &[u8]) -> Result<Zeroizing<String>, Failure> {
    decode::text(bytes).map_err(|error| {
        Failure::refused(Reason::BadFormat, format!("{name}: {error}")).hint(NotText::HINT)
    })
}

/// Converts a failed read, with the path in front.
pub fn of_limit(path: &Path, error: &LimitError) -> Failure {
    match error {
        LimitError::TooLarge { .. } => {
            Failure::refused(Reason::TooLarge, format!("{} {error}", path.display()))
        }
        LimitError::Io(error) => of_io(path, error),
    }
}

/// Converts a failed open; `InvalidInput` comes from [`require_regular`].
fn of_io(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidInput => Failure::refused(
            Reason::BadFormat,
            format!("{}: expected a regular file", path.display()),
        ),
        io::ErrorKind::IsADirectory => Failure::refused(
            Reason::BadFormat,
            format!("{}: expected a file, found a directory", path.display()),
        ),
        _ => Failure::io(path.display(), error),
    }
}
