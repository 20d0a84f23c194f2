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

use std::ffi::OsStr;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use cli::disk::durable::{create_only, set_mode};
use cli::disk::root::open_dir_at;
use cli::say::failure::Failure;
use formats::checksum::{HashingWriter, Sha256, Sums};
use formats::kit::{self, InstallerEntry, TextEntry};
use formats::limits;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use crate::kit::error::Error;
use crate::kit::parallel::joined;
use crate::kit::replace::Place;

/// A kit under construction.
#[derive(Debug)]
pub(crate) struct KitWriter {
    place: Place,
    temporary: String,
    /// Holds the flock.
    dir: OwnedFd,
    bundles: OwnedFd,
    written: Mutex<Sums>,
}

/// A kit that stands under its name.
#[derive(Debug)]
pub(crate) struct Published {
    pub path: PathBuf,
    /// Mishaps that leave the kit whole.
    pub warnings: Vec<String>,
}

/// A file of the kit, as written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub size: u64,
    pub sha256: Sha256,
}

impl KitWriter {
    /// Starts a kit of that name in `out`.
    pub(crate) fn create(out: &Path, name: &str, force: bool) -> Result<Self, Error> {
        let place = Place::check(out, name, force)?;
        let make = || -> io::Result<(String, OwnedFd, OwnedFd)> {
            let (temporary, dir) = place.temporary()?;
            mkdirat(&dir, kit::BUNDLES, Mode::from(0o700))?;
            let bundles = open_dir_at(&dir, OsStr::new(kit::BUNDLES))?;
            Ok((temporary, dir, bundles))
        };
        let (temporary, dir, bundles) =
            make().map_err(|error| Error::Write { path: place.path(), error })?;
        Ok(Self { place, temporary, dir, bundles, written: Mutex::default() })
    }

    /// Publishes what `fill` writes; removes it all when that fails or gives nothing.
    pub(crate) fn publish<T>(
        self,
        fill: impl FnOnce(&Self) -> Result<Option<T>, Failure>,
    ) -> Result<Option<(T, Published)>, Failure> {
        let ended = fill(&self).and_then(|filled| match filled {
            Some(filled) => Ok(Some((filled, self.commit()?))),
            None => Ok(None),
        });
        if !matches!(ended, Ok(Some(_))) {
            self.discard();
        }
        ended
    }

    /// Writes a bundle (0600); `file` is its path in the kit.
    pub(crate) fn bundle(&self, file: &str, bytes: &[u8]) -> Result<Written, Error> {
        let name = file.strip_prefix(kit::BUNDLES).and_then(|rest| rest.strip_prefix('/'));
        let name = name.unwrap_or(file);
        let write = || create_only(&self.bundles, name, Mode::from(0o600))?.write_all(bytes);
        write().map_err(|error| self.failed(file, error))?;
        Ok(self.record(file, Written { size: bytes.len() as u64, sha256: Sha256::of(bytes) }))
    }

    /// Writes one of the small files at the top of the kit.
    pub(crate) fn file(&self, name: &str, bytes: &[u8], mode: u32) -> Result<Written, Error> {
        self.copy(name, bytes, bytes.len() as u64, mode)
    }

    /// Writes one of them that the index lists.
    pub(crate) fn text(&self, name: &str, bytes: &[u8], mode: u32) -> Result<TextEntry, Error> {
        let Written { size, sha256 } = self.file(name, bytes, mode)?;
        Ok(TextEntry { file: name.to_owned(), size, sha256 })
    }

    /// Writes an installer (0755).
    pub(crate) fn installer(
        &self,
        arch: &str,
        program: impl Read,
    ) -> Result<InstallerEntry, Error> {
        match mkdirat(&self.dir, kit::BIN, Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(self.failed(kit::BIN, error.into())),
        }
        let file = kit::installer_file(arch);
        let Written { size, sha256 } = self.copy(&file, program, limits::INSTALLER, 0o755)?;
        Ok(InstallerEntry { arch: arch.to_owned(), file, size, sha256 })
    }

    fn copy(
        &self,
        file: &str,
        content: impl Read,
        limit: u64,
        mode: u32,
    ) -> Result<Written, Error> {
        let mode = Mode::from(mode);
        let write = || -> io::Result<(Sha256, u64)> {
            let created = create_only(&self.dir, file, mode)?;
            set_mode(&created, mode)?;
            let mut hashing = HashingWriter::new(created);
            io::copy(&mut content.take(limit + 1), &mut hashing)?;
            let (_, sha256, size) = hashing.finish();
            Ok((sha256, size))
        };
        let (sha256, size) = write().map_err(|error| self.failed(file, error))?;
        if size > limit {
            return Err(Error::FileTooLarge { file: file.to_owned(), limit });
        }
        Ok(self.record(file, Written { size, sha256 }))
    }

    fn record(&self, file: &str, written: Written) -> Written {
        self.sums().push(written.sha256, file);
        written
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, file: &str, error: io::Error) -> Error {
        Error::Write { path: self.place.path().join(file), error }
    }

    /// Does `work` while what is written so far goes to the disk: [`KitWriter::commit`] then has
    /// little to wait for.
    ///
    /// That it cannot be made durable the system says only once: the kit is then not to be
    /// published.
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

    fn flush(&self) -> Result<(), Error> {
        rustix::fs::syncfs(&self.dir)
            .map_err(|error| Error::Write { path: self.place.path(), error: error.into() })
    }

    /// Writes `SHA256SUMS`, makes all of it durable, and publishes the kit under its name. Once it
    /// stands there nothing is an error any more.
    fn commit(&self) -> Result<Published, Error> {
        self.write_sums().map_err(|error| self.failed(kit::SUMS, error))?;
        self.flush()?;
        let warnings = self.place.publish(&self.temporary, &self.dir)?;
        Ok(Published { path: self.place.path(), warnings })
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

    fn discard(self) {
        self.place.discard(&self.temporary);
    }
}

#[cfg(test)]
mod tests;
