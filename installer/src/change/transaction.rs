//! The installation as one transaction. `PROTOCOL.md` has the steps and their reasons.
//!
//! ```text
//! backup → stage → still as planned? → journal commit → settle, rename, sync directories
//!        → journal restart → pmtool restartbyid → healthy? → remember → journal closed
//!                                               └ no → restore the backup the same way
//! ```

use std::time::Duration;

use cli::say::exit::{Exit, Failure};
use formats::checksum::Sha256;
use formats::device::ManagerUuid;
use formats::error::Reason;

use crate::appliance::host::Host;
use crate::appliance::peers::{self, Live};
use crate::appliance::service::{self, Interrupted, Service};
use crate::appliance::tunnel::Waited;
use crate::change::backup::{self, BackupId};
use crate::change::finish::{complete, interrupted};
use crate::change::held_space;
use crate::change::journal::{Goal, Journal, Phase, Remember};
use crate::change::proof::{Proof, Unproved};
use crate::change::receipts::Receipts;
use crate::change::records::Installed;
use crate::change::stage::{self, Staged};
use crate::change::undo::{self, PutBack};
use crate::change::{Change, Context};

/// What to do when sftunnel does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUnhealthy {
    /// Put everything back.
    Restore,
    /// Leave the new files in place (`--no-rollback`).
    Keep,
}

/// How a transaction ended after its commit.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The new files are live and sftunnel runs on them.
    Done {
        /// sftunnel's new process.
        pid: u32,
        /// What was found before.
        backup: BackupId,
        /// From the first rename to the last.
        renames: Duration,
        /// What the device hands back.
        receipts: Receipts,
        /// The tunnels, where they were part of the proof: each up, or not known to be down.
        waited: Option<Waited>,
    },
    /// The new files are live, sftunnel is not confirmed (only with [`OnUnhealthy::Keep`]).
    Unconfirmed {
        /// Why.
        why: Unproved,
        /// What was found before.
        backup: BackupId,
    },
    /// The old files are live again and sftunnel runs on them.
    RolledBack {
        /// Why.
        why: Unproved,
        /// sftunnel's process now.
        pid: u32,
        /// What was put back.
        backup: BackupId,
        /// What the device hands back.
        receipts: Receipts,
    },
}

/// Carries out a plan.
///
/// # Errors
/// Exit 1 or 3 with nothing changed, 6 with the old files back and sftunnel restarted on them, or
/// 7 when a person is needed.
pub(crate) fn run(
    context: Context<'_>,
    goal: Goal,
    changes: Vec<Change>,
    remember: Vec<Remember>,
    on_unhealthy: OnUnhealthy,
    proof: Proof,
) -> Result<Ended, Failure> {
    let Context { host, state, signals, patience, .. } = context;
    signals.begin();
    // before the backup: without it nobody could tell a new process from the old one
    let old = service::require_readable(host, signals)?;
    signals.check()?;
    let found: Vec<_> =
        changes.iter().map(|change| (change.peer.manager.clone(), &change.before)).collect();
    let managers: Vec<ManagerUuid> = found.iter().map(|(manager, _)| manager.clone()).collect();
    let boot_id = host.boot_id()?;
    let (backup, sums) = backup::create(state, goal.word(), host.now(), &found)?;
    let known = known_digests(&changes);
    let now = host.now();
    let named = (backup.clone(), Some(sums));
    let journal = Journal::new(goal, named, now, old.pid(), boot_id, remember, known);
    let journal = journal.on(state.device());
    let staged = match prepare(context, &journal, &changes, &managers) {
        Ok(staged) => staged,
        Err(Unprepared { failure, journal_may_be_there }) => {
            // an unused copy of what is live, unless a journal that comes back names it
            if !journal_may_be_there {
                let _ = backup::remove(state, &backup);
            }
            return Err(failure);
        }
    };

    // from here on signals are held back: whatever happens ends in all-old or all-new
    let swapped = staged.swap().and_then(|renames| {
        let mut restarting = journal.clone();
        restarting.phase = Phase::Restart;
        // it may have come up or gone by itself since
        match service::settled_status(host, signals) {
            Service::Unknown { .. } => {}
            now => restarting.old_pid = now.pid(),
        }
        restarting.write(state).map(|()| (renames, restarting))
    });
    let (renames, journal) = match swapped {
        Ok(done) => done,
        Err(failure) => {
            // sftunnel has not been touched: with the old files back, nothing has changed,
            // unless it came up by itself meanwhile and so had to be restarted
            return Err(match undo::put_back_if_needed(context, &journal)? {
                None => failure,
                Some(PutBack { pid, .. }) => {
                    let back = format!(
                        "the old files are back, and sftunnel was restarted on them (PID {pid})"
                    );
                    failure
                        .map_message(|message| format!("{message}; {back}"))
                        .exit(Exit::RolledBack)
                }
            });
        }
    };
    // the keys have done their part; waiting for sftunnel can take minutes
    drop(changes);
    let interrupted = |Interrupted| interrupted();
    let proved =
        match service::restart(host, journal.old_pid, patience, signals).map_err(interrupted)? {
            Err(unhealthy) => Err(unhealthy.into()),
            Ok(pid) => {
                let waited = proof.wait(context, &managers).map_err(interrupted)?;
                waited.map(|waited| (pid, waited))
            }
        };
    match proved {
        Ok((pid, waited)) => {
            let receipts = complete(context, journal)?;
            Ok(Ended::Done { pid, backup, renames, receipts, waited })
        }
        Err(why) if on_unhealthy == OnUnhealthy::Keep => {
            held_space::release(state);
            journal.close(state).map_err(|failure| not_recorded(&why, failure))?;
            Ok(Ended::Unconfirmed { why, backup })
        }
        Err(why) => match undo::put_back(context, &journal) {
            Ok(PutBack { pid, receipts }) => Ok(Ended::RolledBack { why, pid, backup, receipts }),
            Err(failure) => Err(failure.map_message(|message| format!("{why}\n{message}"))),
        },
    }
}

/// A transaction that did not begin: no live file was changed.
struct Unprepared {
    failure: Failure,
    /// Whether its journal may be found after a power cut.
    journal_may_be_there: bool,
}

const ROOM: &str =
    "nothing was changed; make room or make it writable, then run the same command again";

/// The steps from staging to the journal's *commit*. On failure they are undone.
fn prepare<'a>(
    context: Context<'_>,
    journal: &Journal,
    changes: &'a [Change],
    managers: &[ManagerUuid],
) -> Result<Staged<'a>, Unprepared> {
    let Context { host, state, signals, .. } = context;
    let staged = stage::stage(host, &journal.backup, changes)
        .map_err(|failure| failure.or_hint(ROOM))
        .map_err(|failure| Unprepared { failure, journal_may_be_there: false })?;
    let ready = || -> Result<(), Failure> {
        require_as_planned(host, changes)?;
        signals.check()?;
        held_space::hold(state, needed_to_go_back(changes))?;
        Installed::read(Some(state))?.reopen(state, managers)?;
        journal.write(state)
    };
    match ready() {
        Ok(()) => Ok(staged),
        Err(failure) => {
            staged.discard();
            // one that could not be written may still have been renamed into place
            let journal_may_be_there = Journal::discard(state).is_err();
            held_space::release(state);
            Err(Unprepared { failure, journal_may_be_there })
        }
    }
}

/// Room for the files of before, to be written beside the new ones.
fn needed_to_go_back(changes: &[Change]) -> u64 {
    let sets = changes.iter().flat_map(|change| &change.before.0);
    held_space::needed(sets.filter_map(|live| match live {
        Live::File(file) => Some(file.bytes.len()),
        Live::Absent => None,
    }))
}

/// What may be found live while these changes are made.
fn known_digests(changes: &[Change]) -> Vec<Sha256> {
    let sets = changes.iter().flat_map(|change| [&change.before, &change.after]);
    sets.flat_map(|set| set.0.iter().filter_map(Live::sha256)).collect()
}

/// `--no-rollback`: the new files stay, and an open journal would have the next run undo that.
fn not_recorded(why: &Unproved, failure: Failure) -> Failure {
    failure
        .preceded_by(format!(
            "the new files are in place, but {why}; and that they are to stay could not be recorded"
        ))
        .exit(Exit::NeedsPerson)
        .hint("mend that, then run `sftunnel-install recover`: it waits for sftunnel, or puts the old files back")
}

/// The manager may have pushed new files through a tunnel that came up meanwhile.
fn require_as_planned(host: &Host, changes: &[Change]) -> Result<(), Failure> {
    for change in changes {
        if change.peer.read(host)?.identities() != change.before.identities() {
            let path = peers::shown(host, &change.peer.manager);
            let message = format!("{path} was changed by somebody else since the plan was made");
            return Err(Failure::refused(Reason::Busy, message).hint(
                "look with `sftunnel-install status`: the manager may have pushed new files itself",
            ));
        }
    }
    Ok(())
}
