//! Reasons why the manager's files give no kit, or one device no bundle: facts only, the sentences
//! are in `wording`.

use std::path::PathBuf;

use cli::disk::ownership::Foreign;
use formats::cisco::failed_push::LineError;
use formats::credentials::{CredentialsError, SubjectError, ValidityError};
use formats::device::{DeviceUuid, ManagerUuid};
use formats::limits::LimitError;

use crate::fmc::by_name::NameError;

/// Nothing can be planned, or nothing is known of the tunnels.
#[derive(Debug)]
pub(crate) enum Error {
    /// A file or folder cannot be read.
    Input { path: PathBuf, error: LimitError },
    /// A list that the operator named cannot be opened.
    NamedList { path: PathBuf, error: LimitError },
    /// A list that was found, or the folder of all of them, cannot be read.
    List { path: PathBuf, error: LimitError },
    /// No batch has a list.
    NoList { below: PathBuf },
    /// Others than root could have made what would be read.
    Untrusted(Doubt),
    /// `ims.conf` does not name the manager, and there is no list that would.
    NoOwnUuid,
    /// No device has a pair under the CA in use.
    NoPairs,
    /// `--name` is for a device that was not asked for.
    NameOfNone(DeviceUuid),
    /// A newer CA has been made since the lists.
    Stale { batch: u64, newest: u64 },
    /// The lists name no device.
    EmptyLists(Vec<String>),
    /// More devices than a kit may hold.
    TooManyDevices(usize),
    /// A device was named that is not to be told.
    Name(NameError),
    /// The program that was named is not there.
    NoStatusProgram(PathBuf),
    /// Something is absent, and the box is no manager.
    WrongBox { here: WrongBox, error: Box<Error> },
}

/// Reasons to doubt who made a file, or that it is the one that is meant.
#[derive(Debug)]
pub(crate) enum Doubt {
    /// Others could have written it.
    Foreign(Foreign),
    /// The only batches are such; `newest` is the newest of them.
    NoList { below: PathBuf, newest: Foreign },
    /// A CA is not the one in use.
    OtherCa { path: String },
    /// The CA in use, which would show that, cannot be used itself.
    UnknownCa { path: String, error: Box<DeviceError> },
    /// A certificate or key is not in the device's folder.
    Elsewhere { path: String, device: DeviceUuid },
    /// Others may read a key.
    Readable { path: PathBuf, mode: u32 },
}

/// A check that failed, and whose flag lets it pass.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// `--accept-source`.
    Source(Doubt),
    /// `--accept-subject`.
    Subject(SubjectError),
    /// `--accept-clock`.
    Clock(ValidityError),
}

/// A box that is no manager.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WrongBox {
    Device,
    Neither,
}

/// One device gets no bundle.
#[derive(Debug)]
pub(crate) enum DeviceError {
    /// It belongs to another manager than the kit; `device` is what to type for it.
    OtherManager { found: ManagerUuid, expected: ManagerUuid, device: String },
    /// Its line of the list cannot be used.
    Line(LineError),
    /// None of the places holds a certificate with its key.
    NoPair { is_one_listed: bool, places: Vec<String> },
    /// One of its files cannot be read.
    Source { path: String, error: LimitError },
    /// Others than root could have made one of its files, or it is not from where it has to be.
    Untrusted(Doubt),
    /// The three files are no usable set.
    Credentials(CredentialsError),
    /// They are another device's or another manager's.
    Subject(SubjectError),
    /// They are not valid now.
    Validity(ValidityError),
}

impl Error {
    /// Returns true if something that a manager has was not found.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::NoList { .. } | Self::NoOwnUuid | Self::NoPairs => true,
            Self::Input { error, .. }
            | Self::NamedList { error, .. }
            | Self::List { error, .. } => is_not_found(error),
            _ => false,
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

/// Returns true if there was nothing to be read.
pub(super) fn is_not_found(error: &LimitError) -> bool {
    matches!(error, LimitError::Io(error) if error.kind() == std::io::ErrorKind::NotFound)
}
