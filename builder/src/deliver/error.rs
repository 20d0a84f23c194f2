//! Reasons why a device was not visited to the end: facts only, the sentences are in `wording`.

use std::io;

use formats::error::Reason;

use super::prompt::Refused;

/// A visit ended before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The command that gives the terminal cannot be started.
    Command { words: Vec<String>, error: io::Error },
    /// The far side said no. `said` is its line.
    Refused { by: Refused, said: String },
    /// The far side asks for the passphrase of an SSH key.
    KeyPassphrase,
    /// The host on the way asks for a password, which is not the device's.
    JumpPassword,
    /// The far side demands a new password.
    NewPassword,
    /// A password is asked for, and none is known.
    NoPassword,
    /// What stands on the terminal is not known. The last lines.
    Unknown { wanted: &'static str, lines: Vec<String> },
    /// Nothing came for too long. The last lines.
    Silent { wanted: &'static str, seconds: u64, lines: Vec<String> },
    /// The device took longer than it may. The last lines.
    TimeOut { seconds: u64, lines: Vec<String> },
    /// The line ended. The last lines.
    Broken { lines: Vec<String> },
    /// A command over there failed.
    Remote { what: &'static str, said: String },
    /// Programs may run from none of these folders, or none can be written.
    NoFolder { tried: &'static str },
    /// The kit has no installer for the device.
    NoInstaller { arch: String },
    /// What arrived is not what was sent, three times.
    Garbled { file: String },
    /// The installer over there refused, in its own words.
    Installer {
        exit: u8,
        reason: Option<Reason>,
        message: String,
        next: String,
        receipts: Vec<(String, Vec<u8>)>,
    },
}

impl Stop {
    /// Returns true if another connection may go on where this one ended.
    pub(super) fn is_broken_line(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }
}
