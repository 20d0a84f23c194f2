//! A kit on a disk, which is untrusted until checked.
//!
//! Everything is read through directory handles without following links, and each file is read
//! once: the bytes that were checked are those that are used.

mod whole;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use formats::checksum::Sha256;
use formats::error::Reason;
use formats::kit::{self, BundleEntry, InstallerEntry, KitIndex};
use formats::limits::{self, LimitError};
use formats::seal::require_one_passphrase;
use formats::signature::{SIGNATURE_SIZE, VerifyingKey};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, statat};

use crate::ask::unlock::KitIdentity;
use crate::disk::root::{names_in, open_dir_at, open_file_at};
use crate::kit::locate::{is_kit_at, kit_around, open_root};
use crate::kit::not_a_kit;
use crate::say::failure::Failure;

pub use self::whole::{CheckedFiles, is_called_a_receipt};

/// A kit whose index fits the signature beside it.
#[derive(Debug)]
pub struct KitFolder {
    path: PathBuf,
    dir: OwnedFd,
    index: KitIndex,
    index_sha256: Sha256,
    signer: VerifyingKey,
}

/// Reads `kit.identity.age` of the kit in which a bundle file lies, if both exist.
///
/// # Errors
/// Fails when that kit or file cannot be read.
pub fn identity_around(bundle: &Path) -> Result<Option<KitIdentity>, Failure> {
    kit_around(bundle).map_or(Ok(None), |kit| KitFolder::open(&kit)?.identity())
}

impl KitFolder {
    /// Opens a kit: reads its index and checks the signature beside it.
    ///
    /// # Errors
    /// Returns `not-found`, `bad-format` for a folder without an index, or the reason of
    /// [`kit::KitError`].
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let dir = open_root(path).map_err(|error| Failure::io(path.display(), &error))?;
        if !is_kit_at(&dir) {
            let message = format!("{} is not a kit: it has no {}", path.display(), kit::INDEX);
            let hint = not_a_kit::explain(path).unwrap_or_else(|| NAME_A_KIT.to_owned());
            return Err(Failure::refused(Reason::BadFormat, message).hint(hint));
        }
        let read = |name: &str, limit| {
            open_file_at(&dir, OsStr::new(name))
                .map_err(LimitError::Io)
                .and_then(|file| limits::read_public(file, limit))
                .map_err(|error| failure(path, name, &error))
        };
        let bytes = read(kit::INDEX, limits::KIT_INDEX)?;
        if let Some(how) = not_a_kit::changed_as_text(&bytes) {
            let message = format!("{}: {} {how}", path.display(), kit::INDEX);
            return Err(Failure::refused(Reason::Damaged, message).hint(COPY_AS_IT_IS));
        }
        let signature = read(kit::INDEX_SIGNATURE, SIGNATURE_SIZE as u64)?;
        let (index, signer) = KitIndex::open(&bytes, &signature)
            .map_err(|error| Failure::of(path.display(), &error).or_hint(COPY_AGAIN))?;
        Ok(Self { path: path.to_owned(), dir, index, index_sha256: Sha256::of(&bytes), signer })
    }

    /// Path as the operator named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The signed index.
    pub fn index(&self) -> &KitIndex {
        &self.index
    }

    /// Key that signed the index. It makes no bundle installable.
    pub fn signer(&self) -> VerifyingKey {
        self.signer
    }

    /// Reads the kit's own identity, if it is a passphrase kit.
    ///
    /// # Errors
    /// Fails when it cannot be read; returns `bad-format` when anything but exactly one passphrase
    /// opens it.
    pub fn identity(&self) -> Result<Option<KitIdentity>, Failure> {
        let file = match open_file_at(&self.dir, OsStr::new(kit::IDENTITY)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(LimitError::Io),
        };
        let bytes = file
            .and_then(|file| limits::read_public(file, limits::KEY_FILE))
            .map_err(|error| failure(&self.path, kit::IDENTITY, &error))?;
        let path = self.path.join(kit::IDENTITY);
        require_one_passphrase(&bytes)
            .map_err(|error| Failure::of(path.display(), &error).hint(ANOTHER_IDENTITY))?;
        Ok(Some(KitIdentity { path, bytes }))
    }

    /// Reads a bundle and compares it with the index. A bundle whose name was changed on the way
    /// (by an image that cuts names, or a stick without long ones) is found by its content.
    ///
    /// # Errors
    /// Returns `damaged` when it is not the file that the index lists.
    pub fn bundle(&self, entry: &BundleEntry) -> Result<Vec<u8>, Failure> {
        let file = match self.open_below(&entry.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.renamed(entry).ok_or_else(|| self.lost(&entry.file, &error));
            }
            other => other.map_err(|error| failure(&self.path, &entry.file, &error.into()))?,
        };
        let bytes = limits::read_public(file, limits::BUNDLE)
            .map_err(|error| failure(&self.path, &entry.file, &error))?;
        if is_listed(&bytes, entry) {
            return Ok(bytes);
        }
        let failure = self.damaged(&entry.file, "kit.json");
        if is_listed(&not_a_kit::without_carriage_returns(&bytes), entry) {
            return Err(failure
                .map_message(|message| format!("{message}, as its line ends were changed"))
                .hint(COPY_AS_IT_IS));
        }
        Err(failure)
    }

    /// Finds the bundle of an entry under another name.
    fn renamed(&self, entry: &BundleEntry) -> Option<Vec<u8>> {
        let folder = open_dir_at(&self.dir, OsStr::new(kit::BUNDLES)).ok()?;
        names_in(&folder).ok()?.iter().find_map(|name| {
            let file = open_file_at(&folder, name).ok()?;
            if file.metadata().ok()?.len() != entry.size {
                return None;
            }
            let bytes = limits::read_public(file, limits::BUNDLE).ok()?;
            is_listed(&bytes, entry).then_some(bytes)
        })
    }

    fn lost(&self, name: &str, error: &io::Error) -> Failure {
        Failure::io(self.path.join(name).display(), error).or_hint(format!(
            "{COPY_AGAIN}. A cut file name does no harm, but no file in bundles/ is this one"
        ))
    }

    /// Opens an installer. The caller has to compare its content with the entry.
    ///
    /// # Errors
    /// Returns `not-found` or another refusal for the system's error.
    pub fn installer(&self, entry: &InstallerEntry) -> Result<File, Failure> {
        self.open_below(&entry.file)
            .map_err(|error| failure(&self.path, &entry.file, &error.into()))
    }

    /// Makes the refusal of a file that is not the one in the list `listed_in`.
    pub fn damaged(&self, name: &str, listed_in: &str) -> Failure {
        let message =
            format!("{}: {name} is not the file that {listed_in} lists", self.path.display());
        Failure::refused(Reason::Damaged, message).hint(COPY_AGAIN)
    }

    /// Makes the refusal of a file that `SHA256SUMS` lacks, as when that was cut off.
    fn not_summed(&self, name: &str) -> Failure {
        let message = format!("{}: {} does not list {name}", self.path.display(), kit::SUMS);
        Failure::refused(Reason::Damaged, message).hint(COPY_AGAIN)
    }

    /// Opens `name` or `folder/name`, neither of which may be a link.
    fn open_below(&self, name: &str) -> io::Result<File> {
        self.at_below(name, |dir, name| open_file_at(dir, name))
    }

    /// Looks whether there is something by that name.
    fn find_below(&self, name: &str) -> io::Result<()> {
        self.at_below(name, |dir, name| Ok(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(drop)?))
    }

    fn at_below<T>(
        &self,
        name: &str,
        act: impl FnOnce(&OwnedFd, &OsStr) -> io::Result<T>,
    ) -> io::Result<T> {
        match name.split_once('/') {
            None => act(&self.dir, OsStr::new(name)),
            Some((folder, name)) if !name.contains('/') => {
                act(&open_dir_at(&self.dir, OsStr::new(folder))?, OsStr::new(name))
            }
            Some(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a kit has one level of folders"))
            }
        }
    }
}

const ANOTHER_IDENTITY: &str = "copy the kit again from where it was made. If it is the same there, do not use it: the way to open it was changed";
const COPY_AS_IT_IS: &str = "copy the kit again, byte by byte: no transfer in text (ASCII) mode, no editor; a .zip or .tar of it keeps it as it is";
const NAME_A_KIT: &str =
    "name a kit's folder, sftunnel-kit-...; if this was one, copy it again from where it was made";
const COPY_AGAIN: &str =
    "copy the kit again from where it was made, and run `sha256sum -c SHA256SUMS` in it";

fn is_listed(bytes: &[u8], entry: &BundleEntry) -> bool {
    bytes.len() as u64 == entry.size && Sha256::of(bytes) == entry.sha256
}

fn failure(kit: &Path, name: &str, error: &LimitError) -> Failure {
    let subject = kit.join(name);
    match error {
        LimitError::TooLarge { .. } => {
            Failure::refused(Reason::TooLarge, format!("{} {error}", subject.display()))
        }
        LimitError::Io(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Failure::refused(Reason::BadFormat, format!("{}: {error}", subject.display()))
        }
        // ELOOP: there is a link, and a kit has none
        LimitError::Io(error)
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
        {
            Failure::refused(Reason::BadFormat, format!("{}: is a link", subject.display()))
        }
        LimitError::Io(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let message =
                format!("{}: not in a folder, but behind a link or file", subject.display());
            Failure::refused(Reason::BadFormat, message)
        }
        LimitError::Io(error) => Failure::io(subject.display(), error),
    }
    .or_hint(COPY_AGAIN)
}
