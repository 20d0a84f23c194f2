//! The terminal: questions, passphrase prompts, colour, progress.
//!
//! Questions go to `/dev/tty`, so that a bundle may come through standard input and the
//! result may go through a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use formats::text::printable;
use rustix::io::ioctl_fionread;
use rustix::termios::{QueueSelector, tcflush};

use crate::say::page::wrap;

/// How to talk, on every command of both programs.
#[derive(Debug, Clone, Args)]
pub struct TalkArgs {
    /// Print one JSON object on standard output; prose goes to standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Only say what went wrong
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Also say what is done step by step
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

impl TalkArgs {
    /// The terminal, talked to like this.
    pub fn terminal(&self) -> Terminal {
        Terminal::new(self.json, self.quiet, self.verbose)
    }
}

/// How to talk.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// One JSON object on stdout, prose on stderr.
    pub json: bool,
    /// Only what went wrong.
    pub quiet: bool,
    /// Also what was done step by step.
    pub verbose: bool,
    /// Colour on stdout.
    pub color: bool,
}

impl Terminal {
    /// Looks at the environment: colour only on a terminal, and not with `NO_COLOR`
    /// (<https://no-color.org>).
    pub fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = !json && !no_color && !is_dumb() && io::stdout().is_terminal();
        Self { json, quiet, verbose, color }
    }

    /// Whether somebody can be asked.
    pub fn can_ask(&self) -> bool {
        tty().is_ok()
    }

    /// Prose on stderr, unless quiet.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            say(&format!("{line}\n"));
        }
    }

    /// What should not be overlooked, on stderr; also when quiet.
    pub fn warn(&self, line: &str) {
        say(&wrap("warning: ", 2, &printable(line).to_string()));
    }

    /// Prose on stderr, only when verbose.
    pub fn detail(&self, line: &str) {
        if self.verbose {
            say(&format!("{line}\n"));
        }
    }

    /// Shows `text` at the terminal, away from stdout.
    ///
    /// # Errors
    /// When there is no terminal.
    pub fn show(&self, text: &str) -> io::Result<()> {
        tty()?.write_all(text.as_bytes())
    }

    /// Asks a question that only the whole word `yes` answers with yes, typed after the question
    /// was shown. Foreign text has no place in it: what is asked is ours to say.
    ///
    /// # Errors
    /// When there is no terminal, or one that something types at all the time.
    pub fn confirm(&self, question: &str) -> io::Result<bool> {
        let answer = self.ask(&format!("{question} Type 'yes' to go on: "))?;
        Ok(answer.trim().eq_ignore_ascii_case("yes"))
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        let mut tty = tty()?;
        forget_typed(&tty)?;
        tty.write_all(question.as_bytes())?;
        tty.flush()?;
        let mut answer = String::new();
        BufReader::new(tty).read_line(&mut answer)?;
        Ok(answer)
    }

    /// A progress line for a long run; silent when stderr is not a terminal, or one that knows
    /// no control sequences.
    pub fn progress(&self, what: &'static str, total: usize) -> Progress {
        let shown = !self.quiet && !self.json && !is_dumb() && io::stderr().is_terminal();
        Progress { what, total, shown, last: Instant::now() }
    }

    /// `text` in a colour, or as it is.
    pub fn paint(&self, color: Color, text: &str) -> String {
        if self.color { format!("\u{1b}[{}m{text}\u{1b}[0m", color as u8) } else { text.to_owned() }
    }
}

/// A terminal that is said to take plain text only, or of which nothing is said.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// Writes to standard error. The terminal may be gone, or the reader of a pipe; unlike
/// `eprint!` that must not end a transaction half-way with a panic.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

pub(crate) fn tty() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Throws away what was typed before a question, until nothing has come for a moment: the rest of
/// a paste arrives line by line on a slow console, and answers nothing.
fn forget_typed(tty: &File) -> io::Result<()> {
    /// Longer than a line takes at 9600 baud, shorter than anybody minds.
    const QUIET: Duration = Duration::from_millis(250);
    const PATIENCE: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    loop {
        tcflush(tty, QueueSelector::IFlush)?;
        std::thread::sleep(QUIET);
        // whole lines; the beginning of one goes with the last flush
        if ioctl_fionread(tty)? == 0 {
            return Ok(tcflush(tty, QueueSelector::IFlush)?);
        }
        if begun.elapsed() > PATIENCE {
            let message = "something types at the terminal without a pause";
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
    }
}

/// The few colours that are used; the numbers are those of ECMA-48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Something to act on.
    Red = 31,
    /// Fine.
    Green = 32,
    /// Something to know.
    Yellow = 33,
    /// A heading.
    Bold = 1,
}

/// See [`Terminal::progress`].
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: usize,
    shown: bool,
    last: Instant,
}

impl Progress {
    /// Shows how far it is, ten times a second at the most.
    pub fn at(&mut self, done: usize) {
        if self.shown && (self.last.elapsed().as_millis() >= 100 || done == self.total) {
            self.last = Instant::now();
            say(&format!("\r{} {done} of {}\u{1b}[K", self.what, self.total));
        }
    }

    /// Wipes the line.
    pub fn finish(self) {
        if self.shown {
            say("\r\u{1b}[K");
        }
    }
}
