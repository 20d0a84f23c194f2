//! The terminal: messages, colour, progress.
//!
//! What is shown before a question goes to `/dev/tty`, as the question does, so that a bundle may
//! come through standard input and the result may go into a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use clap::{Args, ValueEnum};
use formats::text::printable;

use crate::say::page::{cut_nothing, keep_error_numbers, wrap};

/// Flags for the output, on every command of both programs.
#[derive(Debug, Clone, Args)]
pub struct TalkArgs {
    /// Print one JSON object.
    ///
    /// On standard output; prose goes to standard error.
    #[arg(long, global = true)]
    pub json: bool,
    /// Only say what went wrong.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say each step too.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Colour: auto, always or never.
    ///
    /// 'auto' is at a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    #[arg(hide_possible_values = true)]
    pub color: ColorUse,
    /// Show names whole.
    ///
    /// A table may then be wider than the terminal. In a pipe nothing is cut anyway.
    #[arg(long, global = true)]
    pub no_trunc: bool,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorUse {
    /// At a terminal that has it, and not with `NO_COLOR` (<https://no-color.org>).
    #[default]
    Auto,
    /// In a pipe and with `NO_COLOR` too.
    Always,
    /// Not at all.
    Never,
}

impl ColorUse {
    fn is_on(self) -> bool {
        let no_color = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Auto => !no_color() && !is_dumb() && io::stdout().is_terminal(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl TalkArgs {
    /// Makes the terminal with these settings.
    pub fn terminal(&self) -> Terminal {
        if self.verbose {
            keep_error_numbers();
        }
        if self.no_trunc {
            cut_nothing();
        }
        let color = !self.json && self.color.is_on();
        Terminal { color, ..Terminal::new(self.json, self.quiet, self.verbose) }
    }
}

/// Settings of the output.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Prints one JSON object on stdout, and prose on stderr.
    pub json: bool,
    /// Prints that object on one line, after one for each event.
    pub json_lines: bool,
    /// Prints only what went wrong.
    pub quiet: bool,
    /// Prints each step as well.
    pub verbose: bool,
    /// Uses colour on stdout.
    pub color: bool,
}

impl Terminal {
    /// Makes the settings, without colour.
    pub fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        Self { json, json_lines: false, quiet, verbose, color: false }
    }

    /// The same, with a line of JSON for each event.
    #[must_use]
    pub fn with_json_lines(self) -> Self {
        Self { json: true, json_lines: true, color: false, ..self }
    }

    /// Prints prose on the stream of the run, unless quiet: standard output, or standard error when
    /// that holds JSON. It never fails: what is done goes on without a reader.
    pub fn prose(&self, text: &str) {
        if !self.quiet {
            self.transient(text);
        }
    }

    /// Writes to the stream of [`Terminal::prose`] what only a terminal is to show.
    pub(crate) fn transient(&self, text: &str) {
        if self.json {
            return say(text);
        }
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Returns true if the stream of [`Terminal::prose`] is a terminal.
    pub(crate) fn is_at_terminal(&self) -> bool {
        if self.json { io::stderr().is_terminal() } else { io::stdout().is_terminal() }
    }

    /// Returns true if a line of it can be written anew.
    pub(crate) fn has_counter(&self) -> bool {
        !self.quiet && !self.json_lines && !is_dumb() && self.is_at_terminal()
    }

    /// Returns true if there is a terminal for questions.
    pub fn can_ask(&self) -> bool {
        tty().is_ok()
    }

    /// Prints prose on stderr, unless quiet.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            say(&format!("{line}\n"));
        }
    }

    /// Prints a warning on stderr, even when quiet.
    pub fn warn(&self, line: &str) {
        say(&wrap("warning: ", 2, &printable(line).to_string()));
    }

    /// Prints prose on stderr, only when verbose.
    pub fn detail(&self, line: &str) {
        if self.verbose {
            say(&format!("{line}\n"));
        }
    }

    /// Shows `text` at the terminal, away from stdout.
    ///
    /// # Errors
    /// Fails when there is no terminal.
    pub fn show(&self, text: &str) -> io::Result<()> {
        tty()?.write_all(text.as_bytes())
    }

    /// Writes what was shown or typed elsewhere to the stream of [`Terminal::prose`], unless that is
    /// a terminal, which shows it already.
    pub fn evidence(&self, text: &str) {
        if !self.is_at_terminal() {
            self.prose(text);
        }
    }

    /// Takes the last lines off the terminal, if it has control sequences.
    ///
    /// # Errors
    /// Fails when there is no terminal.
    pub fn erase(&self, lines: usize) -> io::Result<()> {
        let text = format!("\u{1b}[{lines}A\r\u{1b}[J");
        if is_dumb() { Ok(()) } else { tty()?.write_all(text.as_bytes()) }
    }

    /// Makes a progress line for a long run; silent if stderr is not a terminal, or one without
    /// control sequences.
    pub fn progress(&self, what: &'static str, total: usize) -> Progress {
        let shown = !self.quiet && !self.json && !is_dumb() && io::stderr().is_terminal();
        Progress { what, total, shown, last: Instant::now() }
    }

    /// Colours `text` if colour is used.
    pub fn paint(&self, color: Color, text: &str) -> String {
        if self.color { format!("\u{1b}[{}m{text}\u{1b}[0m", color as u8) } else { text.to_owned() }
    }
}

/// Returns true if `TERM` names a terminal for plain text only, or is not set.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// Writes to standard error. Unlike `eprint!` it does not panic, and so cannot end a transaction
/// half-way, when the terminal or the reader of a pipe is gone.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

pub(crate) fn tty() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Colours in use, with their numbers in ECMA-48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Something to act on.
    Red = 31,
    /// Nothing to do.
    Green = 32,
    /// Something to know.
    Yellow = 33,
    /// A heading.
    Bold = 1,
}

/// A progress line, made by [`Terminal::progress`].
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: usize,
    shown: bool,
    last: Instant,
}

impl Progress {
    /// Shows the number done, at most ten times a second.
    pub fn at(&mut self, done: usize) {
        if self.shown && (self.last.elapsed().as_millis() >= 100 || done == self.total) {
            self.last = Instant::now();
            say(&format!("\r{} {done} of {}\u{1b}[K", self.what, self.total));
        }
    }

    /// Clears the line.
    pub fn finish(self) {
        if self.shown {
            say("\r\u{1b}[K");
        }
    }
}
