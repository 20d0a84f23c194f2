//! The passphrase of a passphrase kit: where it comes from, how strong it is, how a
//! generated one reaches the operator.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use cli::ask::hidden_input::HiddenInput;
use cli::ask::unlock;
use cli::disk::input;
use cli::process::memory;
use cli::process::random;
use cli::say::exit::Failure;
use cli::say::terminal::Terminal;
use formats::limits;
use formats::seal::{Passphrase, WORDS};
use serde::Serialize;

/// Attempts at choosing a passphrase at the terminal.
const TRIES: usize = 3;

/// Origin of a kit's passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Source {
    /// There is none: only recipients open the bundles.
    None,
    /// A file or a descriptor.
    Given,
    /// Made here, shown once.
    Generated,
    /// Typed twice.
    Asked,
}

impl Source {
    /// Line for the plan; `None` when there is no passphrase.
    pub(crate) fn described(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Given => Some("whoever knows the passphrase that is given"),
            Self::Generated => Some("whoever knows the passphrase that `build` will make"),
            Self::Asked => Some("whoever knows the passphrase that `build` will ask for"),
        }
    }
}

/// The flags on the passphrase of a kit that is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags<'a> {
    /// `passphrase`, or `new passphrase`.
    pub noun: &'static str,
    /// What `-file` and `-fd` are added to.
    pub flag: &'static str,
    /// `--passphrase-file`.
    pub file: Option<&'a Path>,
    /// `--passphrase-fd`.
    pub fd: Option<u32>,
    /// `--generate-passphrase`.
    pub generate: bool,
    /// `--passphrase-out-fd`.
    pub out_fd: Option<u32>,
    /// `--accept-unusual`.
    pub accept_unusual: bool,
}

impl Flags<'_> {
    /// Warns of a passphrase that can be guessed.
    pub(crate) fn weak_warning(&self, passphrase: &Passphrase) -> Option<String> {
        let weakness = weakness(passphrase)?;
        Some(format!(
            "the {} is weak: {weakness}; whoever finds the stick can try at leisure. --generate-passphrase makes a strong one",
            self.noun
        ))
    }
}

/// Decides on the origin of the passphrase.
///
/// # Errors
/// Usage, when nobody could open the kit, or nobody could read a generated passphrase.
pub(crate) fn source(
    flags: Flags<'_>,
    has_recipients: bool,
    terminal: &Terminal,
    dry_run: bool,
) -> Result<Source, Failure> {
    let can_ask = dry_run || terminal.can_ask();
    let Flags { flag, .. } = flags;
    if flags.generate {
        if !can_ask && flags.out_fd.is_none() {
            return Err(Failure::usage("there is no terminal to show the passphrase at")
                .hint(format!("give --passphrase-out-fd N, or {flag}-file FILE")));
        }
        return Ok(Source::Generated);
    }
    if flags.file.is_some() || flags.fd.is_some() {
        return Ok(Source::Given);
    }
    match (has_recipients, can_ask) {
        (true, _) => Ok(Source::None),
        (false, true) => Ok(Source::Asked),
        (false, false) => {
            Err(Failure::usage("nobody could open the kit, and there is no terminal to ask at")
                .hint(format!("give {flag}-file FILE, {flag}-fd N, --generate-passphrase, --recipient R, --recipients-file FILE or --recipient-map FILE")))
        }
    }
}

/// Reads, generates or asks for the passphrase, in the spelling that the kit is sealed with.
///
/// # Errors
/// When it cannot be read, is empty or unusual, or was not typed the same twice.
pub(crate) fn obtain(
    flags: Flags<'_>,
    source: Source,
    terminal: &Terminal,
) -> Result<Option<Passphrase>, Failure> {
    if source != Source::None {
        // before anything is typed, shown or made
        memory::require_to_protect()?;
    }
    match source {
        Source::None => Ok(None),
        Source::Generated => generate().map(Some),
        Source::Asked => ask(terminal, flags.accept_unusual).map(Some),
        Source::Given => {
            let bytes = match (flags.file, flags.fd) {
                (Some(path), _) => input::read_secret(path, limits::KEY_FILE)?,
                (None, Some(number)) => input::read_secret_fd(number, limits::KEY_FILE)?,
                (None, None) => return Ok(None),
            };
            taken(&unlock::passphrase(&bytes)?, flags.accept_unusual, terminal).map(Some)
        }
    }
}

fn ask(terminal: &Terminal, accept_unusual: bool) -> Result<Passphrase, Failure> {
    let mut tries = TRIES;
    loop {
        let passphrase = typed_twice(terminal, accept_unusual, &mut tries)?;
        let Some(weakness) = weakness(&passphrase) else { return Ok(passphrase) };
        let question = format!(
            "This passphrase is weak: {weakness}.\nWhoever finds the stick can try at leisure. Take it all the same?"
        );
        if terminal.confirm(&question).map_err(|error| Failure::io("the terminal", &error))? {
            return Ok(passphrase);
        }
        if tries == 0 {
            return Err(Failure::usage("no passphrase was chosen")
                .hint("--generate-passphrase makes a strong one"));
        }
    }
}

/// Asks until both are the same and fit, as often as `tries` says.
fn typed_twice(
    terminal: &Terminal,
    accept_unusual: bool,
    tries: &mut usize,
) -> Result<Passphrase, Failure> {
    // before anything is shown that somebody could answer, and to the last
    let mut hidden = HiddenInput::begin()?;
    terminal
        .note("Whoever has the kit and this passphrase can open it. It is not stored anywhere.");
    loop {
        *tries = tries.saturating_sub(1);
        let first = hidden.ask("Passphrase for the kit: ")?;
        let slip = match taken(&first, accept_unusual, terminal) {
            Err(slip) => slip,
            Ok(passphrase) => {
                let again = hidden.ask("The same again: ")?.canonical();
                if again.expose() == passphrase.expose() {
                    return Ok(passphrase);
                }
                Failure::usage("the two passphrases differ").hint("run it again")
            }
        };
        if *tries == 0 {
            return Err(slip);
        }
        terminal.note(&format!("{}. Try again.", slip.message()));
    }
}

/// Normalises to the spelling that the kit is sealed with. What it leaves out is told, and what
/// nobody could see or type at the device is no part of it.
///
/// # Errors
/// Usage: empty, with unseen characters inside, or beyond ASCII without `accept_unusual`.
fn taken(
    given: &Passphrase,
    accept_unusual: bool,
    terminal: &Terminal,
) -> Result<Passphrase, Failure> {
    let taken = given.canonical();
    if taken.chars() == 0 {
        return Err(Failure::usage("the passphrase is empty"));
    }
    if given.is_generated() {
        if given.expose() != taken.expose() {
            terminal.note("It has the form of a generated passphrase: it is taken in lower case with hyphens, and opens in any case, with blanks or without.");
        }
        return Ok(taken);
    }
    if let Some(c) = given.unseen() {
        let code = u32::from(c);
        let message = format!("the passphrase holds a character that nobody sees: U+{code:04X}");
        return Err(Failure::usage(message)
            .hint("type it by hand: programs that format text put such characters in"));
    }
    if !taken.expose().is_ascii() && !accept_unusual {
        let message = "the passphrase holds characters that a serial console may not have a key for: they are not ASCII";
        return Err(Failure::usage(message).hint(
            "take letters, digits and signs of an English keyboard, or give --accept-unusual",
        ));
    }
    let mark = '\u{feff}';
    if given.expose().trim_start_matches(mark) != given.inner() {
        terminal.warn(
            "there are blanks before or after the passphrase, which nobody sees: the kit is sealed without them",
        );
    }
    Ok(taken)
}

fn generate() -> Result<Passphrase, Failure> {
    let mut bits = [0; WORDS * 2];
    random::fill(&mut bits)
        .map_err(|error| Failure::unexpected(format!("no random bytes: {error}")))?;
    Ok(Passphrase::generated(&bits))
}

/// Shows a generated passphrase, once: at the terminal, or on the descriptor. Never on
/// standard output, never in JSON.
///
/// # Errors
/// When it could not be shown; the kit would then be of no use.
pub(crate) fn reveal(
    passphrase: &Passphrase,
    flags: Flags<'_>,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let shown = match flags.out_fd {
        Some(number) => OpenOptions::new()
            .append(true)
            .open(format!("/proc/self/fd/{number}"))
            .and_then(|mut file| writeln!(file, "{}", passphrase.expose())),
        None => terminal.show(&format!(
            "\nPassphrase of the kit, shown only now:\n\n    {}\n\nTell it by phone; never let it travel with the stick.\n\n",
            passphrase.expose()
        )),
    };
    shown.map_err(|error| {
        Failure::unexpected(format!("the passphrase could not be shown: {error}"))
            .hint("give --passphrase-out-fd N with a descriptor that can be written to")
    })
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
            generate: false,
            out_fd: None,
            accept_unusual: false,
        };
        let terminal = Terminal::new(true, true, false);
        assert_eq!(source(flags, true, &terminal, false), Ok(Source::None));
        assert_eq!(source(flags, false, &terminal, true), Ok(Source::Asked));
        if !terminal.can_ask() {
            let failure = source(flags, false, &terminal, false).unwrap_err();
            assert!(failure.next_step().unwrap().starts_with("give --new-passphrase-file FILE"));
        }
    }
}
