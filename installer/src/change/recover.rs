//! Finishing what an interrupted run left: ends in all-old or all-new, never mixed.
//!
//! | journal | live files | what is done |
//! |---|---|---|
//! | none | untouched | leftovers are removed |
//! | commit, install or rollback | any mix of old and new | the backup is put back |
//! | restart, install or rollback | all new | sftunnel is confirmed or restarted; else the backup |
//! | the same | old or mixed | the backup is put back |
//! | any | a file that is neither old nor new | nothing: a person is needed |
//! | commit or restart, restore | old, new or mixed | the backup is put back, once more |

use crate::appliance::peers::PeerDir;
use crate::appliance::state::State;
use crate::change::Context;
use crate::change::Goal;
use crate::change::backup::{self, BackupId};
use crate::change::error::{Error, NotBack, NotDone};
use crate::change::finish;
use crate::change::held_space;
use crate::change::journal::{Journal, Phase};
use crate::change::receipts::{self, Receipts};
use crate::change::stage;
use crate::change::swap::{Finished, Restarted, Swapped};
use crate::change::undo::{self, PutBack};

/// The end that recovery reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recovered {
    /// Nothing was interrupted; so many leftover files were removed.
    Nothing {
        /// Staged files of a run that ended before its commit.
        leftovers: usize,
    },
    /// The old files are live.
    AllOld {
        /// The backup that was put back.
        backup: BackupId,
        /// sftunnel's process; `None` when it did not have to be restarted.
        pid: Option<u32>,
        /// The reason the new files, which were live, were given up.
        why: Option<String>,
        /// Handed back by the device.
        receipts: Receipts,
    },
    /// The new files are live and sftunnel runs on them.
    AllNew {
        /// The files of before.
        backup: BackupId,
        /// sftunnel's process.
        pid: u32,
        /// Handed back by the device.
        receipts: Receipts,
    },
}

impl Recovered {
    /// The word in JSON and in the log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Nothing { .. } => "nothing",
            Self::AllOld { .. } => "all-old",
            Self::AllNew { .. } => "all-new",
        }
    }

    /// The paths of its receipts on this box: nothing carries them anywhere.
    pub(crate) fn receipts(&self, state: &State) -> Vec<String> {
        match self {
            Self::Nothing { .. } => Vec::new(),
            Self::AllOld { receipts, .. } | Self::AllNew { receipts, .. } => {
                receipts.paths(state).collect()
            }
        }
    }
}

/// Finishes an interrupted run.
pub(crate) fn recover(context: Context<'_>) -> Result<Recovered, Error> {
    context.signals.begin();
    let Some(journal) = Journal::read(context.state)? else {
        let leftovers = sweep(context)?;
        return Ok(Recovered::Nothing { leftovers });
    };
    if let (Some(other), false) =
        (context.state.is_of_another(journal.device.as_ref()), context.accept_device)
    {
        return Err(NotBack::OtherDevice {
            journal: Journal::path(context.state),
            device: other.clone(),
            own: context.state.device().cloned(),
            backup: journal.backup,
        }
        .into());
    }
    let recovered = go_on(context, journal)?;
    sweep(context).map_err(|error| {
        let is_all_new = matches!(recovered, Recovered::AllNew { .. });
        NotDone::NotSwept { is_all_new, error: Box::new(error) }
    })?;
    Ok(recovered)
}

/// The state of the [machine](crate::change::swap) that an open journal names.
enum Entry {
    /// The way back, begun or begun anew.
    Back { must_restart: bool },
    /// All files are new.
    Swapped,
}

impl Entry {
    fn of(context: Context<'_>, journal: &Journal) -> Result<Self, Error> {
        match (journal.goal, journal.phase) {
            (Goal::Restore, _) | (_, Phase::Commit) => {
                Ok(Self::Back { must_restart: journal.must_restart })
            }
            (Goal::Install | Goal::Rollback, Phase::Restart) => {
                let replaced = finish::replaced_since(context.host, journal);
                match replaced.map_err(|error| finish::cannot_tell(context, error))? {
                    None => Ok(Self::Swapped),
                    // sftunnel may have read the new ones before
                    Some(_) => Ok(Self::Back { must_restart: true }),
                }
            }
        }
    }
}

fn go_on(context: Context<'_>, journal: Journal) -> Result<Recovered, Error> {
    let backup = journal.backup.clone();
    let entry = Entry::of(context, &journal)?;
    if matches!(entry, Entry::Back { .. }) {
        undo::put_back_begins(context, &journal, None);
    }
    let (put_back, why) = match entry {
        Entry::Back { must_restart: true } => (Some(undo::undo(context, journal)?), None),
        Entry::Back { must_restart: false } => {
            (undo::undo_unless_as_before(context, journal)?, None)
        }
        Entry::Swapped => match Swapped::again(journal).resume(context)? {
            Restarted::Proved(proved) => {
                let Finished { pid, backup, receipts, .. } = proved.finish(context)?;
                return Ok(Recovered::AllNew { backup, pid, receipts });
            }
            Restarted::NotProved(not_proved) => {
                let (why, put_back) = not_proved.undo(context)?;
                (Some(put_back), Some(why.to_string()))
            }
        },
    };
    let (pid, receipts) = match put_back {
        Some(PutBack { pid, receipts }) => (Some(pid), receipts),
        None => (None, Receipts::default()),
    };
    Ok(Recovered::AllOld { backup, pid, why, receipts })
}

/// Removes unfinished records, backups and receipts, and staged files wherever this box has a
/// peer directory.
fn sweep(context: Context<'_>) -> Result<usize, Error> {
    context.state.remove_unfinished()?;
    backup::remove_unfinished(context.state)?;
    receipts::remove_unfinished(context.state)?;
    held_space::release(context.state);
    let mut removed = 0;
    for (_, peer) in PeerDir::all(context.host)? {
        // a directory that cannot be opened safely is none that this program staged in
        if let Ok(peer) = peer {
            removed += stage::remove_leftovers(context.host, &peer)?;
        }
    }
    Ok(removed)
}
