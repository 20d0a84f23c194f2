//! Text that is pasted at the terminal. It ends by itself, so that nobody has to know of Ctrl-D.
//!
//! A terminal hands lines over one by one (termios(3), canonical mode), so it is a line that ends a
//! paste. What else comes of it is read as well, until none has come for a moment: left there, it
//! would answer the next question, or be run by the shell.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use formats::armor::{AGE, Armor};
use formats::decode;
use formats::limits::LimitError;
use formats::seal::Passphrase;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};
use zeroize::Zeroizing;

use crate::ask::hidden_input::HiddenInput;
use crate::disk::input::{self, STDIN};
use crate::say::failure::Failure;
use crate::say::terminal::say;

/// Longer than a line takes at 9600 baud, and short enough not to be noticed.
const QUIET: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// Most bytes of an identity; an SSH key of 16,384 bits has 13,000.
const IDENTITY: usize = 64 * 1024;

/// Something that can be pasted.
#[derive(Debug, Clone, Copy)]
pub struct Paste {
    /// Its name, for the invitation.
    pub noun: &'static str,
    /// Its form.
    pub armor: Armor,
    /// Returns true for a line that ends it in another form.
    pub ends: fn(&str) -> bool,
}

/// A sealed bundle.
pub const BUNDLE: Paste = Paste { noun: "bundle", armor: AGE, ends: |_| false };

/// Returns true if `path` stands for text that is pasted: standard input, and that is a terminal.
pub fn is_pasted(path: &Path) -> bool {
    path.as_os_str() == STDIN && io::stdin().is_terminal()
}

/// Reads a file or standard input like [`input::read`]; at a terminal, says what to paste.
///
/// # Errors
/// Like [`input::read`].
pub fn read(path: &Path, paste: &Paste, limit: u64) -> Result<Vec<u8>, Failure> {
    if !is_pasted(path) {
        return input::read(path, limit);
    }
    let noun = paste.noun;
    say(&format!(
        "Paste the {noun}, from its BEGIN line to its END line. It ends there by itself;\n\
         if nothing happens, press Enter.\n"
    ));
    let pasted = read_lines(&mut io::stdin().lock(), paste, limit, is_more_coming);
    // below the piece of a line that may stand there
    say("\n");
    pasted.map_err(|error| input::of_limit(path, &error))
}

/// Reads lines up to the one that ends the paste, and those that `is_more` announces after it.
fn read_lines(
    from: &mut impl BufRead,
    paste: &Paste,
    limit: u64,
    is_more: impl Fn() -> io::Result<bool>,
) -> Result<Vec<u8>, LimitError> {
    let mut bytes = Vec::new();
    let (mut is_begun, mut is_ended) = (false, false);
    while !is_ended || is_more()? {
        let (at, room) = (bytes.len(), limit.saturating_add(1).saturating_sub(bytes.len() as u64));
        if from.by_ref().take(room).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.len() as u64 > limit {
            return Err(LimitError::TooLarge { limit });
        }
        let line = decode::lossy(bytes.get(at..).unwrap_or_default());
        is_begun |= paste.armor.is_begun_by(&line);
        is_ended |= is_begun && paste.armor.is_ended_by(&line) || (paste.ends)(&line);
    }
    Ok(bytes)
}

/// Waits for a further line. A piece of one, at the end of a paste, is discarded.
fn is_more_coming() -> io::Result<bool> {
    let stdin = io::stdin();
    if poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&QUIET))? > 0 {
        return Ok(true);
    }
    tcflush(&stdin, QueueSelector::IFlush)?;
    Ok(false)
}

/// Asks for an identity, without echo: one line, or a whole file. Its comments are passed over; a
/// file with marks ends at the second.
///
/// # Errors
/// Like [`HiddenInput::ask`]; returns `too-large` for a file that never ends.
pub fn identity(hidden: &mut HiddenInput, prompt: &str) -> Result<Passphrase, Failure> {
    let mut line = hidden.ask(prompt)?;
    while line.inner().starts_with('#') {
        line = hidden.ask("")?;
    }
    if !line.expose().contains("-BEGIN ") {
        return Ok(line);
    }
    // full capacity from the start: a buffer that grows leaves copies behind
    let mut text = Zeroizing::new(String::with_capacity(IDENTITY));
    while text.len() + line.expose().len() < IDENTITY {
        text.extend([line.expose(), "\n"]);
        if line.expose().contains("-END ") {
            return Ok(Passphrase::new(std::mem::take(&mut *text)));
        }
        line = hidden.ask("")?;
    }
    let error = LimitError::TooLarge { limit: IDENTITY as u64 };
    Err(input::of_limit(Path::new("the identity"), &error))
}
