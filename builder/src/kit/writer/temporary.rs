//! The folder that a kit is written into before it has its name, and what interrupted runs left of
//! theirs.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use cli::disk::root::{names_in, open_dir_at};
use cli::process::random;
use formats::kit;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, flock, fstat, mkdirat, statat};
use rustix::io::Errno;

const PREFIX: &str = ".sftunnel-kit-";
const INFIX: &str = ".tmp-";

/// A name that no other run has, and that is known for a temporary one.
pub(super) fn temporary_name(name: &str) -> io::Result<String> {
    Ok(format!(".{name}{INFIX}{}", random::hex()?))
}

fn holds_receipts(dir: &OwnedFd) -> bool {
    statat(dir, kit::RECEIPTS, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Makes a temporary folder and holds it. Between the two another run can take it for a leftover:
/// what it holds or has removed by then is left to it, and another one made.
pub(super) fn held_folder(out: &OwnedFd, name: &str) -> io::Result<(String, OwnedFd)> {
    const TRIES: usize = 16;
    for _ in 0..TRIES {
        let temporary = temporary_name(name)?;
        mkdirat(out, &*temporary, Mode::from(0o700))?;
        if let Some(dir) = hold(out, &temporary)? {
            return Ok((temporary, dir));
        }
    }
    Err(io::Error::other("other runs remove every folder that is made here"))
}

/// The folder, held; none when another run was faster.
pub(super) fn hold(out: &OwnedFd, temporary: &str) -> io::Result<Option<OwnedFd>> {
    let dir = match open_dir_at(out, OsStr::new(temporary)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    hold_opened(out, temporary, dir)
}

/// The same from when it is opened: until then, and until it is held, another run may remove it.
pub(super) fn hold_opened(
    out: &OwnedFd,
    temporary: &str,
    dir: OwnedFd,
) -> io::Result<Option<OwnedFd>> {
    // where there are no locks there is no clearing up either
    if flock(&dir, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Ok(None);
    }
    let (held, there) = (fstat(&dir)?, statat(out, temporary, AtFlags::SYMLINK_NOFOLLOW));
    let is_there =
        there.is_ok_and(|there| (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino));
    Ok(is_there.then_some(dir))
}

/// Removes temporary folders that belong to this user and that no running process holds.
pub(super) fn remove_leftovers(out: &Path, dir: &OwnedFd) {
    let ours = rustix::process::geteuid().as_raw();
    for name in names_in(dir).unwrap_or_default() {
        let is_temporary =
            name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.contains(INFIX));
        if !is_temporary {
            continue;
        }
        let Ok(left) = open_dir_at(dir, &name) else { continue };
        let is_ours = fstat(&left).is_ok_and(|stat| stat.st_uid == ours);
        if is_ours
            && !holds_receipts(&left)
            && flock(&left, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = std::fs::remove_dir_all(out.join(&name));
        }
    }
}
