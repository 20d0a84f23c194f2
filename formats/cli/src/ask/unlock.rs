//! Identities and passphrases, read from files, descriptors or the terminal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use formats::decode::{self, NotText};
use formats::error::Reason;
use formats::limits;
use formats::seal::{
    Identities, IdentityError, IdentityFile, OpenError, Passphrase, ProtectedIdentity,
};
use formats::signature::Fingerprint;
use formats::text::{named, printable};
use zeroize::Zeroizing;

use crate::ask::hidden_input::HiddenInput;
use crate::ask::paste;
use crate::disk::input::{self, STDIN};
use crate::process::command;
use crate::process::memory;
use crate::say::failure::Failure;
use crate::say::terminal::Terminal;

/// Number of times that a passphrase may be typed.
const TRIES: usize = 3;

/// Explanation at the prompt, for a person who has only heard the passphrase.
const GENERATED: &str = "A generated passphrase is six words of five letters; capitals, blanks and\nhyphens do not matter in it.\n";

/// Sources of secrets: files, descriptors or a prompt, never the argument list.
#[derive(Debug, Clone, Default, Args)]
pub struct OpenArgs {
    /// Identity file that opens it.
    ///
    /// An age identity, an SSH private key, or either under a passphrase. May be repeated.
    #[arg(long, short = 'i', value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// Read the passphrase from a file.
    ///
    /// Its first line; '-' is standard input. May be repeated: several kits may have several
    /// passphrases.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_fd", "passphrase_command"])]
    pub passphrase_file: Vec<PathBuf>,
    /// Read it from an open file descriptor.
    #[arg(long, value_name = "N", conflicts_with = "passphrase_command")]
    pub passphrase_fd: Option<u32>,
    /// Take it from a command.
    ///
    /// Such as a password safe's. It runs with /bin/sh -c, and the first line that it prints is the passphrase.
    #[arg(long, value_name = "CMD")]
    pub passphrase_command: Option<String>,
}

/// The file `kit.identity.age` of a kit.
#[derive(Debug, Clone)]
pub struct KitIdentity {
    /// Path of the file: several kits may have several passphrases.
    pub path: PathBuf,
    /// Content, which the passphrase protects.
    pub bytes: Vec<u8>,
}

/// Identities that open bundles, and the signer for whom they vouch.
#[derive(Debug, Clone)]
pub struct Unlocked {
    /// Private keys.
    pub identities: Identities,
    /// Signer that the passphrase vouches for: only from a file with exactly one scrypt stanza,
    /// opened by the passphrase just given.
    pub vouched_signer: Option<Fingerprint>,
}

/// Reads secrets once, and remembers passphrases for several kits.
#[derive(Debug)]
pub struct Unlocker<'a> {
    args: &'a OpenArgs,
    terminal: &'a Terminal,
    passphrases: Vec<Passphrase>,
    /// Files named with `--identity`, read once: a pipe gives nothing the second time.
    files: Arc<Vec<(String, IdentityFile)>>,
    /// Their identities, once opened.
    named: Option<Unlocked>,
    /// The passphrase that opened something last.
    opened_with: Option<Passphrase>,
}

impl<'a> Unlocker<'a> {
    /// Reads the passphrases and identities named in `args`, with which `sources` will be opened.
    ///
    /// # Errors
    /// Fails when one cannot be read, is empty or has another form; returns a usage error when
    /// standard input is named twice.
    pub fn new(
        args: &'a OpenArgs,
        sources: &[PathBuf],
        terminal: &'a Terminal,
    ) -> Result<Self, Failure> {
        args.require_one_reader(sources)?;
        // refused before a bundle is pasted, not after
        for path in args.identity.iter().filter(|path| path.as_os_str() != STDIN) {
            std::fs::metadata(path)
                .map_err(|error| Failure::io(format!("--identity {}", path.display()), &error))
                .map_err(|failure| {
                    failure.or_hint("name the file that holds your AGE-SECRET-KEY-1... or SSH key")
                })?;
        }
        let files = args.identity.iter().map(|path| {
            let name = path.display().to_string();
            let bytes = match paste::is_pasted(path) {
                true => pasted_file(&paste::identity(&mut HiddenInput::begin()?, PASTE)?),
                false => input::read_secret(path, limits::KEY_FILE)?,
            };
            let file =
                IdentityFile::from_person(&bytes).map_err(|error| no_identity(&name, &error))?;
            Ok((name, file))
        });
        let files = Arc::new(files.collect::<Result<_, Failure>>()?);
        Ok(Self {
            args,
            terminal,
            passphrases: args.passphrases()?,
            files,
            named: None,
            opened_with: None,
        })
    }

    /// Returns what opens the bundles of a kit (with its `kit.identity.age`), or a single bundle.
    ///
    /// # Errors
    /// Returns `cannot-open` for a wrong passphrase, and a usage error without any secret.
    pub fn unlock(&mut self, kit_identity: Option<&KitIdentity>) -> Result<Unlocked, Failure> {
        match (self.named()?, kit_identity) {
            (Some(mut named), Some(kit)) if self.passphrase_is_for_kits() => {
                // of several kits, one may have a passphrase and another be sealed to the identity
                if let Ok(kit) = self.open_kit(kit) {
                    named.identities.extend(kit.identities);
                    named.vouched_signer = kit.vouched_signer.or(named.vouched_signer);
                }
                Ok(named)
            }
            (Some(named), _) => Ok(named),
            (None, Some(kit)) => self.open_kit(kit),
            (None, None) => self.pasted_identity(),
        }
    }

    /// Returns the passphrase that opened something last, for who has to open it elsewhere.
    pub fn opened_with(&self) -> Option<&Passphrase> {
        self.opened_with.as_ref()
    }

    /// Returns true if a passphrase is given that no identity file needs.
    fn passphrase_is_for_kits(&self) -> bool {
        let is_plain = |file: &IdentityFile| matches!(file, IdentityFile::Plain(_));
        self.args.names_passphrase() && self.files.iter().all(|(_, file)| is_plain(file))
    }

    fn open_kit(&mut self, kit: &KitIdentity) -> Result<Unlocked, Failure> {
        let name = kit.path.display().to_string();
        let file = IdentityFile::parse(&kit.bytes).map_err(|error| no_identity(&name, &error))?;
        self.open_file(&name, &file)
    }

    /// Opens the files of `--identity`, if there are any.
    fn named(&mut self) -> Result<Option<Unlocked>, Failure> {
        let mut all = self.named.take();
        if all.is_none() {
            for (name, file) in Arc::clone(&self.files).iter() {
                let unlocked = self.open_file(name, file)?;
                match &mut all {
                    None => all = Some(unlocked),
                    Some(all) => {
                        all.identities.extend(unlocked.identities);
                        all.vouched_signer = all.vouched_signer.or(unlocked.vouched_signer);
                    }
                }
            }
        }
        self.named.clone_from(&all);
        Ok(all)
    }

    fn open_file(&mut self, name: &str, file: &IdentityFile) -> Result<Unlocked, Failure> {
        match file {
            IdentityFile::Plain(identities) => {
                Ok(Unlocked { identities: identities.clone(), vouched_signer: None })
            }
            IdentityFile::Protected(protected) => self.open_protected(name, protected),
        }
    }

    fn open_protected(
        &mut self,
        name: &str,
        protected: &ProtectedIdentity,
    ) -> Result<Unlocked, Failure> {
        memory::require(name, protected)?;
        let mut wrong = None;
        for passphrase in &self.passphrases {
            match protected.open(passphrase) {
                Ok(opened) => {
                    self.opened_with = Some(passphrase.clone());
                    return Ok(opened.into());
                }
                // the passphrase may be another kit's
                Err(error) if is_wrong(&error) => wrong = Some(error),
                Err(error) => return Err(cannot_open(name, &error)),
            }
        }
        if let (Some(error), true) = (wrong, self.args.names_passphrase()) {
            return Err(cannot_open(name, &error));
        }
        self.ask_for_passphrase(&mut HiddenInput::begin()?, name, protected)
    }

    fn ask_for_passphrase(
        &mut self,
        hidden: &mut HiddenInput,
        name: &str,
        protected: &ProtectedIdentity,
    ) -> Result<Unlocked, Failure> {
        let prompt = format!("Passphrase for {}: ", in_prompt(name));
        // the passphrase of an SSH key was chosen by a person
        let form = if protected.memory().is_some() { GENERATED } else { "" };
        let mut line_before = Passphrase::new(String::new());
        for left in (0..TRIES).rev() {
            let form = if left + 1 == TRIES { form } else { "" };
            let line = hidden.ask(&format!("{form}{prompt}"))?;
            let passphrase = pasted_in_two(&line_before, &line).unwrap_or_else(|| line.clone());
            line_before = line;
            if let Some(unlocked) = identity_text(&passphrase) {
                return Ok(unlocked);
            }
            match protected.open(&passphrase) {
                Ok(opened) => {
                    self.opened_with = Some(passphrase.clone());
                    self.passphrases.push(passphrase);
                    return Ok(opened.into());
                }
                Err(error) if is_wrong(&error) && left > 0 => {
                    self.terminal.note("That does not open it; try again.");
                }
                Err(error) => return Err(cannot_open(name, &error)),
            }
        }
        Err(Failure::refused(Reason::CannotOpen, format!("{name}: no passphrase was given")))
    }

    fn pasted_identity(&mut self) -> Result<Unlocked, Failure> {
        let nothing = || {
            Failure::usage("no identity or passphrase is given to open the bundle")
                .hint("give --identity FILE; a passphrase works only with a kit that holds kit.identity.age")
        };
        if self.args.names_passphrase() || !self.terminal.can_ask() {
            return Err(nothing());
        }
        let mut hidden = HiddenInput::begin()?;
        for _ in 0..TRIES {
            let pasted = pasted_file(&paste::identity(&mut hidden, PASTE)?);
            match IdentityFile::from_person(&pasted) {
                Ok(IdentityFile::Plain(identities)) => {
                    return Ok(Unlocked { identities, vouched_signer: None });
                }
                Ok(IdentityFile::Protected(protected)) => {
                    memory::require(PASTED, &protected)?;
                    return self.ask_for_passphrase(&mut hidden, PASTED, &protected);
                }
                Err(_) => self.terminal.note("That is not an identity; try again."),
            }
        }
        Err(nothing())
    }
}

impl OpenArgs {
    /// Returns true if the command line names a secret.
    pub fn is_given(&self) -> bool {
        !self.identity.is_empty() || self.names_passphrase()
    }

    /// Checks that standard input is named once: its first reader reads it to the end.
    fn require_one_reader(&self, sources: &[PathBuf]) -> Result<(), Failure> {
        let named = self.identity.iter().chain(&self.passphrase_file).chain(sources);
        let named = named.filter(|path| path.as_os_str() == input::STDIN).count();
        let readers = named + usize::from(self.passphrase_fd == Some(0));
        if readers <= 1 {
            return Ok(());
        }
        let message =
            format!("standard input is named {readers} times, but it can be read only once");
        Err(Failure::usage(message).hint("name files for all but one of them"))
    }

    fn names_passphrase(&self) -> bool {
        !self.passphrase_file.is_empty()
            || self.passphrase_fd.is_some()
            || self.passphrase_command.is_some()
    }

    fn passphrases(&self) -> Result<Vec<Passphrase>, Failure> {
        let from_files = self.passphrase_file.iter().map(|path| passphrase_of(path));
        let from_fd =
            self.passphrase_fd.map(|number| input::read_secret_fd(number, limits::KEY_FILE));
        let from_command = self.passphrase_command.as_deref().map(printed);
        let others = from_fd.into_iter().chain(from_command).map(|bytes| passphrase(&bytes?));
        from_files.chain(others).collect()
    }
}

/// Returns what a command of the operator's prints. How it failed is said, and never what it
/// printed.
///
/// # Errors
/// Returns `no-passphrase` if it failed.
pub fn printed(by: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // full capacity from the start: a buffer that grows leaves copies behind
    let mut output = Zeroizing::new(Vec::with_capacity(command::OUTPUT));
    let why = match command::shell(by, &mut output) {
        Ok(status) if status.success() => return Ok(output),
        Ok(status) => format!("ended with {status}"),
        Err(error) => format!("cannot be run: {error}"),
    };
    let message = format!("the command {} {why}", named(by, SHOWN));
    Err(Failure::refused(Reason::NoPassphrase, message)
        .hint("run that command by itself: it has to print the passphrase, and to end with 0"))
}

/// Most characters of a command in a message.
const SHOWN: usize = 100;

/// Prompt for an identity: a line or a file, or the `kit.identity.age` of a passphrase kit.
const PASTE: &str = "Paste the identity (AGE-SECRET-KEY-1..., or a whole file): ";
/// Name of an identity that was pasted.
const PASTED: &str = "the pasted identity";

/// The bytes of an identity that was pasted.
fn pasted_file(text: &Passphrase) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.expose().as_bytes().to_vec())
}

/// Reads a passphrase file; standard input that is a terminal is asked at, without echo.
///
/// # Errors
/// Fails when it cannot be read, is empty or not text.
pub fn passphrase_of(path: &Path) -> Result<Passphrase, Failure> {
    match paste::is_pasted(path) {
        true => HiddenInput::begin()?.ask("Passphrase: "),
        false => passphrase(&input::read_secret(path, limits::KEY_FILE)?),
    }
}

/// Returns the first line of a passphrase file, unchanged.
///
/// # Errors
/// Fails when it is empty or not text.
pub fn passphrase(bytes: &[u8]) -> Result<Passphrase, Failure> {
    let text = decode::text(bytes).map_err(|error| {
        Failure::usage(format!("the passphrase's file: {error}")).hint(NotText::HINT)
    })?;
    let line = text.split('\n').next().unwrap_or(&text);
    // a generated one that a mail program broke in two, not a passphrase and a comment
    let whole = Passphrase::new(text.to_string());
    if whole.is_generated() && !Passphrase::new(line.to_owned()).is_generated() {
        return Ok(whole.canonical());
    }
    if decode::tidy(line).is_empty() {
        return Err(Failure::usage("the passphrase is empty").hint("it has to be the first line"));
    }
    // kits of earlier versions were sealed with the byte order mark in the passphrase
    let mark = if bytes.starts_with(MARK.as_bytes()) { MARK } else { "" };
    Ok(Passphrase::new(format!("{mark}{line}")))
}

const MARK: &str = "\u{feff}";

fn no_identity(name: &str, error: &IdentityError) -> Failure {
    let failure = Failure::of(name, error);
    match error {
        IdentityError::NotText(_) => failure.hint(NotText::HINT),
        IdentityError::Public { .. } | IdentityError::Line { .. } => {
            failure.hint("name the whole file that `keygen identity` or `age-keygen` wrote")
        }
        IdentityError::Open(OpenError::TextMode | OpenError::CutArmor) => {
            failure.hint("copy it again, whole and in binary mode")
        }
        _ => failure,
    }
}

impl From<formats::seal::OpenedIdentity> for Unlocked {
    fn from(opened: formats::seal::OpenedIdentity) -> Self {
        Self { identities: opened.identities, vouched_signer: opened.signer }
    }
}

/// Joins a generated passphrase that a mail program broke into two lines.
fn pasted_in_two(one: &Passphrase, two: &Passphrase) -> Option<Passphrase> {
    let mut both = String::with_capacity(one.expose().len() + two.expose().len());
    both.extend([one.expose(), two.expose()]);
    let both = Passphrase::new(both);
    (both.is_generated() && !two.is_generated()).then_some(both)
}

/// Reads an `AGE-SECRET-KEY-1…` that was pasted in place of a passphrase. It vouches for nobody.
fn identity_text(typed: &Passphrase) -> Option<Unlocked> {
    let text = decode::bare(typed.expose());
    let is_identity =
        text.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("AGE-SECRET-KEY-"));
    match IdentityFile::from_person(text.as_bytes()) {
        Ok(IdentityFile::Plain(identities)) if is_identity => {
            Some(Unlocked { identities, vouched_signer: None })
        }
        _ => None,
    }
}

fn is_wrong(error: &IdentityError) -> bool {
    *error == IdentityError::Open(OpenError::Passphrase)
}

fn cannot_open(name: &str, error: &IdentityError) -> Failure {
    Failure::of(name, error).hint(match error {
        IdentityError::Open(OpenError::WorkFactor) => memory::MADE_ANEW,
        _ => {
            "check the passphrase with the team that made the kit; in one that a person chose, upper and lower case differ"
        },
    })
}

/// Formats a path for a prompt. Anybody may have named the folders of a stick, so a path that is
/// long or has blanks is quoted and cut, and cannot look like a line of ours.
fn in_prompt(path: &str) -> String {
    const COLUMNS: usize = 100;
    let shown = printable(path).to_string();
    if shown.len() <= COLUMNS && !shown.contains(' ') { shown } else { named(path, COLUMNS) }
}

#[cfg(test)]
mod tests {
    use super::in_prompt;

    #[test]
    fn a_folder_of_a_stick_looks_like_no_line_of_ours() {
        let usual = "/mnt/usb/sftunnel-kit-8d07463a-1795637694/kit.identity.age";
        assert_eq!(in_prompt(usual), usual);
        let blanks = format!("/mnt/x{}is signed by SHA256:AAAA", " ".repeat(70));
        for path in [blanks, format!("/mnt/{}", "x".repeat(200)), "/mnt/a b".to_owned()] {
            let shown = in_prompt(&path);
            assert!(shown.starts_with("'/mnt/") && shown.ends_with('\''), "{shown}");
            assert!(shown.len() <= 100, "{shown}");
        }
    }
}
