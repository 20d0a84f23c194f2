//! The installation as one transaction. `PROTOCOL.md` has the steps and their reasons.
//!
//! ```text
//! backup → stage → still as planned? → journal commit → settle, rename, sync directories
//!        → journal restart → pmtool restartbyid → healthy? → remember → journal closed
//!                                               └ no → restore the backup the same way
//! ```

use std::time::Duration;

use cli::disk::durable;
use cli::say::exit::{Exit, Failure};
use formats::checksum::Sha256;
use formats::device::{CredentialFile, ManagerUuid};
use formats::error::Reason;

use crate::appliance::host::Host;
use crate::appliance::peers::{self, Live, LiveSet, PeerDir};
use crate::appliance::service::{self, Patience, Service, Unhealthy};
use crate::appliance::signals::Signals;
use crate::appliance::state::LockedState;
use crate::appliance::tunnel::{self, Waited};
use crate::change::backup::{self, BackupId};
use crate::change::held_space;
use crate::change::journal::{Goal, Journal, Phase, Remember};
use crate::change::receipts::{self, Receipts};
use crate::change::records::{Installed, PinnedKey, Signers};
use crate::change::stage::{self, Staged};
use crate::change::undo::{self, PutBack};

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

impl Change {
    /// The files that are replaced, made or removed: as found, and as they shall be.
    pub(crate) fn files(&self) -> impl Iterator<Item = (CredentialFile, &Live, &Live)> {
        self.all().filter(|(_, before, after)| before.identity() != after.identity())
    }

    /// The files that stay as they are.
    pub(crate) fn kept(&self) -> impl Iterator<Item = CredentialFile> {
        let kept = self.all().filter(|(_, before, after)| before.identity() == after.identity());
        kept.map(|(file, _, _)| file)
    }

    fn all(&self) -> impl Iterator<Item = (CredentialFile, &Live, &Live)> {
        let slots = CredentialFile::ALL.into_iter().zip(self.before.0.iter().zip(&self.after.0));
        slots.map(|(file, (before, after))| (file, before, after))
    }
}

/// What every step of a transaction needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub host: &'a Host,
    pub state: &'a LockedState,
    pub signals: &'a Signals,
    pub patience: Patience,
    /// `--accept-device`: what names another device may be put back.
    pub accept_device: bool,
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
    /// And no tunnel of the managers of this run is seen down at the end of this time.
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
        /// The tunnels, where they were part of the proof: each up, or not known to be down.
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
    let healthy = service::restart(host, journal.old_pid, patience, signals)
        .and_then(|pid| Ok((pid, prove(context, &managers, proof)?)));
    match healthy {
        Ok((pid, waited)) => {
            let receipts = complete(context, journal)?;
            Ok(Ended::Done { pid, backup, renames, receipts, waited })
        }
        Err(Unhealthy::Interrupted) => Err(interrupted()),
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
        (false, false) if waited.any_down() => Err(Unhealthy::NotConnected(waited)),
        // nobody could say: no reason to take a box apart that may work
        (false, false) => Ok(Some(waited)),
    }
}

/// What may be found live while these changes are made.
fn known_digests(changes: &[Change]) -> Vec<Sha256> {
    let sets = changes.iter().flat_map(|change| [&change.before, &change.after]);
    sets.flat_map(|set| set.0.iter().filter_map(Live::sha256)).collect()
}

/// `--no-rollback`: the new files stay, and an open journal would have the next run undo that.
fn not_recorded(why: &Unhealthy, failure: Failure) -> Failure {
    failure
        .preceded_by(format!(
            "the new files are in place, but {why}; and that they are to stay could not be recorded"
        ))
        .exit(Exit::NeedsPerson)
        .hint("mend that, then run `sftunnel-install recover`: it waits for sftunnel, or puts the old files back")
}

/// A signal came while the new files were live and sftunnel was waited for.
pub(crate) fn interrupted() -> Failure {
    Failure::unexpected(
        "interrupted while waiting for sftunnel: the new files are in place, but not confirmed",
    )
    .exit(Exit::NeedsPerson)
    .hint("run `sftunnel-install recover`: it waits for sftunnel, or puts the old files back")
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

/// What a set of files is remembered as when it comes from a backup.
pub(crate) fn remember_set(manager: &ManagerUuid, files: &LiveSet) -> Remember {
    Remember {
        manager: manager.clone(),
        bundle_id: None,
        signer: None,
        pin: false,
        files: files.0.each_ref().map(Live::sha256),
        ca_not_before: None,
        pair: None,
    }
}

/// Which live file is not the one that this transaction put there; `None` when all are.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn replaced_since(
    host: &Host,
    journal: &Journal,
) -> Result<Option<(ManagerUuid, CredentialFile)>, Failure> {
    for remember in &journal.remember {
        let live = PeerDir::open(host, &remember.manager)?.read(host)?;
        let mut files = live.iter().zip(remember.files);
        if let Some(((file, _), _)) = files.find(|((_, live), put)| live.sha256() != *put) {
            return Ok(Some((remember.manager.clone(), file)));
        }
    }
    Ok(None)
}

/// A live file that somebody else put there, and the ways on. Exit 7, the journal stays.
pub(crate) fn changed_by_somebody(
    context: Context<'_>,
    journal: &Journal,
    manager: &ManagerUuid,
    file: CredentialFile,
    why: &str,
) -> Failure {
    let path = peers::shown(context.host, manager);
    let open = format!("{}/journal", context.state.shown());
    Failure::unexpected(format!("{path}/{file} {why}")).exit(Exit::NeedsPerson).hint(format!(
        "look with `sftunnel-install status`: the manager may have pushed new files itself\n\
         to keep what is there: `pmtool restartbyid sftunnel`, then remove {open}\n\
         to put the files of before back: remove {open}, then run `sftunnel-install rollback --to {}`",
        journal.backup
    ))
}

/// What is live of an interrupted run cannot be read: its peer directory is gone, or something
/// else lies there. Exit 7, the journal stays; with both ways on.
pub(crate) fn cannot_tell(context: Context<'_>, failure: Failure) -> Failure {
    failure.exit(Exit::NeedsPerson).also_hint(format!(
        "then run `sftunnel-install recover`; or, to give the interrupted run up, remove {}/journal",
        context.state.shown()
    ))
}

/// Records a success, and closes the journal last.
///
/// # Errors
/// Exit 7: the live files are not those of this transaction any more; or they are and sftunnel
/// runs on them, but that could not be recorded.
pub(crate) fn complete(context: Context<'_>, journal: Journal) -> Result<Receipts, Failure> {
    let Context { host, state, .. } = context;
    let unreadable = |failure| cannot_tell(context, failure);
    if let Some((manager, file)) = replaced_since(host, &journal).map_err(unreadable)? {
        let why = "was changed by somebody else while sftunnel was waited for; sftunnel runs, but on which files is not known";
        return Err(changed_by_somebody(context, &journal, &manager, file, why));
    }
    let now = host.now();
    held_space::release(state);
    let receipts = receipts::write(context, &journal);
    let record = || -> Result<(), Failure> {
        Installed::read(Some(state))?.complete(state, &journal.remember, now)?;
        let keys = journal.remember.iter().filter(|remember| remember.pin);
        let keys: Vec<_> = keys.filter_map(|one| Some((&one.manager, one.signer?))).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut signers = Signers::read(Some(state))?;
        let mut pinned = false;
        for (manager, key) in keys {
            pinned |= signers.pin(manager, PinnedKey::of(key), now);
        }
        if pinned { signers.write(state) } else { Ok(()) }
    };
    let which = match journal.goal {
        Goal::Restore => "the old files are back in place",
        Goal::Install | Goal::Rollback => "the files are in place",
    };
    record().and_then(|()| journal.close(state)).map(|()| receipts).map_err(|failure| {
        failure
            .preceded_by(format!(
                "{which} and sftunnel runs on them, but that could not be recorded"
            ))
            .exit(Exit::NeedsPerson)
            .also_hint("when that is mended, run `sftunnel-install recover`")
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
        durable::remove(&peer.dir, name).map_err(|error| Failure::io(&shown, &error))?;
    }
    Ok(leftovers.len())
}
