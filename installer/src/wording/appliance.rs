//! The words for a box that is not as it must be.

use std::io::ErrorKind;

use cli::disk::input::of_limit;
use cli::say::failure::Failure;
use formats::error::Reason;
use formats::limits::LimitError;
use formats::text::printable;

use crate::appliance::error::{Error, Missing, Unsafe};

/// The next step where something is missing that every FTD has.
const IS_AN_FTD: &str = "is this an FTD? --root names another root directory";
/// The next step for what only root may look at.
const AS_ROOT: &str = "in `expert` mode run `sudo su`, then the same command again";
/// The next step on a manager that is no device of another one.
pub(crate) const IS_A_MANAGER: &str = "this is a manager (FMC), so run sftunnel-bundle: `sftunnel-bundle check` shows its certificates, `sftunnel-bundle plan` what its devices need";
/// The next step on another machine.
pub(crate) const IS_NEITHER: &str = "this is not a device (FTD) and not a manager (FMC): run sftunnel-install as root on the FTD, or name a copy of its tree with --root DIR. On the manager run sftunnel-bundle";
/// The next step for a record that is larger than any can be.
const RECORD_TOO_LARGE: &str =
    "look at the file, then move it away. Only a log of 200,000 runs grows so large";

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Shared(failure) => failure,
            Error::Io { path, error } => Self::io(path, &error),
            Error::Program { path, error } => of_limit(&path, &error),
            Error::TooLarge { path, error } => {
                Self::refused(Reason::TooLarge, format!("{path} {error}"))
            }
            Error::TooManyAttributes { path, error } => {
                Self::refused(Reason::TooLarge, format!("{path}: {error}"))
                    .hint(format!("`getfattr -d -m - {path}` shows them"))
            }
            Error::RecordTooLarge { path, error } => {
                Self::of(path, &error).or_hint(RECORD_TOO_LARGE)
            }
            Error::Missing(error) => error.into(),
            Error::Unsafe(error) => error.into(),
            Error::NotRoot { command } => {
                Self::refused(Reason::NotRoot, format!("'{command}' needs root")).hint(AS_ROOT)
            }
            Error::Signals(error) => Self::unexpected(format!("cannot take signals over: {error}")),
            Error::Interrupted => Self::unexpected("interrupted by a signal; nothing was changed"),
            Error::Busy(run) => {
                let run = run.map(|run| format!(": {run}")).unwrap_or_default();
                let message =
                    format!("another run of sftunnel-install is under way on this box{run}");
                Self::refused(Reason::Busy, message)
                    .hint("wait for it to end; `sftunnel-install status` shows its step")
            }
            Error::ServiceUnknown { detail } => {
                let message = format!(
                    "pmtool does not say whether sftunnel runs ({}), so a restart could not be proved",
                    printable(&detail)
                );
                Self::refused(Reason::CannotTell, message).hint("look at what `pmtool status` prints; when it lists sftunnel, run the same command again")
            }
        }
    }
}

impl From<Missing> for Failure {
    fn from(error: Missing) -> Self {
        match error {
            Missing::ImsConf { path, error: LimitError::Io(error) }
                if error.kind() == ErrorKind::NotFound =>
            {
                of_limit(&path, &LimitError::Io(error)).or_hint(IS_AN_FTD)
            }
            Missing::ImsConf { path, error } => of_limit(&path, &error),
            Missing::Uuid { ims_conf } => {
                let shown = ims_conf.display();
                let message = format!("{shown}: expected APPLIANCE_UUID=<UUID>, found none");
                Self::refused(Reason::NotFound, message)
                    .hint("`show version` on the device prints its UUID")
            }
            Missing::Pmtool { looked_at } => {
                let places = looked_at.iter().map(|path| path.display().to_string());
                let places = places.collect::<Vec<_>>().join(" and ");
                let message = format!("no pmtool at {places}: sftunnel could not be restarted");
                Self::refused(Reason::NotFound, message).hint("name it with --pmtool FILE")
            }
            Missing::StatusProgram { names } => {
                let message = format!(
                    "there is no {names} on this box, so this program cannot see whether a tunnel is up"
                );
                Self::refused(Reason::CannotTell, message).hint("leave --require-connected out, and see at the manager whether the tunnel is up")
            }
            Missing::Sf { path } => {
                let message = format!("there is no {}; every FTD has it", path.display());
                Self::refused(Reason::NotFound, message).hint(IS_AN_FTD)
            }
            Missing::State { path } => {
                Self::unexpected(format!("{path} was removed by another program"))
            }
            Missing::Peers { path } => {
                let message = format!(
                    "there is no {path}: this box has never been registered with a manager"
                );
                Self::refused(Reason::NotRegistered, message).hint(IS_AN_FTD)
            }
            Missing::Peer { path } => {
                let message =
                    format!("there is no {path}: this box is not registered with that manager");
                Self::refused(Reason::NotRegistered, message).hint("check that kit and box belong together; `sftunnel-install status` lists this box's managers")
            }
        }
    }
}

impl From<Unsafe> for Failure {
    fn from(error: Unsafe) -> Self {
        let change = "others could change what is installed";
        let (message, hint) = match error {
            Unsafe::NotADirectory { path } => (
                format!("{path} is a link or not a directory, expected a directory"),
                "find out who put it there, and why",
            ),
            Unsafe::NotAFile { path } => (
                format!("{path} is a link or not a regular file, expected a regular file"),
                "find out who put it there, and why",
            ),
            Unsafe::TwoPeers { path } => {
                let message = format!("{path} exists in upper and in lower case");
                return Self::refused(Reason::WrongDestination, message);
            }
            Unsafe::Way { path, mode, uid, gid } => (
                format!(
                    "{} has mode {mode:o}, owner {uid} and group {gid}; expected owner root, not writable for all: {change}",
                    path.display()
                ),
                "find out who changed it; then chown root and chmod o-w",
            ),
            Unsafe::Peers { path, mode, uid } => (
                format!(
                    "{path} has mode {mode:o} and owner {uid}, expected 755 and root: {change}"
                ),
                "find out who changed it; then chown root:root and chmod 755",
            ),
            Unsafe::State { path, mode, uid } => (
                format!(
                    "{path} has mode {mode:o} and owner {uid}, expected 700 and the user who runs this"
                ),
                "find out who changed it; then chown root:root and chmod 700",
            ),
        };
        Self::refused(Reason::WrongDestination, message).hint(hint)
    }
}
