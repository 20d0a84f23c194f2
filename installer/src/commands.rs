//! One module for each command. Each gives a [`console::report::Report`] or a
//! [`console::exit::Failure`]; nothing in here prints.

pub(crate) mod backups;
pub(crate) mod inspect;
pub(crate) mod install;
pub(crate) mod log;
pub(crate) mod recover;
pub(crate) mod rollback;
pub(crate) mod signers;
pub(crate) mod status;
pub(crate) mod verify;

use std::time::Duration;

use console::exit::{Exit, Failure};
use console::report::Report;
use console::terminal::{Terminal, wrap};
use formats::error::Reason;
use formats::text::printable;
use serde::Serialize;

use crate::args::{Change as ChangeArgs, Wait};
use crate::backup::{self, BackupId};
use crate::host::Host;
use crate::journal::Journal;
use crate::peers::LiveSet;
use crate::preflight::{self, DroppedPeer};
use crate::receipts::{Places, Receipts};
use crate::recovery::{self, Recovered};
use crate::run_log::{self, LogLine};
use crate::service::{Patience, Service, Unhealthy};
use crate::signals::Signals;
use crate::state::{LockedState, State};
use crate::transaction::{Context, Ended, OnUnhealthy};
use crate::tunnel::{Tunnel, Waited};

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

/// How a change ended, in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChangeResult {
    /// `planned`, `nothing-to-do`, `installed`, `rolled-back`, `restored`, `unconfirmed`.
    pub outcome: &'static str,
    /// The backup that was made of what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// Why it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// sftunnel before.
    pub sftunnel_before: Service,
    /// sftunnel's process after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sftunnel_pid: Option<u32>,
    /// From the first rename to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renames_microseconds: Option<u64>,
    /// After a restore: the tunnels that stay down on the old files, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stays_down: Vec<DroppedPeer>,
    /// The tunnels as last seen, when they were waited for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<Tunnel>,
    /// How long they were waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels_waited_seconds: Option<u64>,
    /// Other managers whose tunnels do not come back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedPeer>,
    /// Where receipts were copied to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<String>,
    /// An interrupted run: found (reported by `--dry-run`, `verify`) or finished first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted_run: Option<String>,
}

impl ChangeResult {
    fn new(outcome: &'static str, sftunnel_before: Service) -> Self {
        Self {
            outcome,
            backup: None,
            why: None,
            sftunnel_before,
            sftunnel_pid: None,
            renames_microseconds: None,
            stays_down: Vec::new(),
            tunnels: Vec::new(),
            tunnels_waited_seconds: None,
            dropped: Vec::new(),
            receipts: Vec::new(),
            interrupted_run: None,
        }
    }

    /// Fills in how a transaction ended; gives exit code and a sentence.
    fn ended(
        &mut self,
        context: Context<'_>,
        ended: Ended,
        done: &'static str,
        places: Places,
    ) -> (Exit, String) {
        match ended {
            Ended::Done { pid, backup, renames, receipts, waited } => {
                self.outcome = done;
                let tunnels = waited.map(|waited| self.tunnels_text(waited)).unwrap_or_default();
                self.sftunnel_pid = Some(pid);
                self.renames_microseconds = u64::try_from(renames.as_micros()).ok();
                let text = format!(
                    "Done: sftunnel runs on these files with PID {pid}.\nWhat was there before is backup {backup}.\n{tunnels}{}",
                    self.receipts_text(&receipts, places)
                );
                self.backup = Some(backup);
                (Exit::Done, text)
            }
            Ended::Unconfirmed { why, backup } => {
                self.outcome = "unconfirmed";
                let happened = format!("Installed, but sftunnel is not confirmed running: {why}");
                let next = format!(
                    "look at /ngfw/var/log/messages; `sftunnel-install rollback --to {backup}` puts the old files back"
                );
                let text = wrap("", 2, &happened) + &wrap("  next: ", 8, &next);
                (self.why, self.backup) = (Some(why.to_string()), Some(backup));
                (Exit::Unconfirmed, text)
            }
            Ended::RolledBack { why, pid, backup, receipts } => {
                self.outcome = "restored";
                self.sftunnel_pid = Some(pid);
                self.stays_down = stays_down(context, &backup);
                let mut text = wrap("Rolled back: ", 2, &why.to_string());
                text.push_str(&format!(
                    "The files of before are back, sftunnel runs on them with PID {pid}.\n"
                ));
                text.push_str(&stays_down_text(&self.stays_down));
                let next = match &why {
                    Unhealthy::NotConnected(_) => {
                        "look at /ngfw/var/log/messages for why the tunnel did not come up"
                    }
                    _ => "look at /ngfw/var/log/messages for why sftunnel did not stay up",
                };
                text.push_str(&wrap("  next: ", 8, next));
                text.push_str(&self.receipts_text(&receipts, places));
                (self.why, self.backup) = (Some(why.to_string()), Some(backup));
                if let Unhealthy::NotConnected(waited) = why {
                    self.tunnels_text(waited);
                }
                (Exit::RolledBack, text)
            }
        }
    }
}

impl ChangeResult {
    /// Keeps what was seen of the tunnels, and says it.
    fn tunnels_text(&mut self, waited: Waited) -> String {
        let tunnels = waited.tunnels.iter();
        let text = tunnels
            .map(|tunnel| {
                let line = format!("to manager {}: {tunnel}", tunnel.manager);
                wrap("Tunnel    ", 10, &line)
            })
            .collect::<String>();
        let text = format!("{text}          (waited {} s)\n", waited.seconds);
        self.tunnels_waited_seconds = Some(waited.seconds);
        self.tunnels = waited.tunnels;
        text
    }

    /// Copies the receipts and says where they are.
    fn receipts_text(&mut self, receipts: &Receipts, places: Places) -> String {
        let (written, problem) = places.copy(receipts);
        let mut text: String = written
            .iter()
            .map(|path| wrap("Receipt   ", 10, &printable(path).to_string()))
            .collect();
        if let Some(problem) = receipts.problem.as_ref().or(problem.as_ref()) {
            text.push_str(&wrap(
                "Note: ",
                2,
                &format!("no receipt could be written there: {}", printable(problem)),
            ));
        }
        self.receipts = written;
        text
    }
}

/// The managers whose tunnels cannot come up on the files of a backup, and why.
fn stays_down(context: Context<'_>, id: &BackupId) -> Vec<DroppedPeer> {
    let Ok(backup) = backup::open(context.state, id) else { return Vec::new() };
    let why = |files: &LiveSet| match files.check() {
        Err(broken) => Some(broken.to_string()),
        Ok(set) => set.check_validity(context.host.now()).err().map(|error| error.to_string()),
    };
    let down = backup.peers.iter().filter_map(|(manager, files)| Some((manager, why(files)?)));
    down.map(|(manager, why)| DroppedPeer { manager: manager.clone(), why }).collect()
}

fn stays_down_text(peers: &[DroppedPeer]) -> String {
    let line = |peer: &DroppedPeer| {
        let why = printable(&peer.why);
        wrap("", 2, &format!("The tunnel to manager {} stays down: {why}", peer.manager))
    };
    peers.iter().map(line).collect()
}

/// A run that was interrupted, as a command sees it that only looks.
#[derive(Debug)]
struct InterruptedRun {
    what: String,
    /// What finishes it.
    next: String,
}

/// The interrupted run; none while one is under way, which is not interrupted yet.
fn interrupted_run(state: Option<&State>) -> Option<InterruptedRun> {
    let state = state?;
    if state.is_locked() {
        return None;
    }
    match Journal::read(state) {
        Ok(None) => None,
        Ok(Some(journal)) => Some(InterruptedRun {
            what: format!(
                "an interrupted {} of {} is not finished yet",
                journal.goal.word(),
                journal.started_at
            ),
            next: "finish the interrupted run: sftunnel-install recover".to_owned(),
        }),
        Err(failure) => Some(InterruptedRun { what: failure.message, next: failure.hint }),
    }
}

/// The same in one sentence, and as a note below a plan.
fn interrupted_note(state: Option<&State>) -> (Option<String>, String) {
    let Some(InterruptedRun { what, next }) = interrupted_run(state) else {
        return (None, String::new());
    };
    let sentence = format!("{what}; {next}");
    let note = wrap("Note: ", 2, &printable(&sentence).to_string());
    (Some(sentence), note)
}

/// Finishes an interrupted run before something new begins; says so on stderr.
fn finish_interrupted(session: &Session, context: Context<'_>) -> Result<Option<String>, Failure> {
    let recovered = recovery::recover(context)?;
    context.signals.rest();
    let outcome = recovered.word();
    let told = match recovered {
        Recovered::Nothing { leftovers: 0 } => None,
        recovered => Some(recovered_text(&recovered)),
    };
    if let Some(told) = &told {
        // it stays true whatever becomes of what was asked for
        session.terminal.warn(&format!("first finished an interrupted run: {told}"));
        let mut line = LogLine::new(context.host.now(), "recover", outcome, Exit::Done.code());
        line.message = Some(told.clone());
        log(&session.terminal, context.state, &line);
    }
    match (context.signals.check(), &told) {
        (Err(_), Some(told)) => Err(Failure::unexpected(format!(
            "a signal ended this run; before that an interrupted run was finished: {told}"
        ))
        .exit(Exit::NeedsPerson)
        .hint("nothing is half done; run the same command again")),
        (checked, _) => checked.map(|()| told),
    }
}

fn recovered_text(recovered: &Recovered) -> String {
    let restarted = |pid: &Option<u32>| match pid {
        Some(pid) => format!("sftunnel was restarted and runs with PID {pid}"),
        None => "sftunnel is as it was and was not restarted".to_owned(),
    };
    match recovered {
        Recovered::Nothing { leftovers: 0 } => "nothing was interrupted".to_owned(),
        Recovered::Nothing { leftovers } => {
            format!("no live file had been changed; removed {leftovers} staged file(s)")
        }
        Recovered::AllOld { backup, pid, why } => {
            let because = why.as_ref().map(|why| format!(", because {why}")).unwrap_or_default();
            let restarted = restarted(pid);
            format!("all old: the files of backup {backup} are live again{because}; {restarted}")
        }
        Recovered::AllNew { backup, pid } => {
            format!(
                "all new: sftunnel runs on the new files with PID {pid}; backup {backup} has the old ones"
            )
        }
    }
}

/// Asks whether to go on, and about tunnels that will not come back.
fn confirm(
    session: &Session,
    args: ChangeArgs,
    plan: &str,
    dropped: &[DroppedPeer],
) -> Result<(), Failure> {
    if !dropped.is_empty() && !args.accept_drop && (args.yes || !session.terminal.can_ask()) {
        return Err(preflight::would_drop(dropped));
    }
    if args.yes {
        return Ok(());
    }
    let not_confirmed = |message: &str| Failure::refused(Reason::NotConfirmed, message);
    if !session.terminal.can_ask() {
        return Err(not_confirmed("nobody is there to confirm the plan; nothing was changed")
            .hint("give --yes to go on without asking, or --dry-run to see the plan"));
    }
    let asked = session.terminal.show(plan).and_then(|()| {
        let drop_question = "Tunnels of other managers will NOT come back (see above). Drop them?";
        if !dropped.is_empty() && !args.accept_drop && !session.terminal.confirm(drop_question)? {
            return Ok(false);
        }
        session.terminal.confirm("Go on?")
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
    change: impl FnOnce(Context<'_>) -> Result<(Report, LogLine), Failure>,
) -> Result<Report, Failure> {
    let Session { host, terminal } = session;
    host.require_root(command)?;
    let signals = Signals::take()?;
    let failed = |failure: &Failure| {
        let line = LogLine::new(host.now(), command, "failed", failure.exit.code());
        LogLine { message: Some(failure.message.clone()), ..line.reason(failure.reason) }
    };
    let state = LockedState::open(host).inspect_err(|failure| {
        // a line is appended whole, also while another run appends its own
        if let (Some(Reason::Busy), Ok(Some(state))) = (failure.reason, State::open(host)) {
            log(terminal, &state, &failed(failure));
        }
    })?;
    terminal.detail(&format!("the lock in {} is taken", state.shown()));
    let context = Context { host, state: &state, signals: &signals, patience: wait.patience() };
    let result = change(context);
    let line = match &result {
        Ok((_, line)) => line.clone(),
        Err(failure) => failed(failure),
    };
    log(terminal, &state, &line);
    result.map(|(report, _)| report)
}

fn log(terminal: &Terminal, state: &State, line: &LogLine) {
    if let Err(error) = run_log::append(state, line) {
        terminal.warn(&format!("the log could not be written: {error}"));
    }
}
