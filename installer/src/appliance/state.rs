//! This program's own state on the device: `/var/sf/sftunnel-airgap/`, 0700.
//!
//! `lock` (flock), `journal`, `backups/`, `installed`, `signers`, `receipts/`, `log`.

use std::ffi::OsStr;
use std::io;
use std::time::{Duration, Instant};

use cli::disk::durable::{self, sync_dir};
use cli::disk::root::{open_dir_at, open_file_at};
use cli::say::exit::Failure;
use formats::cisco::facts::SF;
use formats::device::DeviceUuid;
use formats::error::Reason;
use formats::limits::{self, LimitError};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::appliance::host::{Host, IS_AN_FTD};
use crate::appliance::sf_dir::{self, wrong_directory, wrong_file};

const NAME: &str = "sftunnel-airgap";
const LOCK: &str = "lock";
/// A record of this program's own. The log is the largest: 64 MiB are some 200,000 runs.
const RECORD: u64 = 64 * 1024 * 1024;

/// What to do about a record beyond it.
const TOO_LARGE: &str = "no record of this program grows to that, but a log after some 200,000 runs: look at what it is, then move it away";

/// How long a run waits for those that only look ([`State::is_locked`]); each holds the lock for a
/// moment, and shared.
const A_LOOK: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(10);

/// The state directory, opened.
#[derive(Debug)]
pub(crate) struct State {
    dir: OwnedFd,
    shown: String,
    device: Option<DeviceUuid>,
}

/// The state directory, with the lock held until this is dropped.
#[derive(Debug)]
pub(crate) struct LockedState {
    state: State,
    _lock: OwnedFd,
}

impl State {
    /// Opens it for looking; `None` when this program has never changed anything here.
    ///
    /// # Errors
    /// `wrong-destination` when somebody else could change what lies in it.
    pub(crate) fn open(host: &Host) -> Result<Option<Self>, Failure> {
        let shown = shown(host);
        let Some(parent) = sf_dir::open(host)? else { return Ok(None) };
        match open_dir_at(parent, OsStr::new(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong_directory(&shown, &error)),
            Ok(dir) => {
                require_own(&dir, &shown)?;
                let device = host.appliance().ok().map(|appliance| appliance.uuid);
                Ok(Some(Self { dir, shown, device }))
            }
        }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Its path, for messages.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The box that it is on; `None` where `ims.conf` does not say.
    pub(crate) fn device(&self) -> Option<&DeviceUuid> {
        self.device.as_ref()
    }

    /// The device that a record names, when it is not the one that this is.
    pub(crate) fn is_of_another<'a>(
        &self,
        named: Option<&'a DeviceUuid>,
    ) -> Option<&'a DeviceUuid> {
        named.filter(|named| self.device.as_ref().is_some_and(|own| own != *named))
    }

    /// Whether a run that may change something is under way.
    pub(crate) fn is_locked(&self) -> bool {
        let Ok(lock) = open_file_at(&self.dir, OsStr::new(LOCK)) else { return false };
        flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
    }

    /// Reads a record; `None` when there is none.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let shown = format!("{}/{name}", self.shown);
        match open_file_at(&self.dir, OsStr::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong_file(&shown, &error)),
            Ok(file) => limits::read_public(file, RECORD).map(Some).map_err(|error| match error {
                LimitError::TooLarge { .. } => Failure::of(&shown, &error).or_hint(TOO_LARGE),
                LimitError::Io(error) => Failure::io(shown, &error),
            }),
        }
    }

    /// Writes a record in one step, durably.
    ///
    /// # Errors
    /// `no-space`, `read-only`, or what the system says.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        durable::replace_record(&self.dir, name, bytes)
            .map_err(|error| Failure::io(format!("{}/{name}", self.shown), &error))
    }

    /// Removes records that a crash kept from being renamed into place.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn remove_unfinished(&self) -> Result<(), Failure> {
        durable::remove_unfinished(&self.dir).map_err(|error| Failure::io(&self.shown, &error))
    }

    /// Removes a record, durably.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        durable::remove(&self.dir, name)
            .and_then(|()| sync_dir(&self.dir))
            .map_err(|error| Failure::io(format!("{}/{name}", self.shown), &error))
    }
}

impl LockedState {
    /// Opens it for changing: makes it where it is absent, and takes the lock.
    ///
    /// # Errors
    /// [`LockError::Busy`] when another run holds the lock; `read-only`, `no-space`.
    pub(crate) fn open(host: &Host) -> Result<Self, LockError> {
        let shown = shown(host);
        let state = match State::open(host)? {
            Some(state) => state,
            None => create(host)?,
        };
        // a run that was killed may have made it, or changed what is in it, a moment ago
        sync_dir(&open_parent(host)?)
            .and_then(|()| sync_dir(&state.dir))
            .map_err(|error| Failure::io(&shown, &error))?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&state.dir, LOCK, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| wrong_file(&format!("{shown}/{LOCK}"), &error.into()))?;
        match lock_alone(&lock) {
            Ok(()) => Ok(Self { state, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(LockError::Busy(state)),
            Err(error) => Err(Failure::io(format!("{shown}/{LOCK}"), &error.into()).into()),
        }
    }
}

/// Why the state directory is not this run's to change.
pub(crate) enum LockError {
    /// Another run holds the lock.
    Busy(State),
    /// It cannot be opened or made.
    Failed(Failure),
}

impl From<Failure> for LockError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<&LockError> for Failure {
    fn from(error: &LockError) -> Self {
        match error {
            LockError::Busy(_) => {
                let message = "another run of sftunnel-install is under way on this box";
                Self::refused(Reason::Busy, message).hint("wait for it to end; `ps` shows it")
            }
            LockError::Failed(failure) => failure.clone(),
        }
    }
}

/// `WOULDBLOCK` at once where another run holds the lock; those that only look are waited for.
fn lock_alone(lock: &OwnedFd) -> rustix::io::Result<()> {
    let begun = Instant::now();
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if begun.elapsed() < A_LOOK => {}
            other => return other,
        }
        // shared beside those that look; never beside a run
        flock(lock, FlockOperation::NonBlockingLockShared)?;
        flock(lock, FlockOperation::Unlock)?;
        std::thread::sleep(BETWEEN);
    }
}

impl std::ops::Deref for LockedState {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

fn create(host: &Host) -> Result<State, Failure> {
    match mkdirat(open_parent(host)?, NAME, Mode::from_raw_mode(0o700)) {
        // somebody was faster: whose it is, is looked at as ever
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(Failure::io(shown(host), &error.into())),
    }
    State::open(host)?
        .ok_or_else(|| Failure::unexpected(format!("{} was removed by somebody else", shown(host))))
}

fn open_parent(host: &Host) -> Result<OwnedFd, Failure> {
    sf_dir::open(host)?.ok_or_else(|| {
        let sf = host.root().outside(SF);
        let message = format!("there is no {}, expected the one of an FTD", sf.display());
        Failure::refused(Reason::NotFound, message).hint(IS_AN_FTD)
    })
}

/// Its path, for messages, where there may be none.
pub(crate) fn shown(host: &Host) -> String {
    host.root().outside(format!("{SF}/{NAME}")).display().to_string()
}

/// Backups hold private keys, and pins decide whom to believe.
fn require_own(dir: &OwnedFd, shown: &str) -> Result<(), Failure> {
    let stat = fstat(dir).map_err(|error| Failure::io(shown, &error.into()))?;
    if stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0 {
        return Ok(());
    }
    let (mode, uid) = (stat.st_mode & 0o7777, stat.st_uid);
    let message =
        format!("{shown} is {mode:o} of user {uid}, expected 700 of the user who runs this");
    Err(Failure::refused(Reason::WrongDestination, message)
        .hint("find out who changed it; then chown root:root and chmod 700"))
}
