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
use formats::cisco::facts::SF;
use formats::limits;
use formats::signature::{Fingerprint, SignerEntry, SigningKey, VerifyingKey};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use serde::Serialize;

use crate::fmc::belief::{Belief, Believed, Disbelief};
use crate::fmc::error::Doubt;
use crate::keys::error::SigningKeyError;

/// Path of the key below the root.
pub(crate) const PATH: &str = "/var/sf/sftunnel-airgap/signing-key.pem";
const DIRECTORY: &str = "/var/sf/sftunnel-airgap";
const NAME: &str = "signing-key.pem";

/// A signing key that is named, found, or still to be written.
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
    /// True if this run made the key.
    pub new: bool,
}

impl SignerBody {
    /// Describes the signer for a result.
    pub(crate) fn of(signer: &Signer) -> Self {
        let SignerEntry { public_key, fingerprint } = signer.entry;
        Self { public_key, fingerprint, spoken: fingerprint.spoken(), new: signer.is_new() }
    }
}

/// Takes the named key, or this machine's, or makes a new one in memory. Refuses a key that others
/// could get at.
pub(crate) fn load(belief: Belief<'_>, named: Option<&Path>) -> Result<Signer, SigningKeyError> {
    let root = belief.root;
    if let Some(path) = named {
        let pem = input::read_secret(path, limits::KEY_FILE)?;
        let key = SigningKey::from_pem(&pem)
            .map_err(|error| SigningKeyError::Named { path: path.to_owned(), error })?;
        return Signer::new(key, Origin::Named, None);
    }
    let (file, doubt) = match find(belief)? {
        OwnKey::Key(file, doubt) => (file, doubt),
        OwnKey::None(doubt) => {
            return Signer::new(SigningKey::generate()?, Origin::New, doubt);
        }
    };
    let pem = limits::read_secret(file, limits::KEY_FILE)
        .map_err(|error| SigningKeyError::Read { path: root.outside(PATH), error })?;
    let key = SigningKey::from_pem(&pem)
        .map_err(|error| SigningKeyError::Found { path: root.outside(PATH), error })?;
    Signer::new(key, Origin::Found, doubt)
}

/// Looks at what [`load`] would accept or refuse, for a plan, without reading a key. One that cannot
/// be read at all is no matter of a plan's.
pub(crate) fn look(
    belief: Belief<'_>,
    named: Option<&Path>,
) -> Result<Option<String>, SigningKeyError> {
    match (named, find(belief)) {
        (None, Ok(OwnKey::Key(_, doubt) | OwnKey::None(doubt))) => Ok(doubt),
        (None, Err(error @ SigningKeyError::NotOurs(_))) => Err(error),
        _ => Ok(None),
    }
}

/// Computes the fingerprint of this machine's key, for judging what it made itself. Always from the private
/// half: a public one that is kept apart goes on to speak for a key that was taken away.
pub(crate) fn own(root: &Root) -> Option<Fingerprint> {
    let OwnKey::Key(file, None) = find(Belief { root, accept: false }).ok()? else { return None };
    let pem = limits::read_secret(file, limits::KEY_FILE).ok()?;
    Some(SigningKey::from_pem(&pem).ok()?.verifying_key().ok()?.fingerprint())
}

/// The key's file, and the doubt that was accepted for its sake.
enum OwnKey {
    Key(File, Option<String>),
    /// There is none yet.
    None(Option<String>),
}

/// Opens the key's file and looks at it and the way to it. Whoever can change it signs with
/// our name after the next build; whoever can read it does so now.
fn find(belief: Belief<'_>) -> Result<OwnKey, SigningKeyError> {
    let root = belief.root;
    let refused = |error| match error {
        Disbelief::Io(error) => unusable(root, error),
        Disbelief::Foreign(foreign) => SigningKeyError::NotOurs(Doubt::Foreign(foreign)),
    };
    let Believed { file, doubt, .. } = match belief.open(Path::new(PATH)) {
        Ok(believed) => believed,
        Err(Disbelief::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            // where one is going to be made
            for folder in [DIRECTORY, SF] {
                match belief.look(Path::new(folder)) {
                    Ok(doubt) => return Ok(OwnKey::None(doubt)),
                    Err(Disbelief::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(refused(error)),
                }
            }
            return Ok(OwnKey::None(None));
        }
        Err(error) => return Err(refused(error)),
    };
    let mode = file.metadata().map_err(|error| unusable(root, error))?.mode() & 0o7777;
    let open_to_others =
        (mode & 0o077 != 0).then(|| Doubt::Readable { path: root.outside(PATH), mode });
    let open_to_others = open_to_others.map(|doubt| belief.accept(doubt)).transpose();
    let open_to_others = open_to_others.map_err(SigningKeyError::NotOurs)?;
    Ok(OwnKey::Key(file, doubt.or(open_to_others)))
}

impl Signer {
    fn new(
        key: SigningKey,
        origin: Origin,
        doubt: Option<String>,
    ) -> Result<Self, SigningKeyError> {
        let entry = SignerEntry::of(key.verifying_key()?);
        Ok(Self { key, entry, doubt, origin })
    }

    /// True if this run made the key.
    pub(crate) fn is_new(&self) -> bool {
        self.origin == Origin::New
    }

    /// Writes a new key to this machine; fails when another run made one meanwhile.
    pub(crate) fn keep(&self, root: &Root) -> Result<(), SigningKeyError> {
        if self.origin != Origin::New {
            return Ok(());
        }
        let failed = |error| unusable(root, error);
        let directory = state_directory(root).map_err(failed)?;
        let pem = self.key.to_pem()?;
        durable::create(&directory, OsStr::new(NAME), &pem, Mode::from(0o600)).map_err(failed)
    }
}

/// Opens the state directory, making it (0700) when it is not there.
pub(crate) fn state_directory(root: &Root) -> io::Result<OwnedFd> {
    let at = root.locate(Path::new(DIRECTORY))?;
    match rustix::fs::mkdirat(&at.dir, &*at.name, Mode::from(0o700)) {
        Ok(()) => durable::sync_dir(&at.dir)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open_dir_at(&at.dir, &at.name)
}

fn unusable(root: &Root, error: io::Error) -> SigningKeyError {
    SigningKeyError::File { path: root.outside(PATH), error }
}
