//! Recognises kit folders, before anything in them is believed.

use std::io;
use std::path::{Path, PathBuf};

use formats::kit;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, statat};

/// Returns true if `path` is a folder with a `kit.json`.
pub fn is_kit(path: &Path) -> bool {
    open_root(path).is_ok_and(|dir| is_kit_at(&dir))
}

/// Returns true if an open folder has a `kit.json`.
pub fn is_kit_at(dir: &OwnedFd) -> bool {
    statat(dir, kit::INDEX, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Finds the kit folder in which a bundle file lies, if it does.
pub fn kit_around(bundle: &Path) -> Option<PathBuf> {
    let bundles = bundle.parent()?;
    let kit = (bundles.file_name()? == kit::BUNDLES).then(|| bundles.parent())??;
    let kit = if kit.as_os_str().is_empty() { Path::new(".") } else { kit };
    is_kit(kit).then(|| kit.to_owned())
}

/// Opens the folder that the operator names; a link to it is followed.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?)
}
