//! Reasons why a kit cannot be written: facts only, the sentences are in `wording`.

use std::io;
use std::path::PathBuf;

use cli::disk::ownership::Foreign;
use formats::checksum::Sha256;
use formats::error::Reason;
use formats::seal::SealError;
use formats::signature::{Fingerprint, SignatureError};
use serde::Serialize;

/// There is no kit, or a bundle is left out of it.
#[derive(Debug)]
pub(crate) enum Error {
    /// The directory that `--out` names cannot be opened.
    Out {
        path: PathBuf,
        error: io::Error,
    },
    /// Something has the kit's name.
    Exists {
        path: PathBuf,
        occupant: Occupant,
    },
    /// A file or folder of the kit cannot be written.
    Write {
        path: PathBuf,
        error: io::Error,
    },
    /// More than the limit would be written into a file.
    FileTooLarge {
        file: String,
        limit: u64,
    },
    ThreadEnded,
    /// The kit's identity could not be encrypted with its passphrase.
    IdentityNotLocked,
    /// A bundle could not be sealed.
    Seal(SealError),
    /// A sealed bundle is beyond the limit.
    BundleTooLarge,
    /// The index could not be signed.
    Index(SignatureError),
    /// A named installer cannot be read.
    Installer {
        path: PathBuf,
        error: io::Error,
    },
    /// A named installer is no program for a known architecture.
    NoProgram(PathBuf),
    /// Two named installers are for one architecture.
    TwoPrograms {
        arch: &'static str,
    },
    /// An installer is no longer what it was taken for.
    InstallerChanged(PathBuf),
    /// No installer is beside this program but these, which are not taken.
    NoInstaller(Vec<LeftOut>),
    /// A passphrase is asked for, and a bundle that is handed off lies in no kit.
    LoneBundle(PathBuf),
    /// Two kits that are handed off would get this name.
    OneName(String),
    /// A kit that is handed off would lie where it lies now.
    IntoItself(PathBuf),
    /// The bundles of a kit that is handed off have several signers.
    SeveralSigners {
        kit: PathBuf,
        signers: Vec<Fingerprint>,
    },
}

/// Owner of the name of a kit that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// Something that `--force` replaces, if it is a kit.
    Replaceable,
    /// No kit, so that `--force` does not help.
    NoKit,
    /// A kit that another run made meanwhile.
    JustMade,
    /// A bundle by itself.
    Bundle,
}

/// A file with the name of an installer that is not taken.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LeftOut {
    pub source: PathBuf,
    /// `unknown-installer` or `cannot-read`.
    pub reason: Reason,
    pub message: String,
}

/// A file beside this program is not taken as an installer.
#[derive(Debug)]
pub(crate) enum NotTaken {
    Unreadable(io::Error),
    NoProgram,
    /// Its digest is not one of this program's own build.
    OtherBuild(Sha256),
    /// Others than root could have put it there.
    Foreign(Foreign),
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}
