//! The run that holds the lock, as it describes itself there.

use std::fmt;

use formats::text::printable;
use formats::timestamp::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};
use serde::{Deserialize, Serialize};

/// A run as it describes itself in the lock that it holds: for people, nothing is decided by it. It
/// is not synced, and means nothing once the lock is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnderWay {
    /// `install`, `rollback`, `recover`, ...
    pub command: String,
    pub pid: i32,
    /// By the box's clock.
    pub since: Timestamp,
    /// The word of its step.
    pub step: String,
    /// By the box's clock.
    pub step_since: Timestamp,
}

impl UnderWay {
    /// Length of the text; always the same, so that one write replaces the whole.
    pub(super) const LENGTH: usize = 512;

    /// A run of this process that begins.
    pub(crate) fn new(command: &str, now: Timestamp) -> Self {
        let (command, step) = (command.to_owned(), "check".to_owned());
        let pid = getpid().as_raw_nonzero().get();
        Self { command, pid, since: now, step, step_since: now }
    }

    /// `None` for what a run that is gone has left.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let run: Self = serde_json::from_slice(bytes).ok()?;
        let lives = match test_kill_process(Pid::from_raw(run.pid)?) {
            Ok(()) | Err(Errno::PERM) => true,
            Err(_) => false,
        };
        lives.then_some(run)
    }
}

impl fmt::Display for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, pid, since, step, step_since } = self;
        let (command, step) = (printable(command), printable(step));
        write!(f, "{command}, PID {pid}, since {since}; step '{step}' since {step_since}")
    }
}
