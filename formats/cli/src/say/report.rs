//! The result of a command: one JSON object on stdout, or text for a person.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use formats::error::Reason;
use formats::text::printable;
use serde::Serialize;
use serde_json::Value;

use crate::say::exit::Exit;
use crate::say::failure::Failure;
use crate::say::monitoring::{self, Level};
use crate::say::page::{plain_errors, wrap};
use crate::say::terminal::{Terminal, say};

/// Result of a command that came to its end, good or bad.
#[derive(Debug)]
pub struct Report {
    /// Exit code of the program.
    pub exit: Exit,
    /// Reason of the first refusal, if there is one.
    pub reason: Option<Reason>,
    /// Fields of the JSON object after the common ones, as the text of an object: a tree of values
    /// for ten thousand devices would be several times as large.
    body: String,
    /// Text for a person, with foreign text already sanitised; ends with a line feed.
    pub text: String,
    /// Bytes of the text that were printed as prose while the command ran, unless it is quiet.
    told: usize,
    /// True if the command changed anything that stays.
    changed: bool,
    /// Exit code in place of [`Exit::Done`] if the result cannot be written.
    exit_if_unwritten: Exit,
    /// True if the first line is printed even with `--quiet`.
    is_plugin: bool,
    /// True if the text is what was asked for, so that it is printed with `--quiet` as well.
    is_product: bool,
}

impl Report {
    /// Makes the report of a command that succeeded.
    pub fn done(body: &impl Serialize, text: String) -> Self {
        let body = serde_json::to_string_pretty(body).unwrap_or_default();
        let (exit, exit_if_unwritten) = (Exit::Done, Exit::Failed);
        Self {
            exit,
            reason: None,
            body,
            text,
            told: 0,
            changed: false,
            exit_if_unwritten,
            is_plugin: false,
            is_product: false,
        }
    }

    /// Like [`Report::done`], for a large result: the JSON is made only when it was asked for.
    pub fn for_terminal(terminal: &Terminal, body: &impl Serialize, text: String) -> Self {
        match terminal.json {
            true => Self::done(body, String::new()),
            false => Self { body: String::new(), text, ..Self::done(&(), String::new()) },
        }
    }

    /// The command's own fields of the JSON object, as the text of an object.
    pub fn json(&self) -> &str {
        &self.body
    }

    /// Notes that the command changed something: it then keeps its exit code even if the result
    /// cannot be written, as 1 means that nothing was changed.
    #[must_use]
    pub fn changed(mut self, changed: bool) -> Self {
        self.changed = changed;
        self
    }

    /// Notes that so much of the text was printed as prose while the command ran.
    #[must_use]
    pub fn told(mut self, told: usize) -> Self {
        self.told = told;
        self
    }

    /// Ends the command like a monitoring plugin: a result that cannot be written is UNKNOWN.
    #[must_use]
    pub fn monitoring(mut self, level: Level) -> Self {
        (self.exit, self.exit_if_unwritten) = (level.exit(), Level::Unknown.exit());
        self.is_plugin = true;
        self
    }

    /// Prints the text with `--quiet` as well: it is the product, for a file or a pipe.
    #[must_use]
    pub fn product(mut self) -> Self {
        self.is_product = true;
        self
    }

    /// Sets another exit code and reason.
    #[must_use]
    pub fn ending(mut self, exit: Exit, reason: Option<Reason>) -> Self {
        (self.exit, self.reason) = (exit, reason);
        self
    }
}

/// The fields that every JSON object begins with. `docs/json.md` describes them.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    pub(super) schema: &'a str,
    pub(super) exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<&'a str>,
    #[serde(flatten)]
    pub(super) body: Option<&'a serde_json::Map<String, Value>>,
}

/// Prints a result and returns the exit code. `program` is the program's name, `schema` names the
/// JSON object.
pub fn finish(
    terminal: &Terminal,
    program: &str,
    schema: &str,
    result: Result<Report, Failure>,
) -> ExitCode {
    let (exit, changed, exit_if_unwritten) = match &result {
        Ok(report) => (report.exit, report.changed, report.exit_if_unwritten),
        Err(failure) => (failure.exit_code(), false, Exit::Failed),
    };
    let printed = match result {
        Ok(report) => print_report(terminal, schema, &report),
        Err(failure) => print_failure(terminal, program, schema, &failure),
    };
    match printed {
        // a pipe without a reader is fine; what was done stays done
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let done = if changed { "what was to be done is done, but " } else { "" };
            say(&format!(
                "{program}: {done}the result cannot be written: {}\n",
                plain_errors(&error.to_string())
            ));
            if exit == Exit::Done && !changed { exit_if_unwritten.into() } else { exit.into() }
        }
        _ => exit.into(),
    }
}

fn print_report(terminal: &Terminal, schema: &str, report: &Report) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    if terminal.json {
        let envelope = Envelope {
            schema,
            exit_code: report.exit.code(),
            reason: report.reason,
            message: None,
            next: None,
            body: None,
        };
        let common = serde_json::to_string_pretty(&envelope)?;
        let object = joined(&common, &report.body);
        if terminal.json_lines {
            let object: Value = serde_json::from_str(&object.concat())?;
            stdout.write_all(ascii_json_line(&object)?.as_bytes())?;
            return stdout.flush();
        }
        write_ascii(&mut stdout, &object)?;
        return stdout.write_all(b"\n").and_then(|()| stdout.flush());
    }
    if !terminal.quiet || report.is_product || report.exit != Exit::Done {
        let told = if terminal.quiet { 0 } else { report.told };
        stdout.write_all(report.text.get(told..).unwrap_or_default().as_bytes())?;
    } else if let (true, Some(line)) = (report.is_plugin, report.text.lines().next()) {
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()
}

fn print_failure(
    terminal: &Terminal,
    program: &str,
    schema: &str,
    failure: &Failure,
) -> io::Result<()> {
    // for people first, as the reader of the JSON may be gone
    say(&failure_text(program, failure));
    if terminal.json {
        let envelope = Envelope {
            schema,
            exit_code: failure.exit_code().code(),
            reason: failure.reason(),
            message: Some(failure.message()),
            next: failure.next_step(),
            body: failure.fields(),
        };
        let json = match terminal.json_lines {
            true => ascii_json_line(&envelope)?,
            false => ascii_json(&envelope)? + "\n",
        };
        io::stdout().lock().write_all(json.as_bytes())?;
    }
    Ok(())
}

/// Turns a failure into that of a monitoring plugin: a line on standard output, and UNKNOWN.
///
/// # Errors
/// Returns the failure, with that exit code.
pub fn as_plugin(terminal: &Terminal, result: Result<Report, Failure>) -> Result<Report, Failure> {
    result.map_err(|failure| {
        if !terminal.json {
            // a closed standard output changes nothing
            let _ = io::stdout().write_all(monitoring::unknown_line(&failure).as_bytes());
        }
        monitoring::unknown(failure)
    })
}

/// Text of a failure for a person.
pub fn failure_text(program: &str, failure: &Failure) -> String {
    let mut text = String::new();
    let kind = match (failure.exit_code(), failure.reason()) {
        (Exit::Refused, Some(reason)) => format!("refused ({reason}): "),
        (_, Some(reason)) => format!("{reason}: "),
        _ => String::new(),
    };
    // a message may have several lines; each is sanitised, the line breaks are ours
    for (at, line) in failure.message().lines().enumerate() {
        let start = if at == 0 { format!("{program}: {kind}") } else { "  ".to_owned() };
        text.push_str(&wrap(&start, 2, &printable(line).to_string()));
    }
    for line in failure.next_step().unwrap_or_default().lines() {
        text.push_str(&wrap("  next: ", 8, &printable(line).to_string()));
    }
    text
}

/// Joins the texts of two objects into that of one: the fields of the first, then those of the
/// second. Both are indented, so that each field begins a line.
fn joined<'a>(first: &'a str, second: &'a str) -> [&'a str; 3] {
    let fields = second.strip_prefix('{').filter(|fields| fields.starts_with('\n'));
    match (first.strip_suffix("\n}"), fields) {
        (Some(first), Some(fields)) => [first, ",", fields],
        _ => [first, "", ""],
    }
}

/// Serialises to JSON in ASCII only, so that a terminal that shows it finds no control characters.
pub(super) fn ascii_json(value: &impl Serialize) -> io::Result<String> {
    let json = serde_json::to_string_pretty(value)?;
    let mut ascii = Vec::with_capacity(json.len());
    write_ascii(&mut ascii, &[&json])?;
    String::from_utf8(ascii).map_err(io::Error::other)
}

/// The same on one line, with its end.
pub(super) fn ascii_json_line(value: &impl Serialize) -> io::Result<String> {
    let mut ascii = Vec::new();
    write_ascii(&mut ascii, &[&serde_json::to_string(value)?, "\n"])?;
    String::from_utf8(ascii).map_err(io::Error::other)
}

fn write_ascii(out: &mut impl io::Write, parts: &[&str]) -> io::Result<()> {
    for part in parts {
        let mut rest = *part;
        while let Some(at) = rest.find(|c| !matches!(c, '\n' | ' '..='~')) {
            let (plain, other) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut characters = other.chars();
            // such characters occur only inside strings
            if let Some(c) = characters.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        out.write_all(rest.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_ascii_and_still_the_same() {
        let text = "Zürich \u{1b}[31m \u{202e} \u{7f} 😀";
        let json = ascii_json(&text).unwrap();
        assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn the_fields_of_a_result_follow_the_common_ones() {
        let one = serde_json::to_string_pretty(&serde_json::json!({ "a": [1], "b": {} })).unwrap();
        for (body, expected) in [
            (serde_json::json!({ "c": "}" }), serde_json::json!({ "a": [1], "b": {}, "c": "}" })),
            (serde_json::json!({}), serde_json::json!({ "a": [1], "b": {} })),
            (serde_json::Value::Null, serde_json::json!({ "a": [1], "b": {} })),
        ] {
            let body = serde_json::to_string_pretty(&body).unwrap();
            let both: serde_json::Value =
                serde_json::from_str(&joined(&one, &body).concat()).unwrap();
            assert_eq!(both, expected);
        }
    }

    #[test]
    fn messages_are_sanitised_line_by_line() {
        let failure = Failure::refused(Reason::Damaged, "one\u{1b}[2J\ntwo").hint("copy it again");
        let text = failure_text("x", &failure);
        assert_eq!(text, "x: refused (damaged): one\\u{1b}[2J\n  two\n  next: copy it again\n");
    }
}
