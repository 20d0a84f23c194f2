//! How urgent a certificate is; the same at the manager and at the device.

use serde::Serialize;

use crate::exit::Exit;

/// WARNING below this many days, unless told otherwise.
pub const WARNING: u32 = 90;
/// CRITICAL below this many.
pub const CRITICAL: u32 = 30;

/// As monitoring plugins have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It cannot be judged.
    Unknown,
    /// Plan it.
    Warning,
    /// Do it now.
    Critical,
}

impl Level {
    /// The plugin's exit code. The numbers of [`Exit`] mean other things everywhere else.
    pub fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Done,
            Self::Warning => Exit::Failed,
            Self::Critical => Exit::Usage,
            Self::Unknown => Exit::Refused,
        }
    }

    /// As it is shown and as JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unknown => "UNKNOWN",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// How urgent it is with so many days left; the thresholds are days, too.
    pub fn by_days(days: i64, warning: u32, critical: u32) -> Self {
        if days < i64::from(critical) {
            Self::Critical
        } else if days < i64::from(warning) {
            Self::Warning
        } else {
            Self::Ok
        }
    }
}
