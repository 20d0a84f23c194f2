//! Writes a kit whole or not at all.
//!
//! ```text
//! remove what an interrupted run left (a temporary folder of ours that nobody holds)
//! make a temporary sibling `.sftunnel-kit-….tmp-<random>` (0700), hold it with flock; another one
//!         when a run that began at the same time has taken it for a leftover
//! write every file into it, hashing on the way
//! commit: SHA256SUMS; syncfs; rename to its name, refusing to replace; fsync the parent
//!         with --force: exchange with the old kit, take its receipts over, then remove it
//! discard: remove the temporary folder
//! ```
//!
//! Limits: a process that is killed leaves its temporary folder to the next run. Where the
//! file system cannot exchange two names, `--force` moves the old kit aside first, so for
//! an instant there is none.

mod temporary;

use std::ffi::OsStr;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use cli::disk::durable::{create_only, set_mode, sync_dir_if_supported};
use cli::disk::root::open_dir_at;
use cli::kit::folder::is_kit;
use cli::say::exit::Failure;
use formats::checksum::{HashingWriter, Sha256, Sums};
use formats::error::Reason;
use formats::kit::{self, TextEntry};
use formats::limits;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, mkdirat, renameat, renameat_with, statat};
use rustix::io::Errno;

use self::temporary::{held_folder, remove_leftovers, temporary_name};
use crate::kit::parallel::joined;

/// A kit under construction.
#[derive(Debug)]
pub(crate) struct KitWriter {
    out_path: PathBuf,
    out: OwnedFd,
    name: String,
    temporary: String,
    force: bool,
    /// Holds the flock.
    dir: OwnedFd,
    bundles: OwnedFd,
    written: Mutex<Sums>,
    /// Whether the kit stands under its name.
    is_published: AtomicBool,
}

/// A kit that stands under its name.
#[derive(Debug)]
pub(crate) struct Published {
    /// Where.
    pub path: PathBuf,
    /// What did not go as it should; the kit is whole all the same.
    pub warnings: Vec<String>,
}

/// A file of the kit, as written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Bytes.
    pub size: u64,
    /// Of them.
    pub sha256: Sha256,
}

/// Whether a kit of that name may be made in `out`.
///
/// # Errors
/// `not-found` for `out`; `exists` for a kit, unless `force`.
pub(crate) fn check_place(out: &Path, name: &str, force: bool) -> Result<(), Failure> {
    let dir = open_out(out)?;
    let there = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    let path = out.join(name);
    if there && force && !is_kit(&path) {
        return Err(exists(&path)
            .hint("it is not a kit, so --force does not replace it; choose another --out DIR"));
    }
    if there && !force {
        return Err(exists(&path)
            .hint("--force replaces it; --out DIR puts the kit elsewhere; `sftunnel-bundle inspect` shows what it is"));
    }
    Ok(())
}

fn exists(path: &Path) -> Failure {
    Failure::refused(Reason::Exists, format!("{} already exists", path.display()))
}

/// Opens the directory that `--out` names.
///
/// # Errors
/// `not-found`.
pub(crate) fn open_out(out: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    rustix::fs::open(out, flags, Mode::empty()).map_err(|error| {
        let hint = match error {
            Errno::NOENT | Errno::NOTDIR => "make the directory first, or mount the stick",
            _ => "choose another place with --out DIR",
        };
        Failure::io(format!("--out {}", out.display()), &error.into()).or_hint(hint)
    })
}

impl KitWriter {
    /// Starts a kit.
    ///
    /// # Errors
    /// As [`check_place`], or when nothing can be written there.
    pub(crate) fn create(out: &Path, name: &str, force: bool) -> Result<Self, Failure> {
        check_place(out, name, force)?;
        let out_dir = open_out(out)?;
        remove_leftovers(out, &out_dir);
        let make = || -> io::Result<(String, OwnedFd, OwnedFd)> {
            let (temporary, dir) = held_folder(&out_dir, name)?;
            mkdirat(&dir, kit::BUNDLES, Mode::from(0o700))?;
            let bundles = open_dir_at(&dir, OsStr::new(kit::BUNDLES))?;
            Ok((temporary, dir, bundles))
        };
        let (temporary, dir, bundles) =
            make().map_err(|error| cannot_write(&out.join(name), &error))?;
        Ok(Self {
            out_path: out.to_owned(),
            out: out_dir,
            name: name.to_owned(),
            temporary,
            force,
            dir,
            bundles,
            written: Mutex::default(),
            is_published: AtomicBool::new(false),
        })
    }

    /// Writes a bundle (0600); `file` is its path in the kit.
    ///
    /// # Errors
    /// When it cannot be written: no space, most likely.
    pub(crate) fn bundle(&self, file: &str, bytes: &[u8]) -> Result<Written, Failure> {
        let name = file.strip_prefix(kit::BUNDLES).and_then(|rest| rest.strip_prefix('/'));
        let name = name.unwrap_or(file);
        let write = || create_only(&self.bundles, name, Mode::from(0o600))?.write_all(bytes);
        write().map_err(|error| self.failed(file, &error))?;
        Ok(self.record(file, Written { size: bytes.len() as u64, sha256: Sha256::of(bytes) }))
    }

    /// Writes one of the small files at the top of the kit.
    ///
    /// # Errors
    /// As [`KitWriter::bundle`].
    pub(crate) fn file(&self, name: &str, bytes: &[u8], mode: u32) -> Result<Written, Failure> {
        self.copy(name, bytes, bytes.len() as u64, mode)
    }

    /// Writes one of them that the index lists.
    ///
    /// # Errors
    /// As [`KitWriter::bundle`].
    pub(crate) fn text(&self, name: &str, bytes: &[u8], mode: u32) -> Result<TextEntry, Failure> {
        let Written { size, sha256 } = self.file(name, bytes, mode)?;
        Ok(TextEntry { file: name.to_owned(), size, sha256 })
    }

    /// Writes an installer (0755).
    ///
    /// # Errors
    /// As [`KitWriter::bundle`]; `too-large`.
    pub(crate) fn installer(&self, file: &str, program: impl Read) -> Result<Written, Failure> {
        match mkdirat(&self.dir, kit::BIN, Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(self.failed(kit::BIN, &error.into())),
        }
        self.copy(file, program, limits::INSTALLER, 0o755)
    }

    fn copy(
        &self,
        file: &str,
        content: impl Read,
        limit: u64,
        mode: u32,
    ) -> Result<Written, Failure> {
        let mode = Mode::from(mode);
        let write = || -> io::Result<(Sha256, u64)> {
            let created = create_only(&self.dir, file, mode)?;
            set_mode(&created, mode)?;
            let mut hashing = HashingWriter::new(created);
            io::copy(&mut content.take(limit + 1), &mut hashing)?;
            let (_, sha256, size) = hashing.finish();
            Ok((sha256, size))
        };
        let (sha256, size) = write().map_err(|error| self.failed(file, &error))?;
        if size > limit {
            let message = format!("{file} would be larger than {limit} bytes");
            return Err(Failure::refused(Reason::TooLarge, message));
        }
        Ok(self.record(file, Written { size, sha256 }))
    }

    fn record(&self, file: &str, written: Written) -> Written {
        self.sums().push(written.sha256, file);
        written
    }

    /// Of what is written so far.
    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn failed(&self, file: &str, error: &io::Error) -> Failure {
        cannot_write(&self.out_path.join(&self.name).join(file), error)
    }

    /// Does `work` while what is written so far goes to the disk: [`KitWriter::commit`] then has
    /// little to wait for.
    ///
    /// # Errors
    /// Those of `work`, or when it cannot be made durable: the system says that only once, so the
    /// kit is then not to be published.
    pub(crate) fn flush_beside<T>(
        &self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        thread::scope(|scope| {
            let flushing = scope.spawn(|| self.flush());
            let done = work()?;
            joined(flushing)?;
            Ok(done)
        })
    }

    fn flush(&self) -> Result<(), Failure> {
        let path = self.out_path.join(&self.name);
        rustix::fs::syncfs(&self.dir).map_err(|error| cannot_write(&path, &error.into()))
    }

    /// Writes `SHA256SUMS` and publishes the kit under its name.
    ///
    /// # Errors
    /// When it cannot be made durable or renamed. The caller then discards it. Once it stands under
    /// its name nothing is an error any more.
    pub(crate) fn commit(&self) -> Result<Published, Failure> {
        self.write_sums().map_err(|error| self.failed(kit::SUMS, &error))?;
        self.flush()?;
        let path = self.out_path.join(&self.name);
        let old = self.publish().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                exists(&path).hint("another run has just made it; --force replaces it")
            }
            _ => cannot_write(&path, &error),
        })?;
        // from here on the new kit stands, and the temporary name may be the old one's
        self.is_published.store(true, Ordering::Relaxed);
        let mut warnings = Vec::new();
        if let Some(old) = old {
            warnings.extend(self.clear_away(&old));
        }
        if let Err(error) = sync_dir_if_supported(&self.out) {
            warnings.push(format!(
                "the kit stands, but {} may not be on the disk yet: {error}. Check it after the stick was taken out and put in again",
                self.out_path.display()
            ));
        }
        Ok(Published { path, warnings })
    }

    /// Line by line: a fleet's is a megabyte.
    fn write_sums(&self) -> io::Result<()> {
        let mode = Mode::from(0o644);
        let file = create_only(&self.dir, kit::SUMS, mode)?;
        set_mode(&file, mode)?;
        let mut sums = self.sums();
        sums.sort();
        let mut out = BufWriter::new(file);
        write!(out, "{sums}")?;
        out.flush()
    }

    /// Gives the kit its name; and under which one the old kit lies then, where there was one.
    fn publish(&self) -> io::Result<Option<String>> {
        let (out, temporary, name) = (&self.out, &*self.temporary, &*self.name);
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
    fn clear_away(&self, old: &str) -> Option<String> {
        let place = self.out_path.join(old);
        let taken =
            open_dir_at(&self.out, OsStr::new(old)).and_then(|dir| take_receipts(&dir, &self.dir));
        match taken {
            Ok(()) => {
                let _ = std::fs::remove_dir_all(place);
                None
            }
            // another run has cleared it away: it does so only without receipts
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(format!(
                "the new kit stands, but the receipts of the old one could not be taken over: {error}. If it had any they are in {}",
                place.display()
            )),
        }
    }

    /// Removes what was written, unless it stands already.
    pub(crate) fn discard(self) {
        if self.is_published.load(Ordering::Relaxed) {
            return;
        }
        let _ = std::fs::remove_dir_all(self.out_path.join(&self.temporary));
    }
}

/// What devices handed back is no part of a kit, and not to be had again: it moves from the
/// old one to the new one.
///
/// # Errors
/// When something of it may be left in the old one.
fn take_receipts(old: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
    match renameat(old, kit::RECEIPTS, new, kit::RECEIPTS) {
        Ok(()) => sync_dir_if_supported(new),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::io(path.display(), error).or_hint("choose another place with --out DIR")
}

#[cfg(test)]
mod tests;
