//! The log: one JSON line for each run that could change something.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use cli::disk::durable::sync_dir;
use formats::error::Reason;
use formats::timestamp::Timestamp;
use rustix::fs::{Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::appliance::state::State;

const NAME: &str = "log";

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogLine {
    /// By the box's clock, at the end of the run.
    pub at: Timestamp,
    /// `install`, `rollback`, `recover`, …
    pub command: String,
    /// The word of the outcome.
    pub outcome: String,
    /// The exit code.
    pub exit_code: u8,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened, in words; foreign text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The backup that was made or put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The bundles' ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<String>,
    /// Version of the program.
    pub program: String,
}

impl LogLine {
    /// A line with what every line has.
    pub(crate) fn new(at: Timestamp, command: &str, outcome: &str, exit_code: u8) -> Self {
        Self {
            at,
            command: command.to_owned(),
            outcome: outcome.to_owned(),
            exit_code,
            reason: None,
            message: None,
            backup: None,
            bundles: Vec::new(),
            program: cli::say::version::VERSION.to_owned(),
        }
    }

    /// With a reason.
    pub(crate) fn reason(mut self, reason: Option<Reason>) -> Self {
        self.reason = reason.map(|reason| reason.word().to_owned());
        self
    }
}

/// Appends a line, durably. The log is the last thing that may stop an installation, so the
/// caller decides what a failure means.
pub(crate) fn append(state: &State, line: &LogLine) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(state.dir(), OsStr::new(NAME), flags, Mode::from_raw_mode(0o600))?;
    let mut file = File::from(file);
    // one write: a line is there whole or not at all
    let mut text = Vec::new();
    if !ends_with_a_line(&file)? {
        // what a crash cut off must not take this line with it
        text.push(b'\n');
    }
    serde_json::to_writer(&mut text, line)?;
    text.push(b'\n');
    let is_new = file.metadata()?.len() == 0;
    file.write_all(&text)?;
    file.sync_data()?;
    if is_new { sync_dir(state.dir()) } else { Ok(()) }
}

fn ends_with_a_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}
