//! The one machine that replaces files, forward and back. `PROTOCOL.md` has the steps and their
//! reasons.
//!
//! ```text
//! Swap::prepare     backup → stage → still as planned? → journal commit  ┐
//! undo::prepare     journal commit → stage → still known?                ┴→ Prepared
//! Prepared::swap    settle, rename, sync directories → journal restart   → Swapped
//! Swapped::restart  pmtool restartbyid → healthy? → proof                → Proved or NotProved
//! Proved::finish    receipts → remember → journal closed
//! NotProved::undo   the same once more, back      NotProved::keep  journal closed
//! ```
//!
//! Each state is a type that only the step before it makes and the next one consumes. After a crash
//! the journal names the state to enter again: [`recover`](crate::change::recover).
//!
//! The journal is written when a decision may not be forgotten any more. Forward, that is the last
//! moment before a live file changes: while staging may still fail, a run that ends leaves nothing to
//! recover from. Back, the decision has been made and the open journal does not know it yet: were
//! the old files staged first, and that failed, `recover` could find sftunnel up on the new ones and
//! call them installed.

use std::time::Duration;

use formats::device::ManagerUuid;

use crate::appliance::service::{self, Interrupted, Service, Unhealthy};
use crate::appliance::tunnel::Waited;
use crate::change::Context;
use crate::change::Goal;
use crate::change::backup::BackupId;
use crate::change::error::{Error, NotDone};
use crate::change::finish;
use crate::change::held_space;
use crate::change::journal::{Journal, Phase};
use crate::change::proof::{Proof, Unproved};
use crate::change::receipts::Receipts;
use crate::change::stage::Staged;
use crate::change::step::Step;

/// Everything that is to become live is on the disk, and the journal says so: *commit*.
pub(crate) struct Prepared {
    pub(super) journal: Journal,
    pub(super) staged: Staged,
    pub(super) proof: Proof,
}

/// The renames could not be completed: live files may be mixed. sftunnel has not been touched.
pub(crate) struct NotSwapped {
    /// At *commit*, with sftunnel's process as it was before the renames.
    pub(super) journal: Journal,
    pub(super) error: Error,
}

/// The files are live and durable, and the journal says so: *restart*.
pub(crate) struct Swapped {
    pub(super) journal: Journal,
    pub(super) proof: Proof,
}

/// The end of a restart.
pub(crate) enum Restarted {
    Proved(Proved),
    NotProved(NotProved),
}

/// sftunnel runs on the files that are live.
pub(crate) struct Proved {
    journal: Journal,
    pid: u32,
    waited: Option<Waited>,
}

/// The files are live; that sftunnel runs on them as it must is not proved.
pub(crate) struct NotProved {
    pub(super) journal: Journal,
    pub(super) why: Unproved,
}

/// A success that is recorded.
#[derive(Debug)]
pub(crate) struct Finished {
    /// sftunnel's new process.
    pub pid: u32,
    /// The files of before; after a way back, live again.
    pub backup: BackupId,
    /// Handed back by the device.
    pub receipts: Receipts,
    /// The tunnels, where they were part of the proof: each up, or not known to be down.
    pub waited: Option<Waited>,
}

pub(super) fn managers(journal: &Journal) -> Vec<ManagerUuid> {
    journal.remember.iter().map(|remember| remember.manager.clone()).collect()
}

impl Prepared {
    /// The backup to go back to.
    pub(crate) fn backup(&self) -> &BackupId {
        &self.journal.backup
    }

    /// Makes the staged files live. Gives the time from the first rename to the last.
    ///
    /// On failure the live files are in any state: to be undone.
    pub(crate) fn swap(self, context: Context<'_>) -> Result<(Swapped, Duration), Box<NotSwapped>> {
        let Context { host, state, signals, .. } = context;
        let Self { journal, staged, proof } = self;
        let swapped = staged.swap().map_err(Error::from).and_then(|renames| {
            let mut journal = Journal { phase: Phase::Restart, ..journal.clone() };
            // sftunnel may have come up or gone by itself since. On the way back the process that
            // has read the old files stays noted: as long as that one runs, no restart is needed
            if journal.goal != Goal::Restore {
                match service::settled_status(host, signals) {
                    Service::Unknown { .. } => {}
                    now => journal.old_pid = now.pid(),
                }
            }
            journal.write(state).map(|()| (Swapped { journal, proof }, renames))
        });
        swapped.map_err(|error| Box::new(NotSwapped { journal, error }))
    }
}

impl Swapped {
    /// sftunnel's process that a restart has to end; `None` when none runs.
    pub(crate) fn old_pid(&self) -> Option<u32> {
        self.journal.old_pid
    }

    /// The state that a journal at *restart* names, of a run that was cut off. It does not hold
    /// what that run required beyond a running sftunnel.
    pub(super) fn again(journal: Journal) -> Self {
        Self { journal, proof: Proof::Running }
    }

    /// Restarts sftunnel, whose process was `old`, and waits for the proof.
    ///
    /// A signal ends the waiting with exit 7; the journal stays.
    pub(crate) fn restart(
        self,
        context: Context<'_>,
        old: Option<u32>,
    ) -> Result<Restarted, Error> {
        let running = restart(context, &self.journal, old, managers(&self.journal));
        let running = running.map_err(|Interrupted| NotDone::Interrupted(self.journal.goal))?;
        self.judge(context, running)
    }

    /// Goes on after a crash. sftunnel may have been restarted with these files, by the run that was
    /// cut off or by a boot: that is proved or made so.
    ///
    /// Exit 7, with the journal left, when a signal ends the waiting or what runs cannot be read.
    pub(crate) fn resume(self, context: Context<'_>) -> Result<Restarted, Error> {
        let Context { host, signals, patience, .. } = context;
        let goal = self.journal.goal;
        let interrupted = |Interrupted| NotDone::Interrupted(goal);
        let now =
            service::require_readable(host, signals).map_err(|error| match signals.pending() {
                true => NotDone::Interrupted(goal),
                false => NotDone::ServiceUnreadable(error),
            })?;
        let boot_id = host.boot_id().map_err(|error| finish::cannot_tell(context, error))?;
        let old = self.journal.old_pid_unless_rebooted(boot_id);
        let running = match now {
            Service::Running { pid } if Some(pid) != old => {
                service::confirm(host, old, patience, signals, &has_come(context, goal))
            }
            _ => restart(context, &self.journal, now.pid(), Vec::new()),
        };
        let running = match running.map_err(interrupted)? {
            Ok(pid) => Ok(pid),
            // one restart of our own before giving up: the run may have been cut off during its own
            Err(why) => match service::settled_status(host, signals) {
                // no restart could be proved
                Service::Unknown { .. } => Err(why),
                now => {
                    restart(context, &self.journal, now.pid(), Vec::new()).map_err(interrupted)?
                }
            },
        };
        self.judge(context, running)
    }

    fn judge(
        self,
        context: Context<'_>,
        running: Result<u32, Unhealthy>,
    ) -> Result<Restarted, Error> {
        let Self { journal, proof } = self;
        let pid = match running {
            Ok(pid) => pid,
            Err(why) => {
                return Ok(Restarted::NotProved(NotProved { journal, why: why.into() }));
            }
        };
        if let Proof::Connected(limit) = proof {
            context.listener.begins(Step::Tunnel { pid, limit });
        }
        let waited = proof.wait(context, &managers(&journal));
        Ok(match waited.map_err(|Interrupted| NotDone::Interrupted(journal.goal))? {
            Ok(waited) => Restarted::Proved(Proved { journal, pid, waited }),
            Err(why) => Restarted::NotProved(NotProved { journal, why }),
        })
    }
}

/// Restarts sftunnel, whose process is `old`, on the files of this journal.
fn restart(
    context: Context<'_>,
    journal: &Journal,
    old: Option<u32>,
    replaced: Vec<ManagerUuid>,
) -> Result<Result<u32, Unhealthy>, Interrupted> {
    let Context { host, signals, patience, listener, .. } = context;
    let (goal, limit) = (journal.goal, patience.restart);
    listener.begins(Step::Restart { goal, replaced, old, limit });
    service::restart(host, old, patience, signals, &has_come(context, goal))
}

/// Tells of a new process that has to stay.
fn has_come(context: Context<'_>, goal: Goal) -> impl Fn(u32) {
    let settle = context.patience.settle;
    move |pid| context.listener.begins(Step::Settle { goal, pid, settle })
}

impl Proved {
    /// sftunnel's new process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Records the success, and closes the journal last.
    pub(crate) fn finish(self, context: Context<'_>) -> Result<Finished, Error> {
        let Self { journal, pid, waited } = self;
        context.listener.begins(Step::Record { pid });
        let backup = journal.backup.clone();
        let receipts = finish::complete(context, journal)?;
        Ok(Finished { pid, backup, receipts, waited })
    }
}

impl NotProved {
    /// Leaves the files in place, as the operator wants it (`--no-rollback`). An open journal would
    /// have the next run undo that.
    ///
    /// Exit 7 when the journal cannot be closed.
    pub(crate) fn keep(self, context: Context<'_>) -> Result<Unproved, Error> {
        let Self { journal, why } = self;
        held_space::release(context.state);
        match journal.close(context.state) {
            Ok(()) => Ok(why),
            Err(error) => Err(NotDone::NotKept { why, error: Box::new(error) }.into()),
        }
    }
}
