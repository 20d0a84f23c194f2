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

use console::exit::{Exit, Failure};

use crate::backup::{self, BackupId};
use crate::journal::{Goal, Journal, Phase};
use crate::peers::PeerDir;
use crate::receipts::{self, Receipts};
use crate::reserve;
use crate::restore::{self, PutBack, Restart};
use crate::service::{self, Service};
use crate::state::State;
use crate::transaction::{self, Context};

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
    let recovered = match (journal.goal, journal.phase) {
        (Goal::Restore, _) | (_, Phase::Commit) => {
            let restart =
                if journal.must_restart { Restart::Always } else { Restart::OnlyIfNeeded };
            put_back(context, &journal, restart, None)?
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

fn put_back(
    context: Context<'_>,
    journal: &Journal,
    restart: Restart,
    why: Option<String>,
) -> Result<Recovered, Failure> {
    let PutBack { pid, receipts } =
        restore::put_back(context, journal, restart).map_err(|failure| match &why {
            Some(why) => Failure { message: format!("{why}\n{}", failure.message), ..failure },
            None => failure,
        })?;
    Ok(Recovered::AllOld { backup: journal.backup.clone(), pid, why, receipts })
}

/// All files were new. sftunnel may have been restarted with them, by the run that was
/// interrupted or by a boot; that is proved or made so.
fn go_forward(context: Context<'_>, journal: Journal) -> Result<Recovered, Failure> {
    let Context { host, signals, patience, .. } = context;
    let unreadable = |failure| transaction::cannot_tell(context, failure);
    if transaction::replaced_since(host, &journal).map_err(unreadable)?.is_some() {
        return put_back(context, &journal, Restart::Always, None);
    }
    let backup = journal.backup.clone();
    let running = service::require_readable(host, signals).map_err(|failure| {
        if signals.pending() {
            return transaction::interrupted();
        }
        let message = format!("the new files are in place, but {}", failure.message);
        let hint = "look at what `pmtool status` prints; when it lists sftunnel, run `sftunnel-install recover` again";
        Failure { message, reason: None, hint: hint.to_owned(), ..failure }.exit(Exit::NeedsPerson)
    })?;
    let old = journal.old_pid_unless_rebooted(host.boot_id().map_err(unreadable)?);
    let confirmed = match running {
        Service::Running { pid } if Some(pid) != old => {
            service::confirm(host, old, patience, signals)
        }
        _ => service::restart(host, running.pid(), patience, signals),
    };
    // one restart of our own before giving up: the run may have been cut off during its own
    let confirmed = confirmed.or_else(|why| match (why, service::settled_status(host, signals)) {
        // no restart could be proved
        (why @ service::Unhealthy::Interrupted, _) | (why, Service::Unknown { .. }) => Err(why),
        (_, now) => service::restart(host, now.pid(), patience, signals),
    });
    match confirmed {
        Ok(pid) => {
            let receipts = transaction::complete(context, journal)?;
            Ok(Recovered::AllNew { backup, pid, receipts })
        }
        Err(service::Unhealthy::Interrupted) => Err(transaction::interrupted()),
        Err(why) => put_back(context, &journal, Restart::Always, Some(why.to_string())),
    }
}

/// Removes unfinished records, backups and receipts, and staged files wherever this box has a
/// peer directory.
fn sweep(context: Context<'_>) -> Result<usize, Failure> {
    context.state.remove_unfinished()?;
    backup::remove_unfinished(context.state)?;
    receipts::remove_unfinished(context.state)?;
    reserve::release(context.state);
    let mut removed = 0;
    for (_, peer) in PeerDir::all(context.host)? {
        // a directory that cannot be opened safely is none that this program staged in
        if let Ok(peer) = peer {
            removed += transaction::remove_leftovers(context.host, &peer)?;
        }
    }
    Ok(removed)
}
