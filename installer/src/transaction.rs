//! The installation as one transaction. `PROTOCOL.md` has the steps and their reasons.
//!
//! ```text
//! backup → stage → still as planned? → journal commit → settle, rename, sync directories
//!        → journal restart → pmtool restartbyid → healthy? → remember → journal closed
//!                                               └ no → restore the backup the same way
//! ```

use std::time::{Duration, Instant};

use console::exit::{Exit, Failure};
use formats::checksum::Sha256;
use formats::device::{CredentialFile, ManagerUuid};
use formats::error::Reason;

use crate::atomic_file::{self, StagedFile};
use crate::backup::{self, BackupId};
use crate::host::Host;
use crate::journal::{Goal, Journal, Phase, Remember};
use crate::peers::{self, Live, LiveSet, PeerDir};
use crate::receipts::{self, Receipts};
use crate::records::{Installed, Signers};
use crate::reserve;
use crate::service::{self, Patience, Unhealthy};
use crate::signals::Signals;
use crate::state::LockedState;
use crate::tunnel::{self, Waited};

/// One peer directory's change.
#[derive(Debug)]
pub(crate) struct Change {
    /// Where.
    pub peer: PeerDir,
    /// As found when the plan was made.
    pub before: LiveSet,
    /// As it shall be.
    pub after: LiveSet,
}

/// What every step of a transaction needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub host: &'a Host,
    pub state: &'a LockedState,
    pub signals: &'a Signals,
    pub patience: Patience,
}

/// What to do when sftunnel does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUnhealthy {
    /// Put everything back.
    Restore,
    /// Leave the new files in place (`--no-rollback`).
    Keep,
}

/// What counts as success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// sftunnel runs on the new files.
    Running,
    /// And the tunnels of the managers of this run are up within this time.
    Connected(Duration),
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
        /// The tunnels, where they were part of the proof.
        waited: Option<Waited>,
    },
    /// The new files are live, sftunnel is not confirmed (only with [`OnUnhealthy::Keep`]).
    Unconfirmed {
        /// Why.
        why: Unhealthy,
        /// What was found before.
        backup: BackupId,
    },
    /// The old files are live again and sftunnel runs on them.
    RolledBack {
        /// Why.
        why: Unhealthy,
        /// sftunnel's process now.
        pid: u32,
        /// What was put back.
        backup: BackupId,
        /// What the device hands back.
        receipts: Receipts,
    },
}

/// What [`put_back`] did.
#[derive(Debug)]
pub(crate) struct PutBack {
    /// sftunnel's process; `None` when it did not have to be restarted.
    pub pid: Option<u32>,
    /// What the device hands back.
    pub receipts: Receipts,
}

/// Carries out a plan.
///
/// # Errors
/// Exit 1 or 3 with nothing changed, or 7 when a person is needed.
pub(crate) fn run(
    context: Context<'_>,
    goal: Goal,
    changes: Vec<Change>,
    remember: Vec<Remember>,
    on_unhealthy: OnUnhealthy,
    proof: Proof,
) -> Result<Ended, Failure> {
    let Context { host, state, signals, patience } = context;
    signals.begin();
    let old = service::status(host);
    signals.check()?;
    let found: Vec<_> =
        changes.iter().map(|change| (change.peer.manager.clone(), &change.before)).collect();
    let managers: Vec<ManagerUuid> = found.iter().map(|(manager, _)| manager.clone()).collect();
    let backup = backup::create(state, goal.word(), host.now(), &found)?;

    let prepare = || -> Result<(Vec<Staged<'_>>, Journal), Failure> {
        let staged = stage(host, &backup, &changes)?;
        let ready = || {
            require_as_planned(host, &changes)?;
            signals.check()?;
            reserve::hold(state, needed_to_go_back(&changes))?;
            Installed::read(Some(state))?.reopen(state, &managers)?;
            let known = known_digests(&changes);
            let journal = Journal::new(
                goal,
                backup.clone(),
                host.now(),
                old.pid(),
                host.boot_id(),
                remember,
                known,
            );
            journal.write(state)?;
            Ok(journal)
        };
        match ready() {
            Ok(journal) => Ok((staged, journal)),
            Err(failure) => {
                discard(staged);
                // a journal that could not be written may still have been renamed into place
                let _ = Journal::discard(state);
                reserve::release(state);
                Err(failure)
            }
        }
    };
    let (staged, mut journal) = match prepare() {
        Ok(prepared) => prepared,
        Err(failure) => {
            // an unused copy of what is live
            let _ = backup::remove(state, &backup);
            return Err(failure);
        }
    };

    // from here on signals are held back: whatever happens ends in all-old or all-new
    let swapped = swap(staged).and_then(|renames| {
        journal.phase = Phase::Restart;
        journal.write(state).map(|()| renames)
    });
    let renames = match swapped {
        Ok(renames) => renames,
        Err(failure) => {
            // sftunnel has not been touched: with the old files back, nothing has changed
            put_back(context, &backup, old.pid(), Restart::OnlyIfNeeded)?;
            return Err(failure);
        }
    };
    // the keys have done their part; waiting for sftunnel can take minutes
    drop(changes);
    let healthy = service::restart(host, old.pid(), patience, signals)
        .and_then(|pid| Ok((pid, prove(context, &managers, proof)?)));
    match healthy {
        Ok((pid, waited)) => {
            let receipts = complete(context, journal)?;
            Ok(Ended::Done { pid, backup, renames, receipts, waited })
        }
        Err(Unhealthy::Interrupted) => Err(interrupted()),
        Err(why) if on_unhealthy == OnUnhealthy::Keep => {
            reserve::release(state);
            journal.close(state)?;
            Ok(Ended::Unconfirmed { why, backup })
        }
        Err(why) => match put_back(context, &backup, None, Restart::Always)? {
            PutBack { pid: Some(pid), receipts } => {
                Ok(Ended::RolledBack { why, pid, backup, receipts })
            }
            PutBack { pid: None, .. } => {
                Err(Failure::unexpected(format!("{why}; the old files are back")))
            }
        },
    }
}

/// Room for the files of before, to be written beside the new ones.
fn needed_to_go_back(changes: &[Change]) -> u64 {
    let sets = changes.iter().flat_map(|change| &change.before.0);
    reserve::needed(sets.filter_map(|live| match live {
        Live::File(file) => Some(file.bytes.len()),
        Live::Absent => None,
    }))
}

/// What the operator requires beyond a running sftunnel.
fn prove(
    context: Context<'_>,
    managers: &[ManagerUuid],
    proof: Proof,
) -> Result<Option<Waited>, Unhealthy> {
    let Proof::Connected(limit) = proof else { return Ok(None) };
    let waited = tunnel::wait(context.host, managers, limit, context.signals);
    match (waited.all_up(), context.signals.pending()) {
        (true, _) => Ok(Some(waited)),
        (false, true) => Err(Unhealthy::Interrupted),
        (false, false) => Err(Unhealthy::NotConnected(waited)),
    }
}

/// What may be found live while these changes are made.
fn known_digests(changes: &[Change]) -> Vec<Sha256> {
    let sets = changes.iter().flat_map(|change| [&change.before, &change.after]);
    sets.flat_map(|set| set.0.iter().filter_map(Live::sha256)).collect()
}

fn interrupted() -> Failure {
    Failure::unexpected(
        "interrupted while waiting for sftunnel: the new files are in place, but not confirmed",
    )
    .exit(Exit::NeedsPerson)
    .hint("run `sftunnel-install recover`: it waits for sftunnel, or puts the old files back")
}

/// A staged successor, or a removal, for one live file.
struct Staged<'a> {
    peer: &'a PeerDir,
    file: CredentialFile,
    successor: Option<(StagedFile, &'a Live)>,
}

/// Writes the successors of all files that change beside them. Space that is not there is
/// found out here, before anything live changes.
fn stage<'a>(
    host: &Host,
    backup: &BackupId,
    changes: &'a [Change],
) -> Result<Vec<Staged<'a>>, Failure> {
    let sequence = backup.sequence().unwrap_or(0);
    let mut staged = Vec::new();
    for change in changes {
        let slots =
            CredentialFile::ALL.into_iter().zip(change.before.0.iter().zip(&change.after.0));
        for (file, (before, after)) in slots {
            if before.identity() == after.identity() {
                continue;
            }
            let successor = match after {
                Live::Absent => None,
                Live::File(content) => {
                    match StagedFile::write(
                        &change.peer.dir,
                        &peers::staged_name(sequence, file),
                        &content.bytes,
                    ) {
                        Ok(successor) => Some((successor, after)),
                        Err(error) => {
                            discard(staged);
                            return Err(Failure::io(peers::shown(host, &change.peer.manager), &error)
                                .hint("nothing was changed; make room or make it writable, then run the same command again"));
                        }
                    }
                }
            };
            staged.push(Staged { peer: &change.peer, file, successor });
        }
    }
    Ok(staged)
}

fn discard(staged: Vec<Staged<'_>>) {
    for one in staged {
        if let Some((successor, _)) = one.successor {
            // what cannot be removed now, the next run removes
            let _ = successor.discard(&one.peer.dir);
        }
    }
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

/// Owner and mode for all, then all renames in one go, then the directories.
fn swap(staged: Vec<Staged<'_>>) -> Result<Duration, Failure> {
    let failed =
        |error: std::io::Error| Failure::io("replacing the files", &error).exit(Exit::Failed);
    for one in &staged {
        if let Some((successor, Live::File(content))) = &one.successor {
            successor.settle(content.attributes).map_err(failed)?;
        }
    }
    let mut dirs: Vec<&PeerDir> = Vec::new();
    let first = Instant::now();
    for one in staged {
        match one.successor {
            Some((successor, _)) => successor.replace(&one.peer.dir, one.file.name()),
            None => atomic_file::remove(&one.peer.dir, one.file.name()),
        }
        .map_err(failed)?;
        if !dirs.iter().any(|dir| dir.manager == one.peer.manager) {
            dirs.push(one.peer);
        }
    }
    let renames = first.elapsed();
    for peer in dirs {
        atomic_file::sync_dir(&peer.dir).map_err(failed)?;
    }
    Ok(renames)
}

/// Whether a restore ends with a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// sftunnel may have read the files that are being put back.
    Always,
    /// Only when it is not the process of before any more.
    OnlyIfNeeded,
}

/// Puts a backup back because the transaction that made it did not succeed, and restarts
/// sftunnel where that is needed.
///
/// # Errors
/// Always with exit 7: a person is needed. The journal then stays for `recover`.
pub(crate) fn put_back(
    context: Context<'_>,
    id: &BackupId,
    old_pid: Option<u32>,
    restart: Restart,
) -> Result<PutBack, Failure> {
    restore(context, id, old_pid, restart).map_err(|failure| {
        let hint = if failure.hint.is_empty() {
            "mend that, then run `sftunnel-install recover`".to_owned()
        } else {
            failure.hint.clone()
        };
        Failure { hint, ..failure }.exit(Exit::NeedsPerson)
    })
}

fn restore(
    context: Context<'_>,
    id: &BackupId,
    old_pid: Option<u32>,
    restart: Restart,
) -> Result<PutBack, Failure> {
    let Context { host, state, signals, patience } = context;
    // this is what it was held for
    reserve::release(state);
    let backup = backup::open(state, id)?;
    let mut changes = Vec::new();
    let mut remember = Vec::new();
    for (manager, after) in backup.peers {
        let peer = PeerDir::open(host, &manager)?;
        remove_leftovers(host, &peer)?;
        let before = peer.read(host)?;
        remember.push(remember_set(&manager, &after));
        changes.push(Change { peer, before, after });
    }
    let running = service::status(host).pid();
    let known = known_digests(&changes);
    let mut journal = Journal::new(
        Goal::Restore,
        id.clone(),
        host.now(),
        old_pid,
        host.boot_id(),
        remember,
        known,
    );
    journal.write(state)?;
    swap(stage(host, id, &changes)?)?;
    drop(changes);
    journal.phase = Phase::Restart;
    journal.write(state)?;
    if restart == Restart::OnlyIfNeeded && old_pid.is_some() && running == old_pid {
        journal.close(state)?;
        return Ok(PutBack { pid: None, receipts: Receipts::default() });
    }
    match service::restart(host, running, patience, signals) {
        Ok(pid) => {
            let receipts = complete(context, journal)?;
            Ok(PutBack { pid: Some(pid), receipts })
        }
        Err(why) => {
            // the files are all-old and durable: nothing is left to recover but sftunnel itself
            if why != Unhealthy::Interrupted {
                journal.close(state)?;
            }
            Err(Failure::unexpected(format!("the old files are back in place, but {why}"))
                .exit(Exit::NeedsPerson)
                .hint("start sftunnel by hand (`pmtool enablebyid sftunnel`, `pmtool restartbyid sftunnel`) and look at /ngfw/var/log/messages"))
        }
    }
}

/// What a set of files is remembered as when it comes from a backup.
pub(crate) fn remember_set(manager: &ManagerUuid, files: &LiveSet) -> Remember {
    Remember {
        manager: manager.clone(),
        bundle_id: None,
        signer: None,
        pin: false,
        files: files.0.each_ref().map(Live::sha256),
        ca_not_before: None,
    }
}

/// Records a success, and closes the journal last.
///
/// # Errors
/// Exit 7: the files are live and sftunnel runs, but that could not be recorded.
pub(crate) fn complete(context: Context<'_>, journal: Journal) -> Result<Receipts, Failure> {
    let Context { host, state, .. } = context;
    let now = host.now();
    reserve::release(state);
    let receipts = receipts::write(context, &journal);
    let record = || -> Result<(), Failure> {
        Installed::read(Some(state))?.complete(state, &journal.remember, now)?;
        let mut signers = Signers::read(Some(state))?;
        let mut pinned = false;
        for remember in &journal.remember {
            if let (true, Some(key)) = (remember.pin, remember.signer) {
                pinned |= signers.pin(&remember.manager, key, now);
            }
        }
        if pinned {
            signers.write(state)?;
        }
        Ok(())
    };
    record().and_then(|()| journal.close(state)).map(|()| receipts).map_err(|failure| {
        let message = format!(
            "the files are in place and sftunnel runs on them, but that could not be recorded: {}",
            failure.message
        );
        Failure { message, ..failure }
            .exit(Exit::NeedsPerson)
            .hint("mend that, then run `sftunnel-install recover`")
    })
}

/// Removes staged files that an interrupted run left in a peer directory.
///
/// # Errors
/// What the system says.
pub(crate) fn remove_leftovers(host: &Host, peer: &PeerDir) -> Result<usize, Failure> {
    let shown = peers::shown(host, &peer.manager);
    let leftovers = peer.leftovers().map_err(|error| Failure::io(&shown, &error))?;
    for name in &leftovers {
        atomic_file::remove(&peer.dir, name).map_err(|error| Failure::io(&shown, &error))?;
    }
    Ok(leftovers.len())
}
