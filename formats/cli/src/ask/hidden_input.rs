//! Secrets typed at the terminal.
//!
//! The echo is off before the prompt appears, and stays off from the first try to the last:
//! consoles are slow, people type ahead, and scrypt takes about a second in between. Typed bytes
//! pass through no buffer but the one that is wiped. A signal that ends or stops the program
//! meanwhile (Ctrl-C, Ctrl-Z) takes effect once the echo is on again: a shell restores it only
//! after programs that it started itself, not after those of a script. A separate thread does that,
//! so that signals also end a program that waits or computes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use formats::seal::Passphrase;
use rustix::io::retry_on_intr;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, tcdrain, tcgetattr, tcgetpgrp, tcsetattr,
};
use zeroize::Zeroizing;

use crate::process::signals::{HeldBack, own_group_and_session};
use crate::say::failure::Failure;
use crate::say::terminal::tty;

/// The longest line that the kernel returns in one piece (termios(3), canonical mode).
const LINE: usize = 4096;

/// The terminal with its echo off, until this is dropped.
#[derive(Debug)]
pub struct HiddenInput {
    hidden: Arc<Hidden>,
    watching: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Hidden {
    tty: File,
    before: Termios,
    /// Prompt that is shown; empty while nothing is asked.
    prompt: Mutex<String>,
    is_over: AtomicBool,
    signals: HeldBack,
}

impl HiddenInput {
    /// Turns the echo off; a usage error without a terminal.
    pub fn begin() -> Result<Self, Failure> {
        let open = || -> io::Result<(File, Termios)> {
            let tty = tty()?;
            // before the modes are read: in the background they are the shell's
            await_foreground(&tty)?;
            let before = tcgetattr(&tty)?;
            Ok((tty, before))
        };
        let no_terminal = |_| {
            Failure::usage("a passphrase is needed, and there is no terminal to ask at")
                .hint(ELSEWHERE)
        };
        let (tty, before) = open().map_err(no_terminal)?;
        let hidden = Arc::new(Hidden {
            tty,
            before,
            prompt: Mutex::default(),
            is_over: AtomicBool::new(false),
            signals: HeldBack::begin()?,
        });
        let mut input = Self { hidden, watching: None };
        input.hidden.hide().map_err(no_terminal)?;
        let watched = Arc::clone(&input.hidden);
        let watching = thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || watched.watch())
            .map_err(|error| Failure::unexpected(format!("cannot start a thread: {error}")))?;
        input.watching = Some(watching);
        Ok(input)
    }

    /// Asks for a secret. The prompt ends with a colon and a blank.
    ///
    /// # Errors
    /// Returns a usage error when nothing is typed (Ctrl-D, or the terminal is gone), or when the
    /// line is not UTF-8 or longer than a terminal's line.
    pub fn ask(&mut self, prompt: &str) -> Result<Passphrase, Failure> {
        let nothing = |_| Failure::usage("no passphrase was typed").hint(ELSEWHERE);
        let mut tty = &self.hidden.tty;
        prompt.clone_into(&mut self.hidden.prompt());
        let line = tty.write_all(prompt.as_bytes()).and_then(|()| read_line(&mut tty));
        self.hidden.prompt().clear();
        let line = line.map_err(nothing)?;
        let text = std::str::from_utf8(&line)
            .map_err(|_| Failure::usage("what was typed is not UTF-8 text"))?;
        Ok(Passphrase::new(text.to_owned()))
    }
}

/// Waits for the foreground: in the background the kernel stops the program here, as it does on any
/// change of the terminal.
fn await_foreground(tty: &File) -> io::Result<()> {
    Ok(retry_on_intr(|| tcdrain(tty))?)
}

/// Returns true if the terminal is this program's. In the background it is the shell's, with its
/// own modes.
pub(super) fn is_in_foreground(tty: &File) -> bool {
    // in another process namespace than the shell's it cannot be known; then it counts as ours
    let [own, _] = own_group_and_session();
    match (tcgetpgrp(tty), own) {
        (Ok(group), Some(own)) => group == own,
        _ => true,
    }
}

impl Hidden {
    fn prompt(&self) -> MutexGuard<'_, String> {
        self.prompt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hide(&self) -> io::Result<()> {
        let mut hidden = self.before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // the end of the line is echoed, so that the answer starts on a line of its own
        hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        Ok(tcsetattr(&self.tty, OptionalActions::Now, &hidden)?)
    }

    fn show(&self) {
        let _ = tcsetattr(&self.tty, OptionalActions::Now, &self.before);
    }

    /// Waits for signals and lets them take effect, with the echo on.
    fn watch(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        while !self.is_over.load(Ordering::SeqCst) {
            if self.signals.is_any() {
                if is_in_foreground(&self.tty) {
                    self.show();
                }
                self.signals.obey(|| {
                    let _ = await_foreground(&self.tty);
                });
                // stopped and continued; a half-typed line is gone
                let _ = self.hide();
                let _ = (&self.tty).write_all(self.prompt().as_bytes());
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }
}

const ELSEWHERE: &str = "give --passphrase-file FILE, --passphrase-fd N, --passphrase-command COMMAND or --identity FILE";

impl Drop for HiddenInput {
    fn drop(&mut self) {
        self.hidden.is_over.store(true, Ordering::SeqCst);
        if let Some(watching) = self.watching.take() {
            watching.thread().unpark();
            let _ = watching.join();
        }
        if !is_in_foreground(&self.hidden.tty) {
            // it may be stopped when it restores the echo; a signal that ends it there has to work
            self.hidden.signals.release();
        }
        self.hidden.show();
    }
}

/// Reads a line and drops its end. Reads byte by byte, to leave the rest to the next reader.
fn read_line(from: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // full capacity from the start: a buffer that grows leaves copies behind
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
