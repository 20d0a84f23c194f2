//! Putting a backup back, because the transaction that made it did not succeed or was cut off.

use console::exit::{Exit, Failure};
use formats::device::ManagerUuid;

use crate::backup;
use crate::journal::{Goal, Journal, Phase};
use crate::peers::{Live, LiveSet, PeerDir};
use crate::receipts::Receipts;
use crate::reserve;
use crate::service::{self, Service, Unhealthy};
use crate::staging;
use crate::transaction::{
    Change, Context, cannot_tell, changed_by_somebody, complete, remember_set, remove_leftovers,
};

/// What [`put_back`] did.
#[derive(Debug)]
pub(crate) struct PutBack {
    /// sftunnel's process; `None` when it did not have to be restarted.
    pub pid: Option<u32>,
    /// What the device hands back.
    pub receipts: Receipts,
}

/// Whether a restore ends with a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// sftunnel may have read the files that are being replaced.
    Always,
    /// Only when it is not as it was before any more.
    OnlyIfNeeded,
}

/// Puts the backup back that the transaction of this journal made, and restarts sftunnel where
/// that is needed.
///
/// # Errors
/// Always with exit 7: a person is needed. Unless the files are back, the journal then stays
/// for `recover`.
pub(crate) fn put_back(
    context: Context<'_>,
    undone: &Journal,
    restart: Restart,
) -> Result<PutBack, Failure> {
    restore(context, undone, restart).map_err(|failure| {
        let hint = if failure.hint.is_empty() {
            "mend that, then run `sftunnel-install recover`".to_owned()
        } else {
            failure.hint.clone()
        };
        Failure { hint, ..failure }.exit(Exit::NeedsPerson)
    })
}

fn restore(context: Context<'_>, undone: &Journal, restart: Restart) -> Result<PutBack, Failure> {
    let Context { host, state, signals, patience } = context;
    let backup = backup::open(state, &undone.backup).map_err(|failure| {
        let hint = format!(
            "the interrupted run cannot be undone without it: look at what is live with `sftunnel-install status`\n\
             to give that run up, remove {}/journal; then install a kit, or `sftunnel-install rollback --to` another backup",
            state.shown()
        );
        Failure { hint, ..failure }
    })?;
    let (mut changes, mut remember) = (Vec::new(), Vec::new());
    for (manager, after) in backup.peers {
        let opened = PeerDir::open(host, &manager)
            .and_then(|peer| peer.read(host).map(|before| (peer, before)));
        let (peer, before) = opened.map_err(|failure| cannot_tell(context, failure))?;
        remember.push(remember_set(&manager, &after));
        changes.push(Change { peer, before, after });
    }
    for change in &changes {
        require_known(context, undone, &change.peer.manager, &change.before)?;
    }
    // this is what it was held for
    reserve::release(state);
    for change in &changes {
        remove_leftovers(host, &change.peer)?;
    }
    let mut journal = Journal::new(
        Goal::Restore,
        undone.backup.clone(),
        host.now(),
        undone.old_pid,
        undone.boot_id.clone(),
        remember,
        // also what is not live any more: renames that are not durable yet may be lost again
        undone.known.clone(),
    );
    journal.must_restart = restart == Restart::Always;
    journal.write(state)?;
    let staged = staging::stage(host, &undone.backup, &changes)?;
    // the manager may have pushed while the disk was waited for
    let still_known = changes.iter().try_for_each(|change| {
        require_known(context, undone, &change.peer.manager, &change.peer.read(host)?)
    });
    if let Err(failure) = still_known {
        staged.discard();
        return Err(failure);
    }
    staged.swap()?;
    drop(changes);
    journal.phase = Phase::Restart;
    journal.write(state)?;
    let now = service::settled_status(host, signals);
    if restart == Restart::OnlyIfNeeded && is_as_before(&now, undone, host.boot_id()?) {
        journal.close(state)?;
        return Ok(PutBack { pid: None, receipts: Receipts::default() });
    }
    // where pmtool does not say what runs, at least the process of before is none of after
    let old = match now {
        Service::Unknown { .. } => undone.old_pid_in(host.boot_id()?),
        _ => now.pid(),
    };
    match (service::restart(host, old, patience, signals), now) {
        (Ok(pid), Service::Unknown { detail }) => Err(Failure::unexpected(format!(
            "the old files are back in place and sftunnel runs with PID {pid}, but whether it was restarted with them is not known: before the restart its state could not be read ({detail})"
        ))
        .hint("run `sftunnel-install recover`: it restarts sftunnel once more")),
        (Ok(pid), _) => {
            let receipts = complete(context, journal)?;
            Ok(PutBack { pid: Some(pid), receipts })
        }
        (Err(Unhealthy::Interrupted), _) => {
            Err(Failure::unexpected("the old files are back in place, but a signal ended the waiting for sftunnel")
                .hint("run `sftunnel-install recover`: it restarts sftunnel on them"))
        }
        (Err(why), _) => {
            let failure =
                Failure::unexpected(format!("the old files are back in place, but {why}"));
            // they are all-old and durable: nothing is left to recover but sftunnel itself
            if let Err(open) = journal.close(state) {
                let message = format!(
                    "{}; and the journal could not be closed: {}",
                    failure.message, open.message
                );
                return Err(Failure { message, ..failure });
            }
            Err(failure.hint("start sftunnel by hand (`pmtool enablebyid sftunnel`, `pmtool restartbyid sftunnel`) and look at /ngfw/var/log/messages"))
        }
    }
}

/// Whether sftunnel is as it was when the transaction began, so that it has read none of the
/// files that were live since: the same process in the same boot, or none then and none now.
fn is_as_before(now: &Service, undone: &Journal, boot_id: Option<String>) -> bool {
    undone.is_of_boot(boot_id)
        && match (now, undone.old_pid) {
            (Service::Running { pid }, Some(old)) => *pid == old,
            (Service::NotRunning { .. }, None) => true,
            _ => false,
        }
}

/// A live file that is neither the old nor the new one was put there by somebody else since
/// (the manager, through a tunnel that came up). It must not be overwritten with the old one.
fn require_known(
    context: Context<'_>,
    undone: &Journal,
    manager: &ManagerUuid,
    live: &LiveSet,
) -> Result<(), Failure> {
    let is_known = |live: &Live| live.sha256().is_none_or(|found| undone.known.contains(&found));
    match live.iter().find(|(_, live)| !is_known(live)) {
        None => Ok(()),
        Some((file, _)) => {
            let why = "was changed by somebody else since: it is neither the file of before nor the new one, so nothing was put back";
            Err(changed_by_somebody(context, undone, manager, file, why))
        }
    }
}
