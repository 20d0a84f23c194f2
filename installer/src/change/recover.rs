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
use crate::appliance::service::{self, Interrupted, Service};
use crate::appliance::state::State;
use crate::change::Context;
use crate::change::backup::{self, BackupId};
use crate::change::finish;
use crate::change::held_space;
use crate::change::journal::{Goal, Journal, Phase};
use crate::change::receipts::{self, Receipts};
use crate::change::stage;
use crate::change::undo::{self, PutBack};

/// What recovery found and did.
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
        /// Why the new files, which were live, were given up.
        why: Option<String>,
        /// What the device hands back.
        receipts: Receipts,
    },
    /// The new files are live and sftunnel runs on them.
    AllNew {
        /// What was found before them.
        backup: BackupId,
        /// sftunnel's process.
        pid: u32,
        /// What the device hands back.
        receipts: Receipts,
    },
}

impl Recovered {
    /// As JSON and the log have it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Nothing { .. } => "nothing",
            Self::AllOld { .. } => "all-old",
            Self::AllNew { .. } => "all-new",
        }
    }

    /// Where its receipts are, on this box: nothing carries them anywhere.
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
///
/// # Errors
/// Exit 7 when a person is needed.
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
    let recovered = match (journal.goal, journal.phase) {
        (Goal::Restore, _) | (_, Phase::Commit) if journal.must_restart => {
            put_back(context, &journal, None)?
        }
        (Goal::Restore, _) | (_, Phase::Commit) => {
            all_old(&journal, undo::put_back_if_needed(context, &journal)?, None)
        }
        (_, Phase::Restart) => go_forward(context, journal)?,
    };
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

fn put_back(
    context: Context<'_>,
    journal: &Journal,
    why: Option<String>,
) -> Result<Recovered, Failure> {
    let done = undo::put_back(context, journal).map_err(|failure| match &why {
        Some(why) => failure.map_message(|message| format!("{why}\n{message}")),
        None => failure,
    })?;
    Ok(all_old(journal, Some(done), why))
}

fn all_old(journal: &Journal, done: Option<PutBack>, why: Option<String>) -> Recovered {
    let (pid, receipts) = match done {
        Some(PutBack { pid, receipts }) => (Some(pid), receipts),
        None => (None, Receipts::default()),
    };
    Recovered::AllOld { backup: journal.backup.clone(), pid, why, receipts }
}

/// All files were new. sftunnel may have been restarted with them, by the run that was
/// interrupted or by a boot; that is proved or made so.
fn go_forward(context: Context<'_>, journal: Journal) -> Result<Recovered, Failure> {
    let Context { host, signals, patience, .. } = context;
    let unreadable = |failure| finish::cannot_tell(context, failure);
    if finish::replaced_since(host, &journal).map_err(unreadable)?.is_some() {
        return put_back(context, &journal, None);
    }
    let backup = journal.backup.clone();
    let running = service::require_readable(host, signals).map_err(|failure| {
        if signals.pending() {
            return finish::interrupted();
        }
        let hint = "look at what `pmtool status` prints; when it lists sftunnel, run `sftunnel-install recover` again";
        failure
            .map_message(|message| format!("the new files are in place, but {message}"))
            .without_reason()
            .hint(hint)
            .exit(Exit::NeedsPerson)
    })?;
    let old = journal.old_pid_unless_rebooted(host.boot_id().map_err(unreadable)?);
    let interrupted = |Interrupted| finish::interrupted();
    let confirmed = match running {
        Service::Running { pid } if Some(pid) != old => {
            service::confirm(host, old, patience, signals)
        }
        _ => service::restart(host, running.pid(), patience, signals),
    };
    let confirmed = match confirmed.map_err(interrupted)? {
        Ok(pid) => Ok(pid),
        // one restart of our own before giving up: the run may have been cut off during its own
        Err(why) => match service::settled_status(host, signals) {
            // no restart could be proved
            Service::Unknown { .. } => Err(why),
            now => service::restart(host, now.pid(), patience, signals).map_err(interrupted)?,
        },
    };
    match confirmed {
        Ok(pid) => {
            let receipts = finish::complete(context, journal)?;
            Ok(Recovered::AllNew { backup, pid, receipts })
        }
        Err(why) => put_back(context, &journal, Some(why.to_string())),
    }
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
