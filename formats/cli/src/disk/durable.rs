//! Files that are written completely or not at all, and survive a loss of power.
//!
//! ```text
//! write aside:  openat(dir, dot name, O_CREAT|O_EXCL|O_NOFOLLOW); fchmod; write; fsync
//! rename:       renameat(dot name → name)            the name is never absent
//!               or with RENAME_NOREPLACE             nothing is ever replaced
//! confirm:      fsync(dir)
//! failed:       unlinkat(dot name)                   before the rename only
//! ```
//!
//! There are three forms: [`create`] and [`replace`] for files that operators name, in folders
//! where others write as well (a random dot name); [`replace_record`] for a program's own records,
//! under its lock (a fixed dot name, which [`remove_unfinished`] finds again); [`StagedFile`] for
//! several files that get their attributes first and are then renamed in quick succession.
//!
//! # Limits
//!
//! * A rename is atomic within one file system only, so the dot name is a sibling.
//! * Until the directory is synced, a loss of power may bring back the old file. Where that
//!   matters, a journal has to say which of the two is meant.
//! * [`create`] on a file system without `RENAME_NOREPLACE` makes a hard link instead, and fails on
//!   one that has neither.
//! * A program that is killed leaves its dot name behind.
//! * FAT has no modes, and some network file systems cannot sync a directory. Neither is an error,
//!   as a run that can be finished must not stop half-way.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use crate::disk::root::{names_in, open_file_at};
use crate::process::random;
use crate::say::failure::Failure;

/// Suffix of a record's dot name until it is renamed.
const ASIDE: &str = ".new";

/// Writes `bytes` to the new file `name` in `dir`.
///
/// # Errors
/// Returns `AlreadyExists` if there is one, or the system's error; nothing is left behind.
pub fn create(dir: impl AsFd, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
    StagedFile::write(&dir, temporary_name(name)?, bytes, mode)?.publish(&dir, name)?;
    sync_dir(dir)
}

/// Writes `bytes` to the file `name` in `dir`, which may exist. Readers see either the old content
/// or the new.
///
/// # Errors
/// Returns the system's error; an old file is then unchanged.
pub fn replace(dir: impl AsFd, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
    StagedFile::write(&dir, temporary_name(name)?, bytes, mode)?.replace(&dir, name)?;
    sync_dir(dir)
}

/// Like [`replace`], for a path that the operator names.
///
/// # Errors
/// Like [`replace`]; returns a usage error for a path that names no file.
pub fn replace_at(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let (dir, name) = parent_of(path)?;
    replace(&dir, name, bytes, Mode::from(mode))
        .map_err(|error| Failure::io(path.display(), &error))
}

/// Opens the folder of a path that the operator names, and returns it with the name in it.
///
/// # Errors
/// Returns a usage error for a path that names no file; fails when the folder cannot be opened.
pub fn parent_of(path: &Path) -> Result<(OwnedFd, &OsStr), Failure> {
    let Some(name) = path.file_name() else {
        return Err(Failure::usage(format!("{}: expected a file", path.display())));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let dir = rustix::fs::open(parent, flags, Mode::empty())
        .map_err(|error| Failure::io(parent.display(), &error.into()).or_hint("make it first"))?;
    Ok((dir, name))
}

fn temporary_name(name: &OsStr) -> io::Result<OsString> {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".tmp-{}", random::hex()?));
    Ok(temporary)
}

/// Writes `bytes` to the record `name`, which may exist and only this user may read. `dir` belongs
/// to this program, which holds its lock.
///
/// # Errors
/// Returns the system's error; an old record is then unchanged.
pub fn replace_record(dir: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = format!(".{name}{ASIDE}");
    // under the lock, an existing one is left from a crash
    remove(dir, &aside)?;
    StagedFile::write(dir, aside, bytes, Mode::from(0o600))?.replace(dir, name)?;
    sync_dir(dir)
}

/// Removes files that [`replace_record`] left in a crash.
///
/// # Errors
/// Returns the system's error.
pub fn remove_unfinished(dir: &OwnedFd) -> io::Result<()> {
    for name in names_in(dir)? {
        if name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(ASIDE.as_bytes()) {
            remove(dir, &name)?;
        }
    }
    Ok(())
}

/// A file that is complete and durable, under a temporary name.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    name: OsString,
}

impl StagedFile {
    /// Writes `bytes` to the new file `name`.
    ///
    /// # Errors
    /// Returns the system's error; nothing is left behind.
    pub fn write(
        dir: impl AsFd,
        name: impl Into<OsString>,
        bytes: &[u8],
        mode: Mode,
    ) -> io::Result<Self> {
        let name = name.into();
        Ok(Self { file: write_new(dir, &name, bytes, mode)?, name })
    }

    /// The open file, to be given its owner and attributes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Renames the file to `name`, which may exist.
    ///
    /// # Errors
    /// Returns the system's error; `name` is then unchanged, and the staged file is removed.
    pub fn replace(self, dir: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
        let renamed = renameat(&dir, &*self.name, &dir, name.as_ref());
        self.discard_unless(renamed, dir)
    }

    /// Renames the file to a name that no file has.
    fn publish(self, dir: impl AsFd, name: &OsStr) -> io::Result<()> {
        let aside = &*self.name;
        let published = match renameat_with(&dir, aside, &dir, name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => linkat(&dir, aside, &dir, name, AtFlags::empty())
                .and_then(|()| unlinkat(&dir, aside, AtFlags::empty())),
            other => other,
        };
        self.discard_unless(published, dir)
    }

    fn discard_unless(self, done: rustix::io::Result<()>, dir: impl AsFd) -> io::Result<()> {
        if done.is_err() {
            // the first error is the one to report
            let _ = self.discard(dir);
        }
        Ok(done?)
    }

    /// Removes the staged file.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn discard(self, dir: impl AsFd) -> io::Result<()> {
        remove(dir, self.name)
    }
}

/// Writes a new file durably, except that the caller has to sync its directory. Meant for files
/// whose readers notice if they are cut off.
///
/// # Errors
/// Returns `AlreadyExists` or the system's error; nothing is left behind.
pub fn write_new(dir: impl AsFd, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<File> {
    let mut file = create_only(&dir, name, mode)?;
    let written =
        set_mode(&file, mode).and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    match written {
        Ok(()) => Ok(file),
        Err(error) => {
            let _ = remove(dir, name);
            Err(error)
        }
    }
}

/// Creates a file and opens it for writing.
///
/// # Errors
/// Returns the error of `openat`.
pub fn create_only(dir: impl AsFd, name: impl rustix::path::Arg, mode: Mode) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(dir, name, flags, mode)?))
}

/// Sets the mode of a file regardless of the umask, if its file system has modes.
///
/// # Errors
/// Returns the system's error.
pub fn set_mode(file: impl AsFd, mode: Mode) -> io::Result<()> {
    match rustix::fs::fchmod(file, mode) {
        // FAT has no modes
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

/// Removes a file, which may be absent.
///
/// # Errors
/// Returns the system's error.
pub fn remove(dir: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    match unlinkat(dir, name.as_ref(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes an existing file durable, which may be absent.
///
/// # Errors
/// Returns the system's error.
pub fn sync_file(dir: &OwnedFd, name: &str) -> io::Result<()> {
    match open_file_at(dir, OsStr::new(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_all(),
    }
}

/// Makes a directory's entries durable, if its file system can.
///
/// # Errors
/// Returns the system's error.
pub fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        // some file systems of sticks and shares have no fsync for directories
        Err(Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_in_place_of_another() {
        let path = std::env::temp_dir().join(format!("durable-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir = File::open(&path).unwrap();
        let make = |bytes: &[u8]| create(&dir, OsStr::new("key"), bytes, Mode::from(0o600));
        make(b"first").unwrap();
        assert_eq!(make(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(path.join("key")).unwrap(), b"first");
        replace(&dir, OsStr::new("key"), b"third", Mode::from(0o600)).unwrap();
        assert_eq!(std::fs::read(path.join("key")).unwrap(), b"third");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "nothing else is left");
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_cannot_be_renamed_is_removed_and_leaves_the_name_alone() {
        let path = std::env::temp_dir().join(format!("durable-rename-{}", std::process::id()));
        std::fs::create_dir_all(path.join("taken/inside")).unwrap();
        let dir = OwnedFd::from(File::open(&path).unwrap());
        assert!(replace(&dir, OsStr::new("taken"), b"x", Mode::from(0o600)).is_err());
        assert!(replace_record(&dir, "taken", b"x").is_err());
        assert!(path.join("taken/inside").is_dir());
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "nothing else is left");
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_record_replaces_what_a_crash_left_of_it() {
        let path = std::env::temp_dir().join(format!("durable-record-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir = OwnedFd::from(File::open(&path).unwrap());
        std::fs::write(path.join(".installed.new"), "cut").unwrap();
        replace_record(&dir, "installed", b"whole").unwrap();
        assert_eq!(std::fs::read(path.join("installed")).unwrap(), b"whole");
        std::fs::write(path.join(".journal.new"), "cut").unwrap();
        std::fs::write(path.join("other.new"), "somebody's").unwrap();
        remove_unfinished(&dir).unwrap();
        assert_eq!(names_in(&dir).unwrap(), ["installed", "other.new"]);
        std::fs::remove_dir_all(path).unwrap();
    }

    /// `/proc` has no fsync for its directories.
    #[test]
    fn a_file_system_that_cannot_sync_a_directory_stops_nothing() {
        let proc = File::open("/proc").unwrap();
        assert_eq!(rustix::fs::fsync(&proc), Err(Errno::INVAL));
        sync_dir(&proc).unwrap();
    }
}
