//! Commands in root's shell of the device, one after the other, each with its output and exit
//! status.
//!
//! The interactive shell gives way to a plain loop of `sh` that reads a line and runs it: no
//! prompt, no echo, no history, no editing. A marker with a number that nobody can guess ends the
//! output of each command; it is printed in pieces, so that an echo is never taken for it.

use std::time::Duration;

use cli::process::random;

use super::dialogue::{AtRoot, Lost};
use super::error::Stop;
use super::line::Line;
use super::screen::Screen;

/// Time for a small command.
const SMALL: Duration = Duration::from_secs(60);
/// Lines of output that are taken from a command: a receipt has some 100.
const LINES: usize = 400;

/// A shell that runs one command at a time.
#[derive(Debug)]
pub(super) struct RootShell {
    pub(super) line: Line,
    marker: String,
    number: u32,
}

/// A command that came to its end.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) status: u8,
    pub(super) lines: Vec<String>,
}

impl Done {
    /// The last line, or an empty one.
    pub(super) fn last(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }
}

impl RootShell {
    /// Begins the loop, and checks that it is root's.
    pub(super) fn begin(root: AtRoot) -> Result<Self, Lost> {
        let mut bytes = [0; 8];
        let mut line = root.0;
        if let Err(error) = random::fill(&mut bytes) {
            return Err(Box::new((
                line,
                Stop::Remote { what: "a random number", said: error.to_string() },
            )));
        }
        let marker: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (one, two) = marker.split_at(4);
        // a blank first: bash then keeps the line out of its history
        let start = format!(
            " exec sh -c 'stty -echo; unset HISTFILE; printf \"%s%s\\n\" {one} {two}; while IFS= read -r l; do eval \"$l\"; done'"
        );
        // what is typed too early, the interactive shell would still take for itself
        let begun = line.send_line(&start).and_then(|()| {
            line.wait("a shell that reads commands", SMALL, |screen, _| {
                screen.since(0).any(|line| line.trim() == marker).then_some(())
            })
        });
        if let Err(stop) = begun {
            return Err(Box::new((line, stop)));
        }
        let mut shell = Self { line, marker, number: 0 };
        match shell.run("id -u", SMALL) {
            Ok(done) if done.last() == "0" => Ok(shell),
            Ok(done) => {
                let said = done.last().to_owned();
                Err(Box::new((shell.line, Stop::Remote { what: "becoming root", said })))
            }
            Err(stop) => Err(Box::new((shell.line, stop))),
        }
    }

    /// Runs a small command.
    pub(super) fn small(&mut self, command: &str) -> Result<Done, Stop> {
        self.run(command, SMALL)
    }

    /// Runs a small command whose output is no use to a person.
    pub(super) fn unrecorded(&mut self, command: &str) -> Result<Done, Stop> {
        self.line.record(false);
        let done = self.small(command);
        self.line.record(true);
        done
    }

    /// Runs a command that has to succeed.
    pub(super) fn must(&mut self, what: &'static str, command: &str) -> Result<Done, Stop> {
        let done = self.small(command)?;
        match done.status {
            0 => Ok(done),
            _ => Err(Stop::Remote { what, said: done.last().to_owned() }),
        }
    }

    /// Runs a command for at most `patience`.
    pub(super) fn run(&mut self, command: &str, patience: Duration) -> Result<Done, Stop> {
        self.start(command)?.finish(patience, |_| None)
    }

    /// Starts a command that may ask something.
    pub(super) fn start(&mut self, command: &str) -> Result<Running<'_>, Stop> {
        self.number += 1;
        let number = self.number;
        let (one, two) = self.marker.split_at(4);
        let end = format!("printf '\\n%s%s %s %s\\n' {one} {two} {number} \"$?\"");
        let mark = self.line.screen.mark();
        self.line.send_line(&format!("{command}; {end}"))?;
        Ok(Running { end: format!("{} {number} ", self.marker), mark, shell: self })
    }
}

/// A command that has been started.
#[derive(Debug)]
pub(super) struct Running<'a> {
    shell: &'a mut RootShell,
    mark: usize,
    end: String,
}

/// An answer to what a command asks.
#[derive(Debug)]
pub(super) struct Typed<'a> {
    pub(super) what: &'static str,
    pub(super) secret: &'a str,
}

impl Running<'_> {
    /// Waits for a line of the command itself.
    pub(super) fn await_line(&mut self, text: &str) -> Result<(), Stop> {
        let mark = self.mark;
        self.shell.line.wait("the far side", SMALL, |screen, _| {
            screen.since(mark).any(|line| line.trim() == text).then_some(())
        })
    }

    /// Types bytes to the command.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.shell.line.send(bytes)
    }

    /// Waits for the end for a short time; `None` if the command still runs.
    pub(super) fn ended_within(&mut self, patience: Duration) -> Result<Option<Done>, Stop> {
        let (mark, end) = (self.mark, self.end.clone());
        match self
            .shell
            .line
            .wait("the end of a command", patience, |screen, _| ended(screen, mark, &end))
        {
            Ok(done) => Ok(Some(done)),
            Err(Stop::Silent { .. }) => Ok(None),
            Err(stop) => Err(stop),
        }
    }

    /// Waits for the end, and answers what is asked on the way, each question once.
    pub(super) fn finish<'s>(
        self,
        patience: Duration,
        answer: impl Fn(&str) -> Option<Typed<'s>>,
    ) -> Result<Done, Stop> {
        enum Seen<'s> {
            Ended(Done),
            Asked(Typed<'s>),
        }
        let Self { shell, mark, end } = self;
        let mut answered = None;
        loop {
            let seen = shell.line.wait("the end of a command", patience, |screen, quiet| {
                if let Some(done) = ended(screen, mark, &end) {
                    return Some(Seen::Ended(done));
                }
                // until something new is shown, the prompt is the one that was answered
                if answered == Some(screen.bytes()) {
                    return None;
                }
                let asked = answer(&screen.tail())?;
                (quiet > Duration::from_millis(300)).then_some(Seen::Asked(asked))
            })?;
            match seen {
                Seen::Ended(done) => return Ok(done),
                Seen::Asked(_) if answered.is_some() => {
                    let said = shell.line.screen.tail();
                    return Err(Stop::Remote { what: "answering it", said });
                }
                Seen::Asked(Typed { what, secret }) => {
                    answered = Some(shell.line.screen.bytes());
                    shell.line.send_secret(what, secret)?;
                }
            }
        }
    }
}

fn ended(screen: &Screen, mark: usize, end: &str) -> Option<Done> {
    let line = screen.since(mark).find_map(|line| line.trim().strip_prefix(end))?;
    let status = line.trim().parse().ok()?;
    let lines = screen.since(mark).map(|line| line.trim_end().to_owned());
    let lines = lines.take_while(|line| !line.starts_with(end.trim_end()));
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).take(LINES).collect();
    Some(Done { status, lines })
}
