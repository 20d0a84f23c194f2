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

use crate::fmc::error::{Accepted, Doubt};

/// The root that files are read below, and what is done about those that others could have written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Belief<'a> {
    pub root: &'a Root,
    /// True with `--accept-source`: such files are taken all the same.
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
#[derive(Debug)]
pub(crate) enum Disbelief {
    /// The system does not give it.
    Io(io::Error),
    /// Others could have written it.
    Foreign(Foreign),
}

impl From<io::Error> for Disbelief {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Belief<'_> {
    /// Opens a regular file.
    pub(crate) fn open(&self, path: &Path) -> Result<Believed, Disbelief> {
        let (file, passed) = self.root.open_file_on_the_way(path)?;
        let doubt = self.judge(&passed)?;
        let path = passed.last().map(|end| end.path.clone()).unwrap_or_default();
        Ok(Believed { file, path, doubt })
    }

    /// Judges a folder or file without opening it; returns the doubt that was accepted.
    pub(crate) fn look(&self, path: &Path) -> Result<Option<String>, Disbelief> {
        self.judge(&self.root.look_on_the_way(path)?)
    }

    fn judge(&self, passed: &[Passed]) -> Result<Option<String>, Disbelief> {
        match foreign(self.root, passed) {
            None => Ok(None),
            Some(foreign) if self.accept => {
                Ok(Some(Accepted::Source(Doubt::Foreign(foreign)).to_string()))
            }
            Some(foreign) => Err(Disbelief::Foreign(foreign)),
        }
    }

    /// Words a doubt that `--accept-source` accepts; without it the doubt comes back.
    pub(crate) fn accept(&self, doubt: Doubt) -> Result<String, Doubt> {
        if self.accept { Ok(Accepted::Source(doubt).to_string()) } else { Err(doubt) }
    }
}
