//! Where the manager's word on its tunnels comes from: Cisco's `sftunnel_status.pl`, run here
//! and now, or what somebody saved of it.
//!
//! The program is run although nobody may have asked for it, so only when root alone could
//! have put it there, with a time limit and bounded output; else there is a note instead.
//! A file is as old as it is: its time is that of the last copy.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::disk::input;
use cli::disk::trusted::trusted;
use cli::process::command::{self, CommandError, Print};
use formats::cisco::facts::STATUS_SCRIPT_OF_MANAGER;
use formats::decode;
use formats::limits;
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::Context;
use crate::args::StatusArgs;
use crate::fmc::error::Error;

/// Origin of the status output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StatusOrigin {
    /// The program was run.
    Program,
    /// A file with its output was given.
    File,
}

/// Output of the status program.
#[derive(Debug)]
pub(crate) struct Output {
    pub source: StatusOrigin,
    /// The program or the file.
    pub path: PathBuf,
    /// Time of the run, or the file's modification time.
    pub at: Timestamp,
    /// All of it, or the first MiB of a program's; foreign text.
    pub text: String,
    /// Reason why the output may be incomplete.
    pub cut: Option<String>,
}

/// The output, or the reason why there is none.
#[derive(Debug)]
pub(crate) enum Answer {
    Printed(Output),
    /// Nothing is known of the tunnels, for this reason.
    Silent(String),
    /// Nobody wants to know.
    NotWanted,
}

/// Obtains the output in the way that the operator chose. Fails only for a file or program that
/// was named.
pub(crate) fn ask(args: &StatusArgs, context: &Context) -> Result<Answer, Error> {
    if let Some(path) = &args.status_file {
        return saved(path).map(Answer::Printed);
    }
    if args.no_status_program {
        return Ok(Answer::NotWanted);
    }
    let path = match &args.status_program {
        Some(path) => match path.try_exists() {
            Ok(true) => path.clone(),
            Ok(false) => return Err(Error::NoStatusProgram(path.clone())),
            Err(error) => return Err(Error::Input { path: path.clone(), error: error.into() }),
        },
        // below another root the kernel would follow an absolute link out of it
        None => match context.root.outside("/") == Path::new("/") {
            true => PathBuf::from(STATUS_SCRIPT_OF_MANAGER),
            false => context
                .root
                .resolved(Path::new(STATUS_SCRIPT_OF_MANAGER))
                .unwrap_or_else(|_| context.root.outside(STATUS_SCRIPT_OF_MANAGER)),
        },
    };
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(Answer::Silent(format!("there is no {}", path.display()))),
        Err(error) => return Ok(Answer::Silent(format!("{}: {error}", path.display()))),
    }
    Ok(run(path, Duration::from_secs(args.status_timeout), context.now))
}

fn run(path: PathBuf, limit: Duration, at: Timestamp) -> Answer {
    let program = match trusted(&path) {
        Ok(program) => program,
        Err(error) => return Answer::Silent(format!("not run: {error}")),
    };
    match command::run(&program, &[], Print::Kept, limit) {
        // its exit codes are not documented; what it prints decides
        Ok(finished) => printed(path, at, &finished.output, None),
        // it asks one device after the other, and those that are down take long
        Err(error @ CommandError::TimeOut { .. }) => {
            let longer = "--status-timeout SECONDS gives it longer";
            let why = format!("{} {error}", path.display());
            match error {
                CommandError::TimeOut { output, .. } if !output.is_empty() => {
                    let why = format!("{why}; what it had printed by then counts. {longer}");
                    printed(path, at, &output, Some(why))
                }
                _ => Answer::Silent(format!("{why}; {longer}")),
            }
        }
        Err(error) => Answer::Silent(format!("{}: {error}", path.display())),
    }
}

fn printed(path: PathBuf, at: Timestamp, output: &[u8], cut: Option<String>) -> Answer {
    Answer::Printed(Output {
        source: StatusOrigin::Program,
        path,
        at,
        text: decode::lossy(output),
        cut,
    })
}

fn saved(path: &Path) -> Result<Output, Error> {
    let failed = |error| Error::Input { path: path.to_owned(), error };
    let file = input::opened(path).map_err(|error| failed(error.into()))?;
    let modified = file.metadata().map_err(|error| failed(error.into()))?.mtime();
    let bytes = limits::read_public(file, limits::STATUS_OUTPUT).map_err(failed)?;
    let at = Timestamp::from_unix(modified).unwrap_or(Timestamp::EPOCH);
    let text = decode::lossy(&bytes);
    Ok(Output { source: StatusOrigin::File, path: path.to_owned(), at, text, cut: None })
}

/// JSON fields: the origin of what is known of the tunnels, and how many are up.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TunnelsView {
    /// `program`, `file`; null when neither was asked.
    pub source: Option<StatusOrigin>,
    /// The program or the file.
    pub path: Option<PathBuf>,
    /// Time of the run, or the file's modification time.
    pub at: Option<Timestamp>,
    /// Number of tunnels that are up.
    pub up: usize,
    /// Number of tunnels that are down.
    pub down: usize,
    /// Number of tunnels of unknown state.
    pub unknown: usize,
    /// Only in `check`: number of further tunnels that are up, of unknown devices.
    #[serde(skip_serializing_if = "is_none")]
    pub strangers: usize,
    /// Reason why nothing is known or, with a source, why there may be more; foreign text.
    pub note: Option<String>,
}

fn is_none(number: &usize) -> bool {
    *number == 0
}

impl TunnelsView {
    /// Starts with nothing counted.
    pub(crate) fn of(asked: &Answer) -> Self {
        match asked {
            Answer::Printed(output) => Self {
                source: Some(output.source),
                path: Some(output.path.clone()),
                at: Some(output.at),
                note: output.cut.clone(),
                ..Self::default()
            },
            Answer::Silent(why) => Self { note: Some(why.clone()), ..Self::default() },
            Answer::NotWanted => Self::default(),
        }
    }

    /// The note, for people.
    pub(crate) fn note_text(&self) -> Option<String> {
        let what = if self.source.is_some() { "perhaps not all" } else { "not known" };
        self.note.as_ref().map(|note| format!("{what}: {note}"))
    }

    /// Names the origin for people: the program, or the file and its age.
    pub(crate) fn heading(&self) -> Option<String> {
        let (path, at) = (self.path.as_ref()?.display(), self.at?);
        Some(match self.source? {
            StatusOrigin::Program => format!("as {path} shows them now"),
            StatusOrigin::File => format!("as {path} has them, written or copied {at}"),
        })
    }
}
