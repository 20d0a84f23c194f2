//! A transaction: the [machine](crate::change::swap) forward, and back where that does not succeed.

use std::time::Duration;

use formats::checksum::Sha256;

use crate::appliance::host::Host;
use crate::appliance::peers::{self, Live};
use crate::appliance::service;
use crate::appliance::tunnel::Waited;
use crate::change::Goal;
use crate::change::backup::{self, BackupId};
use crate::change::error::{Error, ReplaceError};
use crate::change::held_space;
use crate::change::journal::{Format, Journal, Phase, Remember};
use crate::change::proof::{Proof, Unproved};
use crate::change::receipts::{self, Receipts};
use crate::change::records::Installed;
use crate::change::stage::{self, Staged};
use crate::change::step::Step;
use crate::change::swap::{self, Finished, Prepared, Restarted};
use crate::change::undo::PutBack;
use crate::change::{Change, Context};

/// A change of the box that the operator has agreed to.
#[derive(Debug)]
pub(crate) struct Swap {
    pub source: FilesFrom,
    pub changes: Vec<Change>,
    /// Recorded of it once it has succeeded, for each manager.
    pub remember: Vec<Remember>,
    pub proof: Proof,
    pub on_unhealthy: OnUnhealthy,
}

/// The origin of the new files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilesFrom {
    Bundles,
    Backup,
}

/// The answer to a success that is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUnhealthy {
    /// Put everything back.
    Restore,
    /// Leave the new files in place (`--no-rollback`).
    Keep,
}

/// The end of a transaction after its commit.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The new files are live and sftunnel runs on them.
    Done {
        /// sftunnel's new process.
        pid: u32,
        /// The files of before.
        backup: BackupId,
        /// From the first rename to the last.
        renames: Duration,
        /// Handed back by the device.
        receipts: Receipts,
        /// The tunnels, where they were part of the proof: each up, or not known to be down.
        waited: Option<Waited>,
    },
    /// The new files are live, sftunnel is not confirmed (only with [`OnUnhealthy::Keep`]).
    Unconfirmed {
        why: Unproved,
        /// The files of before.
        backup: BackupId,
    },
    /// The old files are live again and sftunnel runs on them.
    RolledBack {
        why: Unproved,
        /// sftunnel's process now.
        pid: u32,
        /// The files that were put back.
        backup: BackupId,
        /// Handed back by the device.
        receipts: Receipts,
    },
}

/// Carries out a plan.
///
/// A failure is exit 1 or 3 with nothing changed, 6 with the old files back and sftunnel restarted
/// on them, or 7 when a person is needed.
pub(crate) fn run(context: Context<'_>, swap: Swap) -> Result<Ended, Error> {
    let on_unhealthy = swap.on_unhealthy;
    let prepared = swap.prepare(context)?;
    let backup = prepared.backup().clone();
    // from here on signals are held back: whatever happens ends in all-old or all-new
    let (swapped, renames) =
        prepared.swap(context).map_err(|not_swapped| not_swapped.undo(context))?;
    let old = swapped.old_pid();
    let made = backup.clone();
    let ended = match (swapped.restart(context, old)?, on_unhealthy) {
        (Restarted::Proved(proved), _) => {
            let Finished { pid, backup, receipts, waited } = proved.finish(context)?;
            Ended::Done { pid, backup, renames, receipts, waited }
        }
        (Restarted::NotProved(not_proved), OnUnhealthy::Keep) => {
            let why = not_proved.keep(context)?;
            Ended::Unconfirmed { why, backup }
        }
        (Restarted::NotProved(not_proved), OnUnhealthy::Restore) => {
            let (why, PutBack { pid, receipts }) = not_proved.undo(context)?;
            Ended::RolledBack { why, pid, backup, receipts }
        }
    };
    // the journal is closed by now, and this run's own backup stays whatever comes of this
    remove_copy_before(context, &made);
    Ok(ended)
}

/// Removes the backup before `made` when it holds the same and its run changed nothing: attempts
/// that fail do not pile up copies. A backup that a receipt of a change names stays.
fn remove_copy_before(context: Context<'_>, made: &BackupId) {
    let state = context.state;
    if let Some(copy) = backup::copy_before(state, made)
        && !receipts::tell_of_a_change(state, &copy)
    {
        // half of it is out of the list, and the next run removes the rest
        let _ = backup::remove(state, &copy);
    }
}

impl FilesFrom {
    fn goal(self) -> Goal {
        match self {
            Self::Bundles => Goal::Install,
            Self::Backup => Goal::Rollback,
        }
    }
}

impl Swap {
    /// The way back to a backup, at the operator's wish.
    pub(crate) fn to_backup(changes: Vec<Change>, on_unhealthy: OnUnhealthy) -> Self {
        let remember = |change: &Change| Remember::of_backup(&change.peer.manager, &change.after);
        let remember = changes.iter().map(remember).collect();
        Self { source: FilesFrom::Backup, changes, remember, proof: Proof::Running, on_unhealthy }
    }

    /// Backs up what is live, and stages what shall be.
    ///
    /// On failure nothing has changed: exit 1 or 3.
    pub(crate) fn prepare(self, context: Context<'_>) -> Result<Prepared, Error> {
        let Context { host, state, signals, listener, .. } = context;
        let Self { source, changes, remember, proof, .. } = self;
        let goal = source.goal();
        signals.begin();
        listener.begins(Step::Backup);
        // before the backup: without it nobody could tell a new process from the old one
        let old = service::require_readable(host, signals)?;
        signals.check()?;
        let boot_id = host.boot_id()?;
        let found: Vec<_> =
            changes.iter().map(|change| (change.peer.manager.clone(), &change.before)).collect();
        let (backup, sums) = backup::create(state, goal.word(), host.now(), &found)?;
        listener.begins(Step::Replace { backup: backup.clone() });
        let journal = Journal {
            format: Format::default(),
            device: state.device().cloned(),
            phase: Phase::Commit,
            goal,
            backup,
            backup_sums: Some(sums),
            started_at: host.now(),
            old_pid: old.pid(),
            boot_id,
            remember,
            known: known_digests(&changes),
            must_restart: false,
        };
        match stage_and_commit(context, &journal, changes) {
            Ok(staged) => Ok(Prepared { journal, staged, proof }),
            Err(Uncommitted { error, journal_may_be_there }) => {
                // an unused copy of what is live, unless a journal that comes back names it
                if !journal_may_be_there {
                    let _ = backup::remove(state, &journal.backup);
                }
                Err(error)
            }
        }
    }
}

/// A transaction that did not begin: no live file was changed, and nothing is staged.
struct Uncommitted {
    error: Error,
    /// Its journal may be found after a power cut.
    journal_may_be_there: bool,
}

fn stage_and_commit(
    context: Context<'_>,
    journal: &Journal,
    changes: Vec<Change>,
) -> Result<Staged, Uncommitted> {
    let Context { host, state, .. } = context;
    let staged = stage::stage(host, &journal.backup, changes).map_err(|error| Uncommitted {
        error: ReplaceError::NotStaged(Box::new(error)).into(),
        journal_may_be_there: false,
    })?;
    match commit(context, journal, &staged) {
        Ok(()) => Ok(staged),
        Err(error) => {
            staged.discard();
            // one that could not be written may still have been renamed into place
            let journal_may_be_there = Journal::discard(state).is_err();
            held_space::release(state);
            Err(Uncommitted { error, journal_may_be_there })
        }
    }
}

fn commit(context: Context<'_>, journal: &Journal, staged: &Staged) -> Result<(), Error> {
    let Context { host, state, signals, .. } = context;
    for change in staged.changes() {
        require_as_planned(host, change)?;
    }
    signals.check()?;
    held_space::hold(state, needed_to_go_back(staged.changes()))?;
    Installed::read(Some(state))?.reopen(state, &swap::managers(journal))?;
    journal.write(state)
}

/// Room for the files of before, to be written beside the new ones.
fn needed_to_go_back<'a>(changes: impl Iterator<Item = &'a Change>) -> u64 {
    let sets = changes.flat_map(|change| &change.before.0);
    held_space::needed(sets.filter_map(|live| match live {
        Live::File(file) => Some(file.bytes.len()),
        Live::Absent => None,
    }))
}

/// The digests of what may be found live while these changes are made.
fn known_digests(changes: &[Change]) -> Vec<Sha256> {
    let sets = changes.iter().flat_map(|change| [&change.before, &change.after]);
    sets.flat_map(|set| set.0.iter().filter_map(Live::sha256)).collect()
}

/// The manager may have pushed new files through a tunnel that came up meanwhile.
fn require_as_planned(host: &Host, change: &Change) -> Result<(), Error> {
    if change.peer.read(host)?.identities() == change.before.identities() {
        return Ok(());
    }
    let folder = peers::shown(host, &change.peer.manager);
    Err(ReplaceError::ChangedSincePlan { folder }.into())
}
