//! An interrupted run: reported by a command that only looks, finished by one that changes.

use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::page::wrap;
use formats::text::printable;

use super::change::text::left_here;
use super::narrator::Narrator;
use super::{Session, log};
use crate::appliance::run_log::LogLine;
use crate::appliance::state::State;
use crate::change::Context;
use crate::change::journal::Journal;
use crate::change::recover::{self, Recovered};

/// An interrupted run, as a command reports it that only looks.
#[derive(Debug)]
pub(crate) struct InterruptedRun {
    pub what: String,
    /// The command that finishes it.
    pub next: String,
}

/// Looks for an interrupted run. One under way is not interrupted.
pub(crate) fn interrupted_run(state: Option<&State>) -> Option<InterruptedRun> {
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
        Err(error) => {
            let failure = Failure::from(error);
            Some(InterruptedRun {
                next: failure.next_step().unwrap_or_default().to_owned(),
                what: failure.into_message(),
            })
        }
    }
}

/// Words the interrupted run as one sentence, and as a note below a plan.
pub(crate) fn interrupted_note(state: Option<&State>) -> (Option<String>, String) {
    let Some(InterruptedRun { what, next }) = interrupted_run(state) else {
        return (None, String::new());
    };
    let sentence = format!("{what}; {next}");
    let note = wrap("Note: ", 2, &printable(&sentence).to_string());
    (Some(sentence), note)
}

/// Finishes an interrupted run before something new begins; says so on stderr.
pub(crate) fn finish_interrupted(
    session: &Session,
    context: Context<'_>,
    narrator: &Narrator<'_>,
) -> Result<Option<String>, Failure> {
    let recovered = recover::recover(context)?;
    narrator.rest();
    context.signals.rest();
    let (outcome, receipts) = (recovered.word(), recovered.receipts(context.state));
    let told = match recovered {
        Recovered::Nothing { leftovers: 0 } => None,
        recovered => Some(recovered_text(&recovered)),
    };
    if let Some(told) = &told {
        // it stays true whatever becomes of what was asked for
        session.terminal.warn(&format!("first finished an interrupted run: {told}"));
        if !receipts.is_empty() {
            session.terminal.note(left_here(&receipts).trim_end());
        }
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
        (checked, _) => Ok(checked.map(|()| told)?),
    }
}

pub(crate) fn recovered_text(recovered: &Recovered) -> String {
    let restarted = |pid: &Option<u32>| match pid {
        Some(pid) => format!("sftunnel was restarted and runs with PID {pid}"),
        None => "sftunnel is as it was and was not restarted".to_owned(),
    };
    match recovered {
        Recovered::Nothing { leftovers: 0 } => "nothing was interrupted".to_owned(),
        Recovered::Nothing { leftovers } => {
            format!("no live file had been changed; removed {leftovers} staged file(s)")
        }
        Recovered::AllOld { backup, pid, why, .. } => {
            let because = why.as_ref().map(|why| format!(", because {why}")).unwrap_or_default();
            let restarted = restarted(pid);
            format!("all old: the files of backup {backup} are live again{because}; {restarted}")
        }
        Recovered::AllNew { backup, pid, .. } => {
            format!(
                "all new: sftunnel runs on the new files with PID {pid}; backup {backup} has the old ones"
            )
        }
    }
}
