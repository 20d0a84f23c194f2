//! The successors of live files: written beside them, then renamed over them in one go.
//!
//! What is live at the end of [`Staged::swap`] is durable, also what was live before and is not
//! replaced: a run that was killed may have renamed it a moment ago, and somebody may have
//! copied it there by hand, without a sync.

use std::time::{Duration, Instant};

use console::exit::{Exit, Failure};
use formats::device::CredentialFile;

use crate::atomic_file::{self, StagedFile};
use crate::backup::BackupId;
use crate::host::Host;
use crate::peers::{self, Live, PeerDir};
use crate::transaction::Change;

/// All that is to be replaced, complete on disk beside what it replaces.
pub(crate) struct Staged<'a> {
    changes: &'a [Change],
    successors: Vec<Successor<'a>>,
}

/// A successor, or a removal, for one live file.
struct Successor<'a> {
    peer: &'a PeerDir,
    file: CredentialFile,
    content: Option<(StagedFile, &'a Live)>,
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
    let sequence = backup.sequence().unwrap_or(0);
    let mut staged = Staged { changes, successors: Vec::new() };
    for change in changes {
        for (file, before, after) in files(change) {
            if before.identity() == after.identity() {
                continue;
            }
            let content = match after {
                Live::Absent => None,
                Live::File(content) => {
                    let name = peers::staged_name(sequence, file);
                    match StagedFile::write(&change.peer.dir, &name, &content.bytes) {
                        Ok(successor) => Some((successor, after)),
                        Err(error) => {
                            staged.discard();
                            let shown = peers::shown(host, &change.peer.manager);
                            return Err(Failure::io(shown, &error));
                        }
                    }
                }
            };
            staged.successors.push(Successor { peer: &change.peer, file, content });
        }
    }
    Ok(staged)
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
        let failed =
            |error: std::io::Error| Failure::io("replacing the files", &error).exit(Exit::Failed);
        for one in &self.successors {
            if let Some((successor, Live::File(content))) = &one.content {
                successor.settle(content.attributes).map_err(failed)?;
            }
        }
        for change in self.changes {
            for (file, before, after) in files(change) {
                if before.identity() == after.identity() {
                    atomic_file::sync_file(&change.peer.dir, file.name()).map_err(failed)?;
                }
            }
        }
        let first = Instant::now();
        for one in self.successors {
            match one.content {
                Some((successor, _)) => successor.replace(&one.peer.dir, one.file.name()),
                None => atomic_file::remove(&one.peer.dir, one.file.name()),
            }
            .map_err(failed)?;
        }
        let renames = first.elapsed();
        for change in self.changes {
            atomic_file::sync_dir(&change.peer.dir).map_err(failed)?;
        }
        Ok(renames)
    }
}

fn files(change: &Change) -> impl Iterator<Item = (CredentialFile, &Live, &Live)> {
    let slots = CredentialFile::ALL.into_iter().zip(change.before.0.iter().zip(&change.after.0));
    slots.map(|(file, (before, after))| (file, before, after))
}
