//! Where a kit is going to stand: a temporary folder beside its name, a kit of that name that it
//! replaces, and what interrupted runs left of theirs.
//!
//! Limits: a process that is killed leaves its temporary folder to the next run. Where the file
//! system cannot exchange two names, `--force` moves the old kit aside first, so for an instant
//! there is none.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use cli::disk::durable::sync_dir;
use cli::disk::root::{names_in, open_dir_at};
use cli::kit::locate::is_kit;
use cli::process::random;
use formats::kit;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, renameat,
    renameat_with, statat,
};
use rustix::io::Errno;

use crate::kit::error::{Error, Occupant};

const PREFIX: &str = ".sftunnel-kit-";
const INFIX: &str = ".tmp-";

/// A name in a directory that a kit may have.
#[derive(Debug)]
pub(crate) struct Place {
    out_path: PathBuf,
    out: OwnedFd,
    name: String,
    force: bool,
}

impl Place {
    /// Checks that a kit of that name may be made in `out`: where one stands only with `force`,
    /// where something else stands not at all.
    pub(crate) fn check(out: &Path, name: &str, force: bool) -> Result<Self, Error> {
        let dir = open_out(out)?;
        let there = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let path = out.join(name);
        if there && force && !is_kit(&path) {
            return Err(Error::Exists { path, occupant: Occupant::NoKit });
        }
        if there && !force {
            return Err(Error::Exists { path, occupant: Occupant::Replaceable });
        }
        Ok(Self { out_path: out.to_owned(), out: dir, name: name.to_owned(), force })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.out_path.join(&self.name)
    }

    /// Sweeps, then makes a temporary folder and holds it. Between the two another run can take it
    /// for a leftover: what it holds or has removed by then is left to it, and another one made.
    pub(super) fn temporary(&self) -> io::Result<(String, OwnedFd)> {
        const TRIES: usize = 16;
        remove_leftovers(&self.out_path, &self.out);
        for _ in 0..TRIES {
            let temporary = temporary_name(&self.name)?;
            mkdirat(&self.out, &*temporary, Mode::from(0o700))?;
            if let Some(dir) = hold(&self.out, &temporary)? {
                return Ok((temporary, dir));
            }
        }
        Err(io::Error::other("other runs remove every folder that is made here"))
    }

    /// Removes a temporary folder.
    pub(super) fn discard(&self, temporary: &str) {
        let _ = std::fs::remove_dir_all(self.out_path.join(temporary));
    }

    /// Gives the folder `new`, which is called `temporary`, the kit's name, and clears the old kit
    /// away. What fails once the new kit stands is a warning.
    pub(super) fn publish(&self, temporary: &str, new: &OwnedFd) -> Result<Vec<String>, Error> {
        let old = self.rename(temporary).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::Exists { path: self.path(), occupant: Occupant::JustMade }
            }
            _ => Error::Write { path: self.path(), error },
        })?;
        let mut warnings: Vec<_> =
            old.and_then(|old| self.clear_away(&old, new)).into_iter().collect();
        if let Err(error) = sync_dir(&self.out) {
            warnings.push(format!(
                "the kit was made, but {} may not be on the disk yet: {error}. Take the stick out, put it in again, and check the kit",
                self.out_path.display()
            ));
        }
        Ok(warnings)
    }

    /// Gives the kit its name; says under which one the old kit lies then, where there was one.
    fn rename(&self, temporary: &str) -> io::Result<Option<String>> {
        let (out, name) = (&self.out, &*self.name);
        match renameat_with(out, temporary, out, name, RenameFlags::NOREPLACE) {
            // a folder with something in it is not replaced by this rename either
            Err(Errno::INVAL | Errno::NOSYS)
                if statat(out, name, AtFlags::SYMLINK_NOFOLLOW).is_err() =>
            {
                renameat(out, temporary, out, name)?;
                return Ok(None);
            }
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) if self.force => {}
            other => {
                other?;
                return Ok(None);
            }
        }
        match renameat_with(out, temporary, out, name, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                let aside = temporary_name(name)?;
                renameat(out, name, out, &*aside)?;
                if let Err(error) = renameat(out, temporary, out, name) {
                    renameat(out, &*aside, out, name)?;
                    return Err(error.into());
                }
                Ok(Some(aside))
            }
            other => {
                other?;
                Ok(Some(temporary.to_owned()))
            }
        }
    }

    /// Takes the old kit's receipts over and removes it. One that cannot be removed is cleared up
    /// by the next run; one with receipts stays, and is told.
    fn clear_away(&self, old: &str, new: &OwnedFd) -> Option<String> {
        let place = self.out_path.join(old);
        let taken =
            open_dir_at(&self.out, OsStr::new(old)).and_then(|dir| take_receipts(&dir, new));
        match taken {
            Ok(()) => {
                let _ = std::fs::remove_dir_all(place);
                None
            }
            // another run has cleared it away: it does so only without receipts
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(format!(
                "the new kit was made, but the receipts of the old one could not be moved into it: {error}. If it had any, they are in {}",
                place.display()
            )),
        }
    }
}

/// Opens the directory that `--out` names.
pub(crate) fn open_out(out: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    rustix::fs::open(out, flags, Mode::empty())
        .map_err(|error| Error::Out { path: out.to_owned(), error: error.into() })
}

/// Moves the receipts that devices handed back from the old kit to the new one: they are no part of
/// a kit, and not to be had again. After an error some may be left in the old one.
fn take_receipts(old: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
    match renameat(old, kit::RECEIPTS, new, kit::RECEIPTS) {
        Ok(()) => sync_dir(new),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A name that no other run has, and that is known for a temporary one.
fn temporary_name(name: &str) -> io::Result<String> {
    Ok(format!(".{name}{INFIX}{}", random::hex()?))
}

fn holds_receipts(dir: &OwnedFd) -> bool {
    statat(dir, kit::RECEIPTS, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// The folder, held; none when another run was faster.
fn hold(out: &OwnedFd, temporary: &str) -> io::Result<Option<OwnedFd>> {
    let dir = match open_dir_at(out, OsStr::new(temporary)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    hold_opened(out, temporary, dir)
}

/// Holds one that is opened: until then, and until it is held, another run may remove it.
fn hold_opened(out: &OwnedFd, temporary: &str, dir: OwnedFd) -> io::Result<Option<OwnedFd>> {
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
fn remove_leftovers(out: &Path, dir: &OwnedFd) {
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

#[cfg(test)]
mod tests;
