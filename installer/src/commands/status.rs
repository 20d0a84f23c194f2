//! `status`: each peer directory, and everything else worth knowing at 3 a.m.

mod advice;
mod peer;
mod prometheus;
mod view;

use std::cmp::Reverse;
use std::time::Duration;

use cli::disk::box_kind::BoxKind;
use cli::disk::durable;
use cli::say::failure::Failure;
use cli::say::monitoring::{Level, Thresholds};
use cli::say::report::Report;
use cli::say::terminal::Terminal;
use cli::say::version;
use formats::device::{CredentialFile, DeviceUuid};
use formats::timestamp::Timestamp;
use serde::Serialize;

use self::peer::{PeerJudge, PeerState, PeerStatus};
use super::Session;
use super::interrupted::{InterruptedRun, interrupted_run};
use crate::appliance::host::Host;
use crate::appliance::peers::PeerDir;
use crate::appliance::service::{self, Service};
use crate::appliance::state::State;
use crate::appliance::tunnel::{self, Connection, TunnelState};
use crate::appliance::under_way::UnderWay;
use crate::args::StatusArgs;
use crate::change::backup::{self, BackupId};
use crate::change::records::{Installed, Signers};

/// The JSON of `status`.
#[derive(Debug, Serialize)]
struct StatusReport {
    /// The most urgent of all: `OK`, `WARNING`, `CRITICAL`, `UNKNOWN`.
    state: Level,
    /// The state in a sentence.
    summary: String,
    thresholds: Thresholds,
    /// The box's UUID; absent when `ims.conf` gives none.
    device_uuid: Option<DeviceUuid>,
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
    /// The run that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    under_way: Option<RunUnderWay>,
    /// A run that was interrupted and is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted_run: Option<String>,
    /// The steps to take, in this order.
    steps: Vec<String>,
}

/// A run that holds the lock.
#[derive(Debug, Serialize)]
struct RunUnderWay {
    /// Absent where it does not say.
    #[serde(flatten)]
    run: Option<UnderWay>,
}

/// Shows the state of the box. Peer directories or records that cannot be read, and a
/// `--prometheus` file that cannot be written, are errors.
pub(crate) fn run(session: &Session, args: &StatusArgs) -> Result<Report, Failure> {
    of(&session.host, &session.terminal, args)
}

/// The same, for a report within another one.
pub(crate) fn of(host: &Host, terminal: &Terminal, args: &StatusArgs) -> Result<Report, Failure> {
    let thresholds = args.thresholds.checked()?;
    let now = host.now();
    let state = State::open(host)?;
    let appliance = host.appliance();
    let (installed, signers) = (Installed::read(state.as_ref())?, Signers::read(state.as_ref())?);
    let device = appliance.as_ref().ok().map(|appliance| &appliance.uuid);
    let judge = PeerJudge { host, device, thresholds, now };
    let peers = PeerDir::all(host)?.map(|(manager, peer)| {
        let completed = installed.of(&manager).map(|set| set.files);
        let pinned = signers.managers.get(&manager).cloned().unwrap_or_default();
        judge.peer(manager, peer, completed, pinned)
    });
    // a manager keeps its devices' certificates in such directories, and not their CA
    let kind = host.kind();
    let is_manager = kind == BoxKind::Manager;
    let mut peers: Vec<PeerStatus> =
        peers.filter(|peer| !(is_manager && peer.lacks(CredentialFile::Ca))).collect();
    let sftunnel = service::status(host);
    let (ports, connections) = look_at_tunnels(host, &mut peers, &sftunnel);
    peers.sort_by_key(|peer| {
        (Reverse(peer.verdict.level), peer.verdict.days_left.unwrap_or(i64::MAX))
    });
    let (interrupted_run, unfinished) = match interrupted_run(state.as_ref()) {
        Some(InterruptedRun { what, next }) => (Some(what), Some(next)),
        None => (None, None),
    };
    let under_way = state.as_ref().and_then(State::under_way).map(|run| RunUnderWay { run });
    let mut report = StatusReport {
        state: Level::Unknown,
        summary: String::new(),
        thresholds,
        device_uuid: device.cloned(),
        is_lone_manager: is_manager && peers.is_empty(),
        is_neither: kind == BoxKind::Neither,
        now,
        clock_behind: now < version::built(),
        sftunnel,
        peers,
        ports,
        connections,
        backups: state.as_ref().map(backup::list).transpose()?.unwrap_or_default(),
        under_way,
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
    let expected = report.peers.iter().filter(|peer| peer.verdict.state != PeerState::Empty);
    let files = expected.map(|peer| peer.verdict.level).max().unwrap_or(Level::Unknown);
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
        peer.tunnel = (peer.verdict.state != PeerState::Empty).then_some(tunnel);
    }
    (look.ports, look.connections)
}

#[cfg(test)]
mod tests;
