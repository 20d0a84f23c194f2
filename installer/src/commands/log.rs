//! `log`: the runs on this box, their times and their outcomes.

use cli::say::exit::Failure;
use cli::say::page::{Table, wrap};
use cli::say::report::Report;
use formats::text::printable;
use serde::Serialize;

use super::Session;
use crate::appliance::run_log::LogLine;
use crate::appliance::state::State;

/// The JSON of `log`.
#[derive(Debug, Serialize)]
struct LogReport {
    /// The runs, oldest first.
    lines: Vec<LogLine>,
    /// Lines that cannot be read: a run was cut off while writing one.
    unreadable: usize,
}

pub(crate) fn run(session: &Session) -> Result<Report, Failure> {
    let state = State::open(&session.host)?;
    let bytes =
        state.as_ref().map(|state| state.read("log")).transpose()?.flatten().unwrap_or_default();
    let mut report = LogReport { lines: Vec::new(), unreadable: 0 };
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match formats::json::object(line) {
            Ok(line) => report.lines.push(line),
            Err(_) => report.unreadable += 1,
        }
    }
    let mut table = Table::with_headings(&["when (UTC)", "command", "outcome", "exit"]);
    for line in &report.lines {
        let outcome = match &line.reason {
            Some(reason) => format!("{} ({reason})", line.outcome),
            None => line.outcome.clone(),
        };
        let cells =
            [line.at.to_string(), line.command.clone(), outcome, line.exit_code.to_string()];
        table.row(cells.map(|cell| printable(&cell).to_string()));
    }
    let mut text =
        if report.lines.is_empty() { "The log is empty.\n".to_owned() } else { String::new() };
    let rows = table.text();
    let mut rows = rows.lines();
    if let Some(headings) = rows.next().filter(|_| !report.lines.is_empty()) {
        text.push_str(&format!("{headings}\n"));
    }
    for (row, line) in rows.zip(&report.lines) {
        text.push_str(&format!("{row}\n"));
        if let Some(message) = &line.message {
            for line in message.lines() {
                text.push_str(&wrap("      ", 6, &printable(line).to_string()));
            }
        }
    }
    if report.unreadable > 0 {
        text.push_str(&format!("{} line(s) cannot be read.\n", report.unreadable));
    }
    Ok(Report::done(&report, text))
}
