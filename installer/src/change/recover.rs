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

use cli::say::exit::{Exit, Failure};
use formats::device::DeviceUuid;
use formats::error::Reason;

use crate::appliance::peers::PeerDir;
use crate::appliance::state::State;
use crate::change::Context;
use crate::change::backup::{self, BackupId};
use crate::change::finish;
use crate::change::held_space;
use crate::change::journal::{Goal, Journal, Phase};
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
pub(crate) fn recover(context: Context<'_>) -> Result<Recovered, Failure> {
    context.signals.begin();
    let Some(journal) = Journal::read(context.state)? else {
        let leftovers = sweep(context)?;
        return Ok(Recovered::Nothing { leftovers });
    };
    if let (Some(other), false) =
        (context.state.is_of_another(journal.device.as_ref()), context.accept_device)
    {
        return Err(of_another_device(context.state, &journal, other));
    }
    let recovered = go_on(context, journal)?;
    sweep(context).map_err(|failure| {
        let done = match recovered {
            Recovered::AllNew { .. } => "all new",
            _ => "all old",
        };
        failure
            .preceded_by(format!(
                "the interrupted run was finished: {done}; but what it left could not be removed"
            ))
            .exit(Exit::NeedsPerson)
            .also_hint("when that is mended, run `sftunnel-install recover` again")
    })?;
    Ok(recovered)
}

/// The run that was interrupted was one of another box, whose disk this is a copy of.
fn of_another_device(state: &State, journal: &Journal, other: &DeviceUuid) -> Failure {
    let open = format!("{}/journal", state.shown());
    let message = format!(
        "{open} is of device {other}, this box is {}: nothing was put back",
        state.device().map_or("another", DeviceUuid::as_str)
    );
    Failure::refused(Reason::WrongDevice, message).exit(Exit::NeedsPerson).hint(format!(
        "when this box was given another UUID on purpose: `sftunnel-install recover --accept-device`\n\
         when its files came from another box: move {open} away, look with `sftunnel-install status`; what that run found is backup {}",
        journal.backup
    ))
}

/// The state of the [machine](crate::change::swap) that an open journal names.
enum Entry {
    /// The way back, begun or begun anew.
    Back { must_restart: bool },
    /// All files are new.
    Swapped,
}

impl Entry {
    fn of(context: Context<'_>, journal: &Journal) -> Result<Self, Failure> {
        match (journal.goal, journal.phase) {
            (Goal::Restore, _) | (_, Phase::Commit) => {
                Ok(Self::Back { must_restart: journal.must_restart })
            }
            (Goal::Install | Goal::Rollback, Phase::Restart) => {
                let replaced = finish::replaced_since(context.host, journal);
                match replaced.map_err(|failure| finish::cannot_tell(context, failure))? {
                    None => Ok(Self::Swapped),
                    // sftunnel may have read the new ones before
                    Some(_) => Ok(Self::Back { must_restart: true }),
                }
            }
        }
    }
}

fn go_on(context: Context<'_>, journal: Journal) -> Result<Recovered, Failure> {
    let backup = journal.backup.clone();
    let (put_back, why) = match Entry::of(context, &journal)? {
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
fn sweep(context: Context<'_>) -> Result<usize, Failure> {
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
