//! Receipts: written to the state directory before a transaction is closed, and copied beside the
//! kit, and to a folder that the operator names, where that is writable. The stick is hostile
//! ground: everything there goes through directory handles, follows no link and replaces nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use cli::disk::durable::{self, set_mode, sync_dir, write_new};
use cli::disk::input::STDIN;
use cli::disk::root::{names_in, open_dir_at, open_file_at};
use cli::kit::locate::{is_kit, is_kit_at, kit_around};
use cli::say::failure::Failure;
use formats::device::{DeviceUuid, ManagerUuid};
use formats::limits::{self, LimitError};
use formats::receipt::{Claim, Outcome, SignedReceipt, file_name};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, fstat, mkdirat};
use rustix::io::Errno;

use crate::appliance::peers::{LiveSet, PeerDir};
use crate::appliance::state::State;
use crate::change::Context;
use crate::change::Goal;
use crate::change::backup::{self, BackupId};
use crate::change::error::{Error, RecordError};
use crate::change::journal::{Journal, Remember};

const STORE: &str = "receipts";

/// The files that were written, and the first thing that went wrong. A receipt is a record: nothing
/// is undone because one could not be written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Receipts {
    /// File names and contents.
    pub written: Vec<(String, Vec<u8>)>,
    /// The reason one is missing.
    pub problem: Option<String>,
}

impl Receipts {
    /// Their paths on this box, for who has to fetch them there.
    pub(crate) fn paths(&self, state: &State) -> impl Iterator<Item = String> {
        self.written.iter().map(move |(name, _)| format!("{}/{STORE}/{name}", state.shown()))
    }

    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

/// Writes a receipt for each manager of a transaction that is about to be closed.
pub(crate) fn write(context: Context<'_>, journal: &Journal) -> Receipts {
    let mut receipts = Receipts::default();
    let prepared = || -> Result<_, Error> {
        let device = context.host.appliance()?.uuid;
        let before = backup::open(context.state, &journal.backup)?.peers;
        let store =
            open_or_make(context.state.dir(), 0o700).map_err(|error| Error::io(STORE, error))?;
        Ok((device, before, store))
    };
    let (device, before, store) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => {
            receipts.note(Failure::from(error).into_message());
            return receipts;
        }
    };
    for remember in &journal.remember {
        let found =
            before.iter().find(|(manager, _)| *manager == remember.manager).map(|(_, found)| found);
        match one(context, journal, remember, &device, found) {
            Err(problem) => receipts.note(problem),
            Ok((name, bytes)) => match durable::replace_record(&store, &name, &bytes) {
                Ok(()) => receipts.written.push((name, bytes)),
                Err(error) => receipts.note(format!("{name}: {error}")),
            },
        }
    }
    receipts
}

/// Tells whether a receipt here names this backup as what was before a change. One that cannot be
/// read may.
pub(crate) fn tell_of_a_change(state: &State, backup: &BackupId) -> bool {
    let Ok(store) = open_dir_at(state.dir(), OsStr::new(STORE)) else { return false };
    let Ok(names) = names_in(&store) else { return true };
    let number = format!("_{:04}_", backup.sequence());
    let tells = |name: &OsString| {
        let file = open_file_at(&store, name).map_err(LimitError::from);
        let bytes = file.and_then(|file| limits::read_public(file, limits::RECEIPT));
        let receipt = bytes.ok().and_then(|bytes| SignedReceipt::open(&bytes).ok());
        receipt.is_none_or(|receipt| {
            let claim = receipt.claim();
            claim.backup == backup.as_str() && claim.outcome != Outcome::Restored
        })
    };
    names.iter().filter(|name| name.to_string_lossy().contains(&number)).any(tells)
}

/// Removes a receipt that a crash kept from being renamed into place.
pub(crate) fn remove_unfinished(state: &State) -> Result<(), Error> {
    let removed = match open_dir_at(state.dir(), OsStr::new(STORE)) {
        // what is no directory, receipts cannot be written to either, which is only a note
        Err(error) if is_no_directory(&error) => return Ok(()),
        opened => opened.and_then(|store| durable::remove_unfinished(&store)),
    };
    removed.map_err(|error| Error::io(format!("{}/{STORE}", state.shown()), error))
}

fn is_no_directory(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

fn one(
    context: Context<'_>,
    journal: &Journal,
    remember: &Remember,
    device: &DeviceUuid,
    before: Option<&LiveSet>,
) -> Result<(String, Vec<u8>), String> {
    let live = read_live(context, &remember.manager)?;
    let set = live
        .check()
        .map_err(|broken| format!("no receipt can be signed with what is live: {broken}"))?;
    let claim = Claim {
        device: device.clone(),
        manager: remember.manager.clone(),
        outcome: match journal.goal {
            Goal::Install => Outcome::Installed,
            Goal::Rollback => Outcome::RolledBack,
            Goal::Restore => Outcome::Restored,
        },
        bundle_id: remember.bundle_id,
        signer: remember.signer.map(|key| key.fingerprint()),
        certificate_before: before
            .and_then(|found| found.check().ok())
            .map(|set| set.certificate().facts().fingerprint),
        certificate_after: set.certificate().facts().fingerprint,
        ca_after: set.ca().facts().fingerprint,
        started_at: journal.started_at,
        ended_at: context.host.now(),
        backup: journal.backup.to_string(),
        program: cli::say::version::VERSION.to_owned(),
    };
    let bytes = claim.sign(&set).map_err(|error| error.to_string())?;
    Ok((file_name(&claim), bytes))
}

fn read_live(context: Context<'_>, manager: &ManagerUuid) -> Result<LiveSet, String> {
    PeerDir::open(context.host, manager)
        .and_then(|peer| peer.read(context.host))
        .map_err(|error| Failure::from(error).into_message())
}

/// Folders for copies, opened before the first change: what is mounted, renamed or linked
/// there while sftunnel restarts makes no difference.
#[derive(Debug, Default)]
pub(crate) struct Places {
    folders: Vec<(PathBuf, OwnedFd)>,
    /// They are printed as text as well.
    prints: bool,
    /// The reason a kit could not be opened. No installation fails for that.
    problem: Option<String>,
}

impl Places {
    /// Opens the operator's; `-` stands for standard output. A link is not followed.
    ///
    /// `bad-format` for what is no folder.
    pub(crate) fn open(folders: &[PathBuf]) -> Result<Self, RecordError> {
        let mut places = Self::default();
        for path in folders {
            if path.as_os_str() == STDIN {
                places.prints = true;
                continue;
            }
            places
                .add(path, OFlags::NOFOLLOW)
                .map_err(|errno| RecordError::ReceiptOut { path: path.clone(), errno })?;
        }
        Ok(places)
    }

    /// And the kits that the bundles come from.
    pub(crate) fn with_kits(mut self, sources: &[PathBuf]) -> Self {
        for kit in sources.iter().filter_map(|path| kit_of(path)) {
            if let Err(error) = self.add(&kit, OFlags::empty()) {
                self.problem.get_or_insert(format!("{}: {error}", kit.display()));
            }
        }
        self
    }

    /// One that is there already under another name gets no second copy.
    fn add(&mut self, path: &Path, flags: OFlags) -> Result<(), Errno> {
        let identity = |dir: &OwnedFd| fstat(dir).map(|found| (found.st_dev, found.st_ino));
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        let new = identity(&dir)?;
        if !self.folders.iter().any(|(_, known)| identity(known) == Ok(new)) {
            self.folders.push((path.to_owned(), dir));
        }
        Ok(())
    }

    /// The receipts as text, if they are to be printed.
    pub(crate) fn texts(&self, receipts: &Receipts) -> Vec<String> {
        let written = receipts.written.iter().filter(|_| self.prints);
        written.map(|(_, bytes)| formats::receipt::text(bytes)).collect()
    }

    /// Copies receipts there; in a kit to its `receipts/`. Gives the paths written, and why one
    /// is missing.
    pub(crate) fn copy(self, receipts: &Receipts) -> (Vec<String>, Option<String>) {
        let (mut written, mut problem) = (Vec::new(), self.problem);
        for (place, dir) in &self.folders {
            let in_kit = is_kit_at(dir);
            let folder = if in_kit { place.join(STORE) } else { place.clone() };
            for (name, bytes) in &receipts.written {
                let shown = folder.join(name).display().to_string();
                match copy(dir, in_kit, name, bytes) {
                    Ok(()) => written.push(shown),
                    Err(error) => {
                        problem.get_or_insert(format!("{shown}: {error}"));
                    }
                }
            }
        }
        (written, problem)
    }
}

fn kit_of(source: &Path) -> Option<PathBuf> {
    if is_kit(source) { Some(source.to_owned()) } else { kit_around(source) }
}

fn copy(place: &OwnedFd, in_kit: bool, name: &str, bytes: &[u8]) -> io::Result<()> {
    let made = if in_kit { Some(open_or_make(place, 0o755)?) } else { None };
    let folder = made.as_ref().unwrap_or(place);
    // what cannot be written whole is not left: a cut receipt would be taken for a forged one
    write_new(folder, OsStr::new(name), bytes, Mode::from_raw_mode(0o644))?;
    sync_dir(folder)
}

fn open_or_make(parent: &OwnedFd, mode: u32) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(mode);
    match mkdirat(parent, STORE, mode) {
        Ok(()) => {
            let made = open_dir_at(parent, OsStr::new(STORE))?;
            set_mode(&made, mode)?;
            Ok(made)
        }
        Err(Errno::EXIST) => open_dir_at(parent, OsStr::new(STORE)),
        Err(error) => Err(error.into()),
    }
}
