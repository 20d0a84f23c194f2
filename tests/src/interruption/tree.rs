//! A folder in memory: read from disk, put back on disk, compared.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// One path of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// The bytes of a file; `None` for a folder.
    pub bytes: Option<Vec<u8>>,
}

/// Paths relative to one folder, parents before what is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tree(pub BTreeMap<PathBuf, Node>);

impl Tree {
    /// Adds what lies at `dir/path`, with everything below; nothing when it is absent.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn read(&mut self, dir: &Path, path: &Path) -> io::Result<()> {
        let at = dir.join(path);
        let metadata = match fs::symlink_metadata(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let bytes = if metadata.is_file() { Some(fs::read(&at)?) } else { None };
        let owner = (metadata.uid(), metadata.gid());
        self.0.insert(path.into(), Node { mode: metadata.mode() & 0o7777, owner, bytes });
        if metadata.is_dir() {
            for item in fs::read_dir(&at)? {
                self.read(dir, &path.join(item?.file_name()))?;
            }
        }
        Ok(())
    }

    /// Writes everything below `dir`; the paths must not be there yet.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        for (path, node) in &self.0 {
            let at = dir.join(path);
            match &node.bytes {
                None => fs::DirBuilder::new().mode(node.mode).create(&at)?,
                Some(bytes) => fs::write(&at, bytes)?,
            }
            chown(&at, Some(node.owner.0), Some(node.owner.1))?;
            fs::set_permissions(&at, fs::Permissions::from_mode(node.mode))?;
        }
        Ok(())
    }
}

impl Tree {
    /// Tells it from others.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = openssl::sha::Sha256::new();
        for (path, Node { mode, owner, bytes }) in &self.0 {
            let size = bytes.as_ref().map(Vec::len);
            digest.update(format!("{} {mode} {owner:?} {size:?}\0", path.display()).as_bytes());
            digest.update(bytes.as_deref().unwrap_or_default());
        }
        digest.finish()
    }
}

/// Lists bytes, mode, owner and time of each path, which must not change beside the three files.
///
/// # Errors
/// Returns the error of the system.
pub fn fingerprints(dir: &Path, left_out: &[&str]) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    walk(dir, Path::new(""), left_out, &mut found)?;
    Ok(found)
}

fn walk(
    dir: &Path,
    below: &Path,
    left_out: &[&str],
    found: &mut BTreeMap<PathBuf, String>,
) -> io::Result<()> {
    for item in fs::read_dir(dir.join(below))? {
        let path = below.join(item?.file_name());
        if left_out.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let metadata = fs::symlink_metadata(dir.join(&path))?;
        let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
        let content = if metadata.is_file() { fs::read(dir.join(&path))? } else { Vec::new() };
        let digest = openssl::sha::sha256(&content);
        // the time of a folder changes with the names in it
        let time =
            if metadata.is_file() { (metadata.mtime(), metadata.mtime_nsec()) } else { (0, 0) };
        found.insert(path.clone(), format!("{mode:o} {uid}:{gid} {time:?} {digest:02x?}"));
        if metadata.is_dir() {
            walk(dir, &path, left_out, found)?;
        }
    }
    Ok(())
}
