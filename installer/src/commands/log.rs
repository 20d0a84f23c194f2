//! `log`: the runs on this box, their times and their outcomes.

use std::fmt::Write as _;

use cli::say::failure::Failure;
use cli::say::page::{Page, Table};
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
    let mut page = Page::default();
    let rows = table.text();
    let mut rows = rows.lines();
    match rows.next() {
        Some(headings) if !report.lines.is_empty() => {
            let _ = writeln!(page, "{headings}");
        }
        _ => page.push("The log is empty.\n"),
    }
    for (row, line) in rows.zip(&report.lines) {
        let _ = writeln!(page, "{row}");
        line.message.iter().for_each(|message| page.notes("      ", message));
    }
    if report.unreadable > 0 {
        let _ = writeln!(page, "{} line(s) cannot be read.", report.unreadable);
    }
    Ok(Report::done(&report, page.text()))
}
