//! `status`: each peer directory, and everything else worth knowing at 3 a.m.

mod advice;
mod prometheus;
mod view;

use std::cmp::Reverse;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use cli::disk::box_kind::BoxKind;
use cli::disk::durable;
use cli::say::exit::Failure;
use cli::say::monitoring::{Level, Thresholds};
use cli::say::report::Report;
use cli::say::version;
use formats::credentials::CertificateFacts;
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::error::{Reason, Reasoned};
use formats::text::printable_bytes;
use formats::timestamp::Timestamp;
use serde::Serialize;

use super::Session;
use super::interrupted::{InterruptedRun, interrupted_run};
use crate::appliance::host::Host;
use crate::appliance::peers::{self, Live, LiveSet, PeerDir};
use crate::appliance::service::{self, Service};
use crate::appliance::state::State;
use crate::appliance::tunnel::{self, Connection, Tunnel, TunnelState};
use crate::args::StatusArgs;
use crate::change::backup::{self, BackupId};
use crate::change::obstacles::{self, Obstacle};
use crate::change::records::{Installed, PinnedSigner, Signers};

/// The JSON of `status`.
#[derive(Debug, Serialize)]
struct StatusReport {
    /// The most urgent of all: `OK`, `WARNING`, `CRITICAL`, `UNKNOWN`.
    state: Level,
    /// The state in a sentence.
    summary: String,
    thresholds: Thresholds,
    /// The box's UUID; absent when `ims.conf` gives none.
    device_uuid: Option<formats::device::DeviceUuid>,
    /// True for a manager that is no device of another one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_lone_manager: bool,
    /// True for a machine that is neither a device nor a manager.
    #[serde(skip)]
    is_neither: bool,
    /// The time by the box's clock.
    now: Timestamp,
    /// True when the clock shows a time before this program was made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    clock_behind: bool,
    /// The state of sftunnel, by `pmtool`.
    sftunnel: Service,
    /// Each manager's peer directory.
    peers: Vec<PeerStatus>,
    /// The ports that sftunnel is taken to use.
    ports: Vec<u16>,
    /// Established connections of sftunnel; null when the kernel's table cannot be read.
    connections: Option<Vec<Connection>>,
    /// The backups, oldest first.
    backups: Vec<BackupId>,
    /// A run that was interrupted and is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted_run: Option<String>,
    /// The steps to take, in this order.
    steps: Vec<String>,
}

/// One peer directory's entry in the JSON.
#[derive(Debug, Serialize)]
struct PeerStatus {
    manager: ManagerUuid,
    path: String,
    /// `valid`, `expired`, `not-yet-valid`, `broken`, `empty` or `unreadable`.
    state: &'static str,
    /// The urgency, as `sftunnel-bundle check` has it.
    level: Level,
    /// The fault as a reason word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// The fault in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The remedy, where no other step tells it.
    #[serde(skip)]
    hint: String,
    /// Whole days until the first of the two certificates expires; negative when it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    days_left: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<CertificateFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateFacts>,
    /// The three files.
    files: Vec<FileStatus>,
    /// Names that look like the three files: what a manual attempt left. Escaped.
    strays: Vec<String>,
    /// True when a private key may be among the strays.
    #[serde(skip)]
    stray_key: bool,
    /// A sentence for each obstacle to replacing the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cannot_replace: Vec<String>,
    /// The obstacles themselves, with what may be done.
    #[serde(skip)]
    obstacles: Vec<Obstacle>,
    /// Staged files of an interrupted run.
    leftovers: usize,
    /// True when this program installed these files and completed that with a restart.
    completed: bool,
    signers: Vec<PinnedSigner>,
    /// The tunnel; absent when there are no files, so none is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<Tunnel>,
}

impl PeerStatus {
    /// Returns true when that file was looked for and was not there.
    fn lacks(&self, file: CredentialFile) -> bool {
        self.files.iter().any(|one| one.name == file.name() && one.found.is_none())
    }
}

/// One file's entry in the JSON.
#[derive(Debug, Serialize)]
struct FileStatus {
    name: &'static str,
    /// Absent when there is no such file.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<FoundStatus>,
}

/// A file that is there.
#[derive(Debug, Serialize)]
struct FoundStatus {
    size: usize,
    sha256: formats::checksum::Sha256,
    /// Octal.
    mode: String,
    uid: u32,
    gid: u32,
    /// True when mode and owner are `644 root:root`.
    as_expected: bool,
}

/// Shows the state of the box. Peer directories or records that cannot be read, and a
/// `--prometheus` file that cannot be written, are errors.
pub(crate) fn run(session: &Session, args: &StatusArgs) -> Result<Report, Failure> {
    let Session { host, terminal } = session;
    let thresholds = args.thresholds.checked()?;
    let now = host.now();
    let state = State::open(host)?;
    let appliance = host.appliance();
    let (installed, signers) = (Installed::read(state.as_ref())?, Signers::read(state.as_ref())?);
    let peers = PeerDir::all(host)?.map(|(manager, peer)| {
        let completed = installed.of(&manager).map(|set| set.files);
        let pinned = signers.managers.get(&manager).cloned().unwrap_or_default();
        let device = appliance.as_ref().ok().map(|appliance| &appliance.uuid);
        let mut status = peer_status(host, manager, peer, device, completed, pinned, now);
        status.level = level_of(status.state, status.days_left, thresholds);
        status
    });
    // a manager keeps its devices' certificates in such directories, and not their CA
    let kind = host.kind();
    let is_manager = kind == BoxKind::Manager;
    let mut peers: Vec<PeerStatus> =
        peers.filter(|peer| !(is_manager && peer.lacks(CredentialFile::Ca))).collect();
    let sftunnel = service::status(host);
    let (ports, connections) = look_at_tunnels(host, &mut peers, &sftunnel);
    peers.sort_by_key(|peer| (Reverse(peer.level), peer.days_left.unwrap_or(i64::MAX)));
    let (interrupted_run, unfinished) = match interrupted_run(state.as_ref()) {
        Some(InterruptedRun { what, next }) => (Some(what), Some(next)),
        None => (None, None),
    };
    let mut report = StatusReport {
        state: Level::Unknown,
        summary: String::new(),
        thresholds,
        device_uuid: appliance.as_ref().ok().map(|appliance| appliance.uuid.clone()),
        is_lone_manager: is_manager && peers.is_empty(),
        is_neither: kind == BoxKind::Neither,
        now,
        clock_behind: now < version::built(),
        sftunnel,
        peers,
        ports,
        connections,
        backups: state.as_ref().map(backup::list).transpose()?.unwrap_or_default(),
        interrupted_run,
        steps: Vec::new(),
    };
    (report.state, report.summary) = (overall(&report), view::summary(&report));
    report.steps = advice::next(&report, unfinished);
    if let Some(path) = &args.prometheus {
        durable::replace_at(path, prometheus::text(&report).as_bytes(), 0o644)?;
    }
    let text = view::text(terminal, &report, appliance, args.plugin);
    let done = Report::done(&report, text);
    Ok(if args.plugin { done.monitoring(report.state) } else { done })
}

/// Returns the worst level of the files and of the facts beside them. Where no tunnel is
/// expected, there is nothing to judge.
fn overall(report: &StatusReport) -> Level {
    let expected = report.peers.iter().filter(|peer| peer.state != "empty");
    let files = expected.map(|peer| peer.level).max().unwrap_or(Level::Unknown);
    if trouble(report).is_some() { files.max(Level::Warning) } else { files }
}

/// Names the first trouble that exists beside the files, which may be good.
fn trouble(report: &StatusReport) -> Option<&'static str> {
    let expected = || report.peers.iter().filter_map(|peer| peer.tunnel.as_ref());
    if report.interrupted_run.is_some() {
        // there may be files of two sets
        Some("an interrupted run is not finished")
    } else if report.clock_behind {
        Some("the clock is behind")
    } else if expected().count() > 0 && matches!(report.sftunnel, Service::NotRunning { .. }) {
        Some("sftunnel does not run")
    } else if expected().any(|tunnel| tunnel.state == TunnelState::Down) {
        Some("a tunnel is down")
    } else {
        None
    }
}

fn look_at_tunnels(
    host: &Host,
    peers: &mut [PeerStatus],
    sftunnel: &Service,
) -> (Vec<u16>, Option<Vec<Connection>>) {
    let managers: Vec<_> = peers.iter().map(|peer| peer.manager.clone()).collect();
    let look = tunnel::look(host, &managers, sftunnel, Duration::MAX);
    for (peer, tunnel) in peers.iter_mut().zip(look.tunnels) {
        peer.tunnel = (peer.state != "empty").then_some(tunnel);
    }
    (look.ports, look.connections)
}

type Digests = [Option<formats::checksum::Sha256>; 3];

fn peer_status(
    host: &Host,
    manager: ManagerUuid,
    peer: Result<PeerDir, Failure>,
    device: Option<&DeviceUuid>,
    completed: Option<Digests>,
    signers: Vec<PinnedSigner>,
    now: Timestamp,
) -> PeerStatus {
    let mut status = PeerStatus {
        path: peers::shown(host, &manager),
        manager,
        state: "unreadable",
        level: Level::Unknown,
        reason: None,
        message: None,
        hint: String::new(),
        days_left: None,
        ca: None,
        certificate: None,
        files: Vec::new(),
        strays: Vec::new(),
        stray_key: false,
        cannot_replace: Vec::new(),
        obstacles: Vec::new(),
        leftovers: 0,
        completed: false,
        signers,
        tunnel: None,
    };
    let read = peer.and_then(|peer| {
        let live = peer.read(host)?;
        Ok((peer, live))
    });
    match read {
        Err(failure) => {
            status.reason = failure.reason();
            status.hint = failure.next_step().unwrap_or_default().to_owned();
            status.message = Some(failure.into_message());
        }
        Ok((peer, live)) => {
            let strays = peer.strays().unwrap_or_default();
            status.stray_key = strays.iter().any(|name| peers::looks_like(name, "sftunnel-key"));
            status.strays = strays.iter().map(|name| printable_bytes(name.as_bytes())).collect();
            status.leftovers = peer.leftovers().map(|names| names.len()).unwrap_or(0);
            status.files = live.iter().map(file_status).collect();
            status.completed =
                !live.is_absent() && completed == Some(live.0.each_ref().map(Live::sha256));
            let here = |(file, live): (CredentialFile, &Live)| live.identity().map(|_| file);
            let files: Vec<_> = live.iter().filter_map(here).collect();
            status.obstacles = obstacles::find(host, &peer, &files);
            status.cannot_replace = status.obstacles.iter().map(|one| one.message()).collect();
            judge_set(&mut status, &live, device, now);
        }
    }
    status
}

fn judge_set(status: &mut PeerStatus, live: &LiveSet, device: Option<&DeviceUuid>, now: Timestamp) {
    if live.is_absent() {
        status.state = "empty";
        return;
    }
    let set = match live.check() {
        Ok(set) => set,
        Err(broken) => {
            status.state = "broken";
            (status.reason, status.message) = (Some(broken.reason()), Some(broken.to_string()));
            status.ca = live.ca_facts();
            return;
        }
    };
    status.state = match set.check_validity(now) {
        Ok(()) => "valid",
        Err(error) => {
            (status.reason, status.message) = (Some(error.reason()), Some(error.to_string()));
            if error.reason() == Reason::Expired { "expired" } else { "not-yet-valid" }
        }
    };
    // the other FMC of a pair keeps each device's set in a directory of that device's UUID
    let named = set.certificate().named_devices();
    let is_of_the_directory = named.iter().any(|uuid| uuid.as_str() == status.manager.as_str());
    let wrong = device.and_then(|device| set.check_certificate_subject(device).err());
    if let Some(error) = wrong.filter(|_| !is_of_the_directory) {
        // they fit each other, and the manager would take this box for the other one
        status.state = "broken";
        let message = format!("{error}: these are another device's files ({})", error.reason());
        (status.reason, status.message) = (Some(error.reason()), Some(message));
    }
    let (ca, certificate) = (set.ca().facts().clone(), set.certificate().facts().clone());
    status.days_left = Some(now.days_left(ca.not_after.min(certificate.not_after)));
    (status.ca, status.certificate) = (Some(ca), Some(certificate));
}

/// An empty directory expects no tunnel; what cannot be read cannot be judged.
fn level_of(state: &str, days_left: Option<i64>, thresholds: Thresholds) -> Level {
    match (state, days_left) {
        ("valid", Some(days)) => Level::by_days(days, thresholds),
        ("empty", _) => Level::Ok,
        ("unreadable", _) => Level::Unknown,
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

#[cfg(test)]
mod tests;
