//! How a generated passphrase reaches the operator: once, never on standard output, never in JSON,
//! never in a log.
//!
//! On a descriptor it is written right before the kit is there: if it cannot be written, the kit
//! would be of no use. At the terminal it is shown after everything else, when the kit is there, so
//! that no report pushes it off the screen; the program then waits until it was written down.

use std::fs::OpenOptions;
use std::io::{self, Write};

use cli::ask::question::wait_for_enter;
use cli::say::page::wrap;
use cli::say::terminal::Terminal;
use formats::seal::Passphrase;

use crate::keys::error::PassphraseError;
use crate::keys::passphrase::Flags;

/// A generated passphrase that is to be shown at the terminal when the command is over.
#[derive(Debug)]
pub(crate) struct ToShow {
    passphrase: Passphrase,
    /// `--text-passphrase`, or the flag of a kit's.
    flag: &'static str,
    /// False with `--yes`.
    waits: bool,
}

impl ToShow {
    /// The passphrase, unless it goes to a descriptor.
    pub(crate) fn at_terminal(passphrase: &Passphrase, flags: Flags<'_>) -> Option<Self> {
        let passphrase = passphrase.clone();
        flags.out_fd.is_none().then_some(Self { passphrase, flag: flags.flag, waits: !flags.yes })
    }

    /// Shows it, and takes it off the screen again once Enter was pressed. Nobody is waited for
    /// where a program reads along.
    pub(crate) fn show(&self, terminal: &Terminal) -> Result<(), PassphraseError> {
        let (sealed, beside) = match self.flag {
            "--text-passphrase" => ("text", "text"),
            _ => ("kit", "stick"),
        };
        let text = format!(
            "\nPassphrase of the {sealed}, shown only now:\n\n    {}\n\n{}",
            self.passphrase.expose(),
            wrap("", 0, &format!("Tell it by phone; never let it travel with the {beside}."))
        );
        terminal.show(&text).map_err(PassphraseError::NotShown)?;
        if self.waits && !terminal.json {
            let prompt = "Write it down, then press Enter: ";
            let lines = text.matches('\n').count() + 1;
            // it has been shown; a terminal that cannot be waited at takes nothing back
            let _ = wait_for_enter(prompt).and_then(|was_pressed| match was_pressed {
                true => terminal.erase(lines),
                false => Ok(()),
            });
        }
        Ok(())
    }
}

/// Writes a generated passphrase to `--passphrase-out-fd`, if that is given.
pub(crate) fn to_descriptor(
    passphrase: &Passphrase,
    flags: Flags<'_>,
) -> Result<(), PassphraseError> {
    let Some(number) = flags.out_fd else { return Ok(()) };
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(format!("/proc/self/fd/{number}"))?;
        writeln!(file, "{}", passphrase.expose())
    };
    write().map_err(PassphraseError::NotWritten)
}
