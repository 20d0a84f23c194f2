//! Exit codes, the same in both programs.

use std::process::ExitCode;

/// Exit codes. Scripts are written against the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; also when there was nothing to do.
    Done = 0,
    /// Failed unexpectedly, nothing changed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// A check failed, nothing changed.
    Refused = 3,
    /// Some devices were refused, the kit holds the others.
    Partly = 4,
    /// Installed, but sftunnel is not confirmed running.
    Unconfirmed = 5,
    /// Rolled back, sftunnel runs on the old files.
    RolledBack = 6,
    /// A person is needed.
    NeedsPerson = 7,
}

impl Exit {
    /// Number of the exit code.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
