//! A file that is there whole or not at all; [`create`] never puts it in place of another.
//!
//! ```text
//! create a temporary sibling (O_EXCL), write, fsync
//! rename it to its name; `create` refuses to replace (RENAME_NOREPLACE)
//! fsync the directory
//! ```
//!
//! Limits: a file system without `RENAME_NOREPLACE` gets a hard link instead, and one that
//! has neither an error.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::say::exit::Failure;

/// Writes `bytes` to the new file `name` in `dir`.
///
/// # Errors
/// `AlreadyExists` when there is one, or what the system says; nothing is left behind.
pub fn create(dir: impl AsFd, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
    through_temporary(dir.as_fd(), name, bytes, mode, publish)
}

/// Writes `bytes` to the file `name` in `dir`, in place of one that may be there. Whoever
/// reads it meets the old content or the new.
///
/// # Errors
/// What the system says; the old file then still stands.
pub fn replace(dir: impl AsFd, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
    through_temporary(dir.as_fd(), name, bytes, mode, |dir, temporary, name| {
        renameat(dir, temporary, dir, name)?;
        sync_dir(dir)
    })
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

fn through_temporary(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: Mode,
    publish: impl Fn(BorrowedFd<'_>, &OsStr, &OsStr) -> io::Result<()>,
) -> io::Result<()> {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".tmp-{}", random_hex()?));
    let result = write(dir, &temporary, bytes, mode).and_then(|()| publish(dir, &temporary, name));
    if result.is_err() {
        let _ = unlinkat(dir, &*temporary, AtFlags::empty());
    }
    result
}

fn write(dir: BorrowedFd<'_>, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let mut file = create_only(dir, name, mode)?;
    set_mode(&file, mode)?;
    file.write_all(bytes)?;
    file.sync_all()
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

/// Opens a file that does not exist yet for writing.
///
/// # Errors
/// As `openat`.
pub fn create_only(dir: impl AsFd, name: impl rustix::path::Arg, mode: Mode) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(dir, name, flags, mode)?))
}

fn publish(dir: BorrowedFd<'_>, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
    match renameat_with(dir, temporary, dir, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            linkat(dir, temporary, dir, name, AtFlags::empty())?;
            unlinkat(dir, temporary, AtFlags::empty())?;
        }
        other => other?,
    }
    sync_dir(dir)
}

/// Makes a directory's entries durable, where its file system can.
///
/// # Errors
/// What the system says.
pub fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        // some file systems have no fsync for directories
        Err(Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}

/// 16 random hex digits, for temporary names.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Fills `bytes` from the system's random source.
///
/// # Errors
/// When it gives fewer.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    let wanted = bytes.len();
    // up to 256 bytes come whole (getrandom(2))
    let got = getrandom(bytes, GetRandomFlags::empty())?;
    if got == wanted { Ok(()) } else { Err(io::Error::other("not enough random bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_in_place_of_another() {
        let path = std::env::temp_dir().join(format!("new-file-{}", std::process::id()));
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
}
