//! The judgement on one peer directory: its files, their validity and the remains beside them.

use std::os::unix::ffi::OsStrExt;

use cli::say::failure::Failure;
use cli::say::monitoring::{Level, Thresholds};
use formats::checksum::Sha256;
use formats::credentials::{CertificateFacts, CheckedCredentials};
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::error::{Reason, Reasoned};
use formats::text::printable_bytes;
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::appliance::error::Error;
use crate::appliance::host::Host;
use crate::appliance::peers::{self, Live, LiveSet, PeerDir};
use crate::appliance::tunnel::Tunnel;
use crate::change::error::Obstacle;
use crate::change::obstacles;
use crate::change::records::PinnedSigner;

/// One peer directory's entry in the JSON.
#[derive(Debug, Serialize)]
pub(super) struct PeerStatus {
    pub(super) manager: ManagerUuid,
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) verdict: Judgement,
    #[serde(flatten)]
    pub(super) contents: Contents,
    pub(super) signers: Vec<PinnedSigner>,
    /// The tunnel; absent when there are no files, so none is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tunnel: Option<Tunnel>,
}

/// The judgement on a directory's files.
#[derive(Debug, Serialize)]
pub(super) struct Judgement {
    pub(super) state: PeerState,
    /// The urgency, as `sftunnel-bundle check` has it.
    pub(super) level: Level,
    #[serde(flatten)]
    pub(super) fault: Option<Fault>,
    /// Whole days until the first of the two certificates expires; negative when it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) days_left: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<CertificateFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<CertificateFacts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PeerState {
    Valid,
    Expired,
    NotYetValid,
    /// The files do not fit one another, or are another device's.
    Broken,
    /// The directory has none of the files.
    Empty,
    Unreadable,
}

/// The fault of a directory or of its files.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    pub(super) message: String,
    /// The remedy, where no other step tells it.
    #[serde(skip)]
    pub(super) hint: String,
}

/// The contents of a directory; nothing when it cannot be read.
#[derive(Debug, Default, Serialize)]
pub(super) struct Contents {
    /// The three files.
    pub(super) files: Vec<FileStatus>,
    /// Names that look like the three files: what a manual attempt left. Escaped.
    pub(super) strays: Vec<String>,
    /// True when a private key may be among the strays.
    #[serde(skip)]
    pub(super) stray_key: bool,
    /// A sentence for each obstacle to replacing the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cannot_replace: Vec<String>,
    /// The obstacles themselves, with what may be done.
    #[serde(skip)]
    pub(super) obstacles: Vec<Obstacle>,
    /// Staged files of an interrupted run.
    pub(super) leftovers: usize,
    /// True when this program installed these files and completed that with a restart.
    pub(super) completed: bool,
}

/// The facts that a directory is judged by.
pub(super) struct PeerJudge<'a> {
    pub(super) host: &'a Host,
    /// This box's UUID; none where `ims.conf` gives none.
    pub(super) device: Option<&'a DeviceUuid>,
    pub(super) thresholds: Thresholds,
    pub(super) now: Timestamp,
}

impl PeerJudge<'_> {
    /// Judges a directory. `completed` are the files of the last completed installation into it.
    pub(super) fn peer(
        &self,
        manager: ManagerUuid,
        peer: Result<PeerDir, Error>,
        completed: Option<Digests>,
        signers: Vec<PinnedSigner>,
    ) -> PeerStatus {
        let directory = peer.and_then(|peer| peer.read(self.host).map(|live| (peer, live)));
        let directory = directory.map_err(Failure::from);
        let mut verdict = Judgement::of(&manager, &directory, self.device, self.now);
        verdict.level = level_of(verdict.state, verdict.days_left, self.thresholds);
        let contents =
            directory.map(|(peer, live)| Contents::of(self.host, &peer, &live, completed));
        PeerStatus {
            path: peers::shown(self.host, &manager),
            manager,
            verdict,
            contents: contents.unwrap_or_default(),
            signers,
            tunnel: None,
        }
    }
}

impl PeerStatus {
    /// Returns true when that file was looked for and was not there.
    pub(super) fn lacks(&self, file: CredentialFile) -> bool {
        let mut files = self.contents.files.iter();
        files.any(|one| one.name == file.name() && one.found.is_none())
    }
}

impl PeerState {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Broken => "broken",
            Self::Empty => "empty",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Fault {
    pub(super) fn of(error: &(impl Reasoned + std::fmt::Display)) -> Self {
        let (reason, message) = (Some(error.reason()), error.to_string());
        Self { reason, message, hint: String::new() }
    }
}

/// One file's entry in the JSON.
#[derive(Debug, Serialize)]
pub(super) struct FileStatus {
    pub(super) name: &'static str,
    /// Absent when there is no such file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<FoundStatus>,
}

/// A file that is there.
#[derive(Debug, Serialize)]
pub(super) struct FoundStatus {
    pub(super) size: usize,
    pub(super) sha256: Sha256,
    /// Octal.
    pub(super) mode: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// True when mode and owner are `644 root:root`.
    pub(super) as_expected: bool,
}

pub(super) type Digests = [Option<Sha256>; 3];

impl Contents {
    pub(super) fn of(
        host: &Host,
        peer: &PeerDir,
        live: &LiveSet,
        completed: Option<Digests>,
    ) -> Self {
        let strays = peer.strays().unwrap_or_default();
        let here = |(file, live): (CredentialFile, &Live)| live.identity().map(|_| file);
        let files: Vec<_> = live.iter().filter_map(here).collect();
        let obstacles = obstacles::find(host, peer, &files);
        Self {
            files: live.iter().map(file_status).collect(),
            stray_key: strays.iter().any(|name| peers::looks_like(name, "sftunnel-key")),
            strays: strays.iter().map(|name| printable_bytes(name.as_bytes())).collect(),
            cannot_replace: obstacles.iter().map(|one| one.message()).collect(),
            obstacles,
            leftovers: peer.leftovers().map_or(0, |names| names.len()),
            completed: !live.is_absent() && completed == Some(live.0.each_ref().map(Live::sha256)),
        }
    }
}

impl Judgement {
    /// Judges a directory that was read, or the failure to. The level is left to the thresholds.
    pub(super) fn of(
        manager: &ManagerUuid,
        directory: &Result<(PeerDir, LiveSet), Failure>,
        device: Option<&DeviceUuid>,
        now: Timestamp,
    ) -> Self {
        let live = match directory {
            Ok((_, live)) => live,
            Err(failure) => {
                let hint = failure.next_step().unwrap_or_default().to_owned();
                let (reason, message) = (failure.reason(), failure.message().to_owned());
                return Self::new(PeerState::Unreadable, Some(Fault { reason, message, hint }));
            }
        };
        if live.is_absent() {
            return Self::new(PeerState::Empty, None);
        }
        match live.check() {
            Ok(set) => Self::of_set(&set, manager, device, now),
            Err(broken) => {
                let verdict = Self::new(PeerState::Broken, Some(Fault::of(&broken)));
                Self { ca: live.ca_facts(), ..verdict }
            }
        }
    }

    pub(super) fn new(state: PeerState, fault: Option<Fault>) -> Self {
        let (days_left, ca, certificate) = (None, None, None);
        Self { state, level: Level::Unknown, fault, days_left, ca, certificate }
    }

    /// Judges files that fit one another.
    fn of_set(
        set: &CheckedCredentials,
        manager: &ManagerUuid,
        device: Option<&DeviceUuid>,
        now: Timestamp,
    ) -> Self {
        let (ca, certificate) = (set.ca().facts().clone(), set.certificate().facts().clone());
        // the other FMC of a pair keeps each device's set in a directory of that device's UUID
        let named = set.certificate().named_devices();
        let is_of_the_directory = named.iter().any(|uuid| uuid.as_str() == manager.as_str());
        let foreign = another_devices(set, device).filter(|_| !is_of_the_directory);
        let verdict = match (set.check_validity(now), foreign) {
            (_, Some(fault)) => Self::new(PeerState::Broken, Some(fault)),
            (Ok(()), None) => Self::new(PeerState::Valid, None),
            (Err(error), None) if error.reason() == Reason::Expired => {
                Self::new(PeerState::Expired, Some(Fault::of(&error)))
            }
            (Err(error), None) => Self::new(PeerState::NotYetValid, Some(Fault::of(&error))),
        };
        let days_left = Some(now.days_left(ca.not_after.min(certificate.not_after)));
        Self { days_left, ca: Some(ca), certificate: Some(certificate), ..verdict }
    }
}

/// Finds the fault of files that are another device's: they fit one another, and the manager
/// would take this box for the other one.
fn another_devices(set: &CheckedCredentials, device: Option<&DeviceUuid>) -> Option<Fault> {
    let error = set.check_certificate_subject(device?).err()?;
    let fault = Fault::of(&error);
    let message =
        format!("{}: these are another device's files ({})", fault.message, error.reason());
    Some(Fault { message, ..fault })
}

/// An empty directory expects no tunnel; what cannot be read cannot be judged.
pub(super) fn level_of(state: PeerState, days_left: Option<i64>, thresholds: Thresholds) -> Level {
    match (state, days_left) {
        (PeerState::Valid, Some(days)) => Level::by_days(days, thresholds),
        (PeerState::Empty, _) => Level::Ok,
        (PeerState::Unreadable, _) => Level::Unknown,
        _ => Level::Critical,
    }
}

fn file_status((file, live): (CredentialFile, &Live)) -> FileStatus {
    let found = match live {
        Live::Absent => None,
        Live::File(live) => Some(FoundStatus {
            size: live.bytes.len(),
            sha256: live.sha256,
            mode: format!("{:04o}", live.attributes.mode),
            uid: live.attributes.uid,
            gid: live.attributes.gid,
            as_expected: live.attributes.are_expected(),
        }),
    };
    FileStatus { name: file.name(), found }
}
