//! One file for each command; [`kit_heading`] is what `plan` and `build` both begin with.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod handoff;
pub(crate) mod inspect;
pub(crate) mod keygen;
pub(crate) mod plan;
pub(crate) mod receipts;
pub(crate) mod verify;

use cli::kit::words;
use cli::say::exit::Exit;
use cli::say::terminal::{Terminal, shortened};
use formats::bundle::manifest::Manager;
use formats::text::printable;
use formats::timestamp::Timestamp;

use crate::fmc::plan::Source;
use crate::kit::device_result::wrapped;
use crate::kit::inputs::Prepared;

/// Where the devices come from and for whom.
fn kit_heading(prepared: &Prepared, manager: Option<&Manager>) -> String {
    let mut text = String::new();
    if let Some(manager) = manager {
        text.push_str(&format!("  manager      {}\n", words::manager(manager)));
    }
    text.push_str(&format!("  batch        {}{}\n", prepared.plan.batch, day(prepared.plan.batch)));
    if prepared.plan.source == Source::Peers {
        text.push_str("  from         the devices' folders in /var/sf/peers, without a list\n");
    }
    for file in &prepared.plan.failed_push {
        text.push_str(&format!("  from         {}\n", printable(file)));
    }
    text
}

fn day(batch: u64) -> String {
    let time = i64::try_from(batch).ok().and_then(|seconds| Timestamp::from_unix(seconds).ok());
    time.map_or_else(String::new, |time| format!(" ({time})"))
}

/// The same lines where the text that has them is not shown.
fn warn_when_quiet(terminal: &Terminal, exit: Exit, warnings: &[String]) {
    if terminal.quiet && exit == Exit::Done {
        warnings.iter().for_each(|warning| terminal.warn(warning));
    }
}

/// Lines that a person should not miss.
fn warnings_text(warnings: &[String]) -> String {
    let lines: String =
        warnings.iter().map(|warning| wrapped("  ! ", &printable(warning).to_string())).collect();
    if lines.is_empty() { lines } else { format!("\nWarnings\n{lines}") }
}
