//! `/var/sf`, which holds the peer directories and this program's state, and the way to it.
//!
//! `/var/sf` or a parent may be a link (docs/facts.md: `/ngfw/var/sf` is the same place); then the
//! parents of what it leads to count, too. Whoever could rename something on the way could put
//! directories of his own in place of those that are looked at below.

use std::io;
use std::path::Path;

use cli::disk::root::Passed;
use formats::cisco::facts::SF;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::appliance::error::{Error, Unsafe};
use crate::appliance::host::Host;

/// Opens it; `None` when there is none.
///
/// `wrong-destination` when somebody other than root could change the way to it; or what the
/// system says.
pub(crate) fn open(host: &Host) -> Result<Option<OwnedFd>, Error> {
    let (dir, passed) = match host.root().open_dir_on_the_way(Path::new(SF)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened
            .map_err(|error| Error::io(host.root().outside(SF).display().to_string(), error))?,
    };
    match passed.iter().find(|one| !is_trusted(one, rustix::process::geteuid().as_raw())) {
        None => Ok(Some(dir)),
        Some(one) => Err(refusal(host, one).into()),
    }
}

/// True when it is root's, or of who runs this, and not everybody's to change. A group may: which
/// groups a box gives its directories to is not known, and its members are the vendor's
/// choice. In a sticky directory others can add names, not exchange those of root.
fn is_trusted(one: &Passed, own: u32) -> bool {
    let by_others = one.mode & 0o002 != 0;
    let sticky = one.mode & 0o1000 != 0;
    (one.uid == 0 || one.uid == own) && (one.is_link() || sticky || !by_others)
}

fn refusal(host: &Host, one: &Passed) -> Unsafe {
    let (path, mode) = (host.root().outside(&one.path), one.mode & 0o7777);
    Unsafe::Way { path, mode, uid: one.uid, gid: one.gid }
}

/// The error of a directory that could not be opened, where no link may lead to it.
pub(crate) fn wrong_directory(path: String, error: io::Error) -> Error {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP | Errno::NOTDIR) => Unsafe::NotADirectory { path }.into(),
        _ => Error::Io { path, error },
    }
}

/// The same for a file.
pub(crate) fn wrong_file(path: String, error: io::Error) -> Error {
    let link = error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::LOOP);
    if link || error.kind() == io::ErrorKind::InvalidInput {
        return Unsafe::NotAFile { path }.into();
    }
    Error::Io { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_who_runs_this_may_change_the_way() {
        let trusted = |mode: u32, uid, gid| {
            is_trusted(&Passed { path: SF.into(), mode: 0o040_000 | mode, uid, gid }, 7)
        };
        for (mode, uid, gid) in
            [(0o755, 0, 0), (0o755, 0, 9), (0o700, 7, 7), (0o775, 0, 9), (0o1777, 0, 9)]
        {
            assert!(trusted(mode, uid, gid), "{mode:o} {uid}:{gid}");
        }
        for (mode, uid, gid) in [(0o755, 9, 0), (0o757, 0, 0), (0o777, 0, 9), (0o1777, 9, 0)] {
            assert!(!trusted(mode, uid, gid), "{mode:o} {uid}:{gid}");
        }
        // the bits of a link mean nothing, its owner does
        let link = |uid| Passed { path: SF.into(), mode: 0o120_777, uid, gid: 9 };
        assert!(is_trusted(&link(0), 7) && !is_trusted(&link(9), 7));
    }
}
