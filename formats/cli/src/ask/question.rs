//! Questions that take the whole word `yes`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::termios::{QueueSelector, tcflush};

use crate::say::terminal::tty;

/// Asks a question that takes the whole word `yes`, typed after the question was shown. The
/// question must not contain foreign text.
///
/// # Errors
/// Fails when there is no terminal, or when input never pauses.
pub fn confirm(question: &str) -> io::Result<bool> {
    let answer = ask(&format!("{question} Type 'yes' to go on: "))?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
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
