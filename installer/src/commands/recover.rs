//! `recover`: finishes a run that was interrupted.

use console::exit::{Exit, Failure};
use console::report::Report;
use serde::Serialize;

use super::{Session, recovered_text, with_lock};
use crate::args::RecoverArgs;
use crate::recovery::{self, Recovered};
use crate::run_log::LogLine;

/// `sftunnel-install.recover/1`.
#[derive(Debug, Serialize)]
struct RecoverReport {
    /// `nothing`, `all-old` or `all-new`.
    outcome: &'static str,
    /// Staged files that were removed.
    leftovers: usize,
    /// The backup that holds the old files.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<String>,
    /// sftunnel's process, where it had to be confirmed or restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    sftunnel_pid: Option<u32>,
}

/// Runs it.
///
/// # Errors
/// Exit 7 when a person is needed.
pub(crate) fn run(session: &Session, args: &RecoverArgs) -> Result<Report, Failure> {
    with_lock(session, "recover", args.wait, |context| {
        let recovered = recovery::recover(context)?;
        let changed = !matches!(recovered, Recovered::Nothing { .. });
        let text = format!("{}.\n", capitalised(&recovered_text(&recovered)));
        let report = match recovered {
            Recovered::Nothing { leftovers } => {
                RecoverReport { outcome: "nothing", leftovers, backup: None, sftunnel_pid: None }
            }
            Recovered::AllOld { backup, pid } => RecoverReport {
                outcome: "all-old",
                leftovers: 0,
                backup: Some(backup),
                sftunnel_pid: pid,
            },
            Recovered::AllNew { backup, pid } => RecoverReport {
                outcome: "all-new",
                leftovers: 0,
                backup: Some(backup),
                sftunnel_pid: Some(pid),
            },
        };
        let mut line =
            LogLine::new(context.host.now(), "recover", report.outcome, Exit::Done.code());
        line.backup.clone_from(&report.backup);
        Ok((Report::done(&report, text).changed(changed), line))
    })
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
