//! Secrets typed at the terminal.
//!
//! The echo is off before the prompt is seen, and stays off from the first try to the last: a
//! console at 3 a.m. is slow, people type ahead, and scrypt thinks for a second in between.
//! What is typed goes through no buffer but the one that is wiped. A signal that ends or stops
//! the program meanwhile (Ctrl-C, Ctrl-Z) has its effect when the echo is on again: a shell mends
//! that for a program which it started itself, not for one that a script did.

use std::fs::File;
use std::io::{self, Read, Write};

use formats::envelope::Passphrase;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::signals::HeldBack;
use crate::terminal::tty;

/// The longest line that the kernel gives in one piece (termios(3), canonical mode).
const LINE: usize = 4096;

/// The terminal with its echo off; on again when this is dropped.
#[derive(Debug)]
pub struct HiddenInput {
    tty: File,
    before: Termios,
    // dropped when the echo is on
    signals: HeldBack,
}

impl HiddenInput {
    /// Turns the echo off.
    ///
    /// # Errors
    /// Usage, when there is no terminal.
    pub(crate) fn begin() -> Result<Self, Failure> {
        let signals = HeldBack::begin()?;
        let begin = || -> io::Result<Self> {
            let tty = tty()?;
            let before = tcgetattr(&tty)?;
            let hidden = Self { tty, before, signals };
            hidden.hide()?;
            Ok(hidden)
        };
        begin().map_err(|_| {
            Failure::usage("a passphrase is needed, and there is no terminal to ask at")
                .hint(ELSEWHERE)
        })
    }

    /// Asks. The prompt ends with a colon and a blank.
    ///
    /// # Errors
    /// Usage, when nothing is typed (Ctrl-D, or the terminal is gone), or something that is not
    /// UTF-8 or longer than a terminal's line.
    pub fn ask(&mut self, prompt: &str) -> Result<Passphrase, Failure> {
        let nothing = |_| Failure::usage("no passphrase was typed").hint(ELSEWHERE);
        self.tty.write_all(prompt.as_bytes()).map_err(nothing)?;
        let line = read_line(&mut Asking { hidden: self, prompt }).map_err(nothing)?;
        let text = std::str::from_utf8(&line)
            .map_err(|_| Failure::usage("what was typed is not UTF-8 text"))?;
        Ok(Passphrase::new(text.to_owned()))
    }

    fn hide(&self) -> io::Result<()> {
        let mut hidden = self.before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // the end of the line is shown, so that the answer comes on a line of its own
        hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        Ok(tcsetattr(&self.tty, OptionalActions::Now, &hidden)?)
    }

    fn show(&self) {
        let _ = tcsetattr(&self.tty, OptionalActions::Now, &self.before);
    }
}

/// What is typed, and what signals do in between.
struct Asking<'a> {
    hidden: &'a mut HiddenInput,
    prompt: &'a str,
}

impl Read for Asking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // a signal that comes just before the waiting does not end it
        const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        let Self { hidden, prompt } = self;
        loop {
            if hidden.signals.is_any() {
                hidden.show();
                hidden.signals.obey();
                // it was stopped, and goes on
                hidden.hide()?;
                hidden.tty.write_all(prompt.as_bytes())?;
            }
            match poll(&mut [PollFd::new(&hidden.tty, PollFlags::IN)], Some(&LOOK_AGAIN)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return hidden.tty.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

const ELSEWHERE: &str = "give --passphrase-file FILE, --passphrase-fd N or --identity FILE";

impl Drop for HiddenInput {
    fn drop(&mut self) {
        self.show();
    }
}

/// A line without its end. Byte by byte: what follows it is the next reader's.
fn read_line(from: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // room for all of it at once: a buffer that grows leaves copies behind
    let mut line = Zeroizing::new(Vec::with_capacity(LINE));
    let mut byte = Zeroizing::new([0]);
    loop {
        match from.read(&mut *byte) {
            Ok(0) if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => break,
            Ok(_) if *byte == *b"\n" => break,
            Ok(_) if line.len() == LINE => return Err(io::ErrorKind::InvalidData.into()),
            Ok(_) => line.extend_from_slice(&*byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    while line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_up_to_its_end_and_no_further() {
        let mut input = &b"one\r\n two \nthree"[..];
        let mut line = || read_line(&mut input).map(|line| line.to_vec());
        assert_eq!(line().unwrap(), b"one");
        assert_eq!(line().unwrap(), b" two ");
        assert_eq!(line().unwrap(), b"three");
        assert_eq!(line().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn more_than_a_line_can_hold_is_refused() {
        assert_eq!(read_line(&mut &[b'x'; LINE][..]).unwrap().len(), LINE);
        assert!(read_line(&mut &[b'x'; LINE + 1][..]).is_err());
    }
}
