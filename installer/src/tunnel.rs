//! Whether the tunnel to each manager is up, as far as this box can tell.
//!
//! Three witnesses: `pmtool` (does sftunnel run at all), `sftunnel-status-brief`, and the
//! kernel's socket table. `connected to` in the second proves a tunnel; `Registration:
//! Completed.` proves nothing (docs/facts.md). What is none of the known lines is `unknown`, never
//! `down` and never `up`. The age of the heartbeat file is told beside it and decides nothing:
//! who writes it, and when, is not documented.

mod brief;
mod sockets;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use console::exit::Failure;
use formats::device::ManagerUuid;
use formats::error::Reason;
use formats::text::printable;
use rustix::fs::{AtFlags, statat};
use serde::Serialize;

use self::brief::{Brief, Verdict};
pub(crate) use self::sockets::Connection;
use crate::host::Host;
use crate::host::command::Print;
use crate::peers::PeerDir;
use crate::service::{self, Service};
use crate::signals::Signals;

/// Cisco's program that says it.
const BRIEF: &str = "sftunnel-status-brief";
/// How long it may take.
const BRIEF_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks.
const POLL: Duration = Duration::from_millis(500);
/// In the peer directory (docs/facts.md).
const HEARTBEAT: &str = "sftunnel-heartbeat";

/// What is known of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TunnelState {
    /// `connected to` was seen.
    Up,
    /// Seen not to be up.
    Down,
    /// Nobody could say.
    Unknown,
}

/// The tunnel to one manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Tunnel {
    /// To whom.
    pub manager: ManagerUuid,
    /// What is known.
    pub state: TunnelState,
    /// Who says so; foreign text in it.
    pub why: String,
    /// The addresses that `sftunnel-status-brief` names; foreign text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connected_to: Vec<String>,
    /// How long ago the heartbeat file was written, by the box's clock; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_age_seconds: Option<i64>,
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            TunnelState::Up => "up",
            TunnelState::Down => "down",
            TunnelState::Unknown => "unknown",
        };
        write!(f, "{state}: {}", printable(&self.why))
    }
}

/// One look at the box.
#[derive(Debug)]
pub(crate) struct Look {
    /// For the managers asked about, in their order.
    pub tunnels: Vec<Tunnel>,
    /// Established connections of port 8305; `None` when the kernel's table cannot be read.
    pub connections: Option<Vec<Connection>>,
}

/// Looks once. `managers` are those asked about; `service` is what `pmtool` says.
pub(crate) fn look(host: &Host, managers: &[ManagerUuid], service: &Service) -> Look {
    let brief = ask_brief(host);
    let connections = sockets::read(host);
    // whoever has a peer directory with files in it may have a tunnel
    let registered = registered(host);
    let judge = |manager: &ManagerUuid| {
        let (state, why, connected_to) =
            judged(service, brief.of(manager, &registered), connections.as_deref());
        let heartbeat_age_seconds = heartbeat_age(host, manager);
        Tunnel { manager: manager.clone(), state, why, connected_to, heartbeat_age_seconds }
    };
    let tunnels = managers.iter().map(judge).collect();
    Look { tunnels, connections }
}

/// The witnesses in the order in which they count.
fn judged(
    service: &Service,
    brief: Verdict,
    connections: Option<&[Connection]>,
) -> (TunnelState, String, Vec<String>) {
    if let Service::NotRunning { .. } = service {
        return (TunnelState::Down, format!("sftunnel is {service}"), Vec::new());
    }
    match brief {
        // what is left of a tunnel that is gone; a stale line must satisfy nobody
        Verdict::Connected(addresses) if connections.is_some_and(<[_]>::is_empty) => {
            let why = format!(
                "{BRIEF} says connected to {}, but the kernel has no connection of port {}",
                addresses.join(", "),
                sockets::PORT
            );
            (TunnelState::Unknown, why, addresses)
        }
        Verdict::Connected(addresses) => {
            let why = format!("connected to {}", addresses.join(", "));
            (TunnelState::Up, why, addresses)
        }
        Verdict::NotConnected => {
            (TunnelState::Down, format!("{BRIEF} shows no connection"), Vec::new())
        }
        // without a connection there is no tunnel; with one there need not be any
        Verdict::Unknown(why) => match connections {
            Some([]) => (
                TunnelState::Down,
                format!("the kernel has no connection of port {}; {why}", sockets::PORT),
                Vec::new(),
            ),
            Some(_) => (
                TunnelState::Unknown,
                format!("a connection of port {} stands, but {why}", sockets::PORT),
                Vec::new(),
            ),
            None => (TunnelState::Unknown, why, Vec::new()),
        },
    }
}

fn ask_brief(host: &Host) -> Brief {
    let Some(program) = host.program(BRIEF) else {
        return Brief::Silent(format!("there is no {BRIEF} on this box"));
    };
    match crate::host::command::run(&program, &[], Print::Kept, BRIEF_LIMIT) {
        // its exit codes are not documented; what it prints decides
        Ok(finished) => Brief::Printed(String::from_utf8_lossy(&finished.output).into_owned()),
        Err(error) => Brief::Silent(format!("{BRIEF}: {error}")),
    }
}

fn registered(host: &Host) -> Vec<ManagerUuid> {
    let peers = PeerDir::all(host).unwrap_or_default();
    let has_files = |peer: &Result<PeerDir, Failure>| {
        let live = peer.as_ref().ok().and_then(|peer| peer.read(host).ok());
        live.is_none_or(|live| !live.is_absent())
    };
    peers.into_iter().filter(|(_, peer)| has_files(peer)).map(|(manager, _)| manager).collect()
}

fn heartbeat_age(host: &Host, manager: &ManagerUuid) -> Option<i64> {
    let peer = PeerDir::open(host, manager).ok()?;
    let stat = statat(&peer.dir, Path::new(HEARTBEAT), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(host.now().unix().saturating_sub(stat.st_mtime))
}

/// Whether `--require-connected` can be decided here at all; before anything is touched.
///
/// # Errors
/// `not-found` without the only program that can prove a tunnel.
pub(crate) fn require_provable(host: &Host) -> Result<(), Failure> {
    if host.program(BRIEF).is_some() {
        return Ok(());
    }
    let message = format!("there is no {BRIEF} on this box, so nothing here could prove a tunnel");
    Err(Failure::refused(Reason::NotFound, message)
        .hint("leave --require-connected out, and see at the manager whether the tunnel is up"))
}

/// How the waiting for tunnels ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waited {
    /// The last look, in the order of the managers asked about.
    pub tunnels: Vec<Tunnel>,
    /// How long it took.
    pub seconds: u64,
}

impl Waited {
    /// Whether every one of them is up.
    pub(crate) fn all_up(&self) -> bool {
        self.tunnels.iter().all(|tunnel| tunnel.state == TunnelState::Up)
    }
}

/// Looks until all of these tunnels are up, the time is over, or a signal arrives.
pub(crate) fn wait(
    host: &Host,
    managers: &[ManagerUuid],
    limit: Duration,
    signals: &Signals,
) -> Waited {
    let started = Instant::now();
    loop {
        let tunnels = look(host, managers, &service::status(host)).tunnels;
        let waited = Waited { tunnels, seconds: started.elapsed().as_secs() };
        if waited.all_up() || started.elapsed() >= limit || signals.pending() {
            return waited;
        }
        std::thread::sleep(POLL.min(limit.saturating_sub(started.elapsed())));
    }
}

/// What `sftunnel-status-brief` says of the first of these managers, as the fuzzer asks it.
pub(crate) fn brief_of(output: &[u8], managers: &[ManagerUuid]) -> String {
    let brief = Brief::Printed(String::from_utf8_lossy(output).into_owned());
    managers.first().map_or_else(String::new, |first| format!("{:?}", brief.of(first, managers)))
}

/// The tunnels in a table of sockets, as the fuzzer asks for them.
pub(crate) fn tunnels_in(table: &[u8]) -> Option<usize> {
    sockets::table(table).map(|found| found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_witnesses_count_in_their_order() {
        let running = Service::Running { pid: 1 };
        let stopped = Service::NotRunning { detail: "User Disabled".to_owned() };
        let connected = || Verdict::Connected(vec!["10.0.0.1".to_owned()]);
        let unknown = || Verdict::Unknown("nobody knows".to_owned());
        let one = [Connection { local: "a:1".to_owned(), remote: "b:8305".to_owned() }];
        let state = |service, verdict, connections: Option<&[Connection]>| {
            judged(service, verdict, connections).0
        };
        use TunnelState::{Down, Unknown, Up};
        assert_eq!(state(&stopped, connected(), Some(&one)), Down, "what is left of a dead one");
        assert_eq!(state(&running, connected(), Some(&one)), Up);
        assert_eq!(state(&running, connected(), None), Up, "no table to compare with");
        assert_eq!(state(&running, connected(), Some(&[])), Unknown, "they contradict");
        assert_eq!(state(&running, Verdict::NotConnected, Some(&one)), Down);
        assert_eq!(state(&running, unknown(), Some(&[])), Down);
        assert_eq!(state(&running, unknown(), Some(&one)), Unknown, "TCP alone is no tunnel");
        assert_eq!(state(&running, unknown(), None), Unknown);
    }
}
