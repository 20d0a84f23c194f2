//! The key that vouches for what this machine makes.
//!
//! Made on first use, but written only once a kit is about to be published: a run that
//! makes no kit leaves no key.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use console::exit::Failure;
use console::input;
use console::new_file;
use console::root::{Root, open_dir_at, open_file_at};
use formats::error::Reason;
use formats::limits;
use formats::signature::{Fingerprint, SignatureError, SignerEntry, SigningKey, VerifyingKey};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use serde::Serialize;

/// Where the key lies below the root.
pub(crate) const PATH: &str = "/var/sf/sftunnel-airgap/signing-key.pem";
const DIRECTORY: &str = "/var/sf/sftunnel-airgap";
const NAME: &str = "signing-key.pem";
const PUBLIC_NAME: &str = "signing-key.pub.pem";

/// A signing key, and whether it still has to be written.
#[derive(Debug)]
pub(crate) struct Signer {
    /// The key.
    pub key: SigningKey,
    /// Its public half and fingerprint.
    pub entry: SignerEntry,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// `--sign-key`.
    Named,
    /// Lay there.
    Found,
    /// Not written yet.
    New,
}

/// A signer in a result.
#[derive(Debug, Serialize)]
pub(crate) struct SignerBody {
    /// Standard base64 of the 32 raw bytes.
    pub public_key: VerifyingKey,
    /// To be told by phone.
    pub fingerprint: Fingerprint,
    /// The same as groups of hex digits, to be read aloud.
    pub spoken: String,
    /// Whether the key was made by this run.
    pub new: bool,
}

impl SignerBody {
    /// As results show it.
    pub(crate) fn of(signer: &Signer) -> Self {
        let SignerEntry { public_key, fingerprint } = signer.entry;
        Self { public_key, fingerprint, spoken: fingerprint.spoken(), new: signer.is_new() }
    }
}

/// Takes the named key, or this machine's, or makes a new one in memory.
///
/// # Errors
/// When a key that is there cannot be read.
pub(crate) fn load(root: &Root, named: Option<&Path>) -> Result<Signer, Failure> {
    if let Some(path) = named {
        let pem = input::read_secret(path, limits::KEY_FILE)?;
        let key = SigningKey::from_pem(&pem).map_err(|error| {
            Failure::usage(format!("--sign-key {}: {error}", path.display()))
                .hint("make one with `sftunnel-bundle keygen signer`")
        })?;
        return Signer::new(key, Origin::Named);
    }
    let file = match root.open_file(Path::new(PATH)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = SigningKey::generate().map_err(|error| library(&error))?;
            return Signer::new(key, Origin::New);
        }
        other => other.map_err(|error| unusable(root, &error))?,
    };
    let pem = limits::read_secret(file, limits::KEY_FILE)
        .map_err(|error| input::of_limit(&root.outside(PATH), &error))?;
    let key = SigningKey::from_pem(&pem).map_err(|error| {
        Failure::of(root.outside(PATH).display(), &error)
            .hint("move the file away to get a new key, or name another with --sign-key FILE")
    })?;
    Signer::new(key, Origin::Found)
}

/// The fingerprint of this machine's key, for judging what it made itself.
pub(crate) fn own(root: &Root) -> Option<VerifyingKey> {
    let path = format!("{DIRECTORY}/{PUBLIC_NAME}");
    VerifyingKey::from_file(&root.read(Path::new(&path), limits::KEY_FILE).ok()?).ok()
}

impl Signer {
    fn new(key: SigningKey, origin: Origin) -> Result<Self, Failure> {
        let public = key.verifying_key().map_err(|error| library(&error))?;
        Ok(Self { key, entry: SignerEntry::of(public), origin })
    }

    /// Whether the key was made by this run.
    pub(crate) fn is_new(&self) -> bool {
        self.origin == Origin::New
    }

    /// Writes a new key to this machine, and the public half beside one that lay there.
    ///
    /// # Errors
    /// When it cannot be written, or another run made one meanwhile.
    pub(crate) fn keep(&self, root: &Root) -> Result<(), Failure> {
        if self.origin == Origin::Named {
            return Ok(());
        }
        let failed = |error: io::Error| unusable(root, &error);
        let directory = state_directory(root).map_err(failed)?;
        if self.origin == Origin::New {
            let pem = self.key.to_pem().map_err(|error| library(&error))?;
            new_file::create(&directory, OsStr::new(NAME), &pem, Mode::from(0o600))
                .map_err(failed)?;
        } else if open_file_at(&directory, OsStr::new(PUBLIC_NAME)).is_ok() {
            return Ok(());
        }
        let pem = self.entry.public_key.to_pem().map_err(|error| library(&error))?;
        new_file::create(&directory, OsStr::new(PUBLIC_NAME), &pem, Mode::from(0o644))
            .map_err(failed)
    }
}

/// Opens the state directory, making it (0700) when it is not there.
fn state_directory(root: &Root) -> io::Result<OwnedFd> {
    let at = root.locate(Path::new(DIRECTORY))?;
    match rustix::fs::mkdirat(&at.dir, &*at.name, Mode::from(0o700)) {
        Ok(()) => new_file::sync_dir(&at.dir)?,
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
        io::ErrorKind::PermissionDenied => Failure::refused(Reason::NotRoot, failure.message)
            .hint("run this as root on the FMC (`expert`, then `sudo su`), or give --sign-key FILE"),
        _ => failure.hint(
            "run this on the FMC, or make a key with `sftunnel-bundle keygen signer` and give --sign-key FILE",
        ),
    }
}

fn library(error: &SignatureError) -> Failure {
    Failure::unexpected(format!("the signing key: {error}"))
}
