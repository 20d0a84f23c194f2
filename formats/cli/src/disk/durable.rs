//! Files that are there whole or not at all, and that outlast a loss of power.
//!
//! ```text
//! write aside:  openat(dir, dot name, O_CREAT|O_EXCL|O_NOFOLLOW); fchmod; write; fsync
//! rename:       renameat(dot name → name)            the name is never absent
//!               or with RENAME_NOREPLACE             nothing is ever replaced
//! confirm:      fsync(dir)
//! failed:       unlinkat(dot name)                   before the rename only
//! ```
//!
//! Three callers, three forms: [`create`] and [`replace`] for files that operators name, in folders
//! where others write as well (a random dot name); [`replace_record`] for a program's own records,
//! under its lock (a fixed dot name, which [`remove_unfinished`] finds again); [`StagedFile`] for
//! several files that are to be renamed in one go, each given its attributes before.
//!
//! # Limits
//!
//! * A rename is atomic on one file system only; a sibling is on the same.
//! * Until the directory was synced a loss of power may bring back the old file. Where that matters,
//!   a journal has to say which of the two is meant.
//! * [`create`] on a file system without `RENAME_NOREPLACE` makes a hard link instead, and fails on
//!   one that has neither.
//! * A program that is killed leaves its dot name behind.
//! * FAT has no modes, and some network file systems cannot sync a directory: neither is an error, as
//!   none may stop a run half-way that could end.

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
use crate::say::exit::Failure;

/// The end of a record's dot name until it is renamed.
const ASIDE: &str = ".new";

/// Writes `bytes` to the new file `name` in `dir`.
///
/// # Errors
/// `AlreadyExists` when there is one, or what the system says; nothing is left behind.
pub fn create(dir: impl AsFd, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
    StagedFile::write(&dir, temporary_name(name)?, bytes, mode)?.publish(&dir, name)?;
    sync_dir(dir)
}

/// Writes `bytes` to the file `name` in `dir`, in place of one that may be there. Whoever
/// reads it meets the old content or the new.
///
/// # Errors
/// What the system says; the old file then still stands.
pub fn replace(dir: impl AsFd, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
    StagedFile::write(&dir, temporary_name(name)?, bytes, mode)?.replace(&dir, name)?;
    sync_dir(dir)
}

/// The same for a path that the operator names.
///
/// # Errors
/// As [`replace`]; usage for a path that names no file.
pub fn replace_at(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let (dir, name) = parent_of(path)?;
    replace(&dir, name, bytes, Mode::from(mode))
        .map_err(|error| Failure::io(path.display(), &error))
}

/// The folder of a path that the operator names, opened, and the name in it.
///
/// # Errors
/// Usage for a path that names no file; or why the folder cannot be opened.
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

/// Writes `bytes` to the record `name`, which only this user may read, in place of one that may be
/// there. `dir` belongs to this program, which holds its lock.
///
/// # Errors
/// What the system says; the old record then still stands.
pub fn replace_record(dir: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = format!(".{name}{ASIDE}");
    // under the lock: what lies there is left from a crash
    remove(dir, &aside)?;
    StagedFile::write(dir, aside, bytes, Mode::from(0o600))?.replace(dir, name)?;
    sync_dir(dir)
}

/// Removes what a crash left of [`replace_record`].
///
/// # Errors
/// What the system says.
pub fn remove_unfinished(dir: &OwnedFd) -> io::Result<()> {
    for name in names_in(dir)? {
        if name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(ASIDE.as_bytes()) {
            remove(dir, &name)?;
        }
    }
    Ok(())
}

/// A file that is complete and durable under another name than it is to have.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    name: OsString,
}

impl StagedFile {
    /// Writes `bytes` under the name `name`, which no file may have yet.
    ///
    /// # Errors
    /// What the system says; then nothing is left behind.
    pub fn write(
        dir: impl AsFd,
        name: impl Into<OsString>,
        bytes: &[u8],
        mode: Mode,
    ) -> io::Result<Self> {
        let name = name.into();
        Ok(Self { file: write_new(dir, &name, bytes, mode)?, name })
    }

    /// The file, to be given its owner and attributes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, in place of a file that may have it.
    ///
    /// # Errors
    /// What the system says; then `name` is as it was, and the staged file is removed.
    pub fn replace(self, dir: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
        let renamed = renameat(&dir, &*self.name, &dir, name.as_ref());
        self.discard_unless(renamed, dir)
    }

    /// Gives it a name that no file has.
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
            // the first error tells more
            let _ = self.discard(dir);
        }
        Ok(done?)
    }

    /// Removes it.
    ///
    /// # Errors
    /// What the system says.
    pub fn discard(self, dir: impl AsFd) -> io::Result<()> {
        remove(dir, self.name)
    }
}

/// Writes a whole file that does not exist yet, durably but for its directory, which has to be
/// synced. For where a reader knows a file that is cut.
///
/// # Errors
/// `AlreadyExists`, or what the system says; then nothing is left behind.
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

/// Opens a file that does not exist yet for writing.
///
/// # Errors
/// As `openat`.
pub fn create_only(dir: impl AsFd, name: impl rustix::path::Arg, mode: Mode) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(dir, name, flags, mode)?))
}

/// Gives a file its mode against the umask, where its file system has modes.
///
/// # Errors
/// What the system says.
pub fn set_mode(file: impl AsFd, mode: Mode) -> io::Result<()> {
    match rustix::fs::fchmod(file, mode) {
        // FAT has none
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

/// Removes a file; one that is absent is fine.
///
/// # Errors
/// What the system says.
pub fn remove(dir: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    match unlinkat(dir, name.as_ref(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a file durable that is there already; one that is absent is fine.
///
/// # Errors
/// What the system says.
pub fn sync_file(dir: &OwnedFd, name: &str) -> io::Result<()> {
    match open_file_at(dir, OsStr::new(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_all(),
    }
}

/// Makes a directory's entries durable, where its file system can.
///
/// # Errors
/// What the system says.
pub fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        // some file systems have no fsync for directories: sticks, shares, a box's image on one
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
