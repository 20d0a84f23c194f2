//! Receipts: written to the state directory before a transaction is closed, and copied
//! beside the kit where that is writable. The stick is hostile ground: everything there goes
//! through directory handles, follows no link and replaces nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use console::exit::Failure;
use console::kit_folder::{is_kit, kit_around};
use console::root::open_dir_at;
use formats::device::{DeviceUuid, ManagerUuid};
use formats::receipt::{Claim, Outcome, file_name};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use crate::atomic_file::sync_dir;
use crate::backup;
use crate::journal::{Goal, Journal, Remember};
use crate::peers::{LiveSet, PeerDir};
use crate::transaction::Context;

const STORE: &str = "receipts";

/// What was written, and the first thing that went wrong. A receipt is a record: nothing is
/// undone because one could not be written.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// File names and contents.
    pub written: Vec<(String, Vec<u8>)>,
    /// Why one is missing.
    pub problem: Option<String>,
}

impl Receipts {
    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

/// Writes a receipt for each manager of a transaction that is about to be closed.
pub(crate) fn write(context: Context<'_>, journal: &Journal) -> Receipts {
    let mut receipts = Receipts::default();
    let prepared = || -> Result<_, Failure> {
        let device = context.host.appliance()?.uuid;
        let before = backup::open(context.state, &journal.backup)?.peers;
        let store =
            open_or_make(context.state.dir(), 0o700).map_err(|error| Failure::io(STORE, &error))?;
        Ok((device, before, store))
    };
    let (device, before, store) = match prepared() {
        Ok(prepared) => prepared,
        Err(failure) => {
            receipts.note(failure.message);
            return receipts;
        }
    };
    for remember in &journal.remember {
        let found =
            before.iter().find(|(manager, _)| *manager == remember.manager).map(|(_, found)| found);
        match one(context, journal, remember, &device, found) {
            Err(problem) => receipts.note(problem),
            Ok((name, bytes)) => match put(&store, &name, &bytes, 0o600) {
                Ok(()) => receipts.written.push((name, bytes)),
                Err(error) => receipts.note(format!("{name}: {error}")),
            },
        }
    }
    if let Err(error) = sync_dir(&store) {
        receipts.note(error.to_string());
    }
    receipts
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
        program: console::version::VERSION.to_owned(),
    };
    let bytes = claim.sign(&set).map_err(|error| error.to_string())?;
    Ok((file_name(&claim), bytes))
}

fn read_live(context: Context<'_>, manager: &ManagerUuid) -> Result<LiveSet, String> {
    PeerDir::open(context.host, manager)
        .and_then(|peer| peer.read(context.host))
        .map_err(|failure| failure.message)
}

/// Copies receipts beside the kits that the bundles came from. Gives the paths written, and
/// why one is missing.
pub(crate) fn copy_to_kits(
    receipts: &Receipts,
    sources: &[PathBuf],
) -> (Vec<String>, Option<String>) {
    let mut kits: Vec<PathBuf> = sources.iter().filter_map(|path| kit_of(path)).collect();
    kits.sort();
    kits.dedup();
    let (mut written, mut problem) = (Vec::new(), None);
    for kit in kits {
        for (name, bytes) in &receipts.written {
            let shown = kit.join(STORE).join(name).display().to_string();
            match copy(&kit, name, bytes) {
                Ok(()) => written.push(shown),
                Err(error) => {
                    problem.get_or_insert(format!("{shown}: {error}"));
                }
            }
        }
    }
    (written, problem)
}

fn kit_of(source: &Path) -> Option<PathBuf> {
    if is_kit(source) { Some(source.to_owned()) } else { kit_around(source) }
}

fn copy(kit: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let kit = rustix::fs::open(kit, flags, Mode::empty())?;
    let folder = open_or_make(&kit, 0o755)?;
    put(&folder, name, bytes, 0o644)?;
    sync_dir(&folder)
}

fn open_or_make(parent: &OwnedFd, mode: u32) -> io::Result<OwnedFd> {
    match mkdirat(parent, STORE, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => open_dir_at(parent, OsStr::new(STORE)),
        Err(error) => Err(error.into()),
    }
}

fn put(dir: &OwnedFd, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, name, flags, Mode::from_raw_mode(mode))?);
    file.write_all(bytes)?;
    file.sync_all()
}
