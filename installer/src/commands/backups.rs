//! `backups`: list, verify, prune.

use cli::ask::question;
use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::page::{Table, wrap};
use cli::say::report::Report;
use formats::error::Reason;
use serde::Serialize;

use super::interrupted::finish_interrupted;
use super::{Session, with_lock};
use crate::appliance::run_log::LogLine;
use crate::appliance::state::{self, State};
use crate::args::{BackupsCommand, Wait};
use crate::change::backup::{self, BackupId, BackupRecord};

/// The JSON of `backups`.
#[derive(Debug, Serialize)]
struct BackupsReport {
    /// The backups, oldest first.
    backups: Vec<BackupResult>,
    /// Names of backups that were removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<BackupId>,
}

/// One backup's entry in the JSON.
#[derive(Debug, Serialize)]
struct BackupResult {
    id: BackupId,
    /// `intact` or `damaged`.
    status: &'static str,
    /// The damage; absent when intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The backup's own record; absent when damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<BackupRecord>,
}

pub(crate) fn run(session: &Session, command: &BackupsCommand) -> Result<Report, Failure> {
    match command {
        BackupsCommand::List => look(session, None),
        BackupsCommand::Verify { id } => look(session, Some(id.as_deref())),
        BackupsCommand::Prune { keep, yes } => prune(session, usize::from(*keep), *yes),
    }
}

/// Lists or verifies; both read every byte, as there are few.
fn look(session: &Session, verify: Option<Option<&str>>) -> Result<Report, Failure> {
    let state = State::open(&session.host)?;
    let results: Vec<_> = match (&state, verify.flatten()) {
        (None, None) => Vec::new(),
        (None, Some(named)) => {
            return Err(backup::no_such(&state::shown(&session.host), named).into());
        }
        (Some(state), None) => {
            backup::list(state)?.into_iter().map(|id| look_at(state, id)).collect()
        }
        (Some(state), Some(named)) => vec![look_at(state, backup::find(state, named)?)],
    };
    let damaged = results.iter().any(|result| result.status == "damaged");
    let text = text(&results);
    let report = Report::done(&BackupsReport { backups: results, removed: Vec::new() }, text);
    if damaged && verify.is_some() {
        Ok(report.ending(Exit::Refused, Some(Reason::Damaged)))
    } else {
        Ok(report)
    }
}

fn look_at(state: &State, id: BackupId) -> BackupResult {
    match backup::open(state, &id) {
        Ok(backup) => {
            BackupResult { id, status: "intact", message: None, record: Some(backup.record) }
        }
        Err(error) => BackupResult {
            id,
            status: "damaged",
            message: Some(Failure::from(error).into_message()),
            record: None,
        },
    }
}

fn text(results: &[BackupResult]) -> String {
    if results.is_empty() {
        return "There are no backups: nothing was ever changed with this program.\n".to_owned();
    }
    let mut table = Table::with_headings(&["backup", "made before", "managers", "state"]);
    for result in results {
        let (before, managers) = match &result.record {
            None => ("?".to_owned(), "?".to_owned()),
            Some(record) => {
                let managers: Vec<_> =
                    record.peers.iter().map(|peer| peer.manager.short().to_owned()).collect();
                (record.before.clone(), managers.join(" "))
            }
        };
        table.row([result.id.to_string(), before, managers, result.status.to_owned()]);
    }
    let mut text = table.text();
    for message in results.iter().filter_map(|result| result.message.as_ref()) {
        let message = format!("({}): {}", Reason::Damaged, formats::text::printable(message));
        text.push_str(&wrap("  refused ", 4, &message));
    }
    text
}

fn prune(session: &Session, keep: usize, yes: bool) -> Result<Report, Failure> {
    let wait = Wait::default();
    with_lock(session, "backups prune", wait, |context, narrator| {
        let recovered = finish_interrupted(session, context, narrator)?.is_some();
        let ids = backup::list(context.state)?;
        let doomed = ids.get(..ids.len().saturating_sub(keep)).unwrap_or_default();
        if !doomed.is_empty() && !yes {
            let question = format!("Remove the {} oldest of {} backups?", doomed.len(), ids.len());
            let confirmed = session.terminal.can_ask()
                && question::confirm(&session.terminal, &question)
                    .map_err(|error| Failure::io("the terminal", &error))?;
            if !confirmed {
                return Err(Failure::refused(
                    Reason::NotConfirmed,
                    "not confirmed; nothing was removed",
                )
                .hint("give --yes to go on without asking"));
            }
        }
        for (removed, id) in doomed.iter().enumerate() {
            backup::remove(context.state, id).map_err(Failure::from).map_err(|failure| {
                match removed {
                    0 => failure,
                    // not 1 or 3, which say that nothing was changed
                    _ => failure
                        .preceded_by(format!("{removed} were removed, then"))
                        .exit(Exit::NeedsPerson)
                        .also_hint("mend that, then run the same command again"),
                }
            })?;
        }
        let text = format!("Removed {} of {} backups.\n", doomed.len(), ids.len());
        let report = BackupsReport { backups: Vec::new(), removed: doomed.to_vec() };
        let line = LogLine::new(context.host.now(), "backups prune", "pruned", Exit::Done.code());
        Ok((Report::done(&report, text).changed(recovered || !doomed.is_empty()), line))
    })
}
