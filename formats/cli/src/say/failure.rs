//! A command that did not succeed, with its reason and its hint, the same in both programs.

use std::fmt::Display;

use formats::error::{Reason, Reasoned};
use rustix::io::Errno;
use serde_json::{Map, Value};

use crate::say::exit::Exit;

/// Hint when a limit on the size of files is set.
const FILE_SIZE: &str =
    "a limit on the size of files is set: `ulimit -f unlimited`, then the same command again";
/// Hint when a shell allows hardly any open files.
const FILES: &str = "too many files are open at once for this shell's limit: `ulimit -n 1024`, then the same command again";

/// Hint for actions of root, or of the owner of a file.
const AS_ROOT: &str =
    "run this as root (in `expert` mode `sudo su`), or as the user whose file it is";
/// Hint for actions that even root may not do.
const WHAT_FORBIDS_IT: &str = "look with `lsattr` whether it is immutable (`chattr -i` ends that). If not, a security module forbids it (`dmesg`), or the server of the network share";
/// Hint for a file of a later format.
const LATER_RELEASE: &str = "use the programs of the release that made it, or of a later one";

/// A command that did not succeed: what happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    /// The stable word, for [`Exit::Refused`] and similar ends.
    reason: Option<Reason>,
    /// Message: what was expected and what was found. Foreign text in it is sanitised for print.
    message: String,
    /// Next step; absent when the message says it.
    hint: Option<String>,
    /// Further fields of the JSON object, such as `results`.
    body: Option<Box<Map<String, Value>>>,
}

impl Failure {
    /// Makes the failure of a check, for one of the reasons of docs/json.md.
    pub fn refused(reason: Reason, message: impl Display) -> Self {
        Self { reason: Some(reason), ..Self::new(Exit::Refused, message) }
    }

    /// Makes a refusal of a library error about `subject` (a path, a device), for the error's own
    /// reason.
    pub fn of(subject: impl Display, error: &impl Reasoned) -> Self {
        let failure = Self::refused(error.reason(), in_one_line(&format!("{subject}: {error}")));
        if error.needs_later_release() { failure.hint(LATER_RELEASE) } else { failure }
    }

    /// Makes the failure of a command line that asks for something impossible.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Makes a failure that should not happen and has changed nothing.
    pub fn unexpected(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, reason: None, message: message.to_string(), hint: None, body: None }
    }

    /// Converts an I/O error about `subject`, with its own reason if there is one.
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

    /// Makes the refusal of an action that only root may do, or not even root.
    fn denied(message: String) -> Self {
        match rustix::process::geteuid().is_root() {
            true => Self::refused(Reason::NotPermitted, message).hint(WHAT_FORBIDS_IT),
            false => Self::refused(Reason::NotRoot, message).hint(AS_ROOT),
        }
    }

    /// Sets the hint at what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Sets the hint, unless there is one already.
    #[must_use]
    pub fn or_hint(self, hint: impl Display) -> Self {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }

    /// Adds a further step to the hint.
    #[must_use]
    pub fn also_hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(match self.hint {
            Some(first) => format!("{first}\n{hint}"),
            None => hint.to_string(),
        });
        self
    }

    /// Replaces the message.
    #[must_use]
    pub fn map_message(mut self, anew: impl FnOnce(&str) -> String) -> Self {
        self.message = anew(&self.message);
        self
    }

    /// Prefixes the message with what had happened by then.
    #[must_use]
    pub fn preceded_by(self, happened: impl Display) -> Self {
        self.map_message(|message| format!("{happened}: {message}"))
    }

    /// Removes the reason, for an end that is not a refusal.
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

    /// Sets another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The exit code.
    pub fn exit_code(&self) -> Exit {
        self.exit
    }

    /// Returns true if the command line is at fault, so that no other input would fare better.
    pub fn is_usage(&self) -> bool {
        self.exit == Exit::Usage
    }

    /// Returns true if a check failed, which concerns only the input that was checked.
    pub fn is_refusal(&self) -> bool {
        self.exit == Exit::Refused
    }

    /// The stable word, if one fits.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Message: what was expected and what was found; foreign text in it is not sanitised.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the message alone.
    pub fn into_message(self) -> String {
        self.message
    }

    /// Next step; `None` when the message says it.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Further fields of the JSON object.
    pub(super) fn fields(&self) -> Option<&Map<String, Value>> {
        self.body.as_deref()
    }

    /// Message and next step in one line.
    pub fn in_a_line(&self) -> String {
        match &self.hint {
            None => self.message.clone(),
            Some(hint) => format!("{}; {}", self.message, hint.replace('\n', "; ")),
        }
    }
}

/// Escapes line breaks, which a path may contain; in messages, only our own may stand.
fn in_one_line(text: &str) -> String {
    text.replace('\n', "\\u{a}")
}
