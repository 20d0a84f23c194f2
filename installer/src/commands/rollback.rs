//! `rollback`: a backup becomes live again, with the same transaction as an installation.

use cli::kit::words;
use cli::say::exit::{Exit, Failure};
use cli::say::page::wrap;
use cli::say::report::Report;
use formats::device::ManagerUuid;
use formats::error::Reason;
use serde::Serialize;

use super::change::ChangeResult;
use super::interrupted::{finish_interrupted, interrupted_note};
use super::{Session, confirm, with_lock};
use crate::appliance::host::Host;
use crate::appliance::peers::{Live, LiveSet, PeerDir};
use crate::appliance::run_log::LogLine;
use crate::appliance::service::{self, Service};
use crate::appliance::state::State;
use crate::args::RollbackArgs;
use crate::candidate::checks::{self, DroppedPeer};
use crate::candidate::plan_text;
use crate::candidate::{FileResult, file_results};
use crate::change::backup::{self, Backup, BackupId};
use crate::change::journal::Goal;
use crate::change::obstacles;
use crate::change::receipts::Places;
use crate::change::records::Installed;
use crate::change::transaction::{self, Source, Swap};
use crate::change::{Change, Context};

/// `sftunnel-install.rollback/1`.
#[derive(Debug, Serialize)]
struct RollbackReport {
    /// The backup that is restored.
    restored: BackupId,
    #[serde(flatten)]
    change: ChangeResult,
    /// The files.
    files: Vec<FileResult>,
}

struct Plan {
    id: BackupId,
    changes: Vec<Change>,
    in_place: bool,
    service: Service,
    dropped: Vec<DroppedPeer>,
    text: String,
    files: Vec<FileResult>,
}

/// Runs it.
///
/// # Errors
/// `not-found` without a backup; or whatever the transaction ended with.
pub(crate) fn run(session: &Session, args: &RollbackArgs) -> Result<Report, Failure> {
    let places = || Places::open(&args.receipt_out.folders);
    if !args.change.dry_run {
        return with_lock(session, "rollback", args.change.wait, |context| {
            let context = Context { accept_device: args.accept_device, ..context };
            locked(session, context, args, places()?)
        });
    }
    places()?;
    let state = State::open(&session.host)?.ok_or_else(no_backup)?;
    let plan = plan(session, &state, args)?;
    let mut change =
        ChangeResult::new(if plan.in_place { "nothing-to-do" } else { "planned" }, plan.service);
    let (interrupted, note) = interrupted_note(Some(&state));
    change.interrupted_run = interrupted;
    if !plan.in_place {
        change.dropped = plan.dropped;
    }
    let text = format!("{}\n{note}Dry run: nothing was changed.\n", plan.text);
    Ok(Report::done(&RollbackReport { restored: plan.id, change, files: plan.files }, text))
}

fn no_backup() -> Failure {
    Failure::refused(
        Reason::NotFound,
        "there is no backup on this box: nothing was ever installed with this program",
    )
}

fn plan(session: &Session, state: &State, args: &RollbackArgs) -> Result<Plan, Failure> {
    let host = &session.host;
    let (id, backup, passed_over) = match &args.to {
        None => last_change(host, state)?,
        Some(named) => {
            let id = backup::find(state, named)?;
            let backup = backup::open(state, &id)?;
            (id, backup, Vec::new())
        }
    };
    if !args.accept_device {
        require_own(state, &id, &backup)?;
    }
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
    host.pmtool()?;
    let managers: Vec<ManagerUuid> =
        changes.iter().map(|change| change.peer.manager.clone()).collect();
    let dropped = checks::dropped_peers(host, &managers, host.now())?;
    let service = service::status(host);
    let mut text = format!(
        "Backup    {id}, made before {} at {}\n",
        backup.record.before, backup.record.created_at
    );
    for id in passed_over {
        let note = format!("Backup {id} is passed over: the rollback after it came to nothing.");
        text.push_str(&wrap("", 2, &note));
    }
    for change in &changes {
        text.push_str(&plan_text::change(host, change, host.now()));
        text.push_str(&prospect(host, change));
    }
    if in_place {
        text.push_str(
            "Nothing to do: these files are live already; `--to ID` names another backup.\n",
        );
    } else {
        text.push_str(&plan_text::restart(&session.terminal, &service, changes.iter(), &dropped));
    }
    let files = changes.iter().flat_map(|change| file_results(host, change)).collect();
    Ok(Plan { id, changes, in_place, service, dropped, text, files })
}

/// The backup to go back to when none is named: the newest, and what is passed over before it.
/// A rollback that was interrupted, or whose files sftunnel did not run on, leaves a backup of
/// what is live again. Who then says `rollback` once more wants what that one was to restore.
fn last_change(host: &Host, state: &State) -> Result<(BackupId, Backup, Vec<BackupId>), Failure> {
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
            return Ok((id, backup, passed_over));
        }
        passed_over.push(id);
    }
    let backup = backup::open(state, &newest)?;
    Ok((newest, backup, Vec::new()))
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
        Some(other) => Err(backup::of_another_device(state, id, &other)),
        None => Ok(()),
    }
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

fn locked(
    session: &Session,
    context: Context<'_>,
    args: &RollbackArgs,
    places: Places,
) -> Result<(Report, LogLine), Failure> {
    let interrupted = finish_interrupted(session, context)?;
    let plan = plan(session, context.state, args)?;
    let mut change = ChangeResult::new("nothing-to-do", plan.service);
    change.interrupted_run = interrupted;
    if plan.in_place {
        let mut line =
            LogLine::new(context.host.now(), "rollback", change.outcome, Exit::Done.code());
        line.backup = Some(plan.id.to_string());
        let changed = change.interrupted_run.is_some();
        let report = RollbackReport { restored: plan.id, change, files: plan.files };
        return Ok((Report::done(&report, plan.text).changed(changed), line));
    }
    confirm(session, args.change, &plan.text, &plan.dropped)?;
    change.dropped = plan.dropped;
    session
        .terminal
        .note("Rolling back; this waits for sftunnel to come back. Do not switch the box off.");
    let swap = Swap::to_backup(plan.changes, args.change.on_unhealthy());
    let ended = transaction::run(context, swap)?;
    let (exit, sentence) = change.ended(context, ended, Source::Backup, places);
    let mut line = LogLine::new(context.host.now(), "rollback", change.outcome, exit.code());
    // which files are live now: not those that were asked for, when sftunnel did not run on them
    line.backup = match (exit, &change.backup) {
        (Exit::RolledBack, Some(made)) => Some(made.to_string()),
        _ => Some(plan.id.to_string()),
    };
    line.message.clone_from(&change.why);
    let shown = if args.change.yes { plan.text } else { String::new() };
    let report = RollbackReport { restored: plan.id, change, files: plan.files };
    let report = Report::done(&report, format!("{shown}\n{sentence}")).changed(true);
    Ok((report.ending(exit, None), line))
}
