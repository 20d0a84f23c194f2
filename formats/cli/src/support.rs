//! One file for the colleague on the phone: what the box and this program are like, and no secret.
//!
//! Each part is made by itself: one that fails says so, and the others are there all the same. The
//! whole is ASCII, bounded, and passes `redaction` on its way out. Nothing here changes the box.

pub mod listing;
pub mod logs;
pub mod machine;
mod redaction;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use formats::text::printable;
use formats::timestamp::Timestamp;
use rustix::fs::Mode;
use serde::Serialize;

pub use self::redaction::Voice;
use self::redaction::redacted;
use crate::disk::durable;
use crate::disk::input::STDIN;
use crate::say::failure::Failure;
use crate::say::page::wrap;
use crate::say::report::Report;
use crate::say::terminal::Terminal;
use crate::say::version;

/// Bytes of a part: the whole stays below 1 MiB, which every mail takes.
const PART: usize = 48 * 1024;

/// Arguments of `support`.
#[derive(Debug, clap::Args)]
pub struct SupportArgs {
    /// File or folder to write to; '-' is standard output.
    ///
    /// A new file for you alone (0600) [default: sftunnel-support-UUID-TIME.txt in this folder].
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The file under construction.
#[derive(Debug)]
pub struct SupportFile {
    program: &'static str,
    now: Timestamp,
    text: String,
    parts: Vec<Part>,
}

/// A part of the file, in JSON.
#[derive(Debug, Serialize)]
struct Part {
    /// Its heading.
    name: String,
    /// False when it could not be made.
    readable: bool,
    /// How often something that may be a secret was removed from it.
    removed: usize,
}

/// The JSON of `support`.
#[derive(Debug, Serialize)]
struct SupportReport {
    /// The file; absent for standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    /// Its bytes.
    size: usize,
    /// What it holds, in this order.
    parts: Vec<Part>,
}

impl SupportFile {
    /// Begins the file of a program.
    pub fn new(program: &'static str, now: Timestamp) -> Self {
        let head = format!(
            "{program} support, {version}, made {now}\n\n\
             For the colleague on the phone. It holds no key and no passphrase. Text in the form of\n\
             one is replaced by [removed: ...]. It names devices, addresses and files, so\n\
             read it before you send it.\n",
            version = version::VERSION
        );
        Self { program, now, text: head, parts: Vec::new() }
    }

    /// Adds a part, or the reason why it cannot be made.
    pub fn part(&mut self, name: &str, voice: Voice, made: Result<String, String>) {
        let readable = made.is_ok();
        let said = made.unwrap_or_else(|why| format!("not readable: {why}"));
        let clean = redacted(&plain(&said), voice);
        self.text.push_str(&format!("\n=== {name}\n"));
        self.text.push_str(&bounded(&clean.text));
        self.parts.push(Part { name: name.to_owned(), readable, removed: clean.removed });
    }

    /// Writes the file, for the box with this UUID.
    ///
    /// # Errors
    /// `exists` for a file that is there already; or what the system says. Returns a usage error for
    /// standard output with `--json`.
    pub fn write(
        self,
        args: &SupportArgs,
        box_uuid: Option<&str>,
        terminal: &Terminal,
    ) -> Result<Report, Failure> {
        // once more over all of it, whatever the parts were made of
        let text = redacted(&self.text, Voice::Ours).text;
        let to_stdout = args.out.as_deref() == Some(Path::new(STDIN));
        if to_stdout && terminal.json {
            return Err(Failure::usage("`--out -` and `--json` both need standard output")
                .hint("give --out a file"));
        }
        let Self { program, now, parts, .. } = self;
        let report = |path| SupportReport { path, size: text.len(), parts };
        if to_stdout {
            let written = io::stdout().write_all(text.as_bytes());
            return match written {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(Failure::io("standard output", &error))
                }
                _ => Ok(Report::done(&report(None), String::new())),
            };
        }
        let start = box_uuid.and_then(|uuid| uuid.split('-').next()).unwrap_or("unknown");
        let name = format!("sftunnel-support-{start}-{}.txt", now.compact());
        let path = match &args.out {
            None => PathBuf::from(name),
            Some(folder) if folder.is_dir() => folder.join(name),
            Some(path) => path.clone(),
        };
        let (folder, file) = durable::parent_of(&path)?;
        durable::create(&folder, file, text.as_bytes(), Mode::from(0o600)).map_err(|error| {
            Failure::io(path.display(), &error).or_hint("give --out another file")
        })?;
        let report = report(Some(path.clone()));
        let said = said(program, &report, &path);
        Ok(Report::done(&report, said))
    }
}

fn said(program: &str, report: &SupportReport, path: &Path) -> String {
    let unreadable = report.parts.iter().filter(|part| !part.readable).count();
    let removed: usize = report.parts.iter().map(|part| part.removed).sum();
    let mut text = wrap("Written: ", 2, &printable(&path.display().to_string()).to_string());
    let kib = report.size.div_ceil(1024);
    let mut facts = format!("{kib} KiB, {} parts", report.parts.len());
    if unreadable > 0 {
        facts.push_str(&format!("; {unreadable} not readable, the file says why"));
    }
    if removed > 0 {
        facts.push_str(&format!("; removed what may be a secret in {removed} place(s)"));
    }
    text.push_str(&wrap("  ", 2, &facts));
    text.push_str(&wrap(
        "  ",
        2,
        &format!("Read it, then send it to your colleague. `{program} support --out -` shows it."),
    ));
    text
}

/// ASCII, and nothing that a terminal obeys.
fn plain(text: &str) -> String {
    let line = |line: &str| {
        let shown = printable(line).to_string().replace("\\\\", "\\");
        shown
            .chars()
            .flat_map(|c| {
                let escaped = (!c.is_ascii()).then(|| c.escape_unicode());
                escaped.into_iter().flatten().chain(c.is_ascii().then_some(c))
            })
            .collect::<String>()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The start and the end of a text that is too long.
fn bounded(text: &str) -> String {
    if text.len() <= PART {
        return text.to_owned();
    }
    let half = PART / 2;
    let start = text.get(..half).unwrap_or_default();
    let end = text.get(text.len() - half..).unwrap_or_default();
    let (start, _) = start.rsplit_once('\n').unwrap_or((start, ""));
    let (_, end) = end.split_once('\n').unwrap_or(("", end));
    let left_out = text.len() - start.len() - end.len();
    format!("{start}\n[left out here: {left_out} bytes]\n{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_part_keeps_its_start_and_its_end() {
        let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        let shown = bounded(&text);
        assert!(shown.len() < PART + 100, "{}", shown.len());
        assert!(shown.starts_with("line 0\n") && shown.ends_with("line 19999\n"));
        assert!(shown.contains("\n[left out here: "));
    }

    #[test]
    fn the_file_is_ascii() {
        assert_eq!(plain("台\u{1b}[31m a\\b\nnext"), "\\u{53f0}\\u{1b}[31m a\\b\nnext");
    }
}
