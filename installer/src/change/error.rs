//! The ways in which a change fails, as facts; [`wording`](crate::wording) has the words.

use std::io;
use std::path::PathBuf;

use formats::device::{CredentialFile, DeviceUuid};
use formats::json::JsonError;
use rustix::io::Errno;

use crate::appliance::attributes::NotGiven;
use crate::appliance::error as appliance;
use crate::change::Goal;
use crate::change::backup::record::BackupId;
use crate::change::proof::Unproved;

/// A step of a change that failed.
#[derive(Debug)]
pub(crate) enum Error {
    // the box, or this program's state on it, is not as the step needs it
    Appliance(appliance::Error),
    Io { path: String, error: io::Error },
    Record(RecordError),
    Backup(BackupError),
    Replace(ReplaceError),
    NotDone(NotDone),
    NotBack(Box<NotBack>),
}

/// A record or a receipt that cannot be read or written.
#[derive(Debug)]
pub(crate) enum RecordError {
    Unwritable { name: &'static str, error: serde_json::Error },
    DamagedJournal { path: String },
    LaterJournal { path: String, error: JsonError },
    Unreadable { path: String, why: Unreadable },
    // `--receipt-out` names what cannot be opened as a folder
    ReceiptOut { path: PathBuf, errno: Errno },
}

/// The reason a record is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A later release wrote it.
    Later(JsonError),
    /// It is not as this program writes that format.
    Damaged,
}

/// The store of backups does not have, or does not take, the one that is asked for.
#[derive(Debug)]
pub(crate) enum BackupError {
    NotFound { named: String, state: String },
    // the number of the newest one is the highest there is
    NoNumberLeft { newest: u64, state: String },
    NotMade { path: String, error: io::Error },
    Damaged { id: BackupId, error: io::Error },
    Later { id: BackupId, error: io::Error },
    OtherDevice { id: BackupId, device: DeviceUuid, own: Option<DeviceUuid> },
    // it is out of the list, and not all of it is deleted
    HalfRemoved { id: BackupId, error: Box<Error> },
}

/// Live files cannot be replaced.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    Obstacles(Vec<Obstacle>),
    ChangedSincePlan { folder: String },
    NotStaged(Box<Error>),
    NotGiven { path: String, error: NotGiven },
    // no room to put the old files back could be held
    NoRoomHeld { state: String, error: io::Error },
    // the renames have begun
    Swap { path: String, error: io::Error },
}

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub path: String,
    pub in_the_way: InTheWay,
    /// The files that a directory keeps from being replaced; `None` where `path` is the file.
    pub names: Option<Vec<CredentialFile>>,
}

/// The kind of an obstacle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InTheWay {
    Protected(Protection),
    ReadOnly,
    Mount,
}

/// `chattr +i` and `+a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Immutable,
    AppendOnly,
}

/// The files of a transaction, or of the one before it, are live, or may be; it did not come to
/// its end.
#[derive(Debug)]
pub(crate) enum NotDone {
    // a signal ended the waiting for sftunnel
    Interrupted(Goal),
    // `pmtool` does not say what runs
    ServiceUnreadable(appliance::Error),
    LiveUnreadable { journal: String, error: Box<Error> },
    // a live file is neither the old nor the new one
    ChangedBySomebody { path: String, journal: String, backup: BackupId, noticed: Noticed },
    NotRecorded { goal: Goal, error: Box<Error> },
    // the files are to stay, and the journal is still open
    NotKept { why: Unproved, error: Box<Error> },
    // the old files are live again, and sftunnel had to be restarted on them
    PutBack { error: Box<Error>, pid: u32 },
    // an interrupted run was finished, and its leftovers are still there
    NotSwept { is_all_new: bool, error: Box<Error> },
}

/// The step before which somebody changed a live file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noticed {
    PuttingBack,
    Recording,
}

/// The old files could not be put back, or sftunnel is not known to run on them.
#[derive(Debug)]
pub(crate) enum NotBack {
    Failed(Box<Error>),
    // on the way back from a success that is not proved
    AfterUnproved { why: Unproved, error: Box<Error> },
    BackupUnusable { journal: String, error: Box<Error> },
    // the checksums of the backup are not those that the journal knows
    NotTheBackup(BackupId),
    OtherDevice { journal: String, device: DeviceUuid, own: Option<DeviceUuid>, backup: BackupId },
    // sftunnel runs, and its state before the restart could not be read
    RestartUnknown { pid: u32, detail: String },
    Down { why: Unproved, still_open: Option<Box<Error>> },
}

impl Error {
    pub(crate) fn io(path: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Io { path: path.into(), error: error.into() }
    }
}

impl From<appliance::Error> for Error {
    fn from(error: appliance::Error) -> Self {
        Self::Appliance(error)
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

impl From<ReplaceError> for Error {
    fn from(error: ReplaceError) -> Self {
        Self::Replace(error)
    }
}

impl From<NotDone> for Error {
    fn from(error: NotDone) -> Self {
        Self::NotDone(error)
    }
}

impl From<NotBack> for Error {
    fn from(error: NotBack) -> Self {
        Self::NotBack(Box::new(error))
    }
}
