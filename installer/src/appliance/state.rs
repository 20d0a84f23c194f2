//! This program's own state on the device: `/var/sf/sftunnel-airgap/`, 0700.
//!
//! `lock` (flock; who holds it), `journal`, `backups/`, `installed`, `signers`, `receipts/`, `log`.

use std::ffi::OsStr;
use std::io;
use std::time::{Duration, Instant};

use cli::disk::durable::{self, sync_dir};
use cli::disk::root::{open_dir_at, open_file_at};
use formats::cisco::facts::SF;
use formats::device::DeviceUuid;
use formats::limits::{self, LimitError};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat};
use rustix::io::{Errno, pwrite};

use crate::appliance::error::{Error, Missing, Unsafe};
use crate::appliance::host::Host;
use crate::appliance::sf_dir::{self, wrong_directory, wrong_file};
use crate::appliance::under_way::UnderWay;

pub(crate) const NAME: &str = "sftunnel-airgap";
const LOCK: &str = "lock";
/// A record of this program's own. The log is the largest: 64 MiB are some 200,000 runs.
const RECORD: u64 = 64 * 1024 * 1024;

/// Time that a run waits for those that only look ([`State::is_locked`]); each holds the lock for a
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
    lock: OwnedFd,
}

impl State {
    /// Opens it for looking; `None` when this program has never changed anything here.
    ///
    /// `wrong-destination` when somebody else could change what lies in it.
    pub(crate) fn open(host: &Host) -> Result<Option<Self>, Error> {
        let shown = shown(host);
        let Some(parent) = sf_dir::open(host)? else { return Ok(None) };
        match open_dir_at(parent, OsStr::new(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong_directory(shown, error)),
            Ok(dir) => {
                require_own(&dir, &shown)?;
                let device = host.appliance().ok().map(|appliance| appliance.uuid);
                Ok(Some(Self { dir, shown, device }))
            }
        }
    }

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

    /// True while a run that may change something is under way.
    pub(crate) fn is_locked(&self) -> bool {
        let Ok(lock) = open_file_at(&self.dir, OsStr::new(LOCK)) else { return false };
        flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
    }

    /// The run that is under way: `None` without one, and nothing more when it does not say.
    pub(crate) fn under_way(&self) -> Option<Option<UnderWay>> {
        self.is_locked().then(|| self.holder())
    }

    /// The run that holds the lock, where one does.
    pub(crate) fn holder(&self) -> Option<UnderWay> {
        UnderWay::parse(&self.read(LOCK).ok()??)
    }

    /// Reads a record; `None` when there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let shown = format!("{}/{name}", self.shown);
        match open_file_at(&self.dir, OsStr::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong_file(shown, error)),
            Ok(file) => limits::read_public(file, RECORD).map(Some).map_err(|error| match error {
                LimitError::TooLarge { .. } => Error::RecordTooLarge { path: shown, error },
                LimitError::Io(error) => Error::Io { path: shown, error },
            }),
        }
    }

    /// Writes a record in one step, durably.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        durable::replace_record(&self.dir, name, bytes)
            .map_err(|error| Error::io(format!("{}/{name}", self.shown), error))
    }

    /// Removes records that a crash kept from being renamed into place.
    pub(crate) fn remove_unfinished(&self) -> Result<(), Error> {
        durable::remove_unfinished(&self.dir).map_err(|error| Error::io(&self.shown, error))
    }

    /// Removes a record, durably.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        durable::remove(&self.dir, name)
            .and_then(|()| sync_dir(&self.dir))
            .map_err(|error| Error::io(format!("{}/{name}", self.shown), error))
    }
}

impl LockedState {
    /// Opens it for changing: makes it where it is absent, and takes the lock.
    ///
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
            .map_err(|error| Error::io(&shown, error))?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&state.dir, LOCK, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| wrong_file(format!("{shown}/{LOCK}"), error.into()))?;
        match lock_alone(&lock) {
            Ok(()) => Ok(Self { state, lock }),
            Err(Errno::WOULDBLOCK) => Err(LockError::Busy(state)),
            Err(error) => Err(Error::io(format!("{shown}/{LOCK}"), error).into()),
        }
    }

    /// Says in the lock what this run does now. No failure of it matters.
    pub(crate) fn describe(&self, run: &UnderWay) {
        let mut text = serde_json::to_vec(run).unwrap_or_default();
        text.resize(UnderWay::LENGTH - 1, b' ');
        text.push(b'\n');
        let _ = pwrite(&self.lock, &text, 0);
    }
}

/// The reason the state directory is not this run's to change.
pub(crate) enum LockError {
    /// Another run holds the lock.
    Busy(State),
    /// It cannot be opened or made.
    Failed(Error),
}

impl From<Error> for LockError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
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

fn create(host: &Host) -> Result<State, Error> {
    match mkdirat(open_parent(host)?, NAME, Mode::from_raw_mode(0o700)) {
        // somebody was faster: whose it is, is looked at as ever
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(Error::io(shown(host), error)),
    }
    State::open(host)?.ok_or_else(|| Missing::State { path: shown(host) }.into())
}

fn open_parent(host: &Host) -> Result<OwnedFd, Error> {
    sf_dir::open(host)?.ok_or_else(|| Missing::Sf { path: host.root().outside(SF) }.into())
}

/// Its path, for messages, where there may be none.
pub(crate) fn shown(host: &Host) -> String {
    host.root().outside(format!("{SF}/{NAME}")).display().to_string()
}

/// Backups hold private keys, and pins decide whom to believe.
fn require_own(dir: &OwnedFd, shown: &str) -> Result<(), Error> {
    let stat = fstat(dir).map_err(|error| Error::io(shown, error))?;
    if stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0 {
        return Ok(());
    }
    let (path, mode) = (shown.to_owned(), stat.st_mode & 0o7777);
    Err(Unsafe::State { path, mode, uid: stat.st_uid }.into())
}
