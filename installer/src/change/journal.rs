//! The journal: one small file that says how far a transaction is, for whoever comes after
//! a crash. `PROTOCOL.md` beside this crate says what each state means for recovery.
//!
//! Written aside, synced, renamed, directory synced; the second line is the SHA-256 of the
//! first, so that damage is told from content.

use formats::checksum::Sha256;
use formats::device::{DeviceUuid, ManagerUuid};
use formats::signature::VerifyingKey;
use formats::timestamp::Timestamp;
use formats::trust::VouchedBundle;
use serde::{Deserialize, Serialize};

use crate::appliance::peers::{Live, LiveSet};
use crate::appliance::state::{LockedState, State};
use crate::change::Goal;
use crate::change::backup::BackupId;
use crate::change::error::{Error, RecordError};

const NAME: &str = "journal";
const FORMAT: &str = "sftunnel-journal/1";

/// The progress of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// The renames have begun, or are about to.
    Commit,
    /// All renames are done; sftunnel is being restarted.
    Restart,
}

/// The record of one manager's success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remember {
    pub manager: ManagerUuid,
    /// The bundle, when it is from one.
    pub bundle_id: Option<Sha256>,
    /// The key that signed it.
    pub signer: Option<VerifyingKey>,
    /// The operator vouched for that key, so that it is pinned.
    pub pin: bool,
    /// The digests of the three files that are then live; `null` for an absent one.
    pub files: [Option<Sha256>; 3],
    /// notBefore of the CA that is then live, when it can be read.
    pub ca_not_before: Option<Timestamp>,
    /// The pair that is then live, when it is from a bundle.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub pair: Option<Pair>,
}

impl Remember {
    /// A set of files that comes from a backup.
    pub(crate) fn of_backup(manager: &ManagerUuid, files: &LiveSet) -> Self {
        Self {
            manager: manager.clone(),
            bundle_id: None,
            signer: None,
            pin: false,
            files: files.0.each_ref().map(Live::sha256),
            ca_not_before: None,
            pair: None,
        }
    }
}

/// Tells an older pair of one CA from a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    /// notBefore of the certificate.
    pub not_before: Timestamp,
    /// The run of `generate_certs.pl`, as the bundle says.
    pub batch: u64,
    pub bundle_id: Sha256,
}

impl Pair {
    /// The one of a bundle.
    pub(crate) fn of(bundle: &VouchedBundle) -> Self {
        Self {
            not_before: bundle.credentials().certificate().facts().not_before,
            batch: bundle.manifest().batch,
            bundle_id: bundle.manifest().bundle_id,
        }
    }
}

/// The name of the form that a journal has; [`Journal::parse`] takes no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Format(String);

impl Default for Format {
    fn default() -> Self {
        Self(FORMAT.to_owned())
    }
}

/// The record of an open transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    pub format: Format,
    /// The box; absent where `ims.conf` does not say, and in a journal of an earlier version.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub device: Option<DeviceUuid>,
    pub phase: Phase,
    pub goal: Goal,
    /// The files of before; for [`Goal::Restore`] those that are being put back.
    pub backup: BackupId,
    /// The digest of that backup's `SHA256SUMS`, and so of all that is in it; absent in a journal of
    /// an earlier version.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub backup_sums: Option<Sha256>,
    /// Its beginning, by the box's clock.
    pub started_at: Timestamp,
    /// sftunnel's process before the restart; `None` when it did not run.
    pub old_pid: Option<u32>,
    /// The boot that this happened in.
    pub boot_id: Option<String>,
    pub remember: Vec<Remember>,
    /// The digests of every file that may be found live: those of before and of after.
    pub known: Vec<Sha256>,
    /// Only with [`Goal::Restore`]: sftunnel may have been restarted with the files that are
    /// being replaced, so that it needs a restart whatever its process is.
    #[serde(default)]
    pub must_restart: bool,
}

impl Journal {
    /// sftunnel's process before, where it can still be that one: a PID means something only
    /// within the boot that it is from.
    pub(crate) fn old_pid_in(&self, boot_id: Option<String>) -> Option<u32> {
        self.old_pid.filter(|_| self.is_of_boot(boot_id))
    }

    /// sftunnel's process before, unless this is known to be another boot. Where nobody knows
    /// (a root without /proc) a process of that PID may have read the old files.
    pub(crate) fn old_pid_unless_rebooted(&self, boot_id: Option<String>) -> Option<u32> {
        let is_known = boot_id.is_some() && self.boot_id.is_some();
        self.old_pid.filter(|_| !is_known || self.is_of_boot(boot_id))
    }

    /// True when the journal was written in this boot.
    pub(crate) fn is_of_boot(&self, boot_id: Option<String>) -> bool {
        boot_id.is_some() && self.boot_id == boot_id
    }

    /// Its path, for messages.
    pub(crate) fn path(state: &State) -> String {
        format!("{}/{NAME}", state.shown())
    }

    /// Writes it, durably.
    ///
    /// On failure the journal before it still stands.
    pub(crate) fn write(&self, state: &LockedState) -> Result<(), Error> {
        let mut text = serde_json::to_string(self)
            .map_err(|error| RecordError::Unwritable { name: NAME, error })?;
        let digest = Sha256::of(text.as_bytes());
        text.push_str(&format!("\n{digest}\n"));
        Ok(state.write(NAME, text.as_bytes())?)
    }

    /// Reads it; `None` when no transaction is open.
    ///
    /// A damaged one needs a person.
    pub(crate) fn read(state: &State) -> Result<Option<Self>, Error> {
        let Some(bytes) = state.read(NAME)? else { return Ok(None) };
        Ok(Some(Self::parse(&bytes).ok_or_else(|| unreadable(state, &bytes))?))
    }

    /// A line of JSON and a line with its checksum; anything else is damaged.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        formats::json::read(whole_line(bytes)?, FORMAT).ok()
    }

    /// Removes whatever was written of a journal whose transaction never began.
    pub(crate) fn discard(state: &LockedState) -> Result<(), Error> {
        Ok(state.remove(NAME)?)
    }

    /// Ends the transaction: removes the journal, durably.
    pub(crate) fn close(self, state: &LockedState) -> Result<(), Error> {
        Ok(state.remove(NAME)?)
    }
}

/// The line of JSON, when its checksum follows.
fn whole_line(bytes: &[u8]) -> Option<&[u8]> {
    let (line, rest) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let digest: Sha256 = rest.strip_suffix('\n')?.parse().ok()?;
    (Sha256::of(line.as_bytes()) == digest).then_some(line.as_bytes())
}

fn unreadable(state: &State, bytes: &[u8]) -> RecordError {
    let path = Journal::path(state);
    match whole_line(bytes).map(|line| formats::json::require_format(line, FORMAT)) {
        Some(Err(error)) if error.is_later() => RecordError::LaterJournal { path, error },
        _ => RecordError::DamagedJournal { path },
    }
}
