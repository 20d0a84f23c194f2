//! The backup store: what was found before each change, by sequence number.
//!
//! ```text
//! backups/0007-20261121T041047Z/
//!   backup.json                     what was found: contents by digest, mode, owner, absence
//!   <manager UUID>/<file name>      copies, 0600
//!   SHA256SUMS                      over all of these; `sha256sum -c` checks a backup by hand
//! ```
//! A backup is made aside, synced, read back, and only then renamed into place. The clock
//! may jump, so the order is that of the sequence numbers.

pub(crate) mod record;

use std::ffi::OsStr;
use std::io;

use cli::disk::durable::{sync_dir, write_new};
use cli::disk::root::{names_in, open_dir_at, open_file_at};
use formats::checksum::{Sha256, Sums};
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::limits;
use formats::timestamp::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, mkdirat, renameat, unlinkat};
use rustix::io::Errno;
use zeroize::Zeroizing;

pub(crate) use self::record::{BackupId, BackupRecord};
use self::record::{FoundRecord, invalid};
use crate::appliance::peers::{Live, LiveFile, LiveSet};
use crate::appliance::sf_dir::wrong_directory;
use crate::appliance::state::{LockedState, State};
use crate::change::error::{BackupError, Error};

pub(crate) const STORE: &str = "backups";
const SUMS: &str = "SHA256SUMS";
const ASIDE: &str = ".new-";
const LIMIT: u64 = 2 * 1024 * 1024;

/// A backup whose every byte has been compared with its checksums.
#[derive(Debug)]
pub(crate) struct Backup {
    pub record: BackupRecord,
    /// The files that were found, in the order of the record.
    pub peers: Vec<(ManagerUuid, LiveSet)>,
    /// The digest of its `SHA256SUMS`.
    pub sums: Sha256,
}

/// The backups there are, oldest first.
pub(crate) fn list(state: &State) -> Result<Vec<BackupId>, Error> {
    let Some(store) = open_store(state)? else { return Ok(Vec::new()) };
    let names = names_in(&store).map_err(|error| failed(state, "", error))?;
    let mut ids: Vec<_> = names
        .into_iter()
        .filter_map(|name| BackupId::try_from(name.into_string().ok()?).ok())
        .collect();
    ids.sort();
    Ok(ids)
}

/// The backup that `--to` names, by its whole name or its number.
pub(crate) fn find(state: &State, named: &str) -> Result<BackupId, Error> {
    let ids = list(state)?;
    let matches = |id: &&BackupId| id.as_str() == named || named.parse() == Ok(id.sequence());
    ids.iter().find(matches).cloned().ok_or_else(|| no_such(state.shown(), named).into())
}

/// A backup that was named is not there.
pub(crate) fn no_such(state: &str, named: &str) -> BackupError {
    BackupError::NotFound { named: named.to_owned(), state: state.to_owned() }
}

/// Makes a backup of what was found, and reads it back. Gives its name and the digest of its
/// `SHA256SUMS`.
///
/// On failure nothing is left of it.
pub(crate) fn create(
    state: &LockedState,
    before: &str,
    now: Timestamp,
    peers: &[(ManagerUuid, &LiveSet)],
) -> Result<(BackupId, Sha256), Error> {
    remove_unfinished(state)?;
    let newest = list(state)?.last().map_or(0, BackupId::sequence);
    let sequence = newest
        .checked_add(1)
        .ok_or_else(|| BackupError::NoNumberLeft { newest, state: state.shown().to_owned() })?;
    let id = BackupId::new(sequence, now);
    let store = match open_store(state)? {
        Some(store) => store,
        None => make_store(state).map_err(|error| failed(state, "", error))?,
    };
    let aside = format!("{ASIDE}{sequence}");
    let record = BackupRecord::new(state.device(), sequence, now, before, peers);
    let made = write(&store, &aside, &record, peers).and_then(|()| read(&store, &aside)).and_then(
        |backup| {
            renameat(&store, &*aside, &store, id.as_str())?;
            sync_dir(&store).map(|()| backup.sums)
        },
    );
    made.map(|sums| (id.clone(), sums)).map_err(|error| {
        let _ = remove_tree(&store, &aside, &aside);
        // it may have been renamed and not be durable
        let _ = remove_tree(&store, id.as_str(), id.as_str());
        BackupError::NotMade { path: path(state, id.as_str()), error }.into()
    })
}

/// Reads a backup and compares every byte with its checksums.
///
/// `damaged` where they differ, and for a backup of a later release, which only that one reads.
pub(crate) fn open(state: &State, id: &BackupId) -> Result<Backup, Error> {
    let store = open_store(state)?;
    let opened = store
        .ok_or_else(|| io::ErrorKind::NotFound.into())
        .and_then(|store| read(&store, id.as_str()));
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => BackupError::Damaged { id: id.clone(), error }.into(),
        io::ErrorKind::Unsupported => BackupError::Later { id: id.clone(), error }.into(),
        _ => failed(state, id.as_str(), error),
    })
}

/// The backup next before `made`, if both are whole and hold the same: of one device, before the
/// same command, the same contents with the same attributes.
pub(crate) fn copy_before(state: &State, made: &BackupId) -> Option<BackupId> {
    let ids = list(state).ok()?;
    let before = ids.iter().rfind(|id| *id < made)?;
    let (older, newer) = (open(state, before).ok()?.record, open(state, made).ok()?.record);
    let is_copy =
        older.device == newer.device && older.before == newer.before && older.peers == newer.peers;
    is_copy.then(|| before.clone())
}

/// A backup that holds the files of another device.
pub(crate) fn of_another_device(state: &State, id: &BackupId, other: &DeviceUuid) -> BackupError {
    let (device, own) = (other.clone(), state.device().cloned());
    BackupError::OtherDevice { id: id.clone(), device, own }
}

/// Removes a backup.
///
/// A failure once it is out of the list is exit 7.
pub(crate) fn remove(state: &LockedState, id: &BackupId) -> Result<(), Error> {
    let Some(store) = open_store(state)? else { return Ok(()) };
    // out of the list first: half a backup is never shown as one
    let doomed = format!("{ASIDE}{id}");
    renameat(&store, id.as_str(), &store, &*doomed)
        .map_err(|error| failed(state, id.as_str(), error))?;
    let removed = remove_tree(&store, &doomed, &path(state, &doomed))
        .and_then(|()| sync_dir(&store).map_err(|error| failed(state, "", error)));
    let half = |error| BackupError::HalfRemoved { id: id.clone(), error: Box::new(error) }.into();
    removed.map_err(half)
}

/// Removes what an interrupted run left of a backup.
pub(crate) fn remove_unfinished(state: &LockedState) -> Result<(), Error> {
    let Some(store) = open_store(state)? else { return Ok(()) };
    let names = names_in(&store).map_err(|error| failed(state, "", error))?;
    for name in names.iter().filter(|name| name.as_encoded_bytes().starts_with(ASIDE.as_bytes())) {
        remove_tree(&store, name, &path(state, &name.to_string_lossy()))?;
    }
    Ok(())
}

fn path(state: &State, name: &str) -> String {
    format!("{}/{STORE}/{name}", state.shown())
}

fn failed(state: &State, name: &str, error: impl Into<io::Error>) -> Error {
    Error::io(path(state, name), error)
}

fn open_store(state: &State) -> Result<Option<OwnedFd>, Error> {
    match open_dir_at(state.dir(), OsStr::new(STORE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other
            .map(Some)
            .map_err(|error| wrong_directory(format!("{}/{STORE}", state.shown()), error).into()),
    }
}

fn make_store(state: &LockedState) -> io::Result<OwnedFd> {
    mkdirat(state.dir(), STORE, Mode::from_raw_mode(0o700))?;
    sync_dir(state.dir())?;
    open_dir_at(state.dir(), OsStr::new(STORE))
}

fn write(
    store: &OwnedFd,
    aside: &str,
    record: &BackupRecord,
    peers: &[(ManagerUuid, &LiveSet)],
) -> io::Result<()> {
    mkdirat(store, aside, Mode::from_raw_mode(0o700))?;
    let dir = open_dir_at(store, OsStr::new(aside))?;
    let mut sums = Sums::default();
    for (manager, found) in peers {
        mkdirat(&dir, manager.as_str(), Mode::from_raw_mode(0o700))?;
        let peer = open_dir_at(&dir, OsStr::new(manager.as_str()))?;
        for (file, live) in found.iter() {
            if let Live::File(live) = live {
                write_file(&peer, file.name(), &live.bytes)?;
                sums.push(live.sha256, format!("{manager}/{file}"));
            }
        }
        sync_dir(&peer)?;
    }
    let mut json = serde_json::to_vec_pretty(record)?;
    json.push(b'\n');
    write_file(&dir, record::NAME, &json)?;
    sums.push(Sha256::of(&json), record::NAME);
    write_file(&dir, SUMS, sums.to_string().as_bytes())?;
    sync_dir(&dir)
}

fn write_file(dir: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_new(dir, OsStr::new(name), bytes, Mode::from_raw_mode(0o600)).map(drop)
}

/// `InvalidData` for everything that is not as the checksums say.
fn read(store: &OwnedFd, name: &str) -> io::Result<Backup> {
    let dir = open_dir_at(store, OsStr::new(name))?;
    let list = read_file(&dir, SUMS)?;
    let sums = Sums::parse(&list).map_err(|error| invalid(error.to_string()))?;
    let json = read_file(&dir, record::NAME)?;
    require_listed(&sums, record::NAME, &json)?;
    let record = BackupRecord::parse(&json)?;
    let mut peers = Vec::new();
    for peer in &record.peers {
        let manager = peer.manager.as_str();
        let folder =
            open_dir_at(&dir, OsStr::new(manager)).map_err(|error| misplaced(manager, error))?;
        let read = |(file, found): (CredentialFile, Option<&FoundRecord>)| match found {
            Some(found) => read_found(&folder, &sums, &peer.manager, file, found).map(Live::File),
            None => Ok(Live::Absent),
        };
        let [ca, certificate, key] = peer.found()?.map(read);
        peers.push((peer.manager.clone(), LiveSet([ca?, certificate?, key?])));
    }
    Ok(Backup { record, peers, sums: Sha256::of(&list) })
}

fn read_found(
    folder: &OwnedFd,
    sums: &Sums,
    manager: &ManagerUuid,
    file: CredentialFile,
    found: &FoundRecord,
) -> io::Result<LiveFile> {
    let bytes = read_file(folder, file.name())?;
    require_listed(sums, &format!("{manager}/{file}"), &bytes)?;
    let sha256 = Sha256::of(&bytes);
    if sha256 != found.sha256 {
        return Err(invalid(format!("{file} is not the file that {} lists", record::NAME)));
    }
    let attributes = found.attributes(file)?;
    Ok(LiveFile { bytes: Zeroizing::new(bytes.to_vec()), sha256, attributes })
}

fn read_file(dir: &OwnedFd, name: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open_file_at(dir, OsStr::new(name)).map_err(|error| misplaced(name, error))?;
    limits::read_secret(file, LIMIT).map_err(|error| match error {
        limits::LimitError::TooLarge { .. } => invalid(format!("{name} {error}")),
        limits::LimitError::Io(error) => error,
    })
}

fn require_listed(sums: &Sums, name: &str, bytes: &[u8]) -> io::Result<()> {
    let digest = Sha256::of(bytes);
    if sums.iter().any(|(listed, path)| path == name && *listed == digest) {
        return Ok(());
    }
    Err(invalid(format!("{name} is not the file that {SUMS} lists")))
}

/// Something else lies where a file or folder of a backup belongs, or nothing.
fn misplaced(name: &str, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => invalid(format!("{name} is missing")),
        io::ErrorKind::InvalidInput => invalid(format!("{name} is {error}")),
        io::ErrorKind::NotADirectory => invalid(format!("{name} is not a directory")),
        _ if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            invalid(format!("{name} is a link"))
        }
        _ => error,
    }
}

/// Removes a directory of two levels, as backups are; `path` is for the error, which is about
/// the one file or directory that could not be removed.
fn remove_tree(parent: &OwnedFd, name: impl AsRef<OsStr>, path: &str) -> Result<(), Error> {
    let name = name.as_ref();
    let dir = open_dir_at(parent, name).map_err(|error| Error::io(path, error))?;
    for entry in names_in(&dir).map_err(|error| Error::io(path, error))? {
        let inside = format!("{path}/{}", entry.to_string_lossy());
        match unlinkat(&dir, &*entry, AtFlags::empty()) {
            Err(Errno::ISDIR) => remove_tree(&dir, &entry, &inside)?,
            other => other.map_err(|error| Error::io(&inside, error))?,
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(|error| Error::io(path, error))
}
