//! Receipts that were read once, kept on the FMC, so that `check` knows of them when the stick is
//! gone.
//!
//! They are kept as they were signed and verified again whenever they are read: what lies here is
//! believed no more than what lies on a stick.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use cli::disk::durable;
use cli::disk::root::{Root, open_dir_at};
use cli::kit::folder::is_called_a_receipt;
use formats::checksum::Sha256;
use formats::limits;
use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::MOST_RECEIPTS;
use crate::keys::signing_key;

/// Path of the store below the root.
pub(super) const FOLDER: &str = "/var/sf/sftunnel-airgap/receipts";
const NAME: &str = "receipts";

/// A file of the store: its path, and its bytes or why it cannot be read.
pub(super) type Kept = (PathBuf, Result<Vec<u8>, limits::LimitError>);

/// Reads what is remembered. None where the store is absent, or is not for this user to read.
pub(super) fn read(root: &Root) -> Vec<Kept> {
    let mut names = root.names(Path::new(FOLDER)).unwrap_or_default();
    names.retain(|name| is_called_a_receipt(name));
    names.sort();
    names.truncate(MOST_RECEIPTS);
    let read = |name| {
        let path = Path::new(FOLDER).join(name);
        let bytes = root.read(&path, limits::RECEIPT);
        (root.outside(path), bytes)
    };
    names.into_iter().map(read).collect()
}

/// The way into the store, which is made (0700) when it is not there.
pub(super) struct Store<'a> {
    root: &'a Root,
    dir: rustix::fd::OwnedFd,
    room: usize,
}

impl<'a> Store<'a> {
    pub(super) fn open(root: &'a Root) -> io::Result<Self> {
        let state = signing_key::state_directory(root)?;
        match mkdirat(&state, NAME, Mode::from_raw_mode(0o700)) {
            Ok(()) => durable::sync_dir(&state)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let room = MOST_RECEIPTS.saturating_sub(root.names(Path::new(FOLDER))?.len());
        Ok(Self { root, dir: open_dir_at(&state, OsStr::new(NAME))?, room })
    }

    /// Keeps a receipt under the digest of its claim. The same again changes nothing; a damaged one
    /// of that name is replaced.
    pub(super) fn keep(&mut self, claim: Sha256, bytes: &[u8]) -> io::Result<()> {
        let name = format!("receipt_{claim}.json");
        let path = Path::new(FOLDER).join(&name);
        match self.root.read(&path, limits::RECEIPT) {
            Ok(kept) if kept == bytes => return Ok(()),
            Ok(_) => {}
            Err(_) if self.room == 0 => {
                return Err(io::Error::other(format!(
                    "holds {MOST_RECEIPTS} receipts already; remove the oldest"
                )));
            }
            Err(_) => self.room -= 1,
        }
        durable::replace(&self.dir, OsStr::new(&name), bytes, Mode::from(0o600))
    }
}
