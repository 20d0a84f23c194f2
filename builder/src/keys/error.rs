//! Reasons why a passphrase, recipients or a signing key cannot be taken: facts only, the sentences
//! are in `wording`.

use std::io;
use std::path::PathBuf;

use cli::say::failure::Failure;
use formats::limits::LimitError;
use formats::seal::{RecipientError, RecipientsFileError};
use formats::signature::SignatureError;

use crate::fmc::by_name::NameError;
use crate::fmc::error::Doubt;

/// There is no passphrase, or nobody would know it.
#[derive(Debug)]
pub(crate) enum PassphraseError {
    /// A generated one could not be shown; `flag` is what `-file` is added to.
    NowhereToShow { flag: &'static str },
    /// There are no recipients, none is given, and there is no terminal to ask at.
    NobodyCouldOpen { flag: &'static str },
    /// The one that was given or typed is not taken.
    Slip(Slip),
    /// Weak ones were typed, and none of them confirmed.
    NotChosen,
    /// The terminal could not ask whether a weak one is meant.
    Terminal(io::Error),
    /// The system gave no random bytes.
    Random(io::Error),
    /// The generated one could not be written to its descriptor; no kit was made.
    NotWritten(io::Error),
    /// The generated one could not be shown at the terminal; the kit is there.
    NotShown(io::Error),
    /// It could not be read or protected.
    Input(Failure),
}

/// A passphrase is not one that a kit is sealed with.
#[derive(Debug)]
pub(crate) enum Slip {
    /// Not the same was typed twice.
    Differ,
    Empty,
    /// Nobody sees the character.
    Unseen(char),
    /// A serial console may have no key for it.
    NotAscii,
}

/// It is not told who may open which bundle.
#[derive(Debug)]
pub(crate) enum RecipientsError {
    /// `--recipient` is none.
    Flag(RecipientError),
    /// A file of recipients or a map of them cannot be used.
    File { path: PathBuf, error: FileError },
    /// A line of the map stands for no device.
    MapLine { file: String, line: usize, error: Box<MapLineError> },
    /// Post-quantum ones stand beside others.
    Mixed,
    /// Devices have none.
    Missing(Unmapped),
    /// A file cannot be read.
    Input(Failure),
}

/// A file of recipients or a map of them cannot be used.
#[derive(Debug)]
pub(crate) enum FileError {
    Empty,
    /// A line of a recipients file is no recipient.
    List(RecipientsFileError),
    /// A line of the map has no device or no recipient.
    Columns {
        line: usize,
    },
    /// A line of the map names something else than a recipient.
    Recipient {
        line: usize,
        error: RecipientError,
    },
}

/// The device of a line of the map is not to be told.
#[derive(Debug)]
pub(crate) enum MapLineError {
    Name(NameError),
    /// No device fits the pattern.
    NoneFits {
        pattern: String,
    },
}

/// Devices that the map does not name.
#[derive(Debug)]
pub(crate) struct Unmapped {
    pub number: usize,
    /// Names of the first of them.
    pub names: Vec<String>,
}

/// There is no key to sign with.
#[derive(Debug)]
pub(crate) enum SigningKeyError {
    /// The named file holds none.
    Named { path: PathBuf, error: SignatureError },
    /// This machine's file holds none.
    Found { path: PathBuf, error: SignatureError },
    /// Others could have changed or read this machine's.
    NotOurs(Doubt),
    /// This machine's cannot be opened or made.
    File { path: PathBuf, error: io::Error },
    /// This machine's cannot be read.
    Read { path: PathBuf, error: LimitError },
    /// The library failed.
    Library(SignatureError),
    /// The named file cannot be read.
    Input(Failure),
}

/// A key would be written over this file.
#[derive(Debug)]
pub(crate) struct KeyExists(pub PathBuf);

impl From<Slip> for PassphraseError {
    fn from(slip: Slip) -> Self {
        Self::Slip(slip)
    }
}

impl From<Failure> for PassphraseError {
    fn from(failure: Failure) -> Self {
        Self::Input(failure)
    }
}

impl From<Failure> for RecipientsError {
    fn from(failure: Failure) -> Self {
        Self::Input(failure)
    }
}

impl From<Failure> for SigningKeyError {
    fn from(failure: Failure) -> Self {
        Self::Input(failure)
    }
}

impl From<SignatureError> for SigningKeyError {
    fn from(error: SignatureError) -> Self {
        Self::Library(error)
    }
}
