//! A program at a terminal of its own, such as `ssh -tt`: what it shows, and what is typed to it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::process::Child;
use std::time::{Duration, Instant};

use cli::process::signals::give_children_usual_signals;
use pty_process::Size;
use pty_process::blocking::{Command, open};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, Timespec, fcntl_getfl, fcntl_setfl};
use zeroize::Zeroizing;

use super::error::Stop;
use super::screen::Screen;
use super::transcript::Transcript;

/// Wide enough that no prompt and no line of base64 is wrapped.
const SIZE: (u16, u16) = (50, 200);
/// Lines that are shown of a terminal on which something unknown stands.
const LAST_LINES: usize = 8;

/// A terminal, open.
#[derive(Debug)]
pub(super) struct Line {
    pty: File,
    child: Child,
    pub(super) screen: Screen,
    transcript: Transcript,
    deadline: Instant,
    seconds: u64,
    last_heard: Instant,
    ended: bool,
}

impl Line {
    /// Starts a command at a new terminal, for at most `limit`.
    pub(super) fn open(
        words: &[String],
        limit: Duration,
        transcript: Transcript,
    ) -> Result<Self, Stop> {
        let start = || -> io::Result<(File, Child)> {
            give_children_usual_signals()?;
            let (pty, pts) = open().map_err(io::Error::other)?;
            pty.resize(Size::new(SIZE.0, SIZE.1)).map_err(io::Error::other)?;
            let (program, arguments) =
                words.split_first().ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
            // what the far side shows is read by a program
            let command =
                Command::new(program).args(arguments).env("TERM", "dumb").env("LC_ALL", "C");
            let child = command.spawn(pts).map_err(io::Error::other)?;
            fcntl_setfl(&pty, fcntl_getfl(&pty)? | OFlags::NONBLOCK)?;
            Ok((File::from(OwnedFd::from(pty)), child))
        };
        let (pty, child) =
            start().map_err(|error| Stop::Command { words: words.to_vec(), error })?;
        let now = Instant::now();
        Ok(Self {
            pty,
            child,
            screen: Screen::default(),
            transcript,
            deadline: now + limit,
            seconds: limit.as_secs(),
            last_heard: now,
            ended: false,
        })
    }

    /// Waits until `judge` finds what it looks for. It is asked whenever something was shown, and
    /// is told for how long nothing was.
    pub(super) fn wait<T>(
        &mut self,
        wanted: &'static str,
        patience: Duration,
        mut judge: impl FnMut(&Screen, Duration) -> Option<T>,
    ) -> Result<T, Stop> {
        let begun = Instant::now();
        loop {
            if let Some(found) = judge(&self.screen, self.last_heard.elapsed()) {
                return Ok(found);
            }
            if self.ended {
                return Err(Stop::Broken { lines: self.screen.last_lines(LAST_LINES) });
            }
            if Instant::now() >= self.deadline {
                return Err(self.time_out());
            }
            if begun.elapsed() >= patience {
                let lines = self.screen.last_lines(LAST_LINES);
                let seconds = patience.as_secs();
                return Err(Stop::Silent { wanted, seconds, lines });
            }
            self.listen(Duration::from_millis(50))?;
        }
    }

    fn time_out(&self) -> Stop {
        Stop::TimeOut { seconds: self.seconds, lines: self.screen.last_lines(LAST_LINES) }
    }

    /// Types text, while what is shown meanwhile is taken in.
    pub(super) fn send(&mut self, text: &[u8]) -> Result<(), Stop> {
        let mut rest = text;
        let mut heard = Instant::now();
        while !rest.is_empty() {
            match self.pty.write(rest) {
                Ok(size) => {
                    rest = rest.get(size..).unwrap_or_default();
                    heard = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
            if self.ended {
                return Err(Stop::Broken { lines: self.screen.last_lines(LAST_LINES) });
            }
            if Instant::now() >= self.deadline || heard.elapsed() > STUCK {
                return Err(self.time_out());
            }
            if !rest.is_empty() {
                self.listen(Duration::from_millis(20))?;
            }
        }
        Ok(())
    }

    /// Types a line.
    pub(super) fn send_line(&mut self, text: &str) -> Result<(), Stop> {
        self.transcript.typed(text);
        self.send(format!("{text}\r").as_bytes())
    }

    /// Types a word as a person does: a CLI that completes draws its line anew, so Enter waits for
    /// the echo.
    pub(super) fn type_word(&mut self, word: &str) -> Result<(), Stop> {
        self.transcript.typed(word);
        self.send(word.as_bytes())?;
        let echoed = self.wait("the echo", Duration::from_secs(3), |screen, _| {
            screen.tail().ends_with(word).then_some(())
        });
        match echoed {
            // without an echo Enter is right as well
            Ok(()) | Err(Stop::Silent { .. }) => self.send(b"\r"),
            Err(stop) => Err(stop),
        }
    }

    /// Types a secret at a prompt that does not echo it.
    pub(super) fn send_secret(&mut self, what: &'static str, secret: &str) -> Result<(), Stop> {
        self.transcript.note(&format!("({what} typed)"));
        self.transcript.never_show(secret);
        let line = Zeroizing::new(format!("{secret}\r"));
        self.send(line.as_bytes())
    }

    /// Leaves what is shown out of the transcript, or takes it in again.
    pub(super) fn record(&mut self, wanted: bool) {
        self.transcript.record(wanted);
    }

    /// Writes a remark into the transcript.
    pub(super) fn remark(&mut self, text: &str) {
        self.transcript.note(text);
    }

    fn listen(&mut self, limit: Duration) -> Result<(), Stop> {
        let broken = |_| Stop::Broken { lines: Vec::new() };
        let limit = Timespec::try_from(limit).map_err(broken)?;
        let ready = {
            let mut fds = [PollFd::new(&self.pty, PollFlags::IN)];
            match poll(&mut fds, Some(&limit)) {
                Ok(number) => number > 0,
                Err(rustix::io::Errno::INTR) => false,
                Err(error) => return Err(Stop::Broken { lines: vec![error.to_string()] }),
            }
        };
        if !ready {
            return Ok(());
        }
        let mut buffer = [0; 16 * 1024];
        match self.pty.read(&mut buffer) {
            // EIO: the program's end of the terminal is closed
            Ok(0) => self.ended = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
            Ok(size) => {
                self.last_heard = Instant::now();
                let shown = buffer.get(..size).unwrap_or_default();
                for line in self.screen.show(shown) {
                    self.transcript.shown(&line);
                }
            }
        }
        Ok(())
    }

    /// Ends the program and its terminal.
    pub(super) fn close(mut self) {
        let tail = self.screen.tail();
        self.transcript.shown(&tail);
        // the program may be gone already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A far side that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(120);
