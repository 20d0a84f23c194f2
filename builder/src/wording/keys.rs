//! Sentences about passphrases, recipients and signing keys.

use std::fmt;
use std::io;
use std::path::Path;

use cli::disk::input;
use cli::say::exit::Exit;
use cli::say::failure::Failure;
use formats::error::Reason;
use formats::seal::SealError;

use crate::fmc::error::Doubt;
use crate::keys::error::{
    FileError, KeyExists, MapLineError, PassphraseError, RecipientsError, SigningKeyError, Slip,
    Unmapped,
};

const GENERATE: &str = "--generate-passphrase makes a strong one";
const NEW_KEY: &str = "to get a new key, or name another with --sign-key FILE";

impl From<PassphraseError> for Failure {
    fn from(error: PassphraseError) -> Self {
        match error {
            PassphraseError::NowhereToShow { flag } => {
                Failure::usage("there is no terminal to show the passphrase at")
                    .hint(format!("give --passphrase-out-fd N, or {flag}-file FILE"))
            }
            PassphraseError::NobodyCouldOpen { flag } => {
                Failure::usage("no passphrase or recipient is given, and there is no terminal to ask at")
                    .hint(format!("give {flag}-file FILE, {flag}-fd N, {flag}-command COMMAND, --generate-passphrase, --recipient R, --recipients-file FILE or --recipient-map FILE"))
            }
            PassphraseError::Slip(slip) => slip.into(),
            PassphraseError::NotChosen => Failure::usage("no passphrase was chosen").hint(GENERATE),
            PassphraseError::Terminal(error) => Failure::io("the terminal", &error),
            PassphraseError::Random(error) => {
                Failure::unexpected(format!("no random bytes: {error}"))
            }
            PassphraseError::NotWritten(error) => {
                Failure::unexpected(format!("the passphrase could not be written: {error}"))
                    .hint("give --passphrase-out-fd N with a descriptor that can be written to")
            }
            PassphraseError::NotShown(error) => {
                Failure::unexpected(format!("the passphrase could not be shown: {error}"))
                    .exit(Exit::NeedsPerson)
                    .hint("the kit cannot be opened without that passphrase: make it again with --force")
            }
            PassphraseError::Input(failure) => failure,
        }
    }
}

impl From<Slip> for Failure {
    fn from(slip: Slip) -> Self {
        let failure = Failure::usage(&slip);
        match slip {
            Slip::Differ => failure.hint("run it again"),
            Slip::Empty => failure,
            Slip::Unseen(_) => {
                failure.hint("type it by hand: programs that format text add such characters")
            }
            Slip::NotAscii => failure.hint(
                "use letters, digits and signs of an English keyboard, or give --accept-unusual",
            ),
        }
    }
}

impl fmt::Display for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differ => f.write_str("the two passphrases differ"),
            Self::Empty => f.write_str("the passphrase is empty"),
            Self::Unseen(c) => {
                let code = u32::from(*c);
                write!(f, "the passphrase holds an invisible character: U+{code:04X}")
            }
            Self::NotAscii => f.write_str("the passphrase holds characters that are not ASCII: a serial console may have no key for them"),
        }
    }
}

impl From<RecipientsError> for Failure {
    fn from(error: RecipientsError) -> Self {
        match error {
            RecipientsError::Flag(error) => Failure::usage(format!("--recipient: {error}"))
                .hint("make one with `sftunnel-bundle keygen identity` or `age-keygen`"),
            RecipientsError::File { path, error } => {
                Failure::usage(format!("{}: {error}", path.display()))
            }
            RecipientsError::MapLine { file, line, error } => Failure::from(*error)
                .preceded_by(format!("{file}, line {line}"))
                .without_reason()
                .exit(Exit::Usage),
            RecipientsError::Mixed => Failure::usage(SealError::Mixed).hint(
                "give age1pq1... recipients only (`keygen identity --post-quantum`), or others only",
            ),
            RecipientsError::Missing(devices) => {
                let number = devices.number;
                Failure::usage(format!("{number} devices have no recipient: {devices}")).hint(
                    "add them to the --recipient-map, or give a --recipient or passphrase for all",
                )
            }
            RecipientsError::Input(failure) => failure,
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("holds no recipient"),
            Self::List(error) => error.fmt(f),
            Self::Columns { line } => write!(f, "line {line}: expected device,recipient"),
            Self::Recipient { line, error } => write!(f, "line {line}: {error}"),
        }
    }
}

impl From<MapLineError> for Failure {
    fn from(error: MapLineError) -> Self {
        match error {
            MapLineError::Name(error) => error.into(),
            MapLineError::NoneFits { pattern } => {
                Failure::usage(format!("no device's name or UUID fits '{pattern}'"))
                    .hint("* stands for any characters, ? for one")
            }
        }
    }
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.names.iter().map(|name| format!("'{name}'")).collect();
        f.write_str(&names.join(", "))?;
        f.write_str(if self.number > names.len() { ", ..." } else { "" })
    }
}

impl From<SigningKeyError> for Failure {
    fn from(error: SigningKeyError) -> Self {
        match error {
            SigningKeyError::Named { path, error } => {
                Failure::usage(format!("--sign-key {}: {error}", path.display()))
                    .hint("make one with `sftunnel-bundle keygen signer`")
            }
            SigningKeyError::Found { path, error } => {
                Failure::of(path.display(), &error).hint(format!("move the file away {NEW_KEY}"))
            }
            SigningKeyError::NotOurs(doubt) => not_ours(&doubt),
            SigningKeyError::File { path, error } => unusable(&path, &error),
            SigningKeyError::Read { path, error } => input::of_limit(&path, &error),
            SigningKeyError::Library(error) => {
                Failure::unexpected(format!("the signing key: {error}"))
            }
            SigningKeyError::Input(failure) => failure,
        }
    }
}

impl From<KeyExists> for Failure {
    fn from(KeyExists(path): KeyExists) -> Self {
        Failure::refused(Reason::Exists, format!("{} already exists", path.display()))
            .hint("a key is never overwritten: choose another --out FILE, or move the old one away")
    }
}

fn not_ours(doubt: &Doubt) -> Failure {
    let message = format!("others than root may have the signing key: {doubt}");
    Failure::refused(Reason::UntrustedSource, message).hint(
        "find out who changed it. If you are sure that the key was not read or replaced: chown root:root, chmod 700 the folder and 600 the key. If not, move it away to get a new one, or give --sign-key FILE",
    )
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::io(path.display(), error);
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            failure.hint("another run has just made a signing key; run this again to use it")
        }
        // not a regular file
        io::ErrorKind::InvalidInput => Failure::refused(Reason::BadFormat, failure.into_message())
            .hint(format!("move it away {NEW_KEY}")),
        _ => failure.or_hint(
            "run this on the FMC, or make a key with `sftunnel-bundle keygen signer` and give --sign-key FILE",
        ),
    }
}
