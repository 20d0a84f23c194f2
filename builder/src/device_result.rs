//! Results of each device, in the words that people and JSON share.

use cli::kit::words::count;
use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::page::wrapped;
use cli::say::terminal::Terminal;
use formats::bundle::manifest::Device;
use formats::device::{DeviceName, DeviceUuid};
use formats::error::Reason;
use formats::text::printable;
use serde::Serialize;

/// A device in a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DeviceRef {
    pub uuid: DeviceUuid,
    /// Its name; null when only a line is known that does not give it.
    pub name: Option<DeviceName>,
}

impl DeviceRef {
    /// The device of a manifest.
    pub(crate) fn of(device: &Device) -> Self {
        Self { uuid: device.uuid.clone(), name: Some(device.name.clone()) }
    }

    /// Name and the UUID's first eight characters, or the UUID, sanitised.
    pub(crate) fn shown(&self) -> String {
        match &self.name {
            Some(name) => format!("{} ({})", printable(name.as_str()), self.uuid.short()),
            None => self.uuid.to_string(),
        }
    }
}

/// Reason why a device is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    pub reason: Reason,
    pub message: String,
    /// The next step; absent when the message says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// The line of FAILED_PUSH that cannot be used; absent when it is not about a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The FAILED_PUSH that the line stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_push: Option<String>,
}

impl Refusal {
    /// Makes it of a failure that concerns one device only.
    pub(crate) fn of(failure: impl Into<Failure>) -> Self {
        let failure = failure.into();
        Self {
            // an input error without a word of its own
            reason: failure.reason().unwrap_or(Reason::CannotRead),
            next: failure.next_step().unwrap_or_default().to_owned(),
            message: failure.into_message(),
            line: None,
            failed_push: None,
        }
    }
}

/// Result of one device (or of one line that names none). `F` are the facts about a
/// device that was not refused.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceResult<F> {
    /// The device; null for a line of FAILED_PUSH that names none.
    pub device: Option<DeviceRef>,
    /// `ready` (plan), `bundled` (build), or `refused`.
    pub status: &'static str,
    /// Present with `refused`.
    #[serde(flatten)]
    pub refusal: Option<Box<Refusal>>,
    /// Present otherwise.
    #[serde(flatten)]
    pub facts: Option<F>,
    /// Things to know that refuse nothing.
    pub notes: Vec<String>,
}

impl<F> DeviceResult<F> {
    /// A device that is left out.
    pub(crate) fn refused(device: Option<DeviceRef>, refusal: Refusal, notes: Vec<String>) -> Self {
        Self { device, status: "refused", refusal: Some(Box::new(refusal)), facts: None, notes }
    }

    /// A device that is not.
    pub(crate) fn good(
        device: DeviceRef,
        status: &'static str,
        facts: F,
        notes: Vec<String>,
    ) -> Self {
        Self { device: Some(device), status, refusal: None, facts: Some(facts), notes }
    }
}

/// Exit code of a run over these devices: 0, 4 when some were refused, 3 when all were.
pub(crate) fn exit<F>(results: &[DeviceResult<F>]) -> (Exit, Option<Reason>) {
    let mut refusals = results.iter().filter_map(|result| result.refusal.as_ref());
    let Some(first) = refusals.next() else { return (Exit::Done, None) };
    let exit = if results.iter().any(|result| result.facts.is_some()) {
        Exit::Partly
    } else {
        Exit::Refused
    };
    (exit, Some(first.reason))
}

/// The refused devices for a person, each with what to do next.
pub(crate) fn refusals_text<F>(results: &[DeviceResult<F>]) -> String {
    let mut text = String::new();
    let (not_root, others): (Vec<_>, Vec<_>) = results
        .iter()
        .filter_map(|result| Some((result, result.refusal.as_ref()?)))
        .partition(|(_, refusal)| refusal.reason == Reason::NotRoot);
    // what root alone may read is told once, not once a device
    let (told, as_well) = not_root.split_at(not_root.len().min(1));
    for (result, refusal) in told.iter().chain(&others) {
        let place = match (&refusal.failed_push, refusal.line) {
            (Some(file), Some(line)) => format!("{}, line {line}", printable(file)),
            _ => String::new(),
        };
        let subject = match (&result.device, place.is_empty()) {
            (Some(device), true) => device.shown(),
            (Some(device), false) => format!("{}: {place}", device.shown()),
            (None, true) => "device not known".to_owned(),
            (None, false) => place,
        };
        text.push_str(&format!("  {subject}\n    refused ({})\n", refusal.reason));
        for line in refusal.message.lines() {
            text.push_str(&wrapped("    ", &printable(line).to_string()));
        }
        for line in refusal.next.lines() {
            text.push_str(&wrapped("    next: ", &printable(line).to_string()));
        }
        for note in &result.notes {
            text.push_str(&wrapped("    note: ", &printable(note).to_string()));
        }
        if refusal.reason == Reason::NotRoot && !as_well.is_empty() {
            let others = count(as_well.len(), "other device");
            text.push_str(&wrapped("    note: ", &format!("the same for {others}")));
        }
    }
    text
}

/// Lines about all of a run that a person should not miss.
pub(crate) fn warnings_text(warnings: &[String]) -> String {
    let lines: String =
        warnings.iter().map(|warning| wrapped("  ! ", &printable(warning).to_string())).collect();
    if lines.is_empty() { lines } else { format!("\nWarnings\n{lines}") }
}

/// Tells the warnings where the text that has them is not shown.
pub(crate) fn warn_when_quiet(terminal: &Terminal, exit: Exit, warnings: &[String]) {
    if terminal.quiet && exit == Exit::Done {
        warnings.iter().for_each(|warning| terminal.warn(warning));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> DeviceResult<()> {
        let failure = Failure::refused(Reason::KeyMismatch, "key and certificate differ");
        DeviceResult::refused(None, Refusal::of(failure), Vec::new())
    }

    fn good() -> DeviceResult<()> {
        let uuid = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e".parse().unwrap();
        DeviceResult::good(DeviceRef { uuid, name: None }, "ready", (), Vec::new())
    }

    #[test]
    fn what_root_alone_may_read_is_told_once() {
        let denied = || {
            let failure = Failure::refused(Reason::NotRoot, "x: Permission denied").hint("be root");
            DeviceResult::<()>::refused(None, Refusal::of(failure), Vec::new())
        };
        let text = refusals_text(&[denied(), refused(), denied(), denied()]);
        assert_eq!(text.matches("Permission denied").count(), 1, "{text}");
        assert!(text.contains("the same for 2 other devices"), "{text}");
        assert!(text.contains("key and certificate differ"), "{text}");
    }

    #[test]
    fn one_bad_device_is_partly_and_none_left_is_refused() {
        assert_eq!(exit(&[good()]), (Exit::Done, None));
        assert_eq!(exit(&[good(), refused()]), (Exit::Partly, Some(Reason::KeyMismatch)));
        assert_eq!(exit(&[refused()]), (Exit::Refused, Some(Reason::KeyMismatch)));
    }
}
