//! The successors of live files: written beside them, then renamed over them in one go.
//!
//! What is live at the end of [`Staged::swap`] is durable, also what was live before and is not
//! replaced: a run that was killed may have renamed it a moment ago, and somebody may have
//! copied it there by hand, without a sync.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use cli::disk::durable::{self, StagedFile};
use cli::say::exit::{Exit, Failure};
use formats::device::CredentialFile;
use formats::error::Reason;
use rustix::fs::Mode;

use crate::appliance::attributes::NotGiven;
use crate::appliance::host::Host;
use crate::appliance::peers::{self, Live, LiveFile, PeerDir};
use crate::change::Change;
use crate::change::backup::BackupId;

/// Until it has its owner, nobody else can read a successor.
const ASIDE: Mode = Mode::from_raw_mode(0o600);

/// All that is to be replaced, complete on disk beside what it replaces.
pub(crate) struct Staged<'a> {
    changes: &'a [Change],
    successors: Vec<Successor<'a>>,
}

/// A successor, or a removal, for one live file.
struct Successor<'a> {
    peer: &'a PeerDir,
    file: CredentialFile,
    content: Option<(StagedFile, &'a LiveFile)>,
}

/// Writes the successors of all files that change beside them. Space that is not there is
/// found out here, before anything live changes.
///
/// # Errors
/// `no-space`, `read-only`, or what the system says; then nothing is left of them.
pub(crate) fn stage<'a>(
    host: &Host,
    backup: &BackupId,
    changes: &'a [Change],
) -> Result<Staged<'a>, Failure> {
    let sequence = backup.sequence();
    let mut staged = Staged { changes, successors: Vec::new() };
    for change in changes {
        for (file, _, after) in change.files() {
            let content = match after {
                Live::Absent => None,
                Live::File(content) => {
                    let name = peers::staged_name(sequence, file);
                    match stage_one(host, &change.peer, file, &name, content) {
                        Ok(successor) => Some((successor, content)),
                        Err(failure) => {
                            staged.discard();
                            return Err(failure);
                        }
                    }
                }
            };
            staged.successors.push(Successor { peer: &change.peer, file, content });
        }
    }
    Ok(staged)
}

fn stage_one(
    host: &Host,
    peer: &PeerDir,
    file: CredentialFile,
    name: &str,
    content: &LiveFile,
) -> Result<StagedFile, Failure> {
    let folder = peers::shown(host, &peer.manager);
    let successor = StagedFile::write(&peer.dir, name, &content.bytes, ASIDE)
        .map_err(|error| Failure::io(&folder, &error))?;
    let dressed = match &content.attributes.extended {
        None => Ok(()),
        Some(extended) => extended.give(successor.file()),
    };
    match dressed {
        Ok(()) => Ok(successor),
        Err(error) => {
            let _ = successor.discard(&peer.dir);
            Err(cannot_keep(&format!("{folder}/{file}"), &error))
        }
    }
}

/// An ACL or label that the successor would lack may be what lets sftunnel read its key.
fn cannot_keep(path: &str, not_given: &NotGiven) -> Failure {
    let message = format!("{path}: {not_given}");
    match not_given.error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem => {
            Failure::io(path, &not_given.error).map_message(|_| message)
        }
        _ => Failure::refused(Reason::CannotReplace, message).hint(format!(
            "`getfattr -d -m - {path}` shows it; find out what forbids it (`dmesg`), or whether it is needed"
        )),
    }
}

impl Staged<'_> {
    /// Removes them again.
    pub(crate) fn discard(self) {
        for one in self.successors {
            if let Some((successor, _)) = one.content {
                // what cannot be removed now, the next run removes
                let _ = successor.discard(&one.peer.dir);
            }
        }
    }

    /// Owner and mode for all, then all renames in one go, then every directory of the
    /// changes. Gives the time from the first rename to the last.
    ///
    /// # Errors
    /// Exit 1 with what the system says; some may then have been replaced.
    pub(crate) fn swap(self) -> Result<Duration, Failure> {
        let failed = |peer: &PeerDir, file: &str| {
            let path = format!("{}/{file}", peer.manager);
            move |error: std::io::Error| cannot_swap(&path, &error)
        };
        for one in &self.successors {
            if let Some((successor, content)) = &one.content {
                let failed = failed(one.peer, one.file.name());
                content.attributes.settle(successor.file()).map_err(failed)?;
            }
        }
        for change in self.changes {
            for file in change.kept() {
                let failed = failed(&change.peer, file.name());
                durable::sync_file(&change.peer.dir, file.name()).map_err(failed)?;
            }
        }
        let first = Instant::now();
        for one in self.successors {
            match one.content {
                Some((successor, _)) => successor.replace(&one.peer.dir, one.file.name()),
                None => durable::remove(&one.peer.dir, one.file.name()),
            }
            .map_err(failed(one.peer, one.file.name()))?;
        }
        let renames = first.elapsed();
        for change in self.changes {
            durable::sync_dir(&change.peer.dir).map_err(failed(&change.peer, ""))?;
        }
        Ok(renames)
    }
}

fn cannot_swap(path: &str, error: &std::io::Error) -> Failure {
    let failure = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ResourceBusy => {
            Failure::refused(Reason::CannotReplace, format!("replacing {path}: {error}")).hint(
                "`lsattr` shows whether it was made immutable meanwhile, `findmnt -T` whether something was mounted over it",
            )
        }
        _ => Failure::io(format!("replacing {path}"), error),
    };
    failure.exit(Exit::Failed)
}

/// Removes staged files that an interrupted run left in a peer directory.
///
/// # Errors
/// What the system says.
pub(crate) fn remove_leftovers(host: &Host, peer: &PeerDir) -> Result<usize, Failure> {
    let shown = peers::shown(host, &peer.manager);
    let leftovers = peer.leftovers().map_err(|error| Failure::io(&shown, &error))?;
    for name in &leftovers {
        durable::remove(&peer.dir, name).map_err(|error| Failure::io(&shown, &error))?;
    }
    Ok(leftovers.len())
}
