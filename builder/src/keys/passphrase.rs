//! The passphrase of a passphrase kit: where it comes from, and how strong it is.

use std::collections::HashSet;
use std::path::Path;

use cli::ask::hidden_input::HiddenInput;
use cli::ask::question;
use cli::ask::unlock;
use cli::disk::input;
use cli::process::memory;
use cli::process::random;
use cli::say::terminal::Terminal;
use formats::limits;
use formats::seal::{Passphrase, WORDS};
use serde::Serialize;

use crate::args::{NewPassphraseArgs, PassphraseArgs, PastePassphraseArgs};
use crate::keys::error::{PassphraseError, Slip};

/// Attempts at choosing a passphrase at the terminal.
const TRIES: usize = 3;

/// Origin of a kit's passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PassphraseOrigin {
    /// There is none: only recipients open the bundles.
    None,
    /// A file, a descriptor or a command.
    Given,
    /// Made here, shown once.
    Generated,
    /// Typed twice.
    Asked,
}

impl PassphraseOrigin {
    /// Line for the plan; `None` when there is no passphrase.
    pub(crate) fn described(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Given => Some("all who know the passphrase that is given"),
            Self::Generated => Some("all who know the passphrase that `build` will make"),
            Self::Asked => Some("all who know the passphrase that `build` will ask for"),
        }
    }
}

/// The flags on the passphrase of a kit that is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags<'a> {
    /// `passphrase`, or `new passphrase`.
    pub noun: &'static str,
    /// Flag that `-file` and `-fd` are added to.
    pub flag: &'static str,
    /// `--passphrase-file`.
    pub file: Option<&'a Path>,
    /// `--passphrase-fd`.
    pub fd: Option<u32>,
    /// `--passphrase-command`.
    pub command: Option<&'a str>,
    /// `--generate-passphrase`.
    pub generate: bool,
    /// `--passphrase-out-fd`.
    pub out_fd: Option<u32>,
    /// `--accept-unusual`.
    pub accept_unusual: bool,
    /// `--yes`: do not wait until a generated one was written down.
    pub yes: bool,
}

impl PassphraseArgs {
    pub(crate) fn flags(&self) -> Flags<'_> {
        Flags {
            noun: "passphrase",
            flag: "--passphrase",
            file: self.passphrase_file.as_deref(),
            fd: self.passphrase_fd,
            command: self.passphrase_command.as_deref(),
            generate: self.generate_passphrase,
            out_fd: self.passphrase_out_fd,
            accept_unusual: self.accept_unusual,
            yes: self.yes,
        }
    }
}

impl NewPassphraseArgs {
    pub(crate) fn flags(&self) -> Flags<'_> {
        Flags {
            noun: "new passphrase",
            flag: "--new-passphrase",
            file: self.new_passphrase_file.as_deref(),
            fd: self.new_passphrase_fd,
            command: self.new_passphrase_command.as_deref(),
            generate: self.generate_passphrase,
            out_fd: self.passphrase_out_fd,
            accept_unusual: self.accept_unusual,
            yes: self.yes,
        }
    }
}

impl PastePassphraseArgs {
    pub(crate) fn flags(&self) -> Flags<'_> {
        Flags {
            noun: "passphrase of the text",
            flag: "--text-passphrase",
            file: self.text_passphrase_file.as_deref(),
            fd: self.text_passphrase_fd,
            command: None,
            generate: self.text_passphrase_file.is_none() && self.text_passphrase_fd.is_none(),
            out_fd: self.passphrase_out_fd,
            accept_unusual: false,
            yes: self.yes,
        }
    }
}

impl Flags<'_> {
    /// Warns of a passphrase that can be guessed.
    pub(crate) fn weak_warning(&self, passphrase: &Passphrase) -> Option<String> {
        let weakness = weakness(passphrase)?;
        Some(format!(
            "the {} is weak: {weakness}; a finder of the stick has time to guess it. --generate-passphrase makes a strong one",
            self.noun
        ))
    }
}

/// Decides on the origin of the passphrase. Refuses when nobody could open the kit, or nobody could
/// read a generated passphrase.
pub(crate) fn source(
    flags: Flags<'_>,
    has_recipients: bool,
    terminal: &Terminal,
    dry_run: bool,
) -> Result<PassphraseOrigin, PassphraseError> {
    let can_ask = dry_run || terminal.can_ask();
    let Flags { flag, .. } = flags;
    if flags.generate {
        if !can_ask && flags.out_fd.is_none() {
            return Err(PassphraseError::NowhereToShow { flag });
        }
        return Ok(PassphraseOrigin::Generated);
    }
    if flags.file.is_some() || flags.fd.is_some() || flags.command.is_some() {
        return Ok(PassphraseOrigin::Given);
    }
    match (has_recipients, can_ask) {
        (true, _) => Ok(PassphraseOrigin::None),
        (false, true) => Ok(PassphraseOrigin::Asked),
        (false, false) => Err(PassphraseError::NobodyCouldOpen { flag }),
    }
}

/// Reads, generates or asks for the passphrase, in the spelling that the kit is sealed with. Whoever
/// is asked may have one made: `source` says what became of it.
pub(crate) fn obtain(
    flags: Flags<'_>,
    source: &mut PassphraseOrigin,
    terminal: &Terminal,
) -> Result<Option<Passphrase>, PassphraseError> {
    if *source != PassphraseOrigin::None {
        // before anything is typed, shown or made
        memory::require_to_protect()?;
    }
    match *source {
        PassphraseOrigin::None => Ok(None),
        PassphraseOrigin::Generated => generate().map(Some),
        PassphraseOrigin::Asked => match ask(terminal, flags.accept_unusual)? {
            Some(passphrase) => Ok(Some(passphrase)),
            None => {
                *source = PassphraseOrigin::Generated;
                generate().map(Some)
            }
        },
        PassphraseOrigin::Given => {
            let given = match (flags.file, flags.fd, flags.command) {
                (Some(path), _, _) => unlock::passphrase_of(path)?,
                (_, Some(number), _) => {
                    unlock::passphrase(&input::read_secret_fd(number, limits::KEY_FILE)?)?
                }
                (_, _, Some(command)) => unlock::passphrase(&unlock::printed(command)?)?,
                (None, None, None) => return Ok(None),
            };
            Ok(Some(taken(&given, flags.accept_unusual, terminal)?))
        }
    }
}

/// Asks for a passphrase; `None` if one is to be made.
fn ask(terminal: &Terminal, accept_unusual: bool) -> Result<Option<Passphrase>, PassphraseError> {
    let mut tries = TRIES;
    loop {
        let Some(passphrase) = typed_twice(terminal, accept_unusual, &mut tries)? else {
            return Ok(None);
        };
        let Some(weakness) = weakness(&passphrase) else { return Ok(Some(passphrase)) };
        let question = format!(
            "This passphrase is weak: {weakness}.\nA finder of the stick has time to guess it. Take it all the same?"
        );
        if question::confirm(terminal, &question).map_err(PassphraseError::Terminal)? {
            return Ok(Some(passphrase));
        }
        if tries == 0 {
            return Err(PassphraseError::NotChosen);
        }
    }
}

/// Asks until both are the same and fit, as often as `tries` says; `None` for an empty line.
fn typed_twice(
    terminal: &Terminal,
    accept_unusual: bool,
    tries: &mut usize,
) -> Result<Option<Passphrase>, PassphraseError> {
    // before anything is shown that somebody could answer, and to the last
    let mut hidden = HiddenInput::begin()?;
    terminal.note("The kit opens with this passphrase, which is not stored anywhere.");
    loop {
        *tries = tries.saturating_sub(1);
        let first = hidden.ask("Passphrase for the kit (Enter makes one): ")?;
        if first.expose().is_empty() {
            return Ok(None);
        }
        let slip = match taken(&first, accept_unusual, terminal) {
            Err(slip) => slip,
            Ok(passphrase) => {
                let again = hidden.ask("The same again: ")?.canonical();
                if again.expose() == passphrase.expose() {
                    return Ok(Some(passphrase));
                }
                Slip::Differ
            }
        };
        if *tries == 0 {
            return Err(slip.into());
        }
        terminal.note(&format!("{slip}. Try again."));
    }
}

/// Normalises to the spelling that the kit is sealed with. What it leaves out is told, and what
/// nobody could see or type at the device is no part of it.
fn taken(
    given: &Passphrase,
    accept_unusual: bool,
    terminal: &Terminal,
) -> Result<Passphrase, Slip> {
    let taken = given.canonical();
    if taken.chars() == 0 {
        return Err(Slip::Empty);
    }
    if given.is_generated() {
        if given.expose() != taken.expose() {
            terminal.note("It has the form of a generated passphrase: it is taken in lower case with hyphens, and opens in any case, with blanks or without.");
        }
        return Ok(taken);
    }
    if let Some(c) = given.unseen() {
        return Err(Slip::Unseen(c));
    }
    if !taken.expose().is_ascii() && !accept_unusual {
        return Err(Slip::NotAscii);
    }
    let mark = '\u{feff}';
    if given.expose().trim_start_matches(mark) != given.inner() {
        terminal.warn("the passphrase begins or ends with blanks: the kit is sealed without them");
    }
    Ok(taken)
}

fn generate() -> Result<Passphrase, PassphraseError> {
    let mut bits = [0; WORDS * 2];
    random::fill(&mut bits).map_err(PassphraseError::Random)?;
    Ok(Passphrase::generated(&bits))
}

/// Names the weakness of a passphrase of the operator's own. Bundles can be copied and
/// tried offline, at a cost of one scrypt (about a second and 256 MiB) a try.
fn weakness(passphrase: &Passphrase) -> Option<&'static str> {
    let text = passphrase.expose();
    let distinct = text.chars().collect::<HashSet<_>>().len();
    let classes = [
        text.chars().any(char::is_lowercase),
        text.chars().any(char::is_uppercase),
        text.chars().any(|c| c.is_ascii_digit()),
        text.chars().any(|c| !c.is_alphanumeric()),
    ];
    let classes = classes.into_iter().filter(|there| *there).count();
    match passphrase.chars() {
        0..12 => Some("it has fewer than 12 characters"),
        _ if distinct < 7 => Some("it has fewer than 7 different characters"),
        12..20 if classes < 2 => Some("it is short and of one kind of character only"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_passphrase_is_not_weak() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.chars(), WORDS * 6 - 1);
        assert_eq!(weakness(&one), None);
        assert_ne!(one.expose(), two.expose());
    }

    #[test]
    fn weak_passphrases_are_called_so() {
        let weak = |text: &str| weakness(&Passphrase::new(text.into())).is_some();
        assert!(weak("Cisco123!"));
        assert!(weak("aaaaaaaaaaaaaaaaaaaaaaaaaa1"));
        assert!(weak("summerholiday"));
        assert!(!weak("four words and more"));
        assert!(!weak("correct-horse-battery"));
    }

    #[test]
    fn without_recipients_and_terminal_it_must_be_given() {
        let flags = Flags {
            noun: "new passphrase",
            flag: "--new-passphrase",
            file: None,
            fd: None,
            command: None,
            generate: false,
            out_fd: None,
            accept_unusual: false,
            yes: false,
        };
        let terminal = Terminal::new(true, true, false);
        assert_eq!(source(flags, true, &terminal, false).unwrap(), PassphraseOrigin::None);
        assert_eq!(source(flags, false, &terminal, true).unwrap(), PassphraseOrigin::Asked);
        if !terminal.can_ask() {
            let error = source(flags, false, &terminal, false).unwrap_err();
            let failure = cli::say::failure::Failure::from(error);
            assert!(failure.next_step().unwrap().starts_with("give --new-passphrase-file FILE"));
        }
    }
}
