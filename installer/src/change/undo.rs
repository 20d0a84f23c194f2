//! Putting a backup back, because the transaction that made it did not succeed or was cut off.

use cli::say::exit::{Exit, Failure};
use formats::device::ManagerUuid;
use formats::error::Reason;

use crate::appliance::peers::{Live, LiveSet, PeerDir};
use crate::appliance::service::{self, Interrupted, Service};
use crate::change::backup::{self, Backup};
use crate::change::finish::{cannot_tell, changed_by_somebody, complete};
use crate::change::held_space;
use crate::change::journal::{Goal, Journal, Phase, Remember};
use crate::change::obstacles;
use crate::change::receipts::Receipts;
use crate::change::stage;
use crate::change::{Change, Context};

/// How a backup was put back.
#[derive(Debug)]
pub(crate) struct PutBack {
    /// sftunnel's process, which was restarted.
    pub pid: u32,
    /// What the device hands back.
    pub receipts: Receipts,
}

/// Puts the backup back that the transaction of this journal made, and restarts sftunnel, which
/// may have read the files that are replaced.
///
/// # Errors
/// Always with exit 7: a person is needed. Unless the files are back, the journal then stays
/// for `recover`.
pub(crate) fn put_back(context: Context<'_>, undone: &Journal) -> Result<PutBack, Failure> {
    let restored = files_back(context, undone, true).and_then(|journal| {
        let now = service::settled_status(context.host, context.signals);
        restart(context, undone, journal, now)
    });
    restored.map_err(needs_person)
}

/// The same, where sftunnel needs a restart only when it is not as it was before any more; `None`
/// when it still was.
///
/// # Errors
/// As [`put_back`].
pub(crate) fn put_back_if_needed(
    context: Context<'_>,
    undone: &Journal,
) -> Result<Option<PutBack>, Failure> {
    let restored = files_back(context, undone, false).and_then(|journal| {
        let now = service::settled_status(context.host, context.signals);
        if is_as_before(&now, undone, context.host.boot_id()?) {
            return journal.close(context.state).map(|()| None);
        }
        restart(context, undone, journal, now).map(Some)
    });
    restored.map_err(needs_person)
}

fn needs_person(failure: Failure) -> Failure {
    failure.or_hint("mend that, then run `sftunnel-install recover`").exit(Exit::NeedsPerson)
}

/// The files of the backup become live again. Gives the journal, which is open.
fn files_back(
    context: Context<'_>,
    undone: &Journal,
    must_restart: bool,
) -> Result<Journal, Failure> {
    let Context { host, state, .. } = context;
    let backup = open_backup(context, undone)?;
    let (mut changes, mut remember) = (Vec::new(), Vec::new());
    for (manager, after) in backup.peers {
        let opened = PeerDir::open(host, &manager)
            .and_then(|peer| peer.read(host).map(|before| (peer, before)));
        let (peer, before) = opened.map_err(|failure| cannot_tell(context, failure))?;
        let after = after.in_place_of(&before);
        remember.push(Remember::of_backup(&manager, &after));
        changes.push(Change { peer, before, after });
    }
    for change in &changes {
        require_known(context, undone, &change.peer.manager, &change.before)?;
    }
    for change in &changes {
        obstacles::require_none(host, change)?;
    }
    // this is what it was held for
    held_space::release(state);
    for change in &changes {
        stage::remove_leftovers(host, &change.peer)?;
    }
    let mut journal = Journal::new(
        Goal::Restore,
        (undone.backup.clone(), undone.backup_sums),
        host.now(),
        undone.old_pid,
        undone.boot_id.clone(),
        remember,
        // also what is not live any more: renames that are not durable yet may be lost again
        undone.known.clone(),
    )
    .on(undone.device.as_ref());
    journal.must_restart = must_restart;
    journal.write(state)?;
    let staged = stage::stage(host, &undone.backup, &changes)?;
    // the manager may have pushed while the disk was waited for
    let still_known = changes.iter().try_for_each(|change| {
        require_known(context, undone, &change.peer.manager, &change.peer.read(host)?)
    });
    if let Err(failure) = still_known {
        staged.discard();
        return Err(failure);
    }
    staged.swap()?;
    journal.phase = Phase::Restart;
    journal.write(state)?;
    Ok(journal)
}

/// The backup that the journal names, as the journal knows it.
fn open_backup(context: Context<'_>, undone: &Journal) -> Result<Backup, Failure> {
    let state = context.state;
    let give_up = |failure: Failure| {
        let hint = format!(
            "the interrupted run cannot be undone without it: look at what is live with `sftunnel-install status`\n\
             to give that run up, remove {}/journal; then install a kit, or `sftunnel-install rollback --to` another backup",
            state.shown()
        );
        failure.hint(hint)
    };
    let backup = backup::open(state, &undone.backup).map_err(give_up)?;
    let all_known = backup
        .peers
        .iter()
        .flat_map(|(_, set)| &set.0)
        .filter_map(Live::sha256)
        .all(|digest| undone.known.contains(&digest));
    if undone.backup_sums.is_some_and(|sums| sums != backup.sums) || !all_known {
        let message = format!(
            "backup {} is not the one that the interrupted run made: its checksums are not those that the journal knows, so nothing was put back",
            undone.backup
        );
        return Err(give_up(Failure::refused(Reason::Damaged, message)));
    }
    if let (Some(other), false) =
        (state.is_of_another(backup.record.device.as_ref()), context.accept_device)
    {
        return Err(backup::of_another_device(state, &undone.backup, other));
    }
    Ok(backup)
}

/// Restarts sftunnel on the files of before, and closes the journal.
fn restart(
    context: Context<'_>,
    undone: &Journal,
    journal: Journal,
    now: Service,
) -> Result<PutBack, Failure> {
    let Context { host, state, signals, patience, .. } = context;
    // where pmtool does not say what runs, at least the process of before is none of after
    let old = match now {
        Service::Unknown { .. } => undone.old_pid_in(host.boot_id()?),
        _ => now.pid(),
    };
    match (service::restart(host, old, patience, signals), now) {
        (Ok(Ok(pid)), Service::Unknown { detail }) => Err(Failure::unexpected(format!(
            "the old files are back in place and sftunnel runs with PID {pid}, but whether it was restarted with them is not known: before the restart its state could not be read ({detail})"
        ))
        .hint("run `sftunnel-install recover`: it restarts sftunnel once more")),
        (Ok(Ok(pid)), _) => {
            let receipts = complete(context, journal)?;
            Ok(PutBack { pid, receipts })
        }
        (Err(Interrupted), _) => {
            Err(Failure::unexpected("the old files are back in place, but a signal ended the waiting for sftunnel")
                .hint("run `sftunnel-install recover`: it restarts sftunnel on them"))
        }
        (Ok(Err(why)), _) => {
            let failure =
                Failure::unexpected(format!("the old files are back in place, but {why}"));
            // they are all-old and durable: nothing is left to recover but sftunnel itself
            if let Err(open) = journal.close(state) {
                return Err(failure.map_message(|message| {
                    format!("{message}; and the journal could not be closed: {}", open.message())
                }));
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
