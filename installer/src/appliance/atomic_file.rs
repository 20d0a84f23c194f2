//! A file that replaces another in one step, or not at all.
//!
//! ```text
//! stage:    openat(dir, dot name, O_CREAT|O_EXCL|O_NOFOLLOW, 0600); write; fsync
//! dress:    extended attributes on the handle; still 0600
//! settle:   fchown, ACL, fchmod on the handle; fsync
//! replace:  renameat(dot name → name)          the name is never absent
//! after the last:  fsync(dir)
//! ```
//! Limits: `renameat` is atomic on one file system only, which a name in the same directory
//! is; after a power cut either file may be found until the directory was synced, which is
//! what the journal is for.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use cli::disk::new_file::create_only;
pub(crate) use cli::disk::new_file::sync_dir;
use cli::disk::root::{names_in, open_file_at};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, renameat, unlinkat};
use rustix::io::Errno;

use crate::appliance::attributes::{Attributes, Extended, NotGiven};

/// The end of a record's dot name until it is renamed.
const ASIDE: &str = ".new";

/// A staged file, complete on disk under its dot name.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: File,
    staged: String,
}

impl StagedFile {
    /// Writes `bytes` under the name `staged` in `dir`.
    ///
    /// # Errors
    /// What the system says; `staged` is removed again.
    pub(crate) fn write(dir: &OwnedFd, staged: &str, bytes: &[u8]) -> io::Result<Self> {
        let mut file = create_only(dir, staged, Mode::from_raw_mode(0o600))?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        match written {
            Ok(()) => Ok(Self { file, staged: staged.to_owned() }),
            Err(error) => {
                let _ = remove(dir, staged);
                Err(error)
            }
        }
    }

    /// Gives it its extended attributes; nobody but its owner can read it yet.
    ///
    /// # Errors
    /// Which of them the system refused.
    pub(crate) fn dress(&self, extended: &Extended) -> Result<(), NotGiven> {
        extended.give(&self.file)
    }

    /// Gives it its owner and mode, durably.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn settle(&self, attributes: &Attributes) -> io::Result<()> {
        attributes.settle(&self.file)?;
        self.file.sync_all()
    }

    /// Puts it in the place of `name`.
    ///
    /// # Errors
    /// What the system says; then `name` is as it was.
    pub(crate) fn replace(self, dir: &OwnedFd, name: &str) -> io::Result<()> {
        Ok(renameat(dir, &*self.staged, dir, name)?)
    }

    /// Removes it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn discard(self, dir: &OwnedFd) -> io::Result<()> {
        remove(dir, &self.staged)
    }
}

/// Removes a file; one that is absent is fine.
///
/// # Errors
/// What the system says.
pub(crate) fn remove(dir: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    match unlinkat(dir, name.as_ref(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a file durable that is there already; one that is absent is fine.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_file(dir: &OwnedFd, name: &str) -> io::Result<()> {
    match open_file_at(dir, OsStr::new(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_all(),
    }
}

/// Removes what a crash left of [`write_record`] in a directory of this program's own.
///
/// # Errors
/// What the system says.
pub(crate) fn remove_unfinished(dir: &OwnedFd) -> io::Result<()> {
    for name in names_in(dir)? {
        if name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(ASIDE.as_bytes()) {
            remove(dir, &name)?;
        }
    }
    Ok(())
}

/// Writes a whole small file in one step: a record of our own state.
///
/// # Errors
/// What the system says; the old file is then still there.
pub(crate) fn write_record(dir: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = format!(".{name}{ASIDE}");
    // only this program writes here, under its lock: what lies there is left from a crash
    remove(dir, &*aside)?;
    let staged = StagedFile::write(dir, &aside, bytes)?;
    staged.replace(dir, name).inspect_err(|_| {
        let _ = remove(dir, &*aside);
    })?;
    sync_dir(dir)
}
