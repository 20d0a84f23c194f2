//! Which files of the manager are believed: those that root alone could have put where they lie.
//!
//! This program runs as root and signs what it reads. Whoever else could write a list, a source, or
//! a folder on the way to one would have his own CA signed. So these are `untrusted-source`, unless
//! `--accept-source` goes on; then it is told. What is named on the command line is the caller's
//! own choice.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cli::disk::ownership::{Foreign, foreign};
use cli::disk::root::{Passed, Root};
use cli::say::exit::Failure;
use formats::error::Reason;

/// Below which root, and whether what others could have written is taken all the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Belief<'a> {
    pub root: &'a Root,
    /// Set by `--accept-source`.
    pub accept: bool,
}

/// A file that is believed.
#[derive(Debug)]
pub(crate) struct Believed {
    /// Opened, and a regular one.
    pub file: File,
    /// Real path inside the root, links resolved.
    pub path: PathBuf,
    /// Doubt that `--accept-source` accepted.
    pub doubt: Option<String>,
}

/// Reasons not to read a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Disbelief {
    /// The system does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others could have written it.
    #[error("{0}")]
    Foreign(Foreign),
}

impl Belief<'_> {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`Disbelief`].
    pub(crate) fn open(&self, path: &Path) -> Result<Believed, Disbelief> {
        let (file, passed) = self.root.open_file_on_the_way(path)?;
        let doubt = self.judge(&passed)?;
        let path = passed.last().map(|end| end.path.clone()).unwrap_or_default();
        Ok(Believed { file, path, doubt })
    }

    /// Judges a folder or file without opening it; returns the doubt that was accepted.
    ///
    /// # Errors
    /// [`Disbelief`].
    pub(crate) fn look(&self, path: &Path) -> Result<Option<String>, Disbelief> {
        self.judge(&self.root.look_on_the_way(path)?)
    }

    fn judge(&self, passed: &[Passed]) -> Result<Option<String>, Disbelief> {
        match foreign(self.root, passed) {
            None => Ok(None),
            Some(foreign) if self.accept => Ok(Some(accepted(&foreign))),
            Some(foreign) => Err(Disbelief::Foreign(foreign)),
        }
    }

    /// Handles a doubt that does not concern who could have written a file: refused, or
    /// told when it is accepted.
    ///
    /// # Errors
    /// `untrusted-source`.
    pub(crate) fn doubt(&self, message: String) -> Result<String, Failure> {
        if self.accept { Ok(accepted(message)) } else { Err(untrusted(message)) }
    }
}

fn accepted(what: impl std::fmt::Display) -> String {
    format!("accepted with --accept-source: {what}")
}

/// Builds the refusal.
pub(crate) fn untrusted(message: impl std::fmt::Display) -> Failure {
    Failure::refused(Reason::UntrustedSource, message).hint(
        "find out who put it there and why: this program runs as root and signs what it finds. --accept-source goes on",
    )
}
