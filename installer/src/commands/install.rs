//! `install`: judge, plan, confirm, then one transaction.

use std::time::Duration;

use cli::say::exit::{Exit, Failure};
use cli::say::page::wrap;
use cli::say::report::Report;
use formats::bundle::manifest::Device;
use serde::Serialize;

use super::change::ChangeResult;
use super::interrupted::{finish_interrupted, interrupted_note};
use super::{Session, confirm, with_lock};
use crate::appliance::host::Appliance;
use crate::appliance::run_log::LogLine;
use crate::appliance::service::{self, Service};
use crate::appliance::state::State;
use crate::appliance::tunnel;
use crate::args::{InstallArgs, Tunnel as TunnelArgs};
use crate::candidate::checks::{self, DroppedPeer};
use crate::candidate::plan_text;
use crate::candidate::rehearsal::{self, Rehearsal};
use crate::candidate::{self, Accepted, SourceResult};
use crate::change::Context;
use crate::change::proof::Proof;
use crate::change::receipts::Places;
use crate::change::transaction::{self, Ended, Source, Swap};

/// `sftunnel-install.install/1`.
#[derive(Debug, Serialize)]
struct InstallReport {
    /// The box, as the bundle names it.
    device: Option<Device>,
    #[serde(flatten)]
    change: ChangeResult,
    /// One for each source.
    results: Vec<SourceResult>,
    /// With `--rehearse`: one for each manager.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rehearsals: Vec<Rehearsal>,
}

/// A judged run, before anybody was asked.
struct Plan {
    appliance: Appliance,
    accepted: Vec<Accepted>,
    results: Vec<SourceResult>,
    rehearsals: Vec<Rehearsal>,
    service: Service,
    dropped: Vec<DroppedPeer>,
}

/// Runs it.
///
/// # Errors
/// The first refusal, or whatever the transaction ended with.
pub(crate) fn run(session: &Session, args: &InstallArgs) -> Result<Report, Failure> {
    let places = || Places::open(&args.receipt_out.folders);
    if args.change.dry_run {
        places()?;
        let state = State::open(&session.host)?;
        let plan = plan(session, state.as_ref(), args)?;
        return Ok(dry_run(session, plan, args, interrupted_note(state.as_ref())));
    }
    with_lock(session, "install", args.change.wait, |context| {
        let places = places()?.with_kits(&args.judge.sources.sources);
        locked(session, context, args, places)
    })
}

fn plan(session: &Session, state: Option<&State>, args: &InstallArgs) -> Result<Plan, Failure> {
    let Session { host, terminal } = session;
    let appliance = host.appliance()?;
    let may_ask = !args.change.yes;
    let found = candidate::judge(host, &appliance, state, &args.judge, terminal, may_ask)?;
    let results = candidate::results(host, &found);
    let accepted = candidate::require_all(host, found)?;
    host.pmtool()?;
    if args.tunnel.require_connected {
        tunnel::require_provable(host)?;
    }
    let service = service::status(host);
    let dropped = checks::dropped_peers(host, &candidate::managers(&accepted), host.now())?;
    let rehearsals = match args.judge.rehearse.as_slice() {
        [] => Vec::new(),
        _ if accepted.iter().all(|one| one.in_place) => Vec::new(),
        hosts => rehearsal::run(host, &accepted, hosts)?,
    };
    Ok(Plan { appliance, accepted, results, rehearsals, service, dropped })
}

impl TunnelArgs {
    fn limit(self) -> Option<Duration> {
        self.wait_connected.map(Duration::from_secs)
    }

    fn proof(self) -> Proof {
        match self.limit() {
            Some(limit) if self.require_connected => Proof::Connected(limit),
            _ => Proof::Running,
        }
    }

    fn plan_text(self) -> String {
        let Proof::Connected(limit) = self.proof() else { return String::new() };
        let text = format!(
            "If the tunnel is seen down {} s after the restart, the old files are put back.",
            limit.as_secs()
        );
        wrap("", 0, &text)
    }
}

impl Plan {
    fn is_in_place(&self) -> bool {
        self.accepted.iter().all(|one| one.in_place)
    }

    fn text(&self, session: &Session) -> String {
        let now = session.host.now();
        let mut text = plan_text::appliance(&self.appliance);
        for accepted in &self.accepted {
            text.push_str(&plan_text::bundle(accepted, now));
            if accepted.in_place {
                text.push_str(
                    "Nothing to do: these files are in place and were completed with a restart.\n",
                );
            } else {
                text.push_str(&plan_text::change(&session.host, &accepted.change, now));
            }
        }
        text.push_str(&rehearsal::text(&self.rehearsals));
        if !self.is_in_place() {
            let changes = self.accepted.iter().map(|one| &one.change);
            let (terminal, service) = (&session.terminal, &self.service);
            text.push_str(&plan_text::restart(terminal, service, changes, &self.dropped));
        }
        text
    }

    fn report(self, mut change: ChangeResult) -> InstallReport {
        change.dropped = if change.outcome == "nothing-to-do" { Vec::new() } else { self.dropped };
        let device = self.accepted.first().map(|one| one.bundle.manifest().device.clone());
        InstallReport { device, change, results: self.results, rehearsals: self.rehearsals }
    }
}

fn dry_run(
    session: &Session,
    plan: Plan,
    args: &InstallArgs,
    (interrupted, note): (Option<String>, String),
) -> Report {
    let outcome = if plan.is_in_place() { "nothing-to-do" } else { "planned" };
    let mut change = ChangeResult::new(outcome, plan.service.clone());
    let mut text = plan.text(session);
    if !plan.is_in_place() {
        text.push_str(&args.tunnel.plan_text());
    }
    text.push_str(&format!("\n{note}Dry run: nothing was changed.\n"));
    change.interrupted_run = interrupted;
    Report::done(&plan.report(change), text)
}

/// Files that are in place already are no proof of a tunnel. Nothing was replaced, so nothing is
/// put back.
fn look_for_tunnels(
    context: Context<'_>,
    plan: &Plan,
    args: TunnelArgs,
    change: &mut ChangeResult,
) -> (Exit, String) {
    let Some(limit) = args.limit() else { return (Exit::Done, String::new()) };
    let managers = candidate::managers(&plan.accepted);
    let waited = tunnel::wait(context.host, &managers, limit, context.signals);
    let doubt = (args.require_connected && !waited.all_up()).then(|| waited.not_up());
    let mut text = change.tunnels_text(waited);
    let Some(why) = doubt else { return (Exit::Done, text) };
    text.push_str(&unconfirmed(change, why, "The files were in place before"));
    (Exit::Unconfirmed, text)
}

/// A tunnel that is required was not seen up, and nothing is put back for it.
fn unconfirmed(change: &mut ChangeResult, why: String, happened: &str) -> String {
    change.outcome = "unconfirmed";
    let text = wrap("", 2, &format!("{happened}, but {why}."));
    change.why = Some(why);
    let next = "see at the manager whether the tunnel is up, and look at /ngfw/var/log/messages; `sftunnel-install rollback` puts the files of before back";
    text + &wrap("  next: ", 8, next)
}

fn locked(
    session: &Session,
    context: Context<'_>,
    args: &InstallArgs,
    places: Places,
) -> Result<(Report, LogLine), Failure> {
    let interrupted = finish_interrupted(session, context)?;
    let plan = plan(session, Some(context.state), args)?;
    let mut change = ChangeResult::new("nothing-to-do", plan.service.clone());
    change.interrupted_run = interrupted;
    let mut text = plan.text(session);
    let bundles: Vec<_> =
        plan.accepted.iter().map(|one| one.bundle.manifest().bundle_id.to_string()).collect();
    if plan.is_in_place() {
        // a run that was interrupted while it waited for the tunnel is repeated like this
        let (exit, seen) = look_for_tunnels(context, &plan, args.tunnel, &mut change);
        let mut line = LogLine::new(context.host.now(), "install", change.outcome, exit.code());
        line.bundles = bundles;
        line.message.clone_from(&change.why);
        let changed = change.interrupted_run.is_some();
        let report = Report::done(&plan.report(change), text + &seen).changed(changed);
        return Ok((report.ending(exit, None), line));
    }
    text.push_str(&args.tunnel.plan_text());
    confirm(session, args.change, &text, &plan.dropped)?;
    let Plan { appliance, accepted, results, rehearsals, service, dropped } = plan;
    let remember = accepted.iter().map(Accepted::remember).collect();
    let device = accepted.first().map(|one| one.bundle.manifest().device.clone());
    let managers = candidate::managers(&accepted);
    let changes = accepted.into_iter().map(|one| one.change).collect();
    session
        .terminal
        .note("Installing; this waits for sftunnel to come back. Do not switch the box off.");
    let proof = args.tunnel.proof();
    let on_unhealthy = args.change.on_unhealthy();
    let swap = Swap { source: Source::Bundles, changes, remember, proof, on_unhealthy };
    let ended = transaction::run(context, swap)?;
    let doubt = match &ended {
        Ended::Done { waited: Some(waited), .. } if !waited.all_up() => Some(waited.not_up()),
        _ => None,
    };
    let (mut exit, mut sentence) = change.ended(context, ended, Source::Bundles, places);
    if let Some(why) = doubt {
        exit = Exit::Unconfirmed;
        sentence.push_str(&unconfirmed(&mut change, why, "sftunnel runs on the new files"));
    }
    if let (Exit::Done, Proof::Running, Some(limit)) = (exit, proof, args.tunnel.limit()) {
        // the installation is over and recorded: nothing depends on this
        let waited = tunnel::wait(context.host, &managers, limit, context.signals);
        sentence.push_str(&change.tunnels_text(waited));
    }
    let mut line = LogLine::new(context.host.now(), "install", change.outcome, exit.code());
    line.bundles = bundles;
    line.backup = change.backup.as_ref().map(ToString::to_string);
    line.message.clone_from(&change.why);
    let plan = Plan { appliance, accepted: Vec::new(), results, rehearsals, service, dropped };
    let mut report = plan.report(change);
    report.device = device;
    // with --yes nobody has seen the plan yet
    let shown = if args.change.yes { text } else { String::new() };
    let report = Report::done(&report, format!("{shown}\n{sentence}")).changed(true);
    Ok((report.ending(exit, None), line))
}
