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

use std::ffi::OsStr;
use std::io;

use cli::disk::durable::{sync_dir, write_new};
use cli::disk::root::{names_in, open_dir_at, open_file_at};
use cli::say::exit::{Exit, Failure};
use formats::checksum::{Sha256, Sums};
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::error::Reason;
use formats::limits;
use formats::timestamp::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, mkdirat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::appliance::attributes::{Attributes, Extended};
use crate::appliance::peers::{Live, LiveFile, LiveSet};
use crate::appliance::sf_dir::wrong_directory;
use crate::appliance::state::{LockedState, State};

const FORMAT: &str = "sftunnel-backup/1";
const STORE: &str = "backups";
const RECORD: &str = "backup.json";
const SUMS: &str = "SHA256SUMS";
const ASIDE: &str = ".new-";
const LIMIT: u64 = 2 * 1024 * 1024;

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupRecord {
    format: String,
    /// The box; absent where `ims.conf` does not say, and in a backup of an earlier version.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub device: Option<DeviceUuid>,
    /// Counts up from 1.
    pub sequence: u64,
    /// By the box's clock.
    pub created_at: Timestamp,
    /// `install` or `rollback`: what was about to happen.
    pub before: String,
    /// Version of the program that made it.
    pub program: String,
    /// Each peer directory that was about to be changed.
    pub peers: Vec<PeerRecord>,
}

/// One peer directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerRecord {
    /// Whose.
    pub manager: ManagerUuid,
    /// The three files.
    pub files: Vec<FileRecord>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRecord {
    /// One of the three names.
    pub name: String,
    /// What was found; `null` when there was no such file.
    pub found: Option<FoundRecord>,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FoundRecord {
    pub size: u64,
    pub sha256: Sha256,
    /// Octal.
    pub mode: String,
    pub uid: u32,
    pub gid: u32,
    /// Base64 by name; absent in a backup of a version that did not keep them.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub extended: Option<Extended>,
}

/// The name of a backup: `0007-20261121T041047Z`. No other text is one, so it is a name in the
/// store and never a way out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct BackupId {
    sequence: u64,
    name: String,
}

impl BackupId {
    fn new(sequence: u64, at: Timestamp) -> Self {
        Self { sequence, name: format!("{sequence:04}-{}", at.compact()) }
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// The number that it begins with.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl TryFrom<String> for BackupId {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let sequence = name.split_once('-').and_then(|(number, time)| {
            let sequence = number.parse().ok()?;
            let is_time = |(at, byte): (usize, u8)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            };
            let is_plain = number == format!("{sequence:04}") && time.len() == 16;
            (is_plain && time.bytes().enumerate().all(is_time)).then_some(sequence)
        });
        match sequence {
            Some(sequence) => Ok(Self { sequence, name }),
            None => Err("not the name of a backup".to_owned()),
        }
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.name
    }
}

impl std::fmt::Display for BackupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.name)
    }
}

/// A backup whose every byte has been compared with its checksums.
#[derive(Debug)]
pub(crate) struct Backup {
    /// What it says.
    pub record: BackupRecord,
    /// What was found, in the order of the record.
    pub peers: Vec<(ManagerUuid, LiveSet)>,
    /// The digest of its `SHA256SUMS`.
    pub sums: Sha256,
}

/// The backups there are, oldest first.
///
/// # Errors
/// What the system says.
pub(crate) fn list(state: &State) -> Result<Vec<BackupId>, Failure> {
    let Some(store) = open_store(state)? else { return Ok(Vec::new()) };
    let names = names_in(&store).map_err(|error| failure(state, "", &error))?;
    let mut ids: Vec<_> = names
        .into_iter()
        .filter_map(|name| BackupId::try_from(name.into_string().ok()?).ok())
        .collect();
    ids.sort();
    Ok(ids)
}

/// The backup that `--to` names, by its whole name or its number.
///
/// # Errors
/// `not-found`.
pub(crate) fn find(state: &State, named: &str) -> Result<BackupId, Failure> {
    let ids = list(state)?;
    let matches = |id: &&BackupId| id.as_str() == named || named.parse() == Ok(id.sequence());
    ids.iter().find(matches).cloned().ok_or_else(|| no_such(state.shown(), named))
}

/// A backup that was named is not there.
pub(crate) fn no_such(state: &str, named: &str) -> Failure {
    let message = format!("there is no backup '{named}' in {state}/{STORE}");
    Failure::refused(Reason::NotFound, message).hint("`sftunnel-install backups list` shows them")
}

/// Makes a backup of what was found, and reads it back. Gives its name and the digest of its
/// `SHA256SUMS`.
///
/// # Errors
/// `no-space`, `read-only`, or what the system says; then nothing is left of it.
pub(crate) fn create(
    state: &LockedState,
    before: &str,
    now: Timestamp,
    peers: &[(ManagerUuid, &LiveSet)],
) -> Result<(BackupId, Sha256), Failure> {
    remove_unfinished(state)?;
    let newest = list(state)?.last().map_or(0, BackupId::sequence);
    let sequence = newest.checked_add(1).ok_or_else(|| {
        Failure::unexpected(format!("{}/{STORE}: no number comes after {newest}", state.shown()))
            .hint("that is no backup of this program; move it away")
    })?;
    let id = BackupId::new(sequence, now);
    let store = match open_store(state)? {
        Some(store) => store,
        None => make_store(state).map_err(|error| failure(state, "", &error))?,
    };
    let aside = format!("{ASIDE}{sequence}");
    let record = BackupRecord {
        format: FORMAT.to_owned(),
        device: state.device().cloned(),
        sequence,
        created_at: now,
        before: before.to_owned(),
        program: cli::say::version::VERSION.to_owned(),
        peers: peers.iter().map(|(manager, found)| peer_record(manager, found)).collect(),
    };
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
        failure(state, id.as_str(), &error)
            .or_hint("nothing was changed; `sftunnel-install backups prune` makes room")
    })
}

/// Reads a backup and compares every byte with its checksums.
///
/// # Errors
/// `damaged` when they differ.
pub(crate) fn open(state: &State, id: &BackupId) -> Result<Backup, Failure> {
    let store = open_store(state)?;
    let opened = store
        .ok_or_else(|| io::ErrorKind::NotFound.into())
        .and_then(|store| read(&store, id.as_str()));
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            let message = format!("backup {id} is damaged: {error}");
            Failure::refused(Reason::Damaged, message)
                .hint("`sftunnel-install backups verify` checks the others")
        }
        _ => failure(state, id.as_str(), &error),
    })
}

/// A backup that holds the files of another device.
pub(crate) fn of_another_device(state: &State, id: &BackupId, other: &DeviceUuid) -> Failure {
    let own = state.device().map_or("another", DeviceUuid::as_str);
    let message = format!(
        "backup {id} holds files of device {other}, this box is {own}: nothing was put back"
    );
    Failure::refused(Reason::WrongDevice, message).hint(
        "`sftunnel-install backups list` shows the others; when this box was given another UUID on purpose, go on with --accept-device",
    )
}

/// Removes a backup.
///
/// # Errors
/// What the system says, when nothing was changed; exit 7 once it is out of the list.
pub(crate) fn remove(state: &LockedState, id: &BackupId) -> Result<(), Failure> {
    let Some(store) = open_store(state)? else { return Ok(()) };
    // out of the list first: half a backup is never shown as one
    let doomed = format!("{ASIDE}{id}");
    renameat(&store, id.as_str(), &store, &*doomed)
        .map_err(|error| failure(state, id.as_str(), &error.into()))?;
    let removed = remove_tree(&store, &doomed, &format!("{}/{STORE}/{doomed}", state.shown()))
        .and_then(|()| sync_dir(&store).map_err(|error| failure(state, "", &error)));
    removed.map_err(|failure| {
        failure
            .preceded_by(format!("backup {id} is out of the list, but not all of it was deleted"))
            .exit(Exit::NeedsPerson)
            .also_hint("when that is mended, run `sftunnel-install recover`: it deletes the rest")
    })
}

/// Removes what an interrupted run left of a backup.
///
/// # Errors
/// What the system says.
pub(crate) fn remove_unfinished(state: &LockedState) -> Result<(), Failure> {
    let Some(store) = open_store(state)? else { return Ok(()) };
    let names = names_in(&store).map_err(|error| failure(state, "", &error))?;
    for name in names.iter().filter(|name| name.as_encoded_bytes().starts_with(ASIDE.as_bytes())) {
        let path = format!("{}/{STORE}/{}", state.shown(), name.to_string_lossy());
        remove_tree(&store, name, &path)?;
    }
    Ok(())
}

fn failure(state: &State, id: &str, error: &io::Error) -> Failure {
    Failure::io(format!("{}/{STORE}/{id}", state.shown()), error)
}

fn open_store(state: &State) -> Result<Option<OwnedFd>, Failure> {
    match open_dir_at(state.dir(), OsStr::new(STORE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other
            .map(Some)
            .map_err(|error| wrong_directory(&format!("{}/{STORE}", state.shown()), &error)),
    }
}

fn make_store(state: &LockedState) -> io::Result<OwnedFd> {
    mkdirat(state.dir(), STORE, Mode::from_raw_mode(0o700))?;
    sync_dir(state.dir())?;
    open_dir_at(state.dir(), OsStr::new(STORE))
}

fn peer_record(manager: &ManagerUuid, found: &LiveSet) -> PeerRecord {
    let file = |(file, live): (CredentialFile, &Live)| FileRecord {
        name: file.name().to_owned(),
        found: match live {
            Live::Absent => None,
            Live::File(live) => Some(FoundRecord {
                size: live.bytes.len() as u64,
                sha256: live.sha256,
                mode: format!("{:04o}", live.attributes.mode),
                uid: live.attributes.uid,
                gid: live.attributes.gid,
                extended: live.attributes.extended.clone(),
            }),
        },
    };
    PeerRecord { manager: manager.clone(), files: found.iter().map(file).collect() }
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
    write_file(&dir, RECORD, &json)?;
    sums.push(Sha256::of(&json), RECORD);
    write_file(&dir, SUMS, sums.to_string().as_bytes())?;
    sync_dir(&dir)
}

fn write_file(dir: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_new(dir, OsStr::new(name), bytes, Mode::from_raw_mode(0o600)).map(drop)
}

/// Reads the bytes of `backup.json`.
///
/// # Errors
/// `InvalidData`: not JSON of this form, or another format.
pub(crate) fn parse_record(json: &[u8]) -> io::Result<BackupRecord> {
    formats::json::read(json, FORMAT).map_err(|error| invalid(format!("{RECORD} {error}")))
}

/// `InvalidData` for everything that is not as the checksums say.
fn read(store: &OwnedFd, name: &str) -> io::Result<Backup> {
    let dir = open_dir_at(store, OsStr::new(name))?;
    let list = read_file(&dir, SUMS)?;
    let sums = Sums::parse(&list).map_err(|error| invalid(error.to_string()))?;
    let json = read_file(&dir, RECORD)?;
    require_listed(&sums, RECORD, &json)?;
    let record = parse_record(&json)?;
    let mut peers = Vec::new();
    for peer in &record.peers {
        let manager = peer.manager.as_str();
        let folder =
            open_dir_at(&dir, OsStr::new(manager)).map_err(|error| misplaced(manager, error))?;
        let mut live = [Live::Absent, Live::Absent, Live::Absent];
        let [ca, certificate, key] = peer.files.as_slice() else {
            return Err(invalid(format!("{RECORD} does not list three files")));
        };
        for ((slot, file), entry) in
            live.iter_mut().zip(CredentialFile::ALL).zip([ca, certificate, key])
        {
            if entry.name != file.name() {
                return Err(invalid(format!("{RECORD} does not list the three files in order")));
            }
            if let Some(found) = &entry.found {
                *slot = Live::File(read_found(&folder, &sums, &peer.manager, file, found)?);
            }
        }
        peers.push((peer.manager.clone(), LiveSet(live)));
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
        return Err(invalid(format!("{file} is not the file that {RECORD} lists")));
    }
    let mode = u32::from_str_radix(&found.mode, 8)
        .map_err(|_| invalid(format!("{RECORD} gives {file} no mode")))?;
    let extended = found.extended.clone();
    let attributes = Attributes { mode: mode & 0o7777, uid: found.uid, gid: found.gid, extended };
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

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Removes a directory of two levels, as backups are; `path` is for the error, which is about
/// the one file or directory that could not be removed.
fn remove_tree(parent: &OwnedFd, name: impl AsRef<OsStr>, path: &str) -> Result<(), Failure> {
    let name = name.as_ref();
    let failed = |path: &str, error: io::Error| Failure::io(path, &error);
    let dir = open_dir_at(parent, name).map_err(|error| failed(path, error))?;
    for entry in names_in(&dir).map_err(|error| failed(path, error))? {
        let inside = format!("{path}/{}", entry.to_string_lossy());
        match unlinkat(&dir, &*entry, AtFlags::empty()) {
            Err(Errno::ISDIR) => remove_tree(&dir, &entry, &inside)?,
            other => other.map_err(|error| failed(&inside, error.into()))?,
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(|error| failed(path, error.into()))
}
