//! Questions that take the whole word `yes`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use formats::text::printable;
use rustix::io::ioctl_fionread;
use rustix::termios::{QueueSelector, tcflush};

use crate::ask::hidden_input::is_in_foreground;
use crate::say::terminal::{Terminal, tty};

/// Times that a slip at a question is asked about again.
const AGAIN: usize = 2;

/// Asks a question that takes the whole word `yes`, typed after the question was shown. The
/// question must not contain foreign text. What looks like a slip is asked about again; everything
/// else is a no. Question and answer are evidence as well ([`Terminal::evidence`]).
///
/// # Errors
/// Fails when there is no terminal, or when input never pauses.
pub fn confirm(terminal: &Terminal, question: &str) -> io::Result<bool> {
    let shown = |question: &str| {
        let answer = ask(question)?;
        terminal.evidence(&format!("{question}{}\n", printable(answer.trim_end())));
        io::Result::Ok(answer)
    };
    let mut answer = shown(&format!("{question} Type 'yes' to go on: "))?;
    for _ in 0..AGAIN {
        if !is_slip(&answer) {
            break;
        }
        answer = shown("Type the whole word 'yes', or 'no' to stop: ")?;
    }
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    answer.trim().eq_ignore_ascii_case("yes")
}

/// Returns true for an answer that was perhaps meant as a yes, and is none.
fn is_slip(answer: &str) -> bool {
    let word = answer.trim_start_matches(|c: char| !c.is_alphanumeric());
    !is_yes(answer) && word.starts_with(['y', 'Y'])
}

/// Shows `prompt` and waits for Enter; returns false in the background, where nobody can press it.
///
/// # Errors
/// Like [`confirm`].
pub fn wait_for_enter(prompt: &str) -> io::Result<bool> {
    if !is_in_foreground(&tty()?) {
        return Ok(false);
    }
    ask(prompt).map(|line| line.ends_with('\n'))
}

fn ask(question: &str) -> io::Result<String> {
    let mut tty = tty()?;
    forget_typed(&tty)?;
    tty.write_all(question.as_bytes())?;
    tty.flush()?;
    let mut answer = String::new();
    BufReader::new(tty).read_line(&mut answer)?;
    Ok(answer)
}

/// Discards input typed before a question, until none has come for a moment: the rest of a paste
/// arrives line by line on a slow console, and must not answer the question.
fn forget_typed(tty: &File) -> io::Result<()> {
    /// Longer than a line takes at 9600 baud, and short enough not to be noticed.
    const QUIET: Duration = Duration::from_millis(250);
    const PATIENCE: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    loop {
        tcflush(tty, QueueSelector::IFlush)?;
        std::thread::sleep(QUIET);
        // counts whole lines; a partial one goes with the last flush
        if ioctl_fionread(tty)? == 0 {
            return Ok(tcflush(tty, QueueSelector::IFlush)?);
        }
        if begun.elapsed() > PATIENCE {
            let message = "something types at the terminal without a pause";
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_that_is_not_whole_is_a_slip_and_anything_else_a_no() {
        for yes in ["yes\n", " YES \r\n", "Yes"] {
            assert!(is_yes(yes) && !is_slip(yes), "{yes}");
        }
        for slip in ["y\n", "Y", "ye\n", "yess\n", "'yes'\n", "yes.\n", "yes please"] {
            assert!(!is_yes(slip) && is_slip(slip), "{slip}");
        }
        for no in ["", "\n", "no\n", "n", "ok", "oui", "\u{1b}[A\n"] {
            assert!(!is_yes(no) && !is_slip(no), "{no}");
        }
    }
}
