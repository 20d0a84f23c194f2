//! The steps of a change, told as each begins.
//!
//! The machine tells and goes on: who listens must not hold it up, and decides nothing.

use std::fmt;
use std::time::Duration;

use formats::device::ManagerUuid;

use crate::change::Goal;
use crate::change::backup::BackupId;

/// A step that begins. What it holds is known by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// What is live is copied.
    Backup,
    /// The new files are written beside the live ones, and renamed over them.
    Replace {
        /// The copy of what was live.
        backup: BackupId,
    },
    /// The files of before are put back.
    PutBack {
        /// Their backup.
        backup: BackupId,
        /// The reason, where it is not told otherwise.
        why: Option<String>,
    },
    /// sftunnel is restarted on the files that are live.
    Restart {
        /// What they are.
        goal: Goal,
        /// The managers whose files were replaced just now; none where that was done before.
        replaced: Vec<ManagerUuid>,
        /// The process that runs on other files.
        old: Option<u32>,
        /// Time that it may take.
        limit: Duration,
    },
    /// A new process is there, and has to stay.
    Settle { goal: Goal, pid: u32, settle: Duration },
    /// It stayed, and tunnels are required.
    Tunnel { pid: u32, limit: Duration },
    /// The change has succeeded, which is recorded.
    Record { pid: u32 },
}

impl Step {
    /// The word in JSON and in `status`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Replace { .. } => "replace",
            Self::PutBack { .. } => "put-back",
            Self::Restart { .. } => "restart",
            Self::Settle { .. } => "settle",
            Self::Tunnel { .. } => "tunnel",
            Self::Record { .. } => "record",
        }
    }
}

/// The one who is told.
pub(crate) trait Listener: fmt::Debug {
    /// Takes note at once: it neither waits nor fails.
    fn begins(&self, step: Step);
}
