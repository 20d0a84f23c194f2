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

/// For what only root may do, or whose file it is.
const AS_ROOT: &str =
    "run this as root (in `expert` mode `sudo su`), or as the user whose file it is";
/// For what root may not do either.
const WHAT_FORBIDS_IT: &str = "`lsattr` shows whether it was made immutable, which `chattr -i` ends; else a security module forbids it (`dmesg`), or the server of the share that it lies on";
/// For a file of a later format.
const LATER_RELEASE: &str = "use the programs of the release that made it, or of a later one";

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
    exit: Exit,
    /// The stable word, for [`Exit::Refused`] and kin.
    reason: Option<Reason>,
    /// What was expected and what was found. May hold foreign text: printed sanitised.
    message: String,
    /// Absent when the message says it.
    hint: Option<String>,
    /// Further fields of the JSON object, such as `results`.
    body: Option<Box<Map<String, Value>>>,
}

impl Failure {
    /// A check failed, for one of the reasons of docs/json.md.
    pub fn refused(reason: Reason, message: impl Display) -> Self {
        Self { reason: Some(reason), ..Self::new(Exit::Refused, message) }
    }

    /// An error of the library about `subject` (a path, a device), refused for its own reason.
    pub fn of(subject: impl Display, error: &impl Reasoned) -> Self {
        let failure = Self::refused(error.reason(), in_one_line(&format!("{subject}: {error}")));
        if error.needs_later_release() { failure.hint(LATER_RELEASE) } else { failure }
    }

    /// The command line asks for something impossible.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something that should not happen; nothing changed.
    pub fn unexpected(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, reason: None, message: message.to_string(), hint: None, body: None }
    }

    /// An input or output error about `subject`, told apart where there is a word for it.
    pub fn io(subject: impl Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let reason = match error.kind() {
            Kind::NotFound => Reason::NotFound,
            Kind::StorageFull | Kind::QuotaExceeded => Reason::NoSpace,
            Kind::ReadOnlyFilesystem => Reason::ReadOnly,
            Kind::AlreadyExists => Reason::Exists,
            Kind::PermissionDenied => {
                return Self::denied(in_one_line(&format!("{subject}: {error}")));
            }
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

    /// Only root may do what was asked, or not even root.
    fn denied(message: String) -> Self {
        match rustix::process::geteuid().is_root() {
            true => Self::refused(Reason::NotPermitted, message).hint(WHAT_FORBIDS_IT),
            false => Self::refused(Reason::NotRoot, message).hint(AS_ROOT),
        }
    }

    /// Says what to do next, in place of anything said before.
    #[must_use]
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Says what to do next, unless the failure already does.
    #[must_use]
    pub fn or_hint(self, hint: impl Display) -> Self {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }

    /// Adds a further step to what is to be done next.
    #[must_use]
    pub fn also_hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(match self.hint {
            Some(first) => format!("{first}\n{hint}"),
            None => hint.to_string(),
        });
        self
    }

    /// Words the message anew.
    #[must_use]
    pub fn map_message(mut self, anew: impl FnOnce(&str) -> String) -> Self {
        self.message = anew(&self.message);
        self
    }

    /// Puts what had happened by then before the message.
    #[must_use]
    pub fn preceded_by(self, happened: impl Display) -> Self {
        self.map_message(|message| format!("{happened}: {message}"))
    }

    /// Takes the stable word away, for an end that is no refusal.
    #[must_use]
    pub fn without_reason(mut self) -> Self {
        self.reason = None;
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

    /// Ends with another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The exit code.
    pub fn exit_code(&self) -> Exit {
        self.exit
    }

    /// The command line is to blame, so that no other input would fare better.
    pub fn is_usage(&self) -> bool {
        self.exit == Exit::Usage
    }

    /// A check failed, which speaks of the one input that was checked.
    pub fn is_refusal(&self) -> bool {
        self.exit == Exit::Refused
    }

    /// The stable word, where one fits.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// What was expected and what was found; foreign text in it is not sanitised.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The message by itself.
    pub fn into_message(self) -> String {
        self.message
    }

    /// What to do next; `None` when the message says it.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Further fields of the JSON object.
    pub(super) fn fields(&self) -> Option<&Map<String, Value>> {
        self.body.as_deref()
    }

    /// Message and next step in one sentence, for where there is one line.
    pub fn in_a_line(&self) -> String {
        match &self.hint {
            None => self.message.clone(),
            Some(hint) => format!("{}; {}", self.message, hint.replace('\n', "; ")),
        }
    }
}

/// A path may hold line breaks; those of a message are ours.
fn in_one_line(text: &str) -> String {
    text.replace('\n', "\\u{a}")
}
