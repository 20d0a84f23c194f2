//! One module for each command. Each gives a [`cli::say::report::Report`] or a
//! [`cli::say::failure::Failure`]; nothing in here prints. What
//! several of them have in common: how a change ended, and what to do about a run that was
//! interrupted before.

pub(crate) mod backups;
mod change;
pub(crate) mod inspect;
pub(crate) mod install;
mod interrupted;
pub(crate) mod log;
mod narrator;
pub(crate) mod recover;
pub(crate) mod rollback;
pub(crate) mod signers;
pub(crate) mod status;
pub(crate) mod support;
pub(crate) mod verify;

use std::time::Duration;

use cli::ask::question;
use cli::say::failure::Failure;
use cli::say::report::Report;
use cli::say::terminal::Terminal;
use formats::error::Reason;

use crate::appliance::error::Error;
use crate::appliance::host::Host;
use crate::appliance::run_log::{self, LogLine};
use crate::appliance::service::Patience;
use crate::appliance::signals::Signals;
use crate::appliance::state::{LockError, LockedState, State};
use crate::args::{ChangeArgs, Wait};
use crate::candidate::checks;
use crate::candidate::error::DroppedPeer;
use crate::change::Context;
use crate::change::transaction::OnUnhealthy;
use crate::commands::narrator::Narrator;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Session {
    pub host: Host,
    pub terminal: Terminal,
}

impl Wait {
    fn patience(self) -> Patience {
        Patience {
            restart: Duration::from_secs(self.restart_timeout),
            settle: Duration::from_secs(self.settle),
        }
    }
}

impl ChangeArgs {
    fn on_unhealthy(self) -> OnUnhealthy {
        if self.no_rollback { OnUnhealthy::Keep } else { OnUnhealthy::Restore }
    }
}

/// Asks whether to go on, and about tunnels that will not come back.
fn confirm(
    (session, narrator): (&Session, &Narrator<'_>),
    args: ChangeArgs,
    plan: &str,
    dropped: &[DroppedPeer],
) -> Result<(), Failure> {
    if !dropped.is_empty() && !args.accept_drop && (args.yes || !session.terminal.can_ask()) {
        return Err(checks::would_drop(dropped).into());
    }
    let question = "Go on?";
    if args.yes {
        narrator.prose(format!("{plan}\n{question} --yes was given.\n"));
        return Ok(());
    }
    let not_confirmed = |message: &str| Failure::refused(Reason::NotConfirmed, message);
    if !session.terminal.can_ask() {
        return Err(not_confirmed(
            "there is no terminal to confirm the plan at; nothing was changed",
        )
        .hint("give --yes to go on without asking, or --dry-run to see the plan"));
    }
    let asked = session.terminal.show(plan).and_then(|()| {
        session.terminal.evidence(plan);
        let drop_question = "Tunnels of other managers will NOT come back (see above). Drop them?";
        if !dropped.is_empty()
            && !args.accept_drop
            && !question::confirm(&session.terminal, drop_question)?
        {
            return Ok(false);
        }
        question::confirm(&session.terminal, question)
    });
    match asked {
        Ok(true) => Ok(()),
        Ok(false) => Err(not_confirmed("you did not say yes; nothing was changed")),
        Err(error) => Err(Failure::io("the terminal", &error)),
    }
}

/// Runs something that may change the box: root, lock, signals, log.
fn with_lock(
    session: &Session,
    command: &str,
    wait: Wait,
    change: impl FnOnce(Context<'_>, &Narrator<'_>) -> Result<(Report, LogLine), Failure>,
) -> Result<Report, Failure> {
    let Session { host, terminal } = session;
    host.require_root(command)?;
    let signals = Signals::take()?;
    let failed = |failure: &Failure| {
        let line = LogLine::new(host.now(), command, "failed", failure.exit_code().code());
        LogLine { message: Some(failure.message().to_owned()), ..line.reason(failure.reason()) }
    };
    let state = LockedState::open(host).map_err(|error| match error {
        LockError::Failed(error) => error.into(),
        LockError::Busy(state) => {
            let failure = Failure::from(Error::Busy(state.holder()));
            // a line is appended whole, also while another run appends its own
            log(terminal, &state, &failed(&failure));
            failure
        }
    })?;
    terminal.detail(&format!("the lock in {} is taken", state.shown()));
    let patience = wait.patience();
    let narrator = Narrator::begin(*terminal, &state, &signals, command, patience.restart)?;
    let context = Context {
        host,
        state: &state,
        signals: &signals,
        patience,
        listener: &narrator,
        accept_device: false,
    };
    let result = change(context, &narrator);
    let line = match &result {
        Ok((_, line)) => line.clone(),
        Err(failure) => failed(failure),
    };
    signals.over();
    let steps = narrator.into_steps();
    log(terminal, &state, &line);
    // a terminal that is stopped holds up no other run
    drop(state);
    steps.end();
    result.map(|(report, _)| report)
}

fn log(terminal: &Terminal, state: &State, line: &LogLine) {
    if let Err(error) = run_log::append(state, line) {
        terminal.warn(&format!("the log could not be written: {error}"));
    }
}
