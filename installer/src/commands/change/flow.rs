//! The way that `install` and `rollback` share: judge, show, confirm, carry out, record.

use std::time::Duration;

use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::page::wrap;
use cli::say::report::Report;
use formats::device::ManagerUuid;
use serde::Serialize;

use super::{ChangeResult, Ending, Outcome, text};
use crate::appliance::host::Host;
use crate::appliance::run_log::LogLine;
use crate::appliance::service::{self, Service};
use crate::appliance::state::State;
use crate::appliance::tunnel;
use crate::args::{ChangeArgs, TunnelArgs};
use crate::candidate::checks;
use crate::candidate::error::DroppedPeer;
use crate::change::Context;
use crate::change::backup::BackupId;
use crate::change::proof::Proof;
use crate::change::receipts::Places;
use crate::change::transaction::{self, Swap};
use crate::commands::interrupted::{finish_interrupted, interrupted_note};
use crate::commands::narrator::Narrator;
use crate::commands::{Session, confirm};

/// Time for which the tunnel is looked for after a change, unless another one is asked for.
const LOOK: Duration = Duration::from_secs(30);

/// A change that was judged, before anybody is asked.
pub(crate) trait Plan {
    /// The command on the command line and in the log.
    const COMMAND: &'static str;
    /// Said when it begins.
    const BEGINS: &'static str;
    type Facts: Facts;

    fn box_now(&self) -> &BoxNow;
    fn text(&self, session: &Session) -> String;
    /// Parts what is carried out from what is reported of it.
    fn agree(self, args: ChangeArgs, proof: Proof) -> (Swap, Self::Facts);
}

/// The state of the box that a plan was made for.
pub(crate) struct BoxNow {
    /// These files are live already, and sftunnel was restarted on them.
    pub is_in_place: bool,
    pub service: Service,
    /// The managers of this change.
    pub managers: Vec<ManagerUuid>,
    /// Other managers whose tunnels do not come back.
    pub dropped: Vec<DroppedPeer>,
    /// The managers of this change whose tunnels cannot come up on these files.
    pub stays_down: Vec<DroppedPeer>,
}

impl BoxNow {
    /// # Errors
    /// When the box cannot carry out any change, or other managers cannot be told.
    pub(crate) fn look(
        host: &Host,
        managers: Vec<ManagerUuid>,
        is_in_place: bool,
    ) -> Result<Self, Failure> {
        host.pmtool()?;
        let dropped = checks::dropped_peers(host, &managers, host.now())?;
        let service = service::status(host);
        Ok(Self { is_in_place, service, managers, dropped, stays_down: Vec::new() })
    }
}

/// What a command reports beside the change itself.
pub(crate) trait Facts: Serialize {
    /// Names the change in the log. `made` is the backup of what was found.
    fn log(&self, line: LogLine, made: Option<&BackupId>) -> LogLine;
}

#[derive(Serialize)]
struct ChangeReport<F> {
    #[serde(flatten)]
    change: ChangeResult,
    #[serde(flatten)]
    facts: F,
}

/// The operator's wishes for one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes {
    pub change: ChangeArgs,
    pub tunnel: TunnelArgs,
}

impl Wishes {
    fn limit(self) -> Option<Duration> {
        self.tunnel.wait_connected.map(Duration::from_secs)
    }

    fn proof(self) -> Proof {
        match self.limit() {
            Some(limit) if self.tunnel.require_connected => Proof::Connected(limit),
            _ => Proof::Running,
        }
    }

    fn text(self) -> String {
        let Proof::Connected(limit) = self.proof() else { return String::new() };
        let text = format!(
            "If the tunnel is seen down {} s after the restart, the old files are put back.",
            limit.as_secs()
        );
        wrap("", 0, &text)
    }
}

/// Shows the plan, and stops there.
pub(crate) fn dry_run<P: Plan>(
    session: &Session,
    plan: P,
    state: Option<&State>,
    wishes: Wishes,
) -> Report {
    let (interrupted, note) = interrupted_note(state);
    let mut text = plan.text(session);
    let outcome = if plan.box_now().is_in_place {
        Outcome::NothingToDo
    } else {
        text.push_str(&wishes.text());
        Outcome::Planned
    };
    text.push_str(&format!("\n{note}Dry run: nothing was changed.\n"));
    let mut change = ChangeResult::new(outcome, plan.box_now().service.clone());
    change.interrupted_run = interrupted;
    if outcome == Outcome::Planned {
        change.dropped = plan.box_now().dropped.clone();
    }
    let (_, facts) = plan.agree(wishes.change, wishes.proof());
    Report::done(&ChangeReport { change, facts }, text)
}

/// Carries a plan out, once the operator has agreed.
///
/// # Errors
/// Those of the plan and of the transaction, or `not-confirmed`.
pub(crate) fn run<P: Plan>(
    (session, narrator): (&Session, &Narrator<'_>),
    context: Context<'_>,
    wishes: Wishes,
    places: Places,
    judge: impl FnOnce(&State) -> Result<P, Failure>,
) -> Result<(Report, LogLine), Failure> {
    let interrupted = finish_interrupted(session, context, narrator)?;
    let plan = judge(context.state)?;
    let mut change = ChangeResult::new(Outcome::NothingToDo, plan.box_now().service.clone());
    change.interrupted_run = interrupted;
    if plan.box_now().is_in_place {
        return Ok(nothing_to_do((session, narrator), context, plan, change, wishes));
    }
    let shown = plan.text(session) + &wishes.text();
    confirm((session, narrator), wishes.change, &shown, &plan.box_now().dropped)?;
    change.dropped = plan.box_now().dropped.clone();
    let managers = plan.box_now().managers.clone();
    let expected_down = plan.box_now().stays_down.clone();
    let (swap, facts) = plan.agree(wishes.change, wishes.proof());
    narrator.prose(format!("\n{}\n", P::BEGINS));
    let source = swap.source;
    let ended = transaction::run(context, swap)?;
    let ending = Ending::reach(context, ended, source, places, expected_down);
    let (exit, mut told) = (ending.exit(), text::ending(&ending));
    change.record(ending);
    let mut already = 0;
    if exit == Exit::Done {
        narrator.prose(told.clone());
        already = told.len();
        told.push_str(&look_at_tunnels(narrator, context, &managers, wishes, &mut change));
        told.push_str(&text::next(&change));
    }
    let line = log_line::<P>(context, &facts, &change, exit);
    let report = Report::done(&ChangeReport { change, facts }, told).told(already).changed(true);
    Ok((report.ending(exit, None), line))
}

/// Looks for the tunnels for a while, once the change is over and recorded: nothing depends on it.
fn look_at_tunnels(
    narrator: &Narrator<'_>,
    context: Context<'_>,
    managers: &[ManagerUuid],
    wishes: Wishes,
    change: &mut ChangeResult,
) -> String {
    let limit = match (wishes.proof(), wishes.limit()) {
        // waited for already, as part of the proof
        (Proof::Connected(_), _) => return String::new(),
        (Proof::Running, Some(limit)) => limit,
        (Proof::Running, None) => {
            let is_pointless = wishes.change.no_wait
                || !change.stays_down.is_empty()
                || tunnel::require_provable(context.host).is_err();
            if is_pointless {
                return String::new();
            }
            LOOK
        }
    };
    narrator.looks_at_tunnels(limit);
    let waited = tunnel::wait(context.host, managers, limit, context.signals);
    let text = text::tunnels(&waited);
    change.record_tunnels(waited);
    text
}

/// Files that are in place already are no proof of a tunnel, so that is still looked for: a run that
/// was interrupted while it waited is repeated like this. Nothing was replaced, so nothing is put
/// back.
fn nothing_to_do<P: Plan>(
    (session, narrator): (&Session, &Narrator<'_>),
    context: Context<'_>,
    plan: P,
    mut change: ChangeResult,
    wishes: Wishes,
) -> (Report, LogLine) {
    let (mut exit, mut told) = (Exit::Done, plan.text(session));
    if let Some(limit) = wishes.limit() {
        narrator.looks_at_tunnels(limit);
        let waited = tunnel::wait(context.host, &plan.box_now().managers, limit, context.signals);
        told.push_str(&text::tunnels(&waited));
        if wishes.tunnel.require_connected && !waited.all_up() {
            let why = waited.not_up();
            told.push_str(&text::unconfirmed("The files were in place before", &why));
            (exit, change.outcome, change.why) =
                (Exit::Unconfirmed, Outcome::Unconfirmed, Some(why));
        }
        change.record_tunnels(waited);
    }
    let changed = change.interrupted_run.is_some();
    let (_, facts) = plan.agree(wishes.change, wishes.proof());
    let line = log_line::<P>(context, &facts, &change, exit);
    let report = Report::done(&ChangeReport { change, facts }, told).changed(changed);
    (report.ending(exit, None), line)
}

fn log_line<P: Plan>(
    context: Context<'_>,
    facts: &P::Facts,
    change: &ChangeResult,
    exit: Exit,
) -> LogLine {
    let line = LogLine::new(context.host.now(), P::COMMAND, change.outcome.word(), exit.code());
    let line = LogLine { message: change.why.clone(), ..line };
    facts.log(line, change.backup.as_ref())
}
