//! Whether the tunnel to each manager is up, as far as this box can tell.
//!
//! Three witnesses: `pmtool` (does sftunnel run at all), `sftunnel-status-brief` or else
//! `sftunnel_status.pl`, and the kernel's socket table. `connected to` in the second proves a
//! tunnel; `Registration: Completed.` proves nothing (docs/facts.md). What is none of the known
//! lines is `unknown`, never `down` and never `up`; nor is a tunnel `down` because no connection
//! has the expected port. The age of the heartbeat file is told beside it and decides nothing:
//! who writes it, and when, is not documented.

mod brief;
mod ports;
mod sockets;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use cli::say::failure::Failure;
use formats::cisco::facts::{HEARTBEAT, STATUS_BRIEF, STATUS_SCRIPT};
use formats::device::ManagerUuid;
use formats::text::printable;
use rustix::fs::{AtFlags, statat};
use serde::Serialize;

use self::brief::{Brief, Printed, Verdict};
pub(crate) use self::ports::{ports, shown as shown_ports};
pub(crate) use self::sockets::Connection;
use self::sockets::Sockets;
use crate::appliance::error::{Error, Missing};
use crate::appliance::host::Host;
use crate::appliance::host::command::{CommandError, Print};
use crate::appliance::peers::PeerDir;
use crate::appliance::service::{self, Service};
use crate::appliance::signals::Signals;

/// Cisco's programs that say it, in the order of asking. The first is documented for the `>` prompt
/// and may be no program of its own; the second asks more, and may take long.
const PROGRAMS: [&str; 2] = [STATUS_BRIEF, STATUS_SCRIPT];
/// Between two looks.
const POLL: Duration = Duration::from_millis(500);

/// The state of a tunnel, as far as it is known.
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
    pub manager: ManagerUuid,
    pub state: TunnelState,
    /// The witness and its words; foreign text in them.
    pub why: String,
    /// The addresses that the status program names, a few at most; foreign text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connected_to: Vec<String>,
    /// Age of the heartbeat file, by the box's clock; absent without one.
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
    /// The ports that sftunnel is taken to use.
    pub ports: Vec<u16>,
    /// Its established connections; `None` when the kernel's table cannot be read.
    pub connections: Option<Vec<Connection>>,
}

/// Looks once. `managers` are those asked about; `service` is what `pmtool` says; `limit` is for
/// the status program.
pub(crate) fn look(
    host: &Host,
    managers: &[ManagerUuid],
    service: &Service,
    limit: Duration,
) -> Look {
    let brief = ask(host, limit);
    let ports = ports(host);
    let sockets = sockets::read(host, service.pid(), &ports);
    let registered = Registered::of(host);
    let judge = |manager: &ManagerUuid| {
        let verdict = brief.of(manager, registered.with_files);
        let (state, why, connected_to) = judged(service, verdict, sockets.as_ref());
        let written = registered.heartbeats.get(manager);
        let heartbeat_age_seconds = written.map(|at| host.now().unix().saturating_sub(*at));
        Tunnel { manager: manager.clone(), state, why, connected_to, heartbeat_age_seconds }
    };
    let tunnels = managers.iter().map(judge).collect();
    Look { tunnels, ports, connections: sockets.map(|sockets| sockets.tunnels) }
}

/// The witnesses in the order in which they count.
fn judged(
    service: &Service,
    brief: Verdict,
    sockets: Option<&Sockets>,
) -> (TunnelState, String, Vec<String>) {
    if let Service::NotRunning { .. } = service {
        return (TunnelState::Down, format!("sftunnel is {service}"), Vec::new());
    }
    let has_none = sockets.is_some_and(Sockets::is_empty);
    match brief {
        // what is left of a tunnel that is gone; a stale line must satisfy nobody
        Verdict::Connected(addresses) if has_none => {
            let addresses_shown = brief::shown(&addresses);
            let why = format!(
                "connected to {addresses_shown}, says the status program, but the kernel has no connection with another box"
            );
            (TunnelState::Unknown, why, addresses)
        }
        Verdict::Connected(addresses) => {
            let why = format!("connected to {}", brief::shown(&addresses));
            (TunnelState::Up, why, addresses)
        }
        Verdict::NotConnected(why) => (TunnelState::Down, why, Vec::new()),
        // without any connection there is no tunnel; with one there need not be any
        Verdict::Unknown(why) => {
            let (state, connections) = match sockets {
                Some(_) if has_none => {
                    (TunnelState::Down, "the kernel has no connection with another box; ")
                }
                Some(sockets) if !sockets.tunnels.is_empty() => {
                    (TunnelState::Unknown, "a connection of sftunnel stands, but ")
                }
                Some(_) => {
                    (TunnelState::Unknown, "connections stand that may be sftunnel's or not, and ")
                }
                None => (TunnelState::Unknown, ""),
            };
            (state, format!("{connections}{why}"), Vec::new())
        }
    }
}

/// The first program that says anything; else the last that could be asked.
fn ask(host: &Host, limit: Duration) -> Brief {
    let usual = host.told().status_limit;
    let until = Instant::now() + limit.min(usual);
    let cut = || {
        let seconds = limit.min(usual).as_secs_f64().round();
        let more = if limit < usual { "" } else { " (--status-timeout gives it more time)" };
        format!("did not end within {seconds} s and was killed{more}")
    };
    let mut answer = Brief::Silent(format!("there is no {} on this box", PROGRAMS.join(" or ")));
    for name in PROGRAMS {
        let program = match host.program(name) {
            Ok(Some(program)) => program,
            Ok(None) => continue,
            Err(error) => {
                answer = Brief::Silent(Failure::from(error).into_message());
                continue;
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // its exit codes are not documented; what it prints decides
        let printed = match crate::appliance::host::command::run(&program, &[], Print::Kept, left) {
            Ok(finished) => Printed::new(name, &finished.output, None),
            Err(CommandError::TimeOut { output, .. }) => Printed::new(name, &output, Some(cut())),
            Err(error) => {
                answer = Brief::Silent(format!("{name}: {error}"));
                continue;
            }
        };
        let says_anything = printed.says_anything();
        answer = Brief::Printed(printed);
        if says_anything {
            break;
        }
    }
    answer
}

/// Signs of tunnels in the peer directories; no file of them is read.
struct Registered {
    /// Number of those with files, which may have a tunnel; `None` when they cannot be listed.
    with_files: Option<usize>,
    /// Time at which each manager's heartbeat was written.
    heartbeats: HashMap<ManagerUuid, i64>,
}

impl Registered {
    fn of(host: &Host) -> Self {
        let mut heartbeats = HashMap::new();
        let Ok(peers) = PeerDir::all(host) else { return Self { with_files: None, heartbeats } };
        let mut with_files = 0;
        for (manager, peer) in peers {
            // what lies in one that cannot be opened is not known
            with_files += usize::from(peer.as_ref().map_or(true, PeerDir::has_files));
            let stat = |peer: PeerDir| {
                statat(&peer.dir, Path::new(HEARTBEAT), AtFlags::SYMLINK_NOFOLLOW).ok()
            };
            if let Some(stat) = peer.ok().and_then(stat) {
                heartbeats.insert(manager, stat.st_mtime);
            }
        }
        Self { with_files: Some(with_files), heartbeats }
    }
}

/// Refuses `--require-connected` where nothing can decide it, before anything is touched.
///
/// `cannot-tell` without a program that can prove a tunnel.
pub(crate) fn require_provable(host: &Host) -> Result<(), Error> {
    for name in PROGRAMS {
        if host.program(name)?.is_some() {
            return Ok(());
        }
    }
    Err(Missing::StatusProgram { names: PROGRAMS.join(" or ") }.into())
}

/// The end of a wait for tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waited {
    /// The last look, in the order of the managers asked about.
    pub tunnels: Vec<Tunnel>,
    /// Time that it took.
    pub seconds: u64,
}

impl Waited {
    /// True when every one of them is up.
    pub(crate) fn all_up(&self) -> bool {
        self.tunnels.iter().all(|tunnel| tunnel.state == TunnelState::Up)
    }

    /// True when one of them is seen not to be up. Where that is only not known, it is a doubt.
    pub(crate) fn any_down(&self) -> bool {
        self.tunnels.iter().any(|tunnel| tunnel.state == TunnelState::Down)
    }

    /// Those that are not seen up, in a sentence.
    pub(crate) fn not_up(&self) -> String {
        let missing = self.tunnels.iter().filter(|tunnel| tunnel.state != TunnelState::Up);
        let each = missing.map(|tunnel| format!("manager {} is {tunnel}", tunnel.manager));
        let each = each.collect::<Vec<_>>().join("; ");
        format!("within {} s not every tunnel was seen up: {each}", self.seconds)
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
    let mut before: Option<Vec<Tunnel>> = None;
    loop {
        let left = || limit.saturating_sub(started.elapsed());
        let service = service::status_within(host, left());
        let tunnels = look(host, managers, &service, left()).tunnels;
        let mut waited = Waited { tunnels, seconds: started.elapsed().as_secs() };
        let is_over = left().is_zero();
        if waited.all_up() || signals.pending() || is_over {
            // one that the end of the time cut off says less than the one before it
            if let (false, Some(before)) = (waited.all_up(), before.filter(|_| is_over)) {
                waited.tunnels = before;
            }
            return waited;
        }
        std::thread::sleep(POLL.min(left()));
        if left().is_zero() {
            return Waited { seconds: started.elapsed().as_secs(), ..waited };
        }
        before = Some(waited.tunnels);
    }
}

/// The word of `sftunnel-status-brief` on the first of these managers, as the fuzzer asks it.
pub(crate) fn brief_of(output: &[u8], managers: &[ManagerUuid]) -> String {
    let brief = Brief::Printed(Printed::new("the program", output, None));
    let of = |first| format!("{:?}", brief.of(first, Some(managers.len())));
    managers.first().map_or_else(String::new, of)
}

/// The tunnels in a table of sockets, as the fuzzer asks for them.
pub(crate) fn tunnels_in(table: &[u8]) -> Option<usize> {
    sockets::table(table).map(|found| found.len())
}

#[cfg(test)]
impl Tunnel {
    pub(crate) fn in_state(state: TunnelState) -> Self {
        Self {
            manager: "c8d5d5c6-87c9-11ef-a993-b9831565bc4e".parse().unwrap(),
            state,
            why: String::new(),
            connected_to: Vec::new(),
            heartbeat_age_seconds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Connection {
        Connection { local: "10.0.0.9:1".to_owned(), remote: "10.0.0.1:8305".to_owned() }
    }

    #[test]
    fn the_witnesses_count_in_their_order() {
        let running = Service::Running { pid: 1 };
        let stopped = Service::NotRunning { detail: "User Disabled".to_owned() };
        let silent = Service::Unknown { detail: "garbage".to_owned() };
        let connected = || Verdict::Connected(vec!["10.0.0.1".to_owned()]);
        let unknown = || Verdict::Unknown("nobody knows".to_owned());
        let tunnel = Sockets { tunnels: vec![one()], has_others: false };
        let other = Sockets { tunnels: Vec::new(), has_others: true };
        let none = Sockets::default();
        use TunnelState::{Down, Unknown, Up};
        for (service, verdict, sockets, expected, why) in [
            (&stopped, connected(), Some(&tunnel), Down, "what is left of a dead one"),
            (&running, connected(), Some(&tunnel), Up, "all agree"),
            (&running, connected(), Some(&other), Up, "a number contradicts nobody"),
            (&running, connected(), None, Up, "no table to compare with"),
            (&silent, connected(), Some(&other), Up, "pmtool does not say"),
            (&running, connected(), Some(&none), Unknown, "they contradict each other"),
            (&running, Verdict::NotConnected(String::new()), Some(&tunnel), Down, "its own word"),
            (&running, unknown(), Some(&none), Down, "no connection, no tunnel"),
            (&running, unknown(), Some(&tunnel), Unknown, "TCP alone is no tunnel"),
            (&running, unknown(), Some(&other), Unknown, "it may have another port"),
            (&running, unknown(), None, Unknown, "nobody says anything"),
        ] {
            assert_eq!(judged(service, verdict, sockets).0, expected, "{why}");
        }
    }

    #[test]
    fn a_doubt_is_not_down() {
        use TunnelState::{Down, Unknown, Up};
        for (states, all_up, any_down) in [
            (&[Up, Up][..], true, false),
            (&[Up, Unknown], false, false),
            (&[Unknown], false, false),
            (&[Unknown, Down], false, true),
            (&[], true, false),
        ] {
            let tunnels = states.iter().copied().map(Tunnel::in_state).collect();
            let waited = Waited { tunnels, seconds: 0 };
            assert_eq!((waited.all_up(), waited.any_down()), (all_up, any_down), "{states:?}");
        }
    }
}
