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

use std::ffi::OsStr;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use console::exit::Failure;
use console::kit_folder::is_kit;
use console::new_file::{create_only, random_hex, set_mode, sync_dir};
use console::root::{names_in, open_dir_at};
use formats::checksum::{HashingWriter, Sha256, Sums};
use formats::error::Reason;
use formats::kit;
use formats::limits;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, renameat,
    renameat_with, statat,
};
use rustix::io::Errno;

use crate::parallel::joined;

const PREFIX: &str = ".sftunnel-kit-";
const INFIX: &str = ".tmp-";

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
            Errno::ACCESS | Errno::PERM => "run this as root on the FMC (`expert`, then `sudo su`)",
            Errno::NOENT | Errno::NOTDIR => "make the directory first, or mount the stick",
            _ => "choose another place with --out DIR",
        };
        Failure::io(format!("--out {}", out.display()), &error.into()).hint(hint)
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
        if let Err(error) = sync_dir(&self.out) {
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
                let aside = format!(".{name}{INFIX}{}", random_hex()?);
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
        Ok(()) => sync_dir(new),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn holds_receipts(dir: &OwnedFd) -> bool {
    statat(dir, kit::RECEIPTS, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Makes a temporary folder and holds it. Between the two another run can take it for a leftover:
/// what it holds or has removed by then is left to it, and another one made.
fn held_folder(out: &OwnedFd, name: &str) -> io::Result<(String, OwnedFd)> {
    const TRIES: usize = 16;
    for _ in 0..TRIES {
        let temporary = format!(".{name}{INFIX}{}", random_hex()?);
        mkdirat(out, &*temporary, Mode::from(0o700))?;
        if let Some(dir) = hold(out, &temporary)? {
            return Ok((temporary, dir));
        }
    }
    Err(io::Error::other("other runs remove every folder that is made here"))
}

/// The folder, held; none when another run was faster.
fn hold(out: &OwnedFd, temporary: &str) -> io::Result<Option<OwnedFd>> {
    let dir = match open_dir_at(out, OsStr::new(temporary)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        // where there are no locks there is no clearing up either
        Ok(()) | Err(_) => {}
    }
    // removed between the two?
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

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::io(path.display(), error).hint("choose another place with --out DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "sftunnel-kit-cdb123c8-1";

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("kit-writer-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        path
    }

    fn entries(path: &Path) -> Vec<String> {
        let names = std::fs::read_dir(path).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(out: &Path, content: &str, force: bool) -> Result<PathBuf, Failure> {
        let writer = KitWriter::create(out, NAME, force)?;
        writer.file(kit::INDEX, content.as_bytes(), 0o644)?;
        writer.bundle("bundles/x.age", b"x")?;
        Ok(writer.commit()?.path)
    }

    #[test]
    fn a_kit_is_there_whole_or_not_at_all() {
        let out = place("whole");
        let writer = KitWriter::create(&out, NAME, false).unwrap();
        writer.file(kit::INDEX, b"{}", 0o644).unwrap();
        assert!(!out.join(NAME).exists());
        writer.discard();
        assert!(entries(&out).is_empty());
        let kit = write(&out, "{}", false).unwrap();
        assert_eq!(entries(&out), [NAME]);
        assert_eq!(entries(&kit), ["SHA256SUMS", "bundles", "kit.json"]);
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn only_force_replaces_and_only_a_kit() {
        let out = place("force");
        write(&out, "old", false).unwrap();
        assert_eq!(write(&out, "new", false).unwrap_err().reason, Some(Reason::Exists));
        assert_eq!(std::fs::read(out.join(NAME).join(kit::INDEX)).unwrap(), b"old");
        let receipt = out.join(NAME).join(kit::RECEIPTS).join("receipt_x.json");
        std::fs::create_dir(receipt.parent().unwrap()).unwrap();
        std::fs::write(&receipt, "claim").unwrap();
        write(&out, "new", true).unwrap();
        assert_eq!(std::fs::read(out.join(NAME).join(kit::INDEX)).unwrap(), b"new");
        assert_eq!(std::fs::read(receipt).unwrap(), b"claim");
        assert_eq!(entries(&out), [NAME]);
        std::fs::remove_file(out.join(NAME).join(kit::INDEX)).unwrap();
        assert_eq!(write(&out, "new", true).unwrap_err().reason, Some(Reason::Exists));
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn a_folder_that_another_run_holds_or_has_removed_is_left_to_it() {
        let out = place("held");
        let dir = open_out(&out).unwrap();
        std::fs::create_dir(out.join("a")).unwrap();
        let other = open_dir_at(&dir, OsStr::new("a")).unwrap();
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(hold(&dir, "a").unwrap().is_none(), "it is about to remove it");
        assert!(hold(&dir, "b").unwrap().is_none());
        drop(other);
        assert!(hold(&dir, "a").unwrap().is_some());
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn runs_that_begin_at_the_same_time_leave_each_other_alone() {
        let out = place("together");
        thread::scope(|scope| {
            let sweeping = scope.spawn(|| {
                let dir = open_out(&out).unwrap();
                (0..3000).for_each(|_| remove_leftovers(&out, &dir));
            });
            while !sweeping.is_finished() {
                let writer = KitWriter::create(&out, NAME, false).unwrap();
                writer.bundle("bundles/x.age", b"x").unwrap();
                writer.discard();
            }
        });
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn an_old_kit_that_cannot_be_cleared_away_is_no_failure() {
        let out = place("away");
        write(&out, "old", false).unwrap();
        let writer = KitWriter::create(&out, NAME, true).unwrap();
        writer.file(kit::INDEX, b"new", 0o644).unwrap();
        // the receipts of the old one have no place in the new one
        std::fs::create_dir(out.join(NAME).join(kit::RECEIPTS)).unwrap();
        std::fs::create_dir_all(out.join(&writer.temporary).join(kit::RECEIPTS).join("x")).unwrap();
        let published = writer.commit().unwrap();
        assert_eq!(std::fs::read(published.path.join(kit::INDEX)).unwrap(), b"new");
        let old = out.join(&writer.temporary);
        let [warning] = &published.warnings[..] else { panic!("{published:?}") };
        assert!(warning.contains(old.to_str().unwrap()), "{warning}");
        assert!(old.join(kit::RECEIPTS).is_dir());
        writer.discard();
        assert!(old.is_dir() && out.join(NAME).is_dir());
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn leftovers_are_removed_unless_in_use() {
        let out = place("leftovers");
        let running = KitWriter::create(&out, NAME, false).unwrap();
        std::fs::create_dir_all(out.join(format!(".{NAME}.tmp-dead/bundles"))).unwrap();
        std::fs::create_dir(out.join(".sftunnel-kit-somebody-elses")).unwrap();
        let with_receipts = format!(".{NAME}.tmp-receipts");
        std::fs::create_dir_all(out.join(&with_receipts).join(kit::RECEIPTS)).unwrap();
        write(&out, "{}", false).unwrap();
        let mut expected =
            [&*running.temporary, &*with_receipts, ".sftunnel-kit-somebody-elses", NAME];
        expected.sort_unstable();
        assert_eq!(entries(&out), expected);
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn what_does_not_reach_the_disk_is_told_by_whoever_hears_of_it() {
        let out = place("flush");
        let mut writer = KitWriter::create(&out, NAME, false).unwrap();
        assert_eq!(writer.flush_beside(|| Ok(7)).unwrap(), 7);
        let failed = || Err::<(), _>(Failure::unexpected("the work's"));
        assert_eq!(writer.flush_beside(failed).unwrap_err().message, "the work's");
        // syncfs refuses this kind of descriptor, and no other call is made on it here
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = out.join(&writer.temporary);
        writer.dir = rustix::fs::open(dir, flags, Mode::empty()).unwrap();
        assert!(writer.flush_beside(|| Ok(())).is_err());
        writer.discard();
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn a_place_that_is_not_there_is_not_made() {
        let out = std::env::temp_dir().join("kit-writer-absent");
        assert_eq!(write(&out, "", false).unwrap_err().reason, Some(Reason::NotFound));
        assert!(!out.exists());
    }
}
