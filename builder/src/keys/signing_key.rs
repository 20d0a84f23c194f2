//! The key that vouches for what this machine makes.
//!
//! Made on first use, but written only once a kit is about to be published: a run that
//! makes no kit leaves no key.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cli::disk::durable;
use cli::disk::input;
use cli::disk::root::{Root, open_dir_at};
use cli::say::exit::Failure;
use formats::cisco::facts::SF;
use formats::error::Reason;
use formats::limits;
use formats::signature::{Fingerprint, SignatureError, SignerEntry, SigningKey, VerifyingKey};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use serde::Serialize;

use crate::fmc::belief::{Belief, Believed, Disbelief, Doubt};

/// Path of the key below the root.
pub(crate) const PATH: &str = "/var/sf/sftunnel-airgap/signing-key.pem";
const DIRECTORY: &str = "/var/sf/sftunnel-airgap";
const NAME: &str = "signing-key.pem";

/// A signing key, and whether it still has to be written.
#[derive(Debug)]
pub(crate) struct Signer {
    pub key: SigningKey,
    /// Its public half and fingerprint.
    pub entry: SignerEntry,
    /// Doubt about the file that `--accept-source` accepted.
    pub doubt: Option<String>,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Named by `--sign-key`.
    Named,
    /// Found on this machine.
    Found,
    /// Made by this run, not written yet.
    New,
}

/// A signer in a result.
#[derive(Debug, Serialize)]
pub(crate) struct SignerBody {
    /// Standard base64 of the 32 raw bytes.
    pub public_key: VerifyingKey,
    /// Fingerprint to be told by phone.
    pub fingerprint: Fingerprint,
    /// The same as groups of hex digits, to be read aloud.
    pub spoken: String,
    /// Returns true if this run made the key.
    pub new: bool,
}

impl SignerBody {
    /// Describes the signer for a result.
    pub(crate) fn of(signer: &Signer) -> Self {
        let SignerEntry { public_key, fingerprint } = signer.entry;
        Self { public_key, fingerprint, spoken: fingerprint.spoken(), new: signer.is_new() }
    }
}

/// Takes the named key, or this machine's, or makes a new one in memory.
///
/// # Errors
/// When a key that is there cannot be read, or others could get at it.
pub(crate) fn load(belief: Belief<'_>, named: Option<&Path>) -> Result<Signer, Failure> {
    let root = belief.root;
    if let Some(path) = named {
        let pem = input::read_secret(path, limits::KEY_FILE)?;
        let key = SigningKey::from_pem(&pem).map_err(|error| {
            Failure::usage(format!("--sign-key {}: {error}", path.display()))
                .hint("make one with `sftunnel-bundle keygen signer`")
        })?;
        return Signer::new(key, Origin::Named, None);
    }
    let (file, doubt) = match find(belief)? {
        Found::Key(file, doubt) => (file, doubt),
        Found::None(doubt) => {
            let key = SigningKey::generate().map_err(|error| library(&error))?;
            return Signer::new(key, Origin::New, doubt);
        }
    };
    let pem = limits::read_secret(file, limits::KEY_FILE)
        .map_err(|error| input::of_limit(&root.outside(PATH), &error))?;
    let key = SigningKey::from_pem(&pem).map_err(|error| {
        Failure::of(root.outside(PATH).display(), &error)
            .hint("move the file away to get a new key, or name another with --sign-key FILE")
    })?;
    Signer::new(key, Origin::Found, doubt)
}

/// Looks at what [`load`] would accept or refuse, for a plan, without reading a key.
///
/// # Errors
/// `untrusted-source`; a key that cannot be read at all is no matter of a plan's.
pub(crate) fn look(belief: Belief<'_>, named: Option<&Path>) -> Result<Option<String>, Failure> {
    match (named, find(belief)) {
        (None, Ok(Found::Key(_, doubt) | Found::None(doubt))) => Ok(doubt),
        (None, Err(failure)) if failure.reason() == Some(Reason::UntrustedSource) => Err(failure),
        _ => Ok(None),
    }
}

/// The fingerprint of this machine's key, for judging what it made itself. Always from the private
/// half: a public one that is kept apart goes on to speak for a key that was taken away.
pub(crate) fn own(root: &Root) -> Option<Fingerprint> {
    let Found::Key(file, None) = find(Belief { root, accept: false }).ok()? else { return None };
    let pem = limits::read_secret(file, limits::KEY_FILE).ok()?;
    Some(SigningKey::from_pem(&pem).ok()?.verifying_key().ok()?.fingerprint())
}

/// The key's file, and what was accepted for its sake.
enum Found {
    Key(File, Option<String>),
    /// There is none yet.
    None(Option<String>),
}

/// Opens the key's file and looks at it and the way to it. Whoever can change it signs with
/// our name after the next build; whoever can read it does so now.
fn find(belief: Belief<'_>) -> Result<Found, Failure> {
    let root = belief.root;
    let refused = |error| match error {
        Disbelief::Io(error) => unusable(root, &error),
        Disbelief::Foreign(foreign) => not_ours(&foreign),
    };
    let Believed { file, doubt, .. } = match belief.open(Path::new(PATH)) {
        Ok(believed) => believed,
        Err(Disbelief::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            // where one is going to be made
            for folder in [DIRECTORY, SF] {
                match belief.look(Path::new(folder)) {
                    Ok(doubt) => return Ok(Found::None(doubt)),
                    Err(Disbelief::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(refused(error)),
                }
            }
            return Ok(Found::None(None));
        }
        Err(error) => return Err(refused(error)),
    };
    let mode = file.metadata().map_err(|error| unusable(root, &error))?.mode() & 0o7777;
    let open_to_others =
        (mode & 0o077 != 0).then(|| Doubt::Readable { path: root.outside(PATH), mode });
    let open_to_others = open_to_others.map(|doubt| belief.accept(doubt)).transpose();
    let open_to_others = open_to_others.map_err(|doubt| not_ours(&doubt))?;
    Ok(Found::Key(file, doubt.or(open_to_others)))
}

/// Only root may get at the key.
fn not_ours(what: &dyn std::fmt::Display) -> Failure {
    let message = format!("the signing key is not root's alone: {what}");
    Failure::refused(Reason::UntrustedSource, message).hint(
        "find out who changed it. If nobody can have read or replaced it: chown root:root, chmod 700 the folder and 600 the key; else move it away to get a new one. --sign-key FILE takes one that you name",
    )
}

impl Signer {
    fn new(key: SigningKey, origin: Origin, doubt: Option<String>) -> Result<Self, Failure> {
        let public = key.verifying_key().map_err(|error| library(&error))?;
        Ok(Self { key, entry: SignerEntry::of(public), doubt, origin })
    }

    /// Returns true if this run made the key.
    pub(crate) fn is_new(&self) -> bool {
        self.origin == Origin::New
    }

    /// Writes a new key to this machine.
    ///
    /// # Errors
    /// When it cannot be written, or another run made one meanwhile.
    pub(crate) fn keep(&self, root: &Root) -> Result<(), Failure> {
        if self.origin != Origin::New {
            return Ok(());
        }
        let failed = |error: io::Error| unusable(root, &error);
        let directory = state_directory(root).map_err(failed)?;
        let pem = self.key.to_pem().map_err(|error| library(&error))?;
        durable::create(&directory, OsStr::new(NAME), &pem, Mode::from(0o600)).map_err(failed)
    }
}

/// Opens the state directory, making it (0700) when it is not there.
fn state_directory(root: &Root) -> io::Result<OwnedFd> {
    let at = root.locate(Path::new(DIRECTORY))?;
    match rustix::fs::mkdirat(&at.dir, &*at.name, Mode::from(0o700)) {
        Ok(()) => durable::sync_dir(&at.dir)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open_dir_at(&at.dir, &at.name)
}

fn unusable(root: &Root, error: &io::Error) -> Failure {
    let failure = Failure::io(root.outside(PATH).display(), error);
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            failure.hint("another run has just made a signing key; run this again to use it")
        }
        // not a regular file
        io::ErrorKind::InvalidInput => Failure::refused(Reason::BadFormat, failure.into_message())
            .hint("move it away to get a new key, or name another with --sign-key FILE"),
        _ => failure.or_hint(
            "run this on the FMC, or make a key with `sftunnel-bundle keygen signer` and give --sign-key FILE",
        ),
    }
}

fn library(error: &SignatureError) -> Failure {
    Failure::unexpected(format!("the signing key: {error}"))
}
