//! What people and programs are told of a change while it is made, and `status` in another terminal.

use std::cell::RefCell;
use std::time::Duration;

use cli::say::failure::Failure;
use cli::say::page::wrap;
use cli::say::steps::{Begun, Key, StepSources, Steps};
use cli::say::terminal::Terminal;
use formats::device::ManagerUuid;
use formats::text::printable;
use serde_json::{Map, Value, json};

use crate::appliance::host;
use crate::appliance::service::STATUS_LIMIT;
use crate::appliance::signals::Signals;
use crate::appliance::state::LockedState;
use crate::appliance::under_way::UnderWay;
use crate::change::Goal;
use crate::change::step::{Listener, Step};

/// Schema of a line of `--json-lines` that is not the last one.
const SCHEMA: &str = "sftunnel-install.event/1";
/// A record or a few files on a slow disk.
const A_MOMENT: Duration = Duration::from_secs(30);

/// The listener of a run.
#[derive(Debug)]
pub(crate) struct Narrator<'a> {
    state: &'a LockedState,
    run: RefCell<UnderWay>,
    steps: Steps,
    /// Time that a restart may take.
    restart: Duration,
}

impl<'a> Narrator<'a> {
    /// Begins to tell of this command.
    pub(crate) fn begin(
        terminal: Terminal,
        state: &'a LockedState,
        signals: &Signals,
        command: &str,
        restart: Duration,
    ) -> Result<Self, Failure> {
        let run = UnderWay::new(command, host::clock());
        state.describe(&run);
        let signals = signals.clone();
        let signal = move || {
            signals.unanswered().map(|name| match name {
                "SIGTSTP" => Key::Stop,
                name => Key::End(name),
            })
        };
        let sources = StepSources { schema: SCHEMA, now: host::clock, signal: Box::new(signal) };
        let steps = Steps::begin(terminal, sources)?;
        Ok(Self { state, run: RefCell::new(run), steps, restart })
    }

    /// Adds prose in its order.
    pub(crate) fn prose(&self, text: String) {
        self.steps.prose(text);
    }

    /// The change is over, and tunnels are looked at for a while, without consequence.
    pub(crate) fn looks_at_tunnels(&self, limit: Duration) {
        self.describe("tunnel");
        self.steps.tell(Begun {
            step: "tunnel",
            text: String::new(),
            waits: Some(("Looking for the tunnel", limit)),
            fields: Map::new(),
            answer: "the change is done; only the look at the tunnel ends.".to_owned(),
            ends_within: Some(A_MOMENT),
        });
    }

    /// No step is under way: what was handed over stands on the screen before anything else is
    /// written there.
    pub(crate) fn rest(&self) {
        /// A terminal that is stopped is not waited for while the lock is held.
        const LIMIT: Duration = Duration::from_secs(2);
        self.steps.rest(LIMIT);
        self.describe("check");
    }

    /// The telling, to be ended once the lock is free: that waits for as long as the terminal does.
    pub(crate) fn into_steps(self) -> Steps {
        self.steps
    }

    fn describe(&self, step: &str) {
        let mut run = self.run.borrow_mut();
        step.clone_into(&mut run.step);
        run.step_since = host::clock();
        self.state.describe(&run);
    }

    fn told(&self, step: &Step) -> Begun {
        let (answer, ends_within) = self.answer(step);
        // the required tunnel came up in a run of which that is told already
        let is_known = matches!(step, Step::Record { .. }) && self.run.borrow().step == "tunnel";
        Begun {
            step: step.word(),
            text: if is_known { String::new() } else { text(step) },
            waits: waits(step),
            fields: fields(&facts(step)),
            answer,
            ends_within: Some(ends_within),
        }
    }

    /// The answer to a signal, and the longest time until the run ends then.
    fn answer(&self, step: &Step) -> (String, Duration) {
        let whole = self.restart + STATUS_LIMIT;
        let (text, within) = match step {
            Step::Backup => ("nothing has been changed. The run stops here.", A_MOMENT),
            Step::Replace { .. } => (
                "the files are being replaced; this cannot stop half-way. All files will be old or all new, and the run says which.",
                whole + A_MOMENT,
            ),
            Step::PutBack { .. } => {
                ("the old files are being put back; this cannot stop half-way.", whole + A_MOMENT)
            }
            Step::Restart { goal, .. } => (stops_waiting(*goal), whole),
            Step::Settle { goal, .. } => (stops_waiting(*goal), STATUS_LIMIT),
            Step::Tunnel { .. } => (
                "the files are replaced. The run stops waiting for the tunnel, and says what to do.",
                A_MOMENT,
            ),
            Step::Record { .. } => ("the change is done and is being recorded.", A_MOMENT),
        };
        (text.to_owned(), within)
    }
}

impl Listener for Narrator<'_> {
    fn begins(&self, step: Step) {
        let told = self.told(&step);
        self.describe(told.step);
        self.steps.tell(told);
    }
}

fn stops_waiting(goal: Goal) -> &'static str {
    match goal {
        Goal::Restore => {
            "the old files are back. The run stops waiting for sftunnel as soon as pmtool answers, and says what to do."
        }
        Goal::Install | Goal::Rollback => {
            "the files are replaced. The run stops waiting for sftunnel as soon as pmtool answers, and says what to do."
        }
    }
}

fn waits(step: &Step) -> Option<(&'static str, Duration)> {
    match step {
        Step::Restart { limit, .. } => Some(("Waiting for sftunnel", *limit)),
        Step::Settle { settle, .. } => Some(("Watching sftunnel", *settle)),
        Step::Tunnel { limit, .. } => Some(("Waiting for the tunnel", *limit)),
        _ => None,
    }
}

/// What has happened until this step begins.
fn text(step: &Step) -> String {
    match step {
        Step::Backup => String::new(),
        Step::Replace { backup } => format!("Backup made: {backup}\n"),
        Step::PutBack { backup, why } => {
            let why = why.as_ref().map(|why| wrap("", 2, &format!("{}.", printable(why))));
            format!(
                "{}Putting the old files back, from backup {backup}.\n",
                why.unwrap_or_default()
            )
        }
        Step::Restart { goal, replaced, old, .. } => {
            let done = if *goal == Goal::Restore { "Old files are back" } else { "Files replaced" };
            let done = match replaced.is_empty() {
                true => String::new(),
                false => wrap("", 2, &format!("{done}: {}.", names(replaced))),
            };
            let old = match old {
                Some(pid) => format!("Restarting sftunnel, PID {pid} until now.\n"),
                None => "Starting sftunnel.\n".to_owned(),
            };
            done + &old
        }
        Step::Settle { pid, settle, .. } => {
            format!(
                "sftunnel has started with PID {pid}. It must stay for {} s.\n",
                settle.as_secs()
            )
        }
        Step::Tunnel { pid, limit } => format!(
            "sftunnel is up with PID {pid}. Its tunnel must come up within {} s.\n",
            limit.as_secs()
        ),
        Step::Record { pid } => format!("sftunnel is up with PID {pid}.\n"),
    }
}

/// What a program is told of it.
fn facts(step: &Step) -> Value {
    match step {
        Step::Backup => json!({}),
        Step::Replace { backup } => json!({ "backup": backup }),
        Step::PutBack { backup, why: None } => json!({ "backup": backup }),
        Step::PutBack { backup, why } => json!({ "backup": backup, "why": why }),
        Step::Restart { goal, replaced, old, limit: _ } => {
            json!({ "goal": goal, "managers": replaced, "sftunnel_pid": old })
        }
        Step::Settle { goal, pid, .. } => json!({ "goal": goal, "sftunnel_pid": pid }),
        Step::Tunnel { pid, .. } | Step::Record { pid } => json!({ "sftunnel_pid": pid }),
    }
}

fn fields(facts: &Value) -> Map<String, Value> {
    facts.as_object().cloned().unwrap_or_default()
}

fn names(managers: &[ManagerUuid]) -> String {
    let word = if managers.len() == 1 { "manager" } else { "managers" };
    let names: Vec<_> = managers.iter().map(ManagerUuid::short).collect();
    format!("{word} {}", names.join(", "))
}
