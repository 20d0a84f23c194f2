//! `rollback`: a backup becomes live again, with the same transaction as an installation.

use std::fmt::Write as _;

use cli::kit::words;
use cli::say::failure::Failure;
use cli::say::page::wrap;
use cli::say::report::Report;
use formats::device::ManagerUuid;
use formats::error::Reason;
use serde::Serialize;

use super::change::Outcome;
use super::change::flow::{self, BoxNow, Wishes};
use super::{Session, with_lock};
use crate::appliance::host::Host;
use crate::appliance::peers::{Live, LiveSet, PeerDir};
use crate::appliance::run_log::LogLine;
use crate::appliance::state::State;
use crate::args::{ChangeArgs, RollbackArgs, TunnelArgs};
use crate::candidate::checks;
use crate::candidate::error::DroppedPeer;
use crate::candidate::plan_text;
use crate::candidate::{FileResult, file_results};
use crate::change::Goal;
use crate::change::backup::{self, Backup, BackupId, BackupRecord};
use crate::change::obstacles;
use crate::change::proof::Proof;
use crate::change::receipts::Places;
use crate::change::records::Installed;
use crate::change::transaction::Swap;
use crate::change::{Change, Context};

struct RollbackPlan {
    id: BackupId,
    record: BackupRecord,
    /// Newer backups that are of no use.
    passed_over: Vec<BackupId>,
    changes: Vec<Change>,
    box_now: BoxNow,
    files: Vec<FileResult>,
}

/// The backup to restore.
struct Chosen {
    id: BackupId,
    backup: Backup,
    passed_over: Vec<BackupId>,
}

/// `sftunnel-install.rollback/1`, beside [`ChangeResult`](super::change::ChangeResult).
#[derive(Serialize)]
struct RollbackFacts {
    restored: BackupId,
    files: Vec<FileResult>,
}

pub(crate) fn run(session: &Session, args: &RollbackArgs) -> Result<Report, Failure> {
    let places = || Places::open(&args.receipt_out.folders);
    let tunnel = TunnelArgs { wait_connected: None, require_connected: false };
    let wishes = Wishes { change: args.change, tunnel };
    if args.change.dry_run {
        places()?;
        let state = State::open(&session.host)?.ok_or_else(no_backup)?;
        let plan = plan(session, &state, args)?;
        return Ok(flow::dry_run(session, plan, Some(&state), wishes));
    }
    with_lock(session, "rollback", args.change.wait, |context, narrator| {
        let context = Context { accept_device: args.accept_device, ..context };
        let made = |state: &State| plan(session, state, args);
        flow::run((session, narrator), context, wishes, places()?, made)
    })
}

fn no_backup() -> Failure {
    Failure::refused(
        Reason::NotFound,
        "there is no backup on this box: nothing was ever installed with this program",
    )
}

fn plan(session: &Session, state: &State, args: &RollbackArgs) -> Result<RollbackPlan, Failure> {
    let host = &session.host;
    let Chosen { id, backup, passed_over } = choose(host, state, args)?;
    let installed = Installed::read(Some(state))?;
    let (mut changes, mut in_place) = (Vec::new(), true);
    for (manager, after) in backup.peers {
        let change = Change::to_backup(host, &manager, after)?;
        let completed = installed.of(&manager).map(|set| set.files);
        in_place &= change.before.identities() == change.after.identities()
            && completed == Some(change.after.0.each_ref().map(Live::sha256));
        changes.push(change);
    }
    for change in changes.iter().filter(|_| !in_place) {
        checks::check_room(host, &change.peer)?;
        obstacles::require_none(host, change)?;
    }
    let managers = changes.iter().map(|change| change.peer.manager.clone()).collect();
    let stays_down = changes.iter().filter_map(|change| down_after(host, change)).collect();
    let box_now = BoxNow { stays_down, ..BoxNow::look(host, managers, in_place)? };
    let files = changes.iter().flat_map(|change| file_results(host, change)).collect();
    let record = backup.record;
    Ok(RollbackPlan { id, record, passed_over, changes, box_now, files })
}

fn choose(host: &Host, state: &State, args: &RollbackArgs) -> Result<Chosen, Failure> {
    let chosen = match &args.to {
        None => last_change(host, state)?,
        Some(named) => {
            let id = backup::find(state, named)?;
            let backup = backup::open(state, &id)?;
            Chosen { id, backup, passed_over: Vec::new() }
        }
    };
    if !args.accept_device {
        require_own(state, &chosen.id, &chosen.backup)?;
    }
    Ok(chosen)
}

impl flow::Plan for RollbackPlan {
    const COMMAND: &'static str = "rollback";
    const BEGINS: &'static str =
        "Rolling back; this waits for sftunnel to come back. Do not switch the box off.";
    type Facts = RollbackFacts;

    fn box_now(&self) -> &BoxNow {
        &self.box_now
    }

    fn text(&self, session: &Session) -> String {
        let Session { host, terminal } = session;
        let BackupRecord { before, created_at, .. } = &self.record;
        let mut text = match self.box_now.is_in_place {
            true => String::new(),
            false => plan_text::stays_down(terminal, &self.box_now.stays_down),
        };
        let _ = writeln!(text, "Backup    {}, made before {before} at {created_at}", self.id);
        for id in &self.passed_over {
            let note = format!("Backup {id} is skipped: the rollback after it was undone.");
            text.push_str(&wrap("", 2, &note));
        }
        for change in &self.changes {
            text.push_str(&plan_text::change(host, change, host.now()));
            text.push_str(&prospect(host, change));
        }
        let BoxNow { is_in_place, service, dropped, .. } = &self.box_now;
        if *is_in_place {
            return text
                + "Nothing to do: these files are live already; `--to ID` names another backup.\n";
        }
        text + &plan_text::restart(terminal, service, self.changes.iter(), dropped)
    }

    fn agree(self, args: ChangeArgs, _: Proof) -> (Swap, RollbackFacts) {
        let facts = RollbackFacts { restored: self.id, files: self.files };
        (Swap::to_backup(self.changes, args.on_unhealthy()), facts)
    }
}

impl flow::Facts for RollbackFacts {
    fn log(&self, line: LogLine, made: Option<&BackupId>) -> LogLine {
        // the files that are live now: not those asked for, when sftunnel did not run on them
        let live = match made {
            Some(made) if line.outcome == Outcome::Restored.word() => made,
            _ => &self.restored,
        };
        LogLine { backup: Some(live.to_string()), ..line }
    }
}

/// The backup to go back to when none is named: the newest, and what is passed over before it.
/// A rollback that was interrupted, or whose files sftunnel did not run on, leaves a backup of
/// what is live again. Who then says `rollback` once more wants what that one was to restore.
fn last_change(host: &Host, state: &State) -> Result<Chosen, Failure> {
    let mut ids = backup::list(state)?;
    let newest = ids.last().cloned().ok_or_else(no_backup)?;
    let mut passed_over = Vec::new();
    while let Some(id) = ids.pop() {
        let backup = backup::open(state, &id)?;
        let is_live = |(manager, set): &(ManagerUuid, LiveSet)| {
            let live = PeerDir::open(host, manager).and_then(|peer| peer.read(host));
            live.is_ok_and(|live| live.identities() == set.clone().in_place_of(&live).identities())
        };
        if backup.record.before != Goal::Rollback.word() || !backup.peers.iter().all(is_live) {
            return Ok(Chosen { id, backup, passed_over });
        }
        passed_over.push(id);
    }
    let backup = backup::open(state, &newest)?;
    Ok(Chosen { id: newest, backup, passed_over: Vec::new() })
}

/// A state directory that came with a copy of another box's disk holds that box's certificate and
/// key, and this box would be that one towards the manager. In a backup of an earlier version only
/// the certificate says whose it is; in any, somebody may have copied the wrong box's files.
///
/// # Errors
/// `wrong-device`. Where `ims.conf` does not say which device this is, nobody can tell.
fn require_own(state: &State, id: &BackupId, backup: &Backup) -> Result<(), Failure> {
    let Some(own) = state.device() else { return Ok(()) };
    let other_of = |set: &LiveSet| {
        let named = set.named_devices();
        named.first().filter(|_| !named.contains(own)).cloned()
    };
    let recorded = state.is_of_another(backup.record.device.as_ref()).cloned();
    let other = recorded.or_else(|| backup.peers.iter().find_map(|(_, set)| other_of(set)));
    match other {
        Some(other) => Err(backup::of_another_device(state, id, &other).into()),
        None => Ok(()),
    }
}

/// The tunnel that cannot come up on the files of before.
fn down_after(host: &Host, change: &Change) -> Option<DroppedPeer> {
    let manager = change.peer.manager.clone();
    change.after.usable_at(host.now()).err().map(|why| DroppedPeer { manager, why })
}

/// Going back is the operator's choice; what it means is said.
fn prospect(host: &Host, change: &Change) -> String {
    let now = host.now();
    let text = match change.after.usable_at(now) {
        Err(why) => format!("{why}; this manager's tunnel will stay down"),
        Ok(set) => words::validity(set.ca().facts(), now),
    };
    wrap("  after it: ", 4, &text)
}
