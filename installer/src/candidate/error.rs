//! The reasons for which a bundle is refused here, as facts; [`wording`](crate::wording) has the
//! words.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use cli::say::failure::Failure;
use formats::bundle::manifest::Device;
use formats::credentials::HandshakeError;
use formats::device::{DeviceUuid, ManagerUuid};
use formats::kit::DeviceEntry;
use formats::timestamp::Timestamp;

use crate::appliance::error as appliance;

/// A bundle that is not for this box, or not for now.
#[derive(Debug)]
pub(crate) enum Error {
    // a check that both programs make
    Shared(Failure),
    Appliance(appliance::Error),
    NoBundleInKit { kit: PathBuf, device: DeviceUuid, made_for: Vec<DeviceEntry> },
    OtherDevice { made_for: Box<Device>, device: DeviceUuid },
    SecondBundle { origin: String, manager: ManagerUuid },
    // sftunnel would refuse the certificates, too
    ClockBehind { behind: Failure, not_before: Timestamp },
    Older { new: Age, than: Than, other: Age },
    Room { folder: String, error: io::Error },
    NoRoom { folder: String, bytes: u64, inodes: u64 },
    WouldDrop(Vec<DroppedPeer>),
    // `--rehearse` names more or fewer hosts than there are managers
    RehearsalHosts { named: usize, managers: usize },
    // `--rehearse` names no host, and the tunnel that would tell is not up
    NoManagerAddress { manager: ManagerUuid },
}

/// A rehearsal that failed.
#[derive(Debug)]
pub(crate) enum NotRehearsed {
    /// The name is neither a name nor an address.
    NoHost,
    NotResolved(io::Error),
    NotResolvedInTime,
    /// The name has no address.
    NoAddress,
    NotConnected {
        address: SocketAddr,
        error: io::Error,
    },
    Handshake(HandshakeError),
}

/// A handshake that ended well, and does not show that the manager accepts the new certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// It was given, and the connection ended.
    EndedWithIt,
    /// The connection ended before it was asked for.
    EndedUnasked,
    NotAsked,
    /// One of another kind was asked for.
    OtherKind,
}

/// Tells an older CA or pair from a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    Ca(Timestamp),
    Certificate(Timestamp),
    Batch(u64),
}

/// The one that a bundle is older than.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Than {
    InUse,
    Installed,
}

/// Another manager's set that a restart of sftunnel would drop for good.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct DroppedPeer {
    pub manager: ManagerUuid,
    /// Reason why it would not come back.
    pub why: String,
}

impl From<appliance::Error> for Error {
    fn from(error: appliance::Error) -> Self {
        Self::Appliance(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Shared(failure)
    }
}
