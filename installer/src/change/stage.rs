//! The successors of live files: written beside them, then renamed over them in one go.
//!
//! What is live at the end of [`Staged::swap`] is durable, also what was live before and is not
//! replaced: a run that was killed may have renamed it a moment ago, and somebody may have
//! copied it there by hand, without a sync.

use std::io;
use std::time::{Duration, Instant};

use cli::disk::durable::{self, StagedFile};
use formats::device::CredentialFile;
use rustix::fs::Mode;

use crate::appliance::attributes::Attributes;
use crate::appliance::host::Host;
use crate::appliance::peers::{self, Live, LiveFile, PeerDir};
use crate::change::Change;
use crate::change::backup::BackupId;
use crate::change::error::{Error, ReplaceError};

/// Until it has its owner, nobody else can read a successor.
const ASIDE: Mode = Mode::from_raw_mode(0o600);

/// All that is to be replaced, complete on disk beside what it replaces.
pub(crate) struct Staged(Vec<StagedPeer>);

struct StagedPeer {
    change: Change,
    successors: Vec<Successor>,
}

/// A successor, or a removal, for one live file.
struct Successor {
    file: CredentialFile,
    content: Option<(StagedFile, Attributes)>,
}

/// Writes the successors of all files that change beside them. Space that is not there is
/// found out here, before anything live changes.
///
/// On failure nothing is left of them.
pub(crate) fn stage(host: &Host, backup: &BackupId, changes: Vec<Change>) -> Result<Staged, Error> {
    let empty = |change| StagedPeer { change, successors: Vec::new() };
    let mut staged = Staged(changes.into_iter().map(empty).collect());
    match staged.0.iter_mut().try_for_each(|peer| peer.write(host, backup.sequence())) {
        Ok(()) => Ok(staged),
        Err(error) => {
            staged.discard();
            Err(error)
        }
    }
}

impl StagedPeer {
    fn write(&mut self, host: &Host, sequence: u64) -> Result<(), Error> {
        let Self { change, successors } = self;
        for (file, _, after) in change.files() {
            let content = match after {
                Live::Absent => None,
                Live::File(content) => {
                    let name = peers::staged_name(sequence, file);
                    let successor = stage_one(host, &change.peer, file, &name, content)?;
                    Some((successor, content.attributes.clone()))
                }
            };
            successors.push(Successor { file, content });
        }
        Ok(())
    }

    fn failed(&self, file: &str) -> impl Fn(io::Error) -> ReplaceError + use<> {
        let path = format!("{}/{file}", self.change.peer.manager);
        move |error| ReplaceError::Swap { path: path.clone(), error }
    }
}

fn stage_one(
    host: &Host,
    peer: &PeerDir,
    file: CredentialFile,
    name: &str,
    content: &LiveFile,
) -> Result<StagedFile, Error> {
    let folder = peers::shown(host, &peer.manager);
    let successor = StagedFile::write(&peer.dir, name, &content.bytes, ASIDE)
        .map_err(|error| Error::io(&folder, error))?;
    let dressed = match &content.attributes.extended {
        None => Ok(()),
        Some(extended) => extended.give(successor.file()),
    };
    match dressed {
        Ok(()) => Ok(successor),
        Err(error) => {
            let _ = successor.discard(&peer.dir);
            // an ACL or label that the successor would lack may be what lets sftunnel read its key
            Err(ReplaceError::NotGiven { path: format!("{folder}/{file}"), error }.into())
        }
    }
}

impl Staged {
    /// The changes that are staged.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().map(|peer| &peer.change)
    }

    /// Removes the successors again.
    pub(crate) fn discard(self) {
        for StagedPeer { change, successors } in self.0 {
            for (staged, _) in successors.into_iter().filter_map(|one| one.content) {
                // what cannot be removed now, the next run removes
                let _ = staged.discard(&change.peer.dir);
            }
        }
    }

    /// Owner and mode for all, then all renames in one go, then every directory of the
    /// changes. Gives the time from the first rename to the last.
    ///
    /// On failure some may have been replaced.
    pub(crate) fn swap(mut self) -> Result<Duration, ReplaceError> {
        for peer in &self.0 {
            for Successor { file, content } in &peer.successors {
                if let Some((staged, attributes)) = content {
                    attributes.settle(staged.file()).map_err(peer.failed(file.name()))?;
                }
            }
        }
        for peer in &self.0 {
            for file in peer.change.kept() {
                durable::sync_file(&peer.change.peer.dir, file.name())
                    .map_err(peer.failed(file.name()))?;
            }
        }
        let first = Instant::now();
        for peer in &mut self.0 {
            for Successor { file, content } in std::mem::take(&mut peer.successors) {
                let dir = &peer.change.peer.dir;
                match content {
                    Some((staged, _)) => staged.replace(dir, file.name()),
                    None => durable::remove(dir, file.name()),
                }
                .map_err(peer.failed(file.name()))?;
            }
        }
        let renames = first.elapsed();
        for peer in &self.0 {
            durable::sync_dir(&peer.change.peer.dir).map_err(peer.failed(""))?;
        }
        Ok(renames)
    }
}

/// Removes staged files that an interrupted run left in a peer directory.
pub(crate) fn remove_leftovers(host: &Host, peer: &PeerDir) -> Result<usize, Error> {
    let shown = peers::shown(host, &peer.manager);
    let leftovers = peer.leftovers().map_err(|error| Error::io(&shown, error))?;
    for name in &leftovers {
        durable::remove(&peer.dir, name).map_err(|error| Error::io(&shown, error))?;
    }
    Ok(leftovers.len())
}
