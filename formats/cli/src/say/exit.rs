//! Exit codes and failures, the same in both programs.

use std::fmt::Display;
use std::process::ExitCode;

use formats::error::{Reason, Reasoned};
use rustix::io::Errno;
use serde_json::{Map, Value};

/// Where a limit on the size of files is set.
const FILE_SIZE: &str =
    "a limit on the size of files is set: `ulimit -f unlimited`, then the same command again";
/// For a shell that allows hardly any open files.
const FILES: &str = "too many files are open at once for this shell's limit: `ulimit -n 1024`, then the same command again";

/// How a program ends. Scripts are written against the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; also when there was nothing to do.
    Done = 0,
    /// Failed unexpectedly, nothing changed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// A check failed, nothing changed.
    Refused = 3,
    /// Some devices were refused, the kit holds the others.
    Partly = 4,
    /// Installed, but sftunnel is not confirmed running.
    Unconfirmed = 5,
    /// Rolled back, sftunnel runs on the old files.
    RolledBack = 6,
    /// A person is needed.
    NeedsPerson = 7,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command ended otherwise than well: what happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The stable word, for [`Exit::Refused`] and kin.
    pub reason: Option<Reason>,
    /// What was expected and what was found. May hold foreign text: printed sanitised.
    pub message: String,
    /// What to do next; empty when the message says it.
    pub hint: String,
    /// Further fields of the JSON object, such as `results`.
    pub body: Option<Box<Map<String, Value>>>,
}

impl Failure {
    /// A check failed, for one of the reasons of docs/json.md.
    pub fn refused(reason: Reason, message: impl Display) -> Self {
        Self {
            exit: Exit::Refused,
            reason: Some(reason),
            message: message.to_string(),
            hint: String::new(),
            body: None,
        }
    }

    /// An error of the library about `subject` (a path, a device), refused for its own reason.
    pub fn of(subject: impl Display, error: &impl Reasoned) -> Self {
        Self::refused(error.reason(), in_one_line(&format!("{subject}: {error}")))
    }

    /// The command line asks for something impossible.
    pub fn usage(message: impl Display) -> Self {
        Self {
            exit: Exit::Usage,
            reason: None,
            message: message.to_string(),
            hint: String::new(),
            body: None,
        }
    }

    /// Something that should not happen; nothing changed.
    pub fn unexpected(message: impl Display) -> Self {
        Self {
            exit: Exit::Failed,
            reason: None,
            message: message.to_string(),
            hint: String::new(),
            body: None,
        }
    }

    /// An input or output error about `subject`, told apart where there is a word for it.
    pub fn io(subject: impl Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let reason = match error.kind() {
            Kind::NotFound => Reason::NotFound,
            Kind::StorageFull | Kind::QuotaExceeded => Reason::NoSpace,
            Kind::ReadOnlyFilesystem => Reason::ReadOnly,
            Kind::AlreadyExists => Reason::Exists,
            _ => {
                let failure = Self::unexpected(in_one_line(&format!("{subject}: {error}")));
                let code = Errno::from_io_error(error);
                return match code {
                    Some(Errno::MFILE | Errno::NFILE) => failure.hint(FILES),
                    Some(Errno::FBIG) => failure.hint(FILE_SIZE),
                    _ => failure,
                };
            }
        };
        Self::refused(reason, in_one_line(&format!("{subject}: {error}")))
    }

    /// Adds what to do next, unless the failure already says.
    #[must_use]
    pub fn hint(mut self, hint: impl Display) -> Self {
        if self.hint.is_empty() {
            self.hint = hint.to_string();
        }
        self
    }

    /// Message and next step in one sentence, for where there is one line.
    pub fn in_a_line(&self) -> String {
        match self.hint.is_empty() {
            true => self.message.clone(),
            false => format!("{}; {}", self.message, self.hint.replace('\n', "; ")),
        }
    }

    /// The same with what had happened by then before it.
    #[must_use]
    pub fn preceded_by(mut self, happened: impl Display) -> Self {
        self.message = format!("{happened}: {}", self.message);
        self
    }

    /// Adds a further step to what is to be done next.
    #[must_use]
    pub fn also_hint(mut self, hint: impl Display) -> Self {
        if !self.hint.is_empty() {
            self.hint.push('\n');
        }
        self.hint.push_str(&hint.to_string());
        self
    }

    /// Adds fields to the JSON object.
    #[must_use]
    pub fn body(mut self, body: &impl serde::Serialize) -> Self {
        if let Ok(Value::Object(fields)) = serde_json::to_value(body) {
            self.body = Some(Box::new(fields));
        }
        self
    }

    /// With another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// A path may hold line breaks; those of a message are ours.
fn in_one_line(text: &str) -> String {
    text.replace('\n', "\\u{a}")
}
