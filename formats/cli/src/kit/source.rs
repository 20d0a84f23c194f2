//! Sources named on the command line: a kit, a bundle, or a bundle on standard input.
//!
//! Each file is read once into memory, and only verified bytes are used.

use std::path::{Path, PathBuf};

use formats::bundle::{BundleError, SignedBundle};
use formats::error::Reason;
use formats::limits;
use formats::seal::{Identities, OpenError, encoding_of};

use crate::ask::paste;
use crate::ask::unlock::KitIdentity;
use crate::disk::input::{self, STDIN};
use crate::kit::folder::{KitFolder, identity_around};
use crate::kit::locate::is_kit;
use crate::kit::not_a_kit;
use crate::say::failure::Failure;

/// A kit or bundle that was read but not yet opened.
#[derive(Debug)]
pub enum Source {
    /// The folder of a kit.
    Kit(Box<KitFolder>),
    /// A bundle named by itself.
    Bundle(BundleFile),
}

/// A bundle named by itself.
#[derive(Debug)]
pub struct BundleFile {
    /// Path as named; [`STDIN`] for standard input.
    pub path: PathBuf,
    /// Content of the file.
    pub sealed: Vec<u8>,
    /// `kit.identity.age` of the kit in which it lies, if it does.
    pub kit_identity: Option<KitIdentity>,
}

impl Source {
    /// Reads a kit's index, or a bundle.
    ///
    /// # Errors
    /// Like [`KitFolder::open`] for a folder; returns `not-found`, `too-large` or `bad-format` for
    /// a file that is not a bundle, and the fault of the kit in which a bundle lies.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        match is_folder(path) {
            true => KitFolder::open(path).map(|kit| Self::Kit(Box::new(kit))),
            false => BundleFile::read(path).map(Self::Bundle),
        }
    }

    /// Returns `kit.identity.age` of the kit.
    ///
    /// # Errors
    /// Like [`KitFolder::identity`].
    pub fn kit_identity(&self) -> Result<Option<KitIdentity>, Failure> {
        match self {
            Self::Kit(kit) => kit.identity(),
            Self::Bundle(bundle) => Ok(bundle.kit_identity.clone()),
        }
    }
}

/// Returns true for a kit, or a folder in its place, and false for a bundle.
pub fn is_folder(path: &Path) -> bool {
    path.as_os_str() != STDIN && (path.is_dir() || is_kit(path))
}

/// Name of a source in messages.
pub fn origin(path: &Path) -> String {
    if path.as_os_str() == STDIN { "standard input".to_owned() } else { path.display().to_string() }
}

impl BundleFile {
    fn read(path: &Path) -> Result<Self, Failure> {
        let read = paste::read(path, &paste::BUNDLE, limits::BUNDLE);
        let read = read.and_then(|bytes| input::recovered_bundle(path, bytes));
        let sealed = read.map_err(|failure| match failure.reason() {
            Some(Reason::BadFormat | Reason::TooLarge) => failure.or_hint(what_to_name(path)),
            _ => failure,
        })?;
        encoding_of(&sealed)
            .map_err(|error| Failure::of(origin(path), &error).or_hint(what_to_name(path)))?;
        Ok(Self { path: path.to_owned(), sealed, kit_identity: identity_around(path)? })
    }

    /// Opens the bundle.
    ///
    /// # Errors
    /// Like [`open_sealed`].
    pub fn open(&self, identities: &Identities) -> Result<SignedBundle, Failure> {
        open_sealed(&origin(&self.path), &self.sealed, identities)
    }
}

fn what_to_name(path: &Path) -> String {
    let known = (path.as_os_str() != STDIN).then(|| not_a_kit::explain(path)).flatten();
    known.unwrap_or_else(|| NAME_ONE.to_owned())
}

const NAME_ONE: &str = "name a bundle file (*.tar.gz.age) or a kit folder (it holds kit.json); copy it again if it should be one";

/// Opens the bytes of a bundle file.
///
/// # Errors
/// Returns the reason of [`BundleError`], with a hint.
pub fn open_sealed(
    origin: &str,
    sealed: &[u8],
    identities: &Identities,
) -> Result<SignedBundle, Failure> {
    SignedBundle::open(sealed, identities).map_err(|error| {
        let hint = match &error {
            BundleError::Open(OpenError::NoMatch) => {
                "give the identity (--identity) or the kit's passphrase that it was sealed for. If you did, the file was changed: copy it again"
            }
            BundleError::Open(OpenError::NotAge) => NAME_ONE,
            BundleError::Signature(_) => {
                "do not use it, and do not pass it on. Find out who changed it, and have a new one made"
            }
            _ => "copy it again from where it was made, or have a new one made",
        };
        Failure::of(origin, &error).or_hint(hint)
    })
}
