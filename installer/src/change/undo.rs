//! The way back: the backup of a transaction that did not succeed, or was cut off, becomes live
//! again. [`swap`](crate::change::swap) says why its journal comes before its files are staged.

use formats::device::ManagerUuid;

use crate::appliance::peers::{Live, LiveSet};
use crate::appliance::service::{self, Service};
use crate::change::Goal;
use crate::change::backup::{self, Backup};
use crate::change::error::{Error, NotBack, NotDone, Noticed};
use crate::change::finish::{cannot_tell, changed_by_somebody};
use crate::change::held_space;
use crate::change::journal::{Journal, Phase, Remember};
use crate::change::obstacles;
use crate::change::proof::{Proof, Unproved};
use crate::change::receipts::Receipts;
use crate::change::stage;
use crate::change::step::Step;
use crate::change::swap::{Finished, NotProved, NotSwapped, Prepared, Restarted, Swapped};
use crate::change::{Change, Context};

/// The old files are live again, and sftunnel was restarted on them.
#[derive(Debug)]
pub(crate) struct PutBack {
    /// sftunnel's process.
    pub pid: u32,
    /// Handed back by the device.
    pub receipts: Receipts,
}

impl NotSwapped {
    /// Puts the old files back. Gives why, as the error of the end that was reached: nothing has
    /// changed, unless sftunnel came up by itself meanwhile and had to be restarted.
    pub(crate) fn undo(self, context: Context<'_>) -> Error {
        let Self { journal, error } = self;
        put_back_begins(context, &journal, None);
        match undo_unless_as_before(context, journal) {
            Ok(None) => error,
            Ok(Some(PutBack { pid, .. })) => {
                NotDone::PutBack { error: Box::new(error), pid }.into()
            }
            Err(not_back) => not_back,
        }
    }
}

impl NotProved {
    /// Puts the old files back, and restarts sftunnel on them. Gives why, too.
    pub(crate) fn undo(self, context: Context<'_>) -> Result<(Unproved, PutBack), Error> {
        let Self { journal, why } = self;
        put_back_begins(context, &journal, Some(why.to_string()));
        match undo(context, journal) {
            Ok(put_back) => Ok((why, put_back)),
            Err(error) => Err(NotBack::AfterUnproved { why, error: Box::new(error) }.into()),
        }
    }
}

pub(super) fn put_back_begins(context: Context<'_>, undone: &Journal, why: Option<String>) {
    context.listener.begins(Step::PutBack { backup: undone.backup.clone(), why });
}

/// Puts the backup back that the transaction of this journal made, and restarts sftunnel, which
/// may have read the files that are replaced.
///
/// A failure is exit 7: a person is needed. Unless the files are back, a journal stays for
/// `recover`.
pub(crate) fn undo(context: Context<'_>, undone: Journal) -> Result<PutBack, Error> {
    let back = files_back(context, undone, true)
        .and_then(|swapped| restart(context, swapped, service_now(context)));
    back.map_err(failed)
}

/// The same, where sftunnel needs a restart only when it is not as it was before any more; `None`
/// when it still was.
pub(crate) fn undo_unless_as_before(
    context: Context<'_>,
    undone: Journal,
) -> Result<Option<PutBack>, Error> {
    let back = || {
        let swapped = files_back(context, undone, false)?;
        let now = service_now(context);
        if is_as_before(&now, &swapped.journal, context.host.boot_id()?) {
            return swapped.journal.close(context.state).map(|()| None);
        }
        restart(context, swapped, now).map(Some)
    };
    back().map_err(failed)
}

fn service_now(context: Context<'_>) -> Service {
    service::settled_status(context.host, context.signals)
}

fn failed(error: Error) -> Error {
    NotBack::Failed(Box::new(error)).into()
}

fn files_back(context: Context<'_>, undone: Journal, must_restart: bool) -> Result<Swapped, Error> {
    let prepared = prepare(context, undone, must_restart)?;
    let (swapped, _) = prepared.swap(context).map_err(|not_swapped| not_swapped.error)?;
    Ok(swapped)
}

fn prepare(context: Context<'_>, undone: Journal, must_restart: bool) -> Result<Prepared, Error> {
    let Context { host, state, .. } = context;
    let changes = changes_back(context, &undone)?;
    // this is what it was held for
    held_space::release(state);
    for change in &changes {
        stage::remove_leftovers(host, &change.peer)?;
    }
    let remember = |change: &Change| Remember::of_backup(&change.peer.manager, &change.after);
    let journal = Journal {
        phase: Phase::Commit,
        goal: Goal::Restore,
        started_at: host.now(),
        remember: changes.iter().map(remember).collect(),
        must_restart,
        // also what is known of files that are not live any more: a rename that is not durable
        // yet may be lost again
        ..undone
    };
    journal.write(state)?;
    let staged = stage::stage(host, &journal.backup, changes)?;
    // the manager may have pushed while the disk was waited for
    let still_known = staged.changes().try_for_each(|change| {
        require_known(context, &journal, &change.peer.manager, &change.peer.read(host)?)
    });
    match still_known {
        Ok(()) => Ok(Prepared { journal, staged, proof: Proof::Running }),
        Err(error) => {
            staged.discard();
            Err(error)
        }
    }
}

/// The changes that put the old files back. Each live file is one that this transaction
/// knows, and nothing is in the way.
fn changes_back(context: Context<'_>, undone: &Journal) -> Result<Vec<Change>, Error> {
    let backup = open_backup(context, undone)?;
    let mut changes = Vec::new();
    for (manager, files) in backup.peers {
        let change = Change::to_backup(context.host, &manager, files);
        let change = change.map_err(|error| cannot_tell(context, error))?;
        changes.push(change);
    }
    for change in &changes {
        require_known(context, undone, &change.peer.manager, &change.before)?;
    }
    for change in &changes {
        obstacles::require_none(context.host, change)?;
    }
    Ok(changes)
}

/// The backup that the journal names, as the journal knows it.
fn open_backup(context: Context<'_>, undone: &Journal) -> Result<Backup, Error> {
    let state = context.state;
    let unusable =
        |error| NotBack::BackupUnusable { journal: Journal::path(state), error: Box::new(error) };
    let backup = backup::open(state, &undone.backup).map_err(unusable)?;
    let all_known = backup
        .peers
        .iter()
        .flat_map(|(_, set)| &set.0)
        .filter_map(Live::sha256)
        .all(|digest| undone.known.contains(&digest));
    if undone.backup_sums.is_some_and(|sums| sums != backup.sums) || !all_known {
        return Err(unusable(NotBack::NotTheBackup(undone.backup.clone()).into()).into());
    }
    if let (Some(other), false) =
        (state.is_of_another(backup.record.device.as_ref()), context.accept_device)
    {
        return Err(backup::of_another_device(state, &undone.backup, other).into());
    }
    Ok(backup)
}

/// Restarts sftunnel on the files of before, and closes the journal.
fn restart(context: Context<'_>, swapped: Swapped, now: Service) -> Result<PutBack, Error> {
    // where pmtool does not say what runs, at least the process of before is none of after
    let old = match now {
        Service::Unknown { .. } => swapped.journal.old_pid_in(context.host.boot_id()?),
        _ => now.pid(),
    };
    match (swapped.restart(context, old)?, now) {
        (Restarted::Proved(proved), Service::Unknown { detail }) => {
            Err(NotBack::RestartUnknown { pid: proved.pid(), detail }.into())
        }
        (Restarted::Proved(proved), _) => {
            let Finished { pid, receipts, .. } = proved.finish(context)?;
            Ok(PutBack { pid, receipts })
        }
        (Restarted::NotProved(not_proved), _) => Err(down_on_old_files(context, not_proved)),
    }
}

/// They are all-old and durable: nothing is left to recover but sftunnel itself.
fn down_on_old_files(context: Context<'_>, NotProved { journal, why }: NotProved) -> Error {
    NotBack::Down { why, still_open: journal.close(context.state).err().map(Box::new) }.into()
}

/// True when sftunnel is as it was when the transaction began, so that it has read none of the
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
) -> Result<(), Error> {
    let is_known = |live: &Live| live.sha256().is_none_or(|found| undone.known.contains(&found));
    match live.iter().find(|(_, live)| !is_known(live)) {
        None => Ok(()),
        Some((file, _)) => {
            Err(changed_by_somebody(context, undone, manager, file, Noticed::PuttingBack))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::journal::Format;

    #[test]
    fn sftunnel_is_as_before_only_as_the_same_process_of_the_same_boot() {
        let running = |pid| Service::Running { pid };
        let stopped = || Service::NotRunning { detail: "Down".to_owned() };
        let unknown = || Service::Unknown { detail: "garbage".to_owned() };
        let (this, other) = (Some("this"), Some("other"));
        for (old_pid, began_in, now, boot, expected) in [
            (Some(7), this, running(7), this, true),
            (Some(7), this, running(8), this, false),
            (Some(7), this, stopped(), this, false),
            (Some(7), this, unknown(), this, false),
            (None, this, stopped(), this, true),
            (None, this, running(7), this, false),
            (None, this, unknown(), this, false),
            // a PID is somebody else's after a boot, and what did not run then may have, between
            (Some(7), other, running(7), this, false),
            (None, other, stopped(), this, false),
            // nobody knows whether it is the same boot
            (Some(7), None, running(7), this, false),
            (Some(7), this, running(7), None, false),
            (Some(7), None, running(7), None, false),
            (None, None, stopped(), None, false),
        ] {
            let undone = Journal {
                format: Format::default(),
                device: None,
                phase: Phase::Commit,
                goal: Goal::Install,
                backup: "0001-20261121T222823Z".to_owned().try_into().unwrap(),
                backup_sums: None,
                started_at: formats::timestamp::Timestamp::EPOCH,
                old_pid,
                boot_id: began_in.map(str::to_owned),
                remember: Vec::new(),
                known: Vec::new(),
                must_restart: false,
            };
            let found = is_as_before(&now, &undone, boot.map(str::to_owned));
            assert_eq!(found, expected, "{old_pid:?} in {began_in:?}, now {now} in {boot:?}");
        }
    }
}
