//! sftunnel as the process manager sees it: parse, restart, prove that it came back.
//!
//! `pmtool`'s exit codes are not documented (docs/facts.md), so nothing is concluded from them:
//! a restart is proved by a new PID in state `Running` that stays.

use std::fmt;
use std::time::{Duration, Instant};

use formats::cisco::facts::SFTUNNEL;
use formats::text::printable;
use serde::Serialize;

use crate::appliance::error::Error;
use crate::appliance::host::Host;
use crate::appliance::host::command::Print;
use crate::appliance::signals::Signals;

/// Time limit of one `pmtool status`.
pub(crate) const STATUS_LIMIT: Duration = Duration::from_secs(30);
/// Tries for a state that cannot be read before a restart, and the pause between them.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at the state.
const POLL: Duration = Duration::from_millis(100);
/// Time in which sftunnel may be seen stopped after the restart command has returned. The old
/// process may take up to the restart time limit to stop; this counts from when it is gone.
const START_GRACE: Duration = Duration::from_secs(30);

/// The state of sftunnel, as `pmtool status` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum Service {
    /// Running, with this PID.
    Running {
        /// The process.
        pid: u32,
    },
    /// Listed, but not running.
    NotRunning {
        /// As `pmtool` words it; foreign text.
        detail: String,
    },
    /// `pmtool` failed, or does not list sftunnel.
    Unknown {
        /// Why.
        detail: String,
    },
}

impl Service {
    /// The PID, when running.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid } => Some(*pid),
            _ => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { pid } => write!(f, "running, PID {pid}"),
            Self::NotRunning { detail } => write!(f, "not running ({})", printable(detail)),
            Self::Unknown { detail } => write!(f, "unknown ({})", printable(detail)),
        }
    }
}

/// Reads the block of sftunnel: `sftunnel (system) - Running 12858`.
pub(crate) fn parse_status(output: &[u8]) -> Service {
    let text = String::from_utf8_lossy(output);
    let state = text.lines().find_map(|line| {
        let (id, rest) = line.trim().split_once(char::is_whitespace)?;
        let (kind, state) = rest.split_once(" - ")?;
        let kind = kind.trim();
        (id == SFTUNNEL && kind.starts_with('(') && kind.ends_with(')')).then(|| state.trim())
    });
    let Some(state) = state else {
        return Service::Unknown { detail: "pmtool status does not list sftunnel".to_owned() };
    };
    let detail = || state.chars().take(80).collect();
    match state.split_once(char::is_whitespace).unwrap_or((state, "")) {
        ("Running", pid) => match pid.trim().parse() {
            // no process has 0: one that is not told yet
            Ok(pid @ 1..) => Service::Running { pid },
            _ => Service::Unknown { detail: detail() },
        },
        _ => Service::NotRunning { detail: detail() },
    }
}

/// Asks `pmtool`.
pub(crate) fn status(host: &Host) -> Service {
    status_within(host, STATUS_LIMIT)
}

/// The same, in less time than that where there is less.
pub(crate) fn status_within(host: &Host, left: Duration) -> Service {
    match host.run_pmtool(&["status"], Print::Kept, STATUS_LIMIT.min(left)) {
        Ok(finished) => parse_status(&finished.output),
        Err(error) => Service::Unknown { detail: format!("pmtool status: {error}") },
    }
}

/// The same, asking again when the answer cannot be read: [`TRIES`] times, unless a signal
/// came. Without it nobody can tell a new process from the one of before.
pub(crate) fn settled_status(host: &Host, signals: &Signals) -> Service {
    let mut state = status(host);
    for _ in 1..TRIES {
        if !matches!(state, Service::Unknown { .. }) || signals.pending() {
            break;
        }
        std::thread::sleep(PAUSE);
        state = status(host);
    }
    state
}

/// Reads the state of sftunnel that a restart will be proved against.
///
/// `cannot-tell` when `pmtool` does not say.
pub(crate) fn require_readable(host: &Host, signals: &Signals) -> Result<Service, Error> {
    let state = settled_status(host, signals);
    let Service::Unknown { detail } = state else { return Ok(state) };
    signals.check()?;
    Err(Error::ServiceUnknown { detail })
}

/// Time limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the restart command and until a new process is seen.
    pub restart: Duration,
    /// Time for which the new process must stay.
    pub settle: Duration,
}

/// The reason sftunnel is not confirmed running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unhealthy {
    /// It came up and went away again.
    #[error("sftunnel came up with PID {pid} and did not stay: {}", in_its_place(.after))]
    Died {
        /// The process that came up.
        pid: u32,
        /// Seen in its place.
        after: Service,
    },
    /// No new process was seen.
    #[error("{}{}", not_up(*.seconds, .last), restart_note(.restart))]
    NotUp {
        /// Time that was waited.
        seconds: u64,
        /// The last state seen.
        last: Service,
        /// The report of the restart command itself.
        restart: Option<String>,
    },
}

/// A signal ended the waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

fn in_its_place(after: &Service) -> String {
    match after {
        Service::Running { pid } => format!("PID {pid} runs in its place"),
        after => format!("now {after}"),
    }
}

/// A process that still runs is the one of before: any other is a new one.
fn not_up(seconds: u64, last: &Service) -> String {
    match last {
        Service::Running { pid } => format!(
            "sftunnel was not restarted within {seconds} s: it still runs with PID {pid}, the one of before"
        ),
        last => format!("sftunnel did not come up within {seconds} s: {last}"),
    }
}

fn restart_note(restart: &Option<String>) -> String {
    restart.as_ref().map(|note| format!("; {note}")).unwrap_or_default()
}

/// Restarts sftunnel and waits until it is proved to run: in state `Running` with a PID
/// other than `old` (any, when it was not running) that stays for the settle time. `seen` is told
/// of such a process when it is there.
pub(crate) fn restart(
    host: &Host,
    old: Option<u32>,
    patience: Patience,
    signals: &Signals,
    seen: &dyn Fn(u32),
) -> Result<Result<u32, Unhealthy>, Interrupted> {
    let started = Instant::now();
    let note = match host.run_pmtool(&["restartbyid", SFTUNNEL], Print::Dropped, patience.restart) {
        Ok(finished) if finished.status.success() => None,
        Ok(finished) => Some(format!("pmtool restartbyid ended with {}", finished.status)),
        Err(error) => Some(format!("pmtool restartbyid: {error}")),
    };
    wait_until_up(host, Watch::new(old, patience, started), note, signals, seen)
}

/// Waits alone, for a restart that has happened already.
pub(crate) fn confirm(
    host: &Host,
    old: Option<u32>,
    patience: Patience,
    signals: &Signals,
    seen: &dyn Fn(u32),
) -> Result<Result<u32, Unhealthy>, Interrupted> {
    wait_until_up(host, Watch::new(old, patience, Instant::now()), None, signals, seen)
}

fn wait_until_up(
    host: &Host,
    mut watch: Watch,
    restart: Option<String>,
    signals: &Signals,
    seen: &dyn Fn(u32),
) -> Result<Result<u32, Unhealthy>, Interrupted> {
    loop {
        let (asked, was_up) = (Instant::now(), watch.up.is_some());
        match watch.see(status(host), asked) {
            Seen::Up(pid) => return Ok(Ok(pid)),
            Seen::Died { pid, after } => return Ok(Err(Unhealthy::Died { pid, after })),
            Seen::NotUp { last } => {
                let seconds = watch.started.elapsed().as_secs();
                return Ok(Err(Unhealthy::NotUp { seconds, last, restart }));
            }
            Seen::Nothing => {}
        }
        if let (false, Some((pid, _))) = (was_up, watch.up) {
            seen(pid);
        }
        if signals.pending() {
            return Err(Interrupted);
        }
        std::thread::sleep(POLL);
    }
}

/// The looks at sftunnel since the restart.
#[derive(Debug)]
struct Watch {
    old: Option<u32>,
    settle: Duration,
    started: Instant,
    deadline: Instant,
    /// Since when no process is seen.
    gone_since: Option<Instant>,
    /// The new process, and since when it is seen.
    up: Option<(u32, Instant)>,
}

/// The outcome of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// Nothing yet.
    Nothing,
    /// The new process stayed.
    Up(u32),
    /// It did not.
    Died { pid: u32, after: Service },
    /// There is none.
    NotUp { last: Service },
}

impl Watch {
    fn new(old: Option<u32>, patience: Patience, started: Instant) -> Self {
        let (settle, deadline) = (patience.settle, started + patience.restart);
        Self { old, settle, started, deadline, gone_since: None, up: None }
    }

    /// One more look, which was begun at `asked`.
    fn see(&mut self, state: Service, asked: Instant) -> Seen {
        if let Some((pid, since)) = self.up {
            let stayed = asked.saturating_duration_since(since);
            return match state {
                // the same process, as long as it must
                Service::Running { pid: now } if now == pid && stayed >= self.settle => {
                    Seen::Up(pid)
                }
                Service::Running { pid: now } if now == pid => Seen::Nothing,
                // pmtool could not say; that is no sign of death
                Service::Unknown { .. } if stayed < self.settle + STATUS_LIMIT => Seen::Nothing,
                after => Seen::Died { pid, after },
            };
        }
        match state {
            Service::Running { pid } if Some(pid) != self.old => {
                if self.settle.is_zero() {
                    return Seen::Up(pid);
                }
                self.up = Some((pid, asked));
                return Seen::Nothing;
            }
            Service::Running { .. } => self.gone_since = None,
            Service::NotRunning { .. } => {
                let since = *self.gone_since.get_or_insert(asked);
                if asked.saturating_duration_since(since) >= START_GRACE {
                    return Seen::NotUp { last: state };
                }
            }
            // pmtool could not say; that is no sign that nothing runs
            Service::Unknown { .. } => {}
        }
        if asked >= self.deadline { Seen::NotUp { last: state } } else { Seen::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of `pmtool status` with this line in it, among lines that are not sftunnel's.
    fn printed(line: &str, end: &str) -> Service {
        let lines = [
            "Received status (0):",
            "Daemons:",
            "adi (normal) - User Disabled",
            "sftunnel-watch (system) - Running 1",
            "sftunneld (normal) - Running 2",
            "expire-session (system,gui) - Period 3600 - Next run Thu Jan 26 12:18:16 2017",
            "Command: /ngfw/usr/local/sf/bin/sftunnel -d -f /etc/sf/sftunnel.conf",
            line,
            "PID File: /ngfw/var/sf/run/sftunnel.pid",
            "Requires: sftunnel (normal) - Running 3",
        ];
        parse_status(lines.map(|line| format!("{line}{end}")).concat().as_bytes())
    }

    #[test]
    fn reads_the_block_of_sftunnel_only() {
        let running = |pid| Service::Running { pid };
        let not_running = |detail: &str| Service::NotRunning { detail: detail.to_owned() };
        for (line, expected) in [
            ("sftunnel (system) - Running 12858", running(12858)),
            ("sftunnel (normal) - Running 6703", running(6703)),
            ("  sftunnel  (system,gui)  -  Running  7 ", running(7)),
            ("sftunnel (system,gui) - User Disabled", not_running("User Disabled")),
            ("sftunnel (system) - Waiting", not_running("Waiting")),
            (
                "sftunnel (system) - Period 3600 - Next run never",
                not_running("Period 3600 - Next run never"),
            ),
        ] {
            for end in ["\n", "\r\n"] {
                assert_eq!(printed(line, end), expected, "{line:?}");
            }
        }
        for line in [
            "sftunnel (system) - Running x",
            "sftunnel (system) - Running 0",
            "sftunnel (system) - Running",
            "sftunnel - Running 1",
            "sftunnel system - Running 1",
            "sftunnel2 (normal) - Running 1",
            "",
        ] {
            assert!(matches!(printed(line, "\n"), Service::Unknown { .. }), "{line}");
        }
        assert!(matches!(parse_status(b"\xff\x00garbage"), Service::Unknown { .. }));
    }

    #[test]
    fn only_a_stopped_sftunnel_uses_up_the_time_to_start_in() {
        let (begun, seconds) = (Instant::now(), Duration::from_secs);
        let patience = Patience { restart: seconds(330), settle: seconds(5) };
        let unknown = || Service::Unknown { detail: "did not end within 30 s".to_owned() };
        let stopped = || Service::NotRunning { detail: "Down".to_owned() };
        let mut watch = Watch::new(Some(7), patience, begun);
        for second in [0, 30, 60, 120] {
            assert_eq!(watch.see(unknown(), begun + seconds(second)), Seen::Nothing, "{second}");
        }
        assert_eq!(watch.see(stopped(), begun + seconds(121)), Seen::Nothing);
        assert_eq!(watch.see(unknown(), begun + seconds(140)), Seen::Nothing);
        let not_up = watch.see(stopped(), begun + seconds(151));
        assert_eq!(not_up, Seen::NotUp { last: stopped() });
        // until the end of the restart's own time limit
        let mut watch = Watch::new(Some(7), patience, begun);
        assert_eq!(watch.see(unknown(), begun + seconds(329)), Seen::Nothing);
        assert_eq!(watch.see(unknown(), begun + seconds(330)), Seen::NotUp { last: unknown() });
    }

    #[test]
    fn the_new_process_has_to_stay_and_to_stay_the_same() {
        let (begun, millis) = (Instant::now(), Duration::from_millis);
        let running = |pid| Service::Running { pid };
        let unknown = || Service::Unknown { detail: "garbage".to_owned() };
        let stopped = || Service::NotRunning { detail: "Down".to_owned() };
        let patience = Patience { restart: millis(60_000), settle: millis(5_000) };
        let up = || {
            let mut watch = Watch::new(Some(7), patience, begun);
            assert_eq!(watch.see(running(7), begun), Seen::Nothing, "the old one");
            assert_eq!(watch.see(running(8), begun + millis(1_000)), Seen::Nothing);
            watch
        };
        let mut watch = up();
        assert_eq!(watch.see(running(8), begun + millis(5_999)), Seen::Nothing);
        assert_eq!(watch.see(running(8), begun + millis(6_000)), Seen::Up(8));
        for after in [running(9), running(7), stopped()] {
            let died = Seen::Died { pid: 8, after: after.clone() };
            assert_eq!(up().see(after, begun + millis(7_000)), died);
        }
        // a pmtool that cannot say takes nothing from it, for as long as one may take to answer
        let limit = millis(1_000) + patience.settle + STATUS_LIMIT;
        let mut watch = up();
        assert_eq!(watch.see(unknown(), begun + limit - millis(1)), Seen::Nothing);
        assert_eq!(watch.see(running(8), begun + limit), Seen::Up(8));
        let died = Seen::Died { pid: 8, after: unknown() };
        assert_eq!(up().see(unknown(), begun + limit), died);
        // nobody asks it to stay
        let mut watch = Watch::new(Some(7), Patience { settle: millis(0), ..patience }, begun);
        assert_eq!(watch.see(running(8), begun), Seen::Up(8));
    }

    /// Seconds since the restart was begun, the last of which decides.
    #[test]
    fn a_slow_restart_is_one_and_no_restart_is_none() {
        let running = |pid| Service::Running { pid };
        let stopped = || Service::NotRunning { detail: "Down".to_owned() };
        let waiting = || Service::NotRunning { detail: "Waiting".to_owned() };
        let unknown = || Service::Unknown { detail: "garbage".to_owned() };
        let patience =
            Patience { restart: Duration::from_secs(330), settle: Duration::from_secs(5) };
        for (old, looks, expected) in [
            // six seconds before the old one is told, three until the new one is there
            (
                Some(7),
                vec![
                    (0, running(7)),
                    (6, running(7)),
                    (7, stopped()),
                    (8, waiting()),
                    (9, running(8)),
                    (14, running(8)),
                ],
                Seen::Up(8),
            ),
            // the old one takes as long as pmtool lets it
            (
                Some(7),
                vec![(0, running(7)), (299, running(7)), (300, running(8)), (305, running(8))],
                Seen::Up(8),
            ),
            (Some(7), vec![(0, running(7)), (330, running(7))], Seen::NotUp { last: running(7) }),
            (None, vec![(0, stopped()), (1, running(7)), (6, running(7))], Seen::Up(7)),
            (None, vec![(0, waiting()), (30, waiting())], Seen::NotUp { last: waiting() }),
            (Some(7), vec![(0, running(8)), (3, unknown()), (5, running(8))], Seen::Up(8)),
            (
                Some(7),
                vec![(0, running(8)), (4, running(9))],
                Seen::Died { pid: 8, after: running(9) },
            ),
        ] {
            let begun = Instant::now();
            let mut watch = Watch::new(old, patience, begun);
            let see = |(second, state): &(u64, Service)| {
                watch.see(state.clone(), begun + Duration::from_secs(*second))
            };
            let seen: Vec<_> = looks.iter().map(see).collect();
            let (last, before) = seen.split_last().unwrap();
            assert_eq!(*last, expected, "{looks:?}");
            assert!(before.iter().all(|seen| *seen == Seen::Nothing), "{looks:?}: {seen:?}");
        }
    }

    #[test]
    fn an_old_process_that_is_seen_again_is_not_yet_stopped() {
        let (begun, seconds) = (Instant::now(), Duration::from_secs);
        let patience = Patience { restart: seconds(330), settle: seconds(5) };
        let stopped = || Service::NotRunning { detail: "Down".to_owned() };
        let mut watch = Watch::new(Some(7), patience, begun);
        assert_eq!(watch.see(stopped(), begun), Seen::Nothing);
        let seen = watch.see(Service::Running { pid: 7 }, begun + seconds(20));
        assert_eq!(seen, Seen::Nothing);
        assert_eq!(watch.see(stopped(), begun + START_GRACE), Seen::Nothing);
        let not_up = watch.see(stopped(), begun + START_GRACE * 2);
        assert_eq!(not_up, Seen::NotUp { last: stopped() });
    }
}
