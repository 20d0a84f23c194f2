//! `recover`: finishes a run that was interrupted.

use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::report::Report;
use serde::Serialize;

use super::change::{stays_down, text};
use super::interrupted::recovered_text;
use super::{Session, with_lock};
use crate::appliance::run_log::LogLine;
use crate::args::RecoverArgs;
use crate::candidate::error::DroppedPeer;
use crate::change::Context;
use crate::change::backup::BackupId;
use crate::change::recover::{self, Recovered};

/// The JSON of `recover`.
#[derive(Debug, Serialize)]
struct RecoverReport {
    /// `nothing`, `all-old` or `all-new`.
    outcome: &'static str,
    /// Staged files that were removed.
    leftovers: usize,
    /// The backup that holds the old files.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<BackupId>,
    /// sftunnel's process, where it had to be confirmed or restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    sftunnel_pid: Option<u32>,
    /// The reason the new files, which were live, were given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The tunnels that stay down on the old files, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stays_down: Vec<DroppedPeer>,
    /// The paths of its receipts on this box.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<String>,
}

impl RecoverReport {
    fn of(outcome: &'static str) -> Self {
        Self {
            outcome,
            leftovers: 0,
            backup: None,
            sftunnel_pid: None,
            why: None,
            stays_down: Vec::new(),
            receipts: Vec::new(),
        }
    }
}

pub(crate) fn run(session: &Session, args: &RecoverArgs) -> Result<Report, Failure> {
    with_lock(session, "recover", args.wait, |context, _| {
        let context = Context { accept_device: args.accept_device, ..context };
        let recovered = recover::recover(context)?;
        let changed = !matches!(recovered, Recovered::Nothing { .. });
        let mut text = format!("{}.\n", capitalised(&recovered_text(&recovered)));
        let stays_down = match &recovered {
            Recovered::AllOld { backup, .. } => stays_down(context, backup),
            _ => Vec::new(),
        };
        text.push_str(&text::stays_down(&stays_down));
        let receipts = recovered.receipts(context.state);
        text.push_str(&text::left_here(&receipts));
        if !changed {
            // after exit 7 the files may be back, and sftunnel still down
            text.push_str("Whether sftunnel runs is shown by `sftunnel-install status`.\n");
        }
        let report = match recovered {
            Recovered::Nothing { leftovers } => {
                RecoverReport { leftovers, ..RecoverReport::of("nothing") }
            }
            Recovered::AllOld { backup, pid, why, .. } => RecoverReport {
                backup: Some(backup),
                sftunnel_pid: pid,
                why,
                stays_down,
                receipts,
                ..RecoverReport::of("all-old")
            },
            Recovered::AllNew { backup, pid, .. } => RecoverReport {
                backup: Some(backup),
                sftunnel_pid: Some(pid),
                receipts,
                ..RecoverReport::of("all-new")
            },
        };
        let mut line =
            LogLine::new(context.host.now(), "recover", report.outcome, Exit::Done.code());
        line.backup = report.backup.as_ref().map(ToString::to_string);
        line.message.clone_from(&report.why);
        Ok((Report::done(&report, text).changed(changed), line))
    })
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
