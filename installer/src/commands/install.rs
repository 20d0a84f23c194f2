//! `install`: the bundles of a kit become live.

use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::bundle::manifest::Device;
use serde::Serialize;

use super::change::flow::{self, BoxNow, Wishes};
use super::{Session, with_lock};
use crate::appliance::host::Appliance;
use crate::appliance::run_log::LogLine;
use crate::appliance::state::State;
use crate::appliance::tunnel;
use crate::args::{ChangeArgs, InstallArgs};
use crate::candidate::plan_text;
use crate::candidate::rehearsal::{self, Rehearsal};
use crate::candidate::{self, Accepted, SourceResult};
use crate::change::backup::BackupId;
use crate::change::proof::Proof;
use crate::change::receipts::Places;
use crate::change::transaction::{FilesFrom, Swap};

struct InstallPlan {
    appliance: Appliance,
    accepted: Vec<Accepted>,
    results: Vec<SourceResult>,
    rehearsals: Vec<Rehearsal>,
    box_now: BoxNow,
}

/// `sftunnel-install.install/1`, beside [`ChangeResult`](super::change::ChangeResult).
#[derive(Serialize)]
struct InstallFacts {
    /// The box, as the bundle names it.
    device: Option<Device>,
    /// One for each source.
    results: Vec<SourceResult>,
    /// With `--rehearse`: one for each manager.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rehearsals: Vec<Rehearsal>,
    #[serde(skip)]
    bundles: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &InstallArgs) -> Result<Report, Failure> {
    let places = || Places::open(&args.receipt_out.folders);
    let wishes = Wishes { change: args.change, tunnel: args.tunnel };
    if args.change.dry_run {
        places()?;
        let state = State::open(&session.host)?;
        let plan = plan(session, state.as_ref(), args)?;
        return Ok(flow::dry_run(session, plan, state.as_ref(), wishes));
    }
    with_lock(session, "install", args.change.wait, |context, narrator| {
        let places = places()?.with_kits(&args.judge.sources.sources);
        let made = |state: &State| plan(session, Some(state), args);
        flow::run((session, narrator), context, wishes, places, made)
    })
}

fn plan(
    session: &Session,
    state: Option<&State>,
    args: &InstallArgs,
) -> Result<InstallPlan, Failure> {
    let Session { host, terminal } = session;
    let appliance = host.appliance()?;
    let may_ask = !args.change.yes;
    let found = candidate::judge(host, &appliance, state, &args.judge, terminal, may_ask)?;
    let results = candidate::results(host, &found);
    let accepted = candidate::require_all(host, found)?;
    let in_place = accepted.iter().all(|one| one.in_place);
    let box_now = BoxNow::look(host, candidate::managers(&accepted), in_place)?;
    if args.tunnel.require_connected {
        tunnel::require_provable(host)?;
    }
    let rehearsals = match args.judge.rehearse.as_slice() {
        hosts if !in_place && !hosts.is_empty() => rehearsal::run(host, &accepted, hosts)?,
        _ => Vec::new(),
    };
    Ok(InstallPlan { appliance, accepted, results, rehearsals, box_now })
}

impl flow::Plan for InstallPlan {
    const COMMAND: &'static str = "install";
    const BEGINS: &'static str =
        "Installing; this waits for sftunnel to come back. Do not switch the box off.";
    type Facts = InstallFacts;

    fn box_now(&self) -> &BoxNow {
        &self.box_now
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
        let BoxNow { is_in_place, service, dropped, .. } = &self.box_now;
        if !is_in_place {
            let changes = self.accepted.iter().map(|one| &one.change);
            text.push_str(&plan_text::restart(&session.terminal, service, changes, dropped));
        }
        text
    }

    fn agree(self, args: ChangeArgs, proof: Proof) -> (Swap, InstallFacts) {
        let Self { accepted, results, rehearsals, .. } = self;
        let manifests = || accepted.iter().map(|one| one.bundle.manifest());
        let device = manifests().next().map(|manifest| manifest.device.clone());
        let bundles = manifests().map(|manifest| manifest.bundle_id.to_string()).collect();
        let remember = accepted.iter().map(Accepted::remember).collect();
        // the bundles go here, and what they hold of the keys with them
        let changes = accepted.into_iter().map(|one| one.change).collect();
        let on_unhealthy = args.on_unhealthy();
        let swap = Swap { source: FilesFrom::Bundles, changes, remember, proof, on_unhealthy };
        (swap, InstallFacts { device, results, rehearsals, bundles })
    }
}

impl flow::Facts for InstallFacts {
    fn log(&self, line: LogLine, made: Option<&BackupId>) -> LogLine {
        let backup = made.map(ToString::to_string);
        LogLine { bundles: self.bundles.clone(), backup, ..line }
    }
}
