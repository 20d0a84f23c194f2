//! Looks at the FMC: which `FAILED_PUSH`, which batches, which manager.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use console::exit::Failure;
use console::input;
use console::root::Root;
use formats::device::ManagerUuid;
use formats::error::Reason;
use formats::failed_push::FailedPush;
use formats::ims_conf::ImsConf;
use formats::limits::{self, LimitError};
use formats::text::printable_bytes;
use rustix::fs::FileType;
use std::os::unix::ffi::OsStrExt;

/// Where `generate_certs.pl` leaves one folder for each run (docs/facts.md).
pub(crate) const BATCHES: &str = "/var/tmp/certs";
const FILE: &str = "FAILED_PUSH";

/// A `FAILED_PUSH` and the batch that it is from.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Where it lies, sanitised.
    pub path: String,
    /// The unix time of its run.
    pub batch: u64,
    /// Where that number is from.
    pub batch_from: BatchFrom,
    /// What it says.
    pub found: FailedPush,
}

/// Where a listing's batch is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchFrom {
    /// The name of the folder that it lies in.
    Folder,
    /// A copy: the newest folder whose list says the same.
    SameList,
    /// A copy that is like none: the file's modification time, which a copy makes young.
    Modified,
}

/// What the FMC says of itself.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// `APPLIANCE_UUID` of `/etc/sf/ims.conf`.
    pub own: Option<ManagerUuid>,
    /// `/etc/hostname`; empty when there is none.
    pub hostname: String,
    /// The newest batch folder, with or without a `FAILED_PUSH`.
    pub newest_batch: Option<u64>,
}

/// What is known of the devices that the newest run did not reach.
#[derive(Debug)]
pub(crate) enum Newest {
    /// Its list.
    List(Listing),
    /// An older run's list, for the names alone: the newest left none, or none yet.
    Older(Listing),
    /// There is no list.
    None,
    /// There may be one.
    Unreadable(Failure),
}

/// The list of the newest run; unlike [`listings`] it tells what is absent from what cannot be
/// read.
pub(crate) fn newest(root: &Root) -> Newest {
    match root.open_dir(Path::new(BATCHES)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Newest::None,
        Err(error) => {
            return Newest::Unreadable(Failure::io(root.outside(BATCHES).display(), &error));
        }
        Ok(_) => {}
    }
    match listings(root, &[]) {
        Err(failure) if failure.reason == Some(Reason::NotFound) => Newest::None,
        Err(failure) => Newest::Unreadable(failure),
        Ok(mut all) => match all.pop() {
            Some(listing) if batches(root).first() == Some(&listing.batch) => Newest::List(listing),
            Some(listing) => Newest::Older(listing),
            None => Newest::None,
        },
    }
}

/// Reads the named files, or the newest there is.
///
/// # Errors
/// `not-found` when there is none, or a file cannot be read.
pub(crate) fn listings(root: &Root, named: &[PathBuf]) -> Result<Vec<Listing>, Failure> {
    if !named.is_empty() {
        return named.iter().map(|path| named_listing(root, path)).collect();
    }
    for batch in batches(root) {
        let path = path_in(batch);
        match read_in(root, &path) {
            Ok(found) => {
                let batch_from = BatchFrom::Folder;
                return Ok(vec![Listing { path, batch, batch_from, found }]);
            }
            Err(LimitError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let is_denied = matches!(&error, LimitError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied);
                let hint = if is_denied { AS_ROOT } else { OTHERWISE };
                return Err(input::of_limit(Path::new(&path), &error).hint(hint));
            }
        }
    }
    let looked = root.outside(BATCHES);
    Err(Failure::refused(Reason::NotFound, format!("no FAILED_PUSH below {}", looked.display()))
        .hint("run generate_certs.pl first, or name the file with --failed-push FILE"))
}

const NAME_ONE: &str = "generate_certs.pl leaves it in /var/tmp/certs/<unix time>/FAILED_PUSH";
const OTHERWISE: &str = "find out who put it there; name another with --failed-push FILE, or run generate_certs.pl again";
const AS_ROOT: &str = "run this as root on the FMC (`expert`, then `sudo su`)";

fn path_in(batch: u64) -> String {
    format!("{BATCHES}/{batch}/{FILE}")
}

fn read_in(root: &Root, path: &str) -> Result<FailedPush, LimitError> {
    root.open_file(Path::new(path)).map_err(LimitError::Io).and_then(read)
}

fn named_listing(root: &Root, path: &Path) -> Result<Listing, Failure> {
    let file = input::open_regular(path).map_err(|failure| failure.hint(NAME_ONE))?;
    let modified = file.metadata().map_err(|error| Failure::io(path.display(), &error))?.mtime();
    let found = read(file).map_err(|error| input::of_limit(path, &error))?;
    let (batch, batch_from) = match batch_of(path) {
        Some(batch) => (batch, BatchFrom::Folder),
        None => match batch_of_copy(root, &found) {
            Some(batch) => (batch, BatchFrom::SameList),
            None => (u64::try_from(modified).unwrap_or(0), BatchFrom::Modified),
        },
    };
    let path = printable_bytes(path.as_os_str().as_bytes());
    Ok(Listing { path, batch, batch_from, found })
}

/// The newest batch whose list says the same as one that lies elsewhere.
fn batch_of_copy(root: &Root, found: &FailedPush) -> Option<u64> {
    let is_same = |batch: &u64| read_in(root, &path_in(*batch)).is_ok_and(|of| of == *found);
    batches(root).into_iter().find(is_same)
}

fn read(file: File) -> Result<FailedPush, LimitError> {
    FailedPush::read(BufReader::new(file), limits::FAILED_PUSH)
}

/// The name of the folder that the file lies in, when it is a number.
fn batch_of(path: &Path) -> Option<u64> {
    batch_number(std::path::absolute(path).ok()?.parent()?.file_name()?)
}

fn batch_number(name: &OsStr) -> Option<u64> {
    let digits = name.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The batch folders, the newest first.
fn batches(root: &Root) -> Vec<u64> {
    let Ok(dir) = root.open_dir(Path::new(BATCHES)) else { return Vec::new() };
    let is_dir = |name: &OsStr| {
        rustix::fs::statat(&dir, name, rustix::fs::AtFlags::empty())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    let names = console::root::names_in(&dir).unwrap_or_default();
    let mut found: Vec<u64> =
        names.iter().filter(|name| is_dir(name)).filter_map(|name| batch_number(name)).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

/// Looks at the FMC; what is absent stays unknown.
pub(crate) fn surroundings(root: &Root) -> Surroundings {
    let own = root
        .read(Path::new("/etc/sf/ims.conf"), limits::IMS_CONF)
        .ok()
        .and_then(|bytes| ImsConf::parse(&bytes).appliance_uuid?.parse().ok());
    let hostname = root
        .read(Path::new("/etc/hostname"), limits::IMS_CONF)
        .map(|bytes| String::from_utf8_lossy(&bytes).trim().chars().take(limits::NAME).collect())
        .unwrap_or_default();
    Surroundings { own, hostname, newest_batch: batches(root).first().copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_the_folder_when_that_is_a_number() {
        assert_eq!(batch_of(Path::new("/var/tmp/certs/1726805447/FAILED_PUSH")), Some(1726805447));
        assert_eq!(batch_of(Path::new("/home/admin/FAILED_PUSH")), None);
        assert_eq!(batch_number(OsStr::new("+5")), None);
        assert_eq!(batch_number(OsStr::new("99999999999999999999999")), None);
    }
}
